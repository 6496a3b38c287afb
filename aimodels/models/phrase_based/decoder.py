"""Translations by a phrase-based model: what its search finds, read as words; the n best of them.

Shapes: B sentences, H hypotheses of all stacks, K ways to each.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from aimodels.errors import UserError
from aimodels.models.phrase_based.model import WEIGHTS, PhraseModel
from aimodels.models.phrase_based.options import Batch, Options, best_of_each, ranks
from aimodels.models.phrase_based.search import Arcs, Found, search
from aimodels.models.phrase_based.word_alignment import numbered

# What is covered is one bit a word, and places are found by logarithms, exact up to 2^53.
LONGEST_SENTENCE = 50


class Translation(NamedTuple):
    """A translation: its words, its score, and what of `FEATURES` it has [8]."""

    words: tuple[str, ...]
    score: float
    features: np.ndarray


def translate(
    model: PhraseModel,
    texts: Sequence[Sequence[str]],
    weights: Sequence[float] | np.ndarray = WEIGHTS,
    *,
    beam: int = 100,
    distortion_limit: int = 6,
    options: int = 20,
    batch_size: int = 64,
) -> list[tuple[str, ...]]:
    """The best translation that is found of each text.

    Args:
      model: made of pairs.
      texts: B of them, cut into words; those of more than `LONGEST_SENTENCE` are translated in
        parts of so many.
      weights: of `FEATURES`.
      beam: hypotheses of a stack.
      distortion_limit: how many words a phrase may be away from the one before it.
      options: translations of a phrase.
      batch_size: sentences at a time.
    """
    parts, owners = [], []
    for row, text in enumerate(texts):
        for start in range(0, len(text), LONGEST_SENTENCE):
            parts.append(text[start : start + LONGEST_SENTENCE])
            owners.append(row)
    given = {"beam": beam, "distortion_limit": distortion_limit, "options": options}
    found: list[list[str]] = [[] for _ in texts]
    results = n_best(model, parts, weights, count=1, batch_size=batch_size, **given)
    for owner, result in zip(owners, results, strict=True):
        found[owner] += result[0].words
    return [tuple(words) for words in found]


def n_best(
    model: PhraseModel,
    texts: Sequence[Sequence[str]],
    weights: Sequence[float] | np.ndarray = WEIGHTS,
    *,
    count: int = 100,
    beam: int = 100,
    distortion_limit: int = 6,
    options: int = 20,
    batch_size: int = 64,
) -> list[list[Translation]]:
    """Up to `count` translations of each text, all different, the best first.

    Args:
      model: made of pairs.
      texts: of 1 to `LONGEST_SENTENCE` words each.
      weights: of `FEATURES`.
      count: how many.
      beam: hypotheses of a stack.
      distortion_limit: how many words a phrase may be away from the one before it.
      options: translations of a phrase.
      batch_size: sentences at a time.

    Raises:
      UserError: a text has no words, or more.
    """
    weights = np.asarray(weights, np.float64)
    for row, text in enumerate(texts):
        if not 1 <= len(text) <= LONGEST_SENTENCE:
            raise UserError(
                f"text {row + 1} has {len(text)} words; takes 1 to {LONGEST_SENTENCE}: "
                f"{' '.join(text)[:60]!r}"
            )
    found: list[list[Translation]] = [[] for _ in texts]
    # Those of like length together, so that a stack is full in all of them.
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        chosen = [texts[row] for row in rows]
        words = tuple(word for text in chosen for word in text)
        batch = Batch(numbered(chosen, model.source_words), words)
        searched = search(model, batch, weights, beam, distortion_limit, options)
        for row, result in zip(rows, _read(model, batch, searched, count), strict=True):
            found[row] = result
    return found


class _Ways(NamedTuple):
    """The K best ways to each hypothesis, of different words.

    Attributes:
      score: [H, K].
      arc, before: the last arc, and which way to its source it goes on from [H, K].
      key: of the words so far, which tells texts apart, uint64 [H, K].
    """

    score: np.ndarray
    arc: np.ndarray
    before: np.ndarray
    key: np.ndarray


def _read(
    model: PhraseModel, batch: Batch, found: Found, count: int
) -> Iterator[list[Translation]]:
    """The best translations of each sentence, from the ways to the complete hypotheses."""
    shape = len(found.owner), count
    ways = _Ways(
        np.full(shape, -np.inf),
        np.full(shape, -1),
        np.full(shape, -1),
        np.zeros(shape, np.uint64),
    )
    # What no arc leads to is where a sentence begins.
    ways.score[: len(batch.sentences.lengths), 0] = 0.0
    factors, sums = _keys(found.options.words)
    arcs = Arcs(*(np.concatenate(field) for field in zip(*found.arcs, strict=True)))
    offset = 0
    for part in found.arcs:
        scores = ways.score[part.source] + part.gain[:, None]
        arc, way = np.nonzero(scores > -np.inf)
        target, score = part.target[arc], scores[arc, way]
        option = part.option[arc]
        key = ways.key[part.source[arc], way] * factors[option] + sums[option]
        # Of several ways that say the same, the best.
        order = np.lexsort((-score, key, target))
        new = np.diff(target[order], prepend=-1) != 0
        new[1:] |= key[order][1:] != key[order][:-1]
        arc, way, target, score, key = (each[order[new]] for each in (arc, way, target, score, key))
        best = best_of_each(target, score, count)
        target, rank = target[best], ranks(target[best])
        ways.score[target, rank] = score[best]
        ways.arc[target, rank] = arc[best] + offset
        ways.before[target, rank] = way[best]
        ways.key[target, rank] = key[best]
        offset += len(part.source)
    for sentence in range(len(batch.sentences.lengths)):
        # All that is complete is one hypothesis: nothing that follows tells them apart.
        (end,) = np.flatnonzero(found.owner == sentence).tolist()
        yield [
            _back(model, batch, found.options, arcs, ways, end, way)
            for way in np.flatnonzero(ways.score[end] > -np.inf).tolist()
        ]


def _keys(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each option the two numbers that take the key of a text to that of it and the option.

    A key is the sum of the words by powers of an odd number, modulo 2^64.
    """
    factors, sums = np.ones(len(words), np.uint64), np.zeros(len(words), np.uint64)
    for column in words.T:
        there = column >= 0
        factors[there] *= np.uint64(0x9E3779B97F4A7C15)
        sums[there] = sums[there] * np.uint64(0x9E3779B97F4A7C15) + column[there].astype(np.uint64)
    return factors, sums


def _back(
    model: PhraseModel,
    batch: Batch,
    options: Options,
    arcs: Arcs,
    ways: _Ways,
    number: int,
    way: int,
) -> Translation:
    """The translation at the end of a way."""
    score = float(ways.score[number, way])
    taken = []
    while ways.arc[number, way] >= 0:
        arc = ways.arc[number, way]
        taken.append(arc)
        number, way = int(arcs.source[arc]), int(ways.before[number, way])
    taken.reverse()
    words: list[str] = []
    for option in arcs.option[taken].tolist():
        if options.copied[option] >= 0:
            words.append(batch.texts[options.copied[option]])
            continue
        tokens = options.words[option]
        words += [model.target_words[token - 1] for token in tokens[tokens >= 0].tolist()]
    features = np.array(
        [
            arcs.logs[taken].sum(),
            *options.features[arcs.option[taken]].sum(0),
            -float(arcs.distance[taken].sum()),
        ]
    )
    return Translation(tuple(words), score, features)
