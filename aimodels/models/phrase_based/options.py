"""What phrases of sentences may be translated by, and how good what is left can still become."""

import dataclasses
from typing import NamedTuple

import numpy as np

from aimodels.models.phrase_based.model import UNTRANSLATED, PhraseModel
from aimodels.models.phrase_based.word_alignment import Sentences


def best_of_each(groups: np.ndarray, scores: np.ndarray, most: int) -> np.ndarray:
    """Numbers of the so many best of each group, group by group, the best first.

    Args:
      groups: that each is of, int64 [B].
      scores: [B].
      most: of a group.
    """
    order = np.lexsort((-scores, groups))
    return order[ranks(groups[order]) < most]


def ranks(groups: np.ndarray) -> np.ndarray:
    """Of numbers that stand group by group, the place in its group of each, from 0."""
    begins = np.diff(groups, prepend=-1) != 0
    (first,) = np.nonzero(begins)
    return np.arange(len(groups)) - first[np.cumsum(begins) - 1]


def spread(begins: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Runs of numbers as one: which run each is of, and the numbers begin, begin + 1, ..."""
    owners = np.repeat(np.arange(len(counts)), counts)
    return owners, np.arange(len(owners)) - (np.cumsum(counts) - counts - begins)[owners]


class Options(NamedTuple):
    """The options of B sentences of up to N words, by sentence, start and length.

    Attributes:
      edges: where those of (sentence · N + start) · M + length - 1 begin, int64 [B · N · M + 1].
      words: tokens of the translations, int32 [O, M], -1 behind the end.
      features: of `FEATURES` the four logs, words and phrases, float64 [O, 6].
      scores: their weighted sum [O].
      promises: the same with the language model's estimate.
      copied: the place in the batch's words of one that stays as it is, else -1 [O].
      future: the best promise of each span [B, N + 1, N + 1], from start to end; -inf of none.
    """

    edges: np.ndarray
    words: np.ndarray
    features: np.ndarray
    scores: np.ndarray
    promises: np.ndarray
    copied: np.ndarray
    future: np.ndarray


@dataclasses.dataclass(frozen=True)
class Batch:
    """Sentences to translate: `sentences` by numbers of source words, `texts` as they are."""

    sentences: Sentences
    texts: tuple[str, ...]

    @property
    def longest(self) -> int:
        """N."""
        return int(self.sentences.lengths.max())


def options_of(model: PhraseModel, batch: Batch, weights: np.ndarray, most: int) -> Options:
    """The options of each span, the so many with the best promises."""
    longest, sentences = model.phrases.shape[1], batch.sentences
    owners = sentences.owners
    starts = np.arange(len(owners)) - sentences.starts[owners]
    keys, pairs = [], []
    for length, numbers in enumerate(model.table.sources.find(sentences), 1):
        (places,) = np.nonzero(numbers >= 0)
        begins = model.table.begins[numbers[places]]
        span, pair = spread(begins, model.table.begins[numbers[places] + 1] - begins)
        place = places[span]
        keys.append((owners[place] * batch.longest + starts[place]) * longest + length - 1)
        pairs.append(pair)
    key, pair = np.concatenate(keys), np.concatenate(pairs)
    chosen = model.table.translations[pair]
    counts = model.table.targets.lengths[chosen]
    ones = np.ones(len(pair))
    features = np.column_stack([model.table.features[pair], counts, ones])
    words, estimates = model.phrases[chosen], model.estimates[chosen]
    copied = np.full(len(pair), -1)
    # A word without a translation of its own stays.
    (alone,) = np.nonzero(~np.isin((owners * batch.longest + starts) * longest, key))
    same = np.full((len(alone), longest), -1, np.int32)
    numbers = {word: token for token, word in enumerate(model.target_words, 1)}
    same[:, 0] = [numbers.get(batch.texts[place], model.unknown) for place in alone]
    key = np.append(key, (owners[alone] * batch.longest + starts[alone]) * longest)
    features = np.append(features, np.tile([UNTRANSLATED] * 4 + [1.0, 1.0], (len(alone), 1)), 0)
    words = np.append(words, same, 0)
    unigrams, _ = model.language_model.advance(model.language_model.begin(len(alone)), same[:, 0])
    estimates = np.append(estimates, unigrams)
    copied = np.append(copied, alone)
    scores = features @ weights[1:7]
    promises = scores + weights[0] * estimates
    order = best_of_each(key, promises, most)
    key, promises = key[order], promises[order]
    cells = (len(sentences.starts) - 1) * batch.longest * longest
    edges = np.searchsorted(key, np.arange(cells + 1))
    future = _future(key, promises, len(sentences.starts) - 1, batch.longest, longest)
    return Options(
        edges, words[order], features[order], scores[order], promises, copied[order], future
    )


def _future(
    keys: np.ndarray, promises: np.ndarray, count: int, steps: int, longest: int
) -> np.ndarray:
    """The best sum of promises of options that cover each span, whatever their order."""
    future = np.full((count, steps + 1, steps + 1), -np.inf)
    future[:, np.arange(steps + 1), np.arange(steps + 1)] = 0.0
    place, length = np.divmod(keys, longest)
    sentence, start = np.divmod(place, steps)
    np.maximum.at(future, (sentence, start, start + length + 1), promises)
    for length in range(2, steps + 1):
        start = np.arange(steps + 1 - length)
        for first in range(1, length):
            whole = future[:, start, start + first] + future[:, start + first, start + length]
            future[:, start, start + length] = np.maximum(future[:, start, start + length], whole)
    return future
