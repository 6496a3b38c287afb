"""Phrases and what they are translated by, out of aligned words.

Koehn, Och & Marcu, "Statistical phrase-based translation", NAACL 2003, sections 3 and 4.1 (phrases
that are consistent with the alignment) and 4.4 (lexical weights). Here all phrases of a length are
found at once, in NumPy. NLTK's `phrase_extraction` finds the same phrases where their length has no
limit; with one it cuts longer targets down to it, which then lack words that are linked. It has no
lexical weights, and its table no more than one figure a pair.

Letters: W source words and J target words of the corpus, L links, P phrases, R pairs of phrases.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from aimodels.models.phrase_based.word_alignment import Sentences

# Columns of `PhraseTable.features`.
FEATURES = ("phrase_inverse", "lexical_inverse", "phrase", "lexical")
# For a word that no sentence has beside another one, such as an unaligned one of a single link.
_FAR = 1 << 40


class Phrases:
    """A number for each phrase of up to so many words that a corpus has, from 0; -1 for others.

    Attributes:
      longest: words.
      lengths: of each phrase, int64 [P].
      first: a place in the corpus where it begins, int64 [P].
    """

    def __init__(self, corpus: Sentences, vocabulary: int, longest: int) -> None:
        self.longest, self.vocabulary = longest, vocabulary
        # Of each length the sorted keys, number of the phrase without its last word · V + that
        # word; and the number of its first phrase.
        self._keys: list[np.ndarray] = []
        self._offsets: list[int] = []
        self.places: list[np.ndarray] = []
        before, offset, lengths, first = np.zeros(len(corpus.ids), np.int64), 0, [], []
        ends = corpus.starts[1:][corpus.owners]
        for length in range(1, longest + 1):
            (inside,) = np.nonzero(np.arange(len(before)) + length <= ends)
            keys = before[inside] * vocabulary + corpus.ids[inside + length - 1]
            unique, begins, numbers = np.unique(keys, return_index=True, return_inverse=True)
            self._keys.append(unique)
            self._offsets.append(offset)
            lengths.append(np.full(len(unique), length))
            first.append(inside[begins])
            before = np.full(len(corpus.ids), -1, np.int64)
            before[inside] = numbers + offset
            self.places.append(before)
            offset += len(unique)
        self.lengths, self.first = np.concatenate(lengths), np.concatenate(first)

    def find(self, sentences: Sentences) -> list[np.ndarray]:
        """For each length the number of the phrase that begins at a place, or -1: int64 [W] each.

        Args:
          sentences: other ones, whose words may be `UNKNOWN`.
        """
        ids, ends = sentences.ids, sentences.starts[1:][sentences.owners]
        before = np.zeros(len(ids), np.int64)
        found = []
        for length, (unique, offset) in enumerate(zip(self._keys, self._offsets, strict=True), 1):
            if not len(unique):  # the corpus has no phrase as long
                found.append(np.full(len(ids), -1))
                continue
            last = np.arange(len(ids)) + length - 1
            words = ids[np.minimum(last, len(ids) - 1)] if len(ids) else ids
            known = (last < ends) & (before >= 0) & (words >= 0)
            keys = before * self.vocabulary + words
            rows = np.minimum(np.searchsorted(unique, keys), len(unique) - 1)
            before = np.where(known & (unique[rows] == keys), rows + offset, -1)
            found.append(before)
        return found


class Extracted(NamedTuple):
    """Phrases of the corpus that are consistent with the links, one entry for each place.

    Attributes:
      sources, targets: where they begin, int64.
      source_lengths, target_lengths: how many words they have.
    """

    sources: np.ndarray
    targets: np.ndarray
    source_lengths: np.ndarray
    target_lengths: np.ndarray


@dataclasses.dataclass(frozen=True)
class PhraseTable:
    """Pairs of phrases, by the source's number.

    Attributes:
      sources: numbers of source phrases.
      targets: numbers of target phrases.
      begins: where the pairs of a source phrase begin, int64 [P + 1].
      translations: the number of each pair's target phrase, int64 [R].
      features: logs of φ(s | t), lex(s | t), φ(t | s) and lex(t | s), float64 [R, 4].
    """

    sources: Phrases
    targets: Phrases
    begins: np.ndarray
    translations: np.ndarray
    features: np.ndarray


def phrase_table(
    sources: Sentences, targets: Sentences, links: np.ndarray, longest: int = 7
) -> PhraseTable:
    """The table of a corpus.

    φ(t | s) is how often the phrases are a pair over how often s is in one. lex(t | s) is the
    product over t's words of the mean of w(word | the words of s that it is linked to), or of
    w(word | the empty word); w are relative frequencies of links. Of a pair with several
    alignments the largest lexical weight counts.

    Args:
      sources: of words from 0.
      targets: the translation of each.
      links: numbers of linked words of both, int64 [L, 2].
      longest: words of a phrase, on either side.
    """
    here = Phrases(sources, int(sources.ids.max()) + 1, longest)
    there = Phrases(targets, int(targets.ids.max()) + 1, longest)
    found = extract(sources, targets, links, longest)
    source_numbers = np.stack(here.places)[found.source_lengths - 1, found.sources]
    target_numbers = np.stack(there.places)[found.target_lengths - 1, found.targets]
    total = len(there.lengths)
    keys = source_numbers * total + target_numbers
    order = np.argsort(keys, kind="stable")
    begins = np.flatnonzero(np.diff(keys[order], prepend=-1))
    counts = np.diff(begins, append=len(keys)).astype(np.float64)
    source_of, target_of = np.divmod(keys[order][begins], total)
    of_sources = np.bincount(source_of, counts, minlength=len(here.lengths))
    of_targets = np.bincount(target_of, counts, minlength=total)
    features = np.empty((len(counts), 4))
    features[:, 0] = np.log(counts / of_targets[target_of])
    features[:, 2] = np.log(counts / of_sources[source_of])
    backward, forward = lexical_weights(sources, targets, links)
    for column, weights, starts, lengths in (
        (1, backward, found.sources, found.source_lengths),
        (3, forward, found.targets, found.target_lengths),
    ):
        sums = np.cumsum([0.0, *weights])
        each = sums[starts + lengths] - sums[starts]
        features[:, column] = np.maximum.reduceat(each[order], begins)
    edges = np.searchsorted(source_of, np.arange(len(here.lengths) + 1))
    return PhraseTable(here, there, edges, target_of, features)


def lexical_weights(
    sources: Sentences, targets: Sentences, links: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Log w of each source word given its linked target words [W], and of each target word [J]."""
    one, two = sources.ids[links[:, 0]], targets.ids[links[:, 1]]
    lone_sources = np.bincount(links[:, 0], minlength=len(sources.ids)) == 0
    lone_targets = np.bincount(links[:, 1], minlength=len(targets.ids)) == 0
    # The empty word, 0, is what unaligned words are linked to; it counts for each direction alone.
    back = _of_words(
        np.append(one, sources.ids[lone_sources]),
        np.append(two + 1, np.zeros(lone_sources.sum(), np.int64)),
        np.append(links[:, 0], np.flatnonzero(lone_sources)),
    )
    forth = _of_words(
        np.append(two, targets.ids[lone_targets]),
        np.append(one + 1, np.zeros(lone_targets.sum(), np.int64)),
        np.append(links[:, 1], np.flatnonzero(lone_targets)),
    )
    return back, forth


def _of_words(words: np.ndarray, given: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The log of the mean over each place's links of count(word, given) / count(given)."""
    _, pair, counts = np.unique(
        given * (int(words.max()) + 1) + words, return_inverse=True, return_counts=True
    )
    likely = counts[pair] / np.bincount(given)[given]
    return np.log(np.bincount(places, likely) / np.bincount(places))


def extract(
    sources: Sentences, targets: Sentences, links: np.ndarray, longest: int = 7
) -> Extracted:
    """Phrases of up to so many words on either side that are consistent with the links.

    No word of either is linked to one outside of the other, and at least one link is inside.
    Unaligned target words beside a phrase may belong to it: there is an entry with and without.
    """
    low, high = _reach(links[:, 0], links[:, 1], len(sources.ids), longest)
    other_low, other_high = _reach(links[:, 1], links[:, 0], len(targets.ids), longest)
    linked = np.bincount(links[:, 1], minlength=len(targets.ids)) > 0
    left, right = _free(linked, targets)
    ends = sources.starts[1:][sources.owners]
    place = np.arange(len(sources.ids))
    parts = []
    for length in range(1, longest + 1):
        begin, end = low[length - 1], high[length - 1]
        size = end - begin + 1
        (good,) = np.nonzero((place + length <= ends) & (end >= 0) & (size <= longest))
        row = size[good] - 1
        back = other_low[row, begin[good]] >= good
        forth = other_high[row, begin[good]] <= good + length - 1
        good = good[back & forth]
        for before in range(longest):
            for behind in range(longest - before):
                fits = (
                    (left[begin[good]] >= before)
                    & (right[end[good]] >= behind)
                    & (size[good] + before + behind <= longest)
                )
                chosen = good[fits]
                if len(chosen):
                    sizes = size[chosen] + before + behind
                    parts.append(
                        (chosen, begin[chosen] - before, np.full_like(chosen, length), sizes)
                    )
    if not parts:
        return Extracted(*(np.zeros(0, np.int64) for _ in range(4)))
    return Extracted(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _reach(words: np.ndarray, others: np.ndarray, count: int, longest: int) -> np.ndarray:
    """The least and greatest word that so many words from each place on are linked to.

    Returns:
      int64 [2, longest, W]; of words without a link a huge number and -1.
    """
    found = np.empty((2, longest, count), np.int64)
    found[0], found[1] = _FAR, -1
    np.minimum.at(found[0, 0], words, others)
    np.maximum.at(found[1, 0], words, others)
    for length in range(1, longest):
        whole = count - length
        if whole <= 0:
            break
        found[:, length] = found[:, length - 1]
        np.minimum(found[0, length, :whole], found[0, 0, length:], out=found[0, length, :whole])
        np.maximum(found[1, length, :whole], found[1, 0, length:], out=found[1, length, :whole])
    return found


def _free(linked: np.ndarray, sentences: Sentences) -> tuple[np.ndarray, np.ndarray]:
    """How many words right before and behind each, in its sentence, are unaligned: [J] each."""
    place = np.arange(len(linked))
    starts, ends = (
        edge[sentences.owners] for edge in (sentences.starts[:-1], sentences.starts[1:])
    )
    last = np.maximum.accumulate(np.where(linked, place, -1))
    before = np.concatenate([[-1], last[:-1]])
    following = np.minimum.accumulate(np.where(linked, place, len(linked))[::-1])[::-1]
    after = np.concatenate([following[1:], [len(linked)]])
    return place - 1 - np.maximum(before, starts - 1), np.minimum(after, ends) - place - 1
