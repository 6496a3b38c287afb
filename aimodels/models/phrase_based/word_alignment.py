"""Which word translates which: IBM Models 1 and 2 by EM, in NumPy, and their symmetrisation.

Brown et al., "The mathematics of statistical machine translation", Computational Linguistics 19,
1993, sections 4.1 and 4.2. Their Models 3 to 5 (how many words a word gives, and where those go)
are not built. Both ways are made one by grow-diag-final-and (Och & Ney 2003; Koehn et al. 2003).

NLTK 3.10 has all of this. Its models take 30 seconds an iteration on 29,000 captions, where these
take less than one; the values that it publishes of Models 1 and 2 are reproduced. In a sentence
with one word twice it shares that word's count among its places; here each place has a count of its
own, as in the paper. Its grow-diag-final-and asks whether a word is among the names of the two
sides, and not whether it is aligned, so that all links of both ways are kept: hence one of our own.

Letters: S sentences, W words of all of them, J of target words, l and m the words of a source and
of its target, i and j places in them, from 1; i = 0 is the empty word, which every source has.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from aimodels.errors import UserError

# No probability is below this (NLTK's bound), so that products of two don't vanish.
SMALLEST = 1e-12
Link = tuple[int, int]
NEIGHBOURS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))
# A word that the vocabulary does not have.
UNKNOWN = -1


class Sentences(NamedTuple):
    """Sentences as numbers, one behind the other.

    Attributes:
      ids: int64 [W].
      starts: where each begins, and where the last one ends, int64 [S + 1].
    """

    ids: np.ndarray
    starts: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """The words of each, int64 [S]."""
        return np.diff(self.starts)

    @property
    def owners(self) -> np.ndarray:
        """The sentence that each word is of, int64 [W]."""
        return np.repeat(np.arange(len(self.starts) - 1), self.lengths)


def numbered(texts: Sequence[Sequence[str]], numbers: dict[str, int]) -> Sentences:
    """Texts cut into words -> their numbers; `UNKNOWN` for others."""
    ids = np.array([numbers.get(word, UNKNOWN) for text in texts for word in text], np.int64)
    return Sentences(ids, np.cumsum([0, *map(len, texts)]))


def vocabulary_of(texts: Sequence[Sequence[str]]) -> dict[str, int]:
    """A number for each word, in the order in which they come."""
    return {word: row for row, word in enumerate(dict.fromkeys(w for text in texts for w in text))}


@dataclasses.dataclass(frozen=True)
class AlignmentModel:
    """IBM Model 1 or 2 of a corpus; made by `model_1` and `model_2`.

    Attributes:
      vocabulary: V, of target words.
      pairs: (source + 1) · V + target of each two words that are in one pair of sentences, sorted;
        the empty word is 0.
      translations: t(target | source) of each.
      places: (l, m, j, i) as one number each, sorted; none of Model 1.
      alignments: a(i | j, l, m) of each.
      best: the place in its source, from 0, that each target word is aligned to; -1 for the empty
        word, int64 [J].
    """

    vocabulary: int
    pairs: np.ndarray
    translations: np.ndarray
    places: np.ndarray
    alignments: np.ndarray
    best: np.ndarray

    def translation(self, source: int | None, target: int) -> float:
        """t(target | source); None is the empty word; 0 of two that are in no pair."""
        word = 0 if source is None else source + 1
        return _of(self.pairs, self.translations, word * self.vocabulary + target)

    def alignment(self, i: int, j: int, l: int, m: int) -> float:  # noqa: E741
        """a(i | j, l, m); 0 where no sentences have these lengths."""
        return _of(self.places, self.alignments, int(_place(i, j, l, m)))


def model_1(sources: Sentences, targets: Sentences, iterations: int = 5) -> AlignmentModel:
    """IBM Model 1: every alignment is as likely as another, from uniform t(target | source).

    Raises:
      UserError: there are no sentences, or not as many on both sides.
    """
    return _fitted(sources, targets, iterations, 0)


def model_2(
    sources: Sentences, targets: Sentences, iterations: int = 5, first: int | None = None
) -> AlignmentModel:
    """IBM Model 2: that of the places given the lengths is learned too.

    Args:
      sources: what is translated.
      targets: the translation of each.
      iterations: of EM.
      first: iterations of Model 1, where t comes from; None for twice as many, as NLTK.

    Raises:
      UserError: there are no sentences, or not as many on both sides.
    """
    return _fitted(sources, targets, 2 * iterations if first is None else first, iterations)


def _fitted(sources: Sentences, targets: Sentences, first: int, second: int) -> AlignmentModel:
    count = len(sources.starts) - 1
    if count != len(targets.starts) - 1 or not len(targets.ids) or not len(sources.ids):
        raise UserError(
            f"there are {count} sources with {len(sources.ids)} words and "
            f"{len(targets.starts) - 1} targets with {len(targets.ids)}; an alignment takes as "
            "many of both, and words"
        )
    # A link is a target word and a word of its source, or the empty one.
    owners = targets.owners
    l_of_word, m_of_word = sources.lengths[owners], targets.lengths[owners]
    begins = np.cumsum(l_of_word + 1) - (l_of_word + 1)
    word = np.repeat(np.arange(len(owners)), l_of_word + 1)
    i = np.arange(len(word)) - begins[word]
    here = np.minimum(sources.starts[owners][word] + i - 1, len(sources.ids) - 1)
    vocabulary = int(targets.ids.max()) + 1
    keys = np.where(i == 0, 0, sources.ids[here] + 1) * vocabulary + targets.ids[word]
    pairs, pair = np.unique(keys, return_inverse=True)
    of_source = _runs(pairs // vocabulary)
    translations = np.full(len(pairs), 1.0 / len(np.unique(targets.ids)))
    likely = translations[pair]
    for _ in range(first):
        shares = likely / np.add.reduceat(likely, begins)[word]
        translations = _maximised(pair, shares, of_source)
        likely = translations[pair]
    places, alignments = np.zeros(0, np.int64), np.zeros(0)
    if second:
        j = np.arange(len(owners)) - targets.starts[owners] + 1
        keys = _place(i, j[word], l_of_word[word], m_of_word[word])
        places, place = np.unique(keys, return_inverse=True)
        of_place = _runs(places >> 16)
        alignments = 1.0 / ((places >> 48) + 1)
        likely = translations[pair] * alignments[place]
        for _ in range(second):
            shares = likely / np.add.reduceat(likely, begins)[word]
            translations = _maximised(pair, shares, of_source)
            alignments = _maximised(place, shares, of_place)
            likely = translations[pair] * alignments[place]
    # Of several that are the likeliest, the last: as NLTK.
    most = np.maximum.reduceat(likely, begins)
    best = np.maximum.reduceat(np.where(likely == most[word], i, 0), begins) - 1
    return AlignmentModel(vocabulary, pairs, translations, places, alignments, best)


def _maximised(links: np.ndarray, shares: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """The M step: counts of the links' shares over those of all with the same condition."""
    counts = np.bincount(links, shares, minlength=len(runs))
    return np.maximum(counts / np.bincount(runs, counts)[runs], SMALLEST)


def _runs(values: np.ndarray) -> np.ndarray:
    """0 for the first value, one more for each that is not like the one before."""
    return np.cumsum(np.diff(values, prepend=values[0]) != 0)


def _place(i: np.ndarray | int, j: np.ndarray | int, l: np.ndarray | int, m: np.ndarray | int):  # noqa: ANN202, E741
    """(l, m, j, i) as one number, i last; 16 bits for each."""
    return (np.int64(l) << 48) | (np.int64(m) << 32) | (np.int64(j) << 16) | np.int64(i)


def _of(keys: np.ndarray, values: np.ndarray, key: int) -> float:
    row = int(np.searchsorted(keys, key))
    return float(values[row]) if row < len(keys) and keys[row] == key else 0.0


def symmetrised(
    forward: np.ndarray, backward: np.ndarray, sources: Sentences, targets: Sentences
) -> np.ndarray:
    """The links of both ways made one by grow-diag-final-and.

    Args:
      forward: the place in its source of each target word, or -1, int64 [J]: `AlignmentModel.best`.
      backward: the place in its target of each source word, or -1.
      sources: the sentences.
      targets: their translations.

    Returns:
      Links as numbers of words in `sources.ids` and in `targets.ids`, int64 [L, 2], sorted.
    """
    links = []
    for begin, end, other, other_end in zip(
        sources.starts[:-1].tolist(),
        sources.starts[1:].tolist(),
        targets.starts[:-1].tolist(),
        targets.starts[1:].tolist(),
        strict=True,
    ):
        one = [(i, j) for j, i in enumerate(forward[other:other_end].tolist()) if i >= 0]
        two = [(i, j) for i, j in enumerate(backward[begin:end].tolist()) if j >= 0]
        links += [(begin + i, other + j) for i, j in sorted(grow_diag_final_and(one, two))]
    return np.array(links, np.int64).reshape(-1, 2)


def grow_diag_final_and(one: Sequence[Link], two: Sequence[Link]) -> set[Link]:
    """Links (i, j) of a sentence both ways -> those of both together.

    Links that both have; then, from link to link, neighbours that one of them has, of words i and j
    of which one has no link yet; at the end those of `one` and of `two` whose words both have none.
    """
    union, found = {*one, *two}, {*one} & {*two}
    rows, columns = {i for i, _ in found}, {j for _, j in found}
    waiting = sorted(found)
    while waiting:
        # A neighbour that was in vain stays so: words only gain links.
        further = []
        for i, j in waiting:
            for down, right in NEIGHBOURS:
                new = i + down, j + right
                if new in found or new not in union or (new[0] in rows and new[1] in columns):
                    continue
                found.add(new)
                rows.add(new[0])
                columns.add(new[1])
                further.append(new)
        waiting = sorted(further)
    for new in (*one, *two):
        if new[0] not in rows and new[1] not in columns:
            found.add(new)
            rows.add(new[0])
            columns.add(new[1])
    return found
