"""Translations by a phrase-based model: a search with a stack of hypotheses a number of words.

Koehn, "Pharaoh: a beam search decoder for phrase-based statistical machine translation models",
AMTA 2004. All hypotheses of a stack, of all sentences of a batch, are arrays that grow together; in
NLTK's `StackDecoder` each is an object, which takes 0.2 seconds a caption with a phrase table of
2,000 captions and no language model, and knows neither weights nor a limit of reordering.

Letters: B sentences, H hypotheses of a stack, N the language model's order.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from aimodels.errors import UserError
from aimodels.models.phrase_based.model import END, WEIGHTS, PhraseModel, beginning, scored
from aimodels.models.phrase_based.options import (
    Batch,
    Options,
    best_of_each,
    options_of,
    ranks,
    spread,
)
from aimodels.models.phrase_based.word_alignment import numbered

# What is covered is one bit a word, and places are found by logarithms, exact up to 2^53.
LONGEST_SENTENCE = 50
# Candidates beside each hypothesis that is kept, for which the language model is asked.
CANDIDATES = 3


class Stack(NamedTuple):
    """Hypotheses that have covered as many words: H of each field.

    Attributes:
      sentence: that is translated.
      covered: one bit a word.
      end: the word behind the phrase that was last translated.
      states: of the language model [H, N].
      score: without what is left.
      future: the promise of what is left.
    """

    sentence: np.ndarray
    covered: np.ndarray
    end: np.ndarray
    states: np.ndarray
    score: np.ndarray
    future: np.ndarray


class Arcs(NamedTuple):
    """Ways from a hypothesis to one that covers a phrase more; several may lead to the same.

    Attributes:
      source, target: numbers of hypotheses among those of all stacks.
      option: that was taken.
      logs: of the language model.
      distance: that was jumped over.
      gain: what the score grows by.
    """

    source: np.ndarray
    target: np.ndarray
    option: np.ndarray
    logs: np.ndarray
    distance: np.ndarray
    gain: np.ndarray


class Found(NamedTuple):
    """All that was searched.

    Attributes:
      arcs: to the hypotheses of each number of words, from 1.
      options: of the batch.
      owner: the sentence of each hypothesis that is complete, and -1 of others.
    """

    arcs: list[Arcs]
    options: Options
    owner: np.ndarray


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
        searched = _search(model, batch, weights, beam, distortion_limit, options)
        for row, result in zip(rows, _read(model, batch, searched, count), strict=True):
            found[row] = result
    return found


def _search(
    model: PhraseModel,
    batch: Batch,
    weights: np.ndarray,
    beam: int,
    limit: int,
    most: int,
) -> Found:
    """Stack after stack."""
    options = options_of(model, batch, weights, most)
    lengths = batch.sentences.lengths
    count, steps = len(lengths), batch.longest
    zeros = np.zeros(count, np.int64)
    whole = options.future[np.arange(count), 0, lengths]
    states = beginning(model.language_model, count)
    stacks = [Stack(np.arange(count), zeros, zeros, states, np.zeros(count), whole)]
    numbers, owners, arcs = [0], [np.full(count, -1)], []
    for size in range(1, steps + 1):
        numbers.append(numbers[-1] + len(stacks[-1].score))
        stack, found = _next(model, options, stacks, numbers, lengths, weights, beam, limit)
        stacks.append(stack)
        arcs.append(found)
        owners.append(np.where(lengths[stack.sentence] == size, stack.sentence, -1))
    return Found(arcs, options, np.concatenate(owners))


def _next(
    model: PhraseModel,
    options: Options,
    stacks: list[Stack],
    numbers: list[int],
    lengths: np.ndarray,
    weights: np.ndarray,
    beam: int,
    limit: int,
) -> tuple[Stack, Arcs]:
    """The stack of one word more than the last, and the ways to its hypotheses."""
    size = len(stacks)
    parts = [
        _candidates(options, stacks[size - length], length, lengths, weights[7], limit)
        for length in range(1, min(size, model.phrases.shape[1]) + 1)
    ]
    rows, option, start, future, promise = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    counts = [len(part[0]) for part in parts]
    length = np.repeat(np.arange(1, len(parts) + 1), counts)
    begin = np.array(numbers)[size - length]
    # One field of all stacks that hypotheses come from.
    recent = [stacks[size - n] for n in range(1, len(parts) + 1)]
    shift = np.cumsum([0, *(len(stack.score) for stack in recent)])[length - 1] + rows
    before = Stack(*(np.concatenate(field) for field in zip(*recent, strict=True)))
    kept = best_of_each(before.sentence[shift], promise, CANDIDATES * beam)
    rows, option, start, future = rows[kept], option[kept], start[kept], future[kept]
    length, begin, shift = length[kept], begin[kept], shift[kept]
    sentence = before.sentence[shift]
    logs, states = scored(model.language_model, before.states[shift], options.words[option])
    (ended,) = np.nonzero(lengths[sentence] == size)
    last, _ = model.language_model.advance(states[ended], np.full(len(ended), END))
    logs[ended] += last
    states[ended] = 0  # nothing follows
    distance = np.abs(start - before.end[shift])
    gain = options.scores[option] + weights[0] * logs - weights[7] * distance
    score = before.score[shift] + gain
    covered = before.covered[shift] | (((np.int64(1) << length) - 1) << start)
    end = np.where(lengths[sentence] == size, 0, start + length)
    # Those that differ in nothing that matters later are one: the best of them.
    columns = (*states.T, end, covered, sentence)
    order = np.lexsort((-score, *columns))
    new = np.zeros(len(order), bool)
    new[:1] = True
    for column in columns:
        new[1:] |= np.diff(column[order]) != 0
    group = np.empty(len(order), np.int64)
    group[order] = np.cumsum(new) - 1
    winners = order[new]
    alive = best_of_each(sentence[winners], (score + future)[winners], beam)
    number = np.full(len(winners), -1)
    number[alive] = np.arange(len(alive))
    target = number[group]
    taken = target >= 0
    chosen = winners[alive]
    stack = Stack(
        sentence[chosen],
        covered[chosen],
        end[chosen],
        states[chosen],
        score[chosen],
        future[chosen],
    )
    arcs = Arcs(
        (begin + rows)[taken],
        target[taken] + numbers[size],
        option[taken],
        logs[taken],
        distance[taken],
        gain[taken],
    )
    return stack, arcs


def _candidates(
    options: Options,
    stack: Stack,
    length: int,
    lengths: np.ndarray,
    distortion: float,
    limit: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Every phrase of a length that each hypothesis may cover next, and each option of it.

    A phrase may be as far as the limit from the last one; and from its end to the first word that
    is not covered, so that one can go back to that.

    Returns:
      The hypothesis, the option, where the phrase begins, the promise of what is left then, and
      the score with it.
    """
    steps = options.future.shape[1] - 1
    longest = options.words.shape[1]
    starts = stack.end[:, None] + np.arange(-limit, limit + 1)
    first = _lowest(~stack.covered)[:, None]
    span = (np.int64(1) << length) - 1
    fits = (starts >= first) & (starts + length <= lengths[stack.sentence][:, None])
    fits &= (starts == first) | (starts + length - first <= limit)
    fits &= (stack.covered[:, None] & (span << np.maximum(starts, 0))) == 0
    rows, columns = np.nonzero(fits)
    start = starts[rows, columns]
    sentence, covered = stack.sentence[rows], stack.covered[rows]
    cells = (sentence * steps + start) * longest + length - 1
    begins = options.edges[cells]
    counts = options.edges[cells + 1] - begins
    # The gap that the phrase is in becomes two.
    low = _above(covered & ((np.int64(1) << start) - 1))
    rest = covered >> start
    high = np.where(rest == 0, lengths[sentence], start + _lowest(np.where(rest == 0, 1, rest)))
    future = (
        stack.future[rows]
        - options.future[sentence, low, high]
        + options.future[sentence, low, start]
        + options.future[sentence, start + length, high]
    )
    sums = stack.score[rows] + future - distortion * np.abs(start - stack.end[rows])
    owner, option = spread(begins, counts)
    promise = sums[owner] + options.promises[option]
    return rows[owner], option, start[owner], future[owner], promise


def _lowest(bits: np.ndarray) -> np.ndarray:
    """The place of the lowest bit that is set."""
    return np.frexp((bits & -bits).astype(np.float64))[1].astype(np.int64) - 1


def _above(bits: np.ndarray) -> np.ndarray:
    """The place behind the highest bit that is set; 0 of none."""
    return np.frexp(bits.astype(np.float64))[1].astype(np.int64)


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
