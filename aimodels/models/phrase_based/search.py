"""The search for translations: a stack of hypotheses for each number of words that are covered.

Koehn, "Pharaoh: a beam search decoder for phrase-based statistical machine translation models",
AMTA 2004. All hypotheses of a stack, of all sentences of a batch, are arrays that grow together; in
NLTK's `StackDecoder` each is an object, which takes 0.2 seconds a caption with a phrase table of
2,000 captions and no language model, and knows neither weights nor a limit of reordering.

Letters: B sentences, H hypotheses of a stack, N the language model's order.
"""

from typing import NamedTuple

import numpy as np

from aimodels.models.phrase_based.model import END, PhraseModel, beginning, scored
from aimodels.models.phrase_based.options import Batch, Options, best_of_each, options_of, spread

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


def search(
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
