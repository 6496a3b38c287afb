"""A phrase-based model of translation: a phrase table and a language model, made from pairs.

Koehn, Och & Marcu, "Statistical phrase-based translation", NAACL 2003, with Moses's features (Koehn
et al., ACL 2007): see `FEATURES`. `aimodels.models.phrase_based.decoder` translates by it.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from aimodels.models.kneser_ney import KneserNey
from aimodels.models.phrase_based import phrase_table as tables
from aimodels.models.phrase_based.word_alignment import (
    Sentences,
    model_2,
    numbered,
    symmetrised,
    vocabulary_of,
)

# What a translation's score is a weighted sum of: the log of the language model's p, the four logs
# of `phrase_table.FEATURES`, words, phrases, and minus the distance that phrases were moved over.
FEATURES = ("language_model", *tables.FEATURES, "words", "phrases", "distortion")
# Moses's, before they are tuned.
WEIGHTS = (0.5, 0.2, 0.2, 0.2, 0.2, 1.0, 0.2, 0.3)
# The token that a text begins behind and ends with; words are from 1.
END = 0
# Of each log of a word that stays as it is for want of a translation.
UNTRANSLATED = -10.0


@dataclasses.dataclass(frozen=True)
class PhraseModel:
    """What translations are made of; made by `fit`.

    Letters: P target phrases, M the words of the longest.

    Attributes:
      source_words: word -> its number.
      target_words: the words of the language model's tokens 1, 2, ...; behind them is the token of
        words that it doesn't know.
      table: pairs of phrases.
      phrases: tokens of each target phrase, int32 [P, M], -1 behind its end.
      estimates: log p of each by itself [P].
      language_model: of targets.
    """

    source_words: dict[str, int]
    target_words: tuple[str, ...]
    table: tables.PhraseTable
    phrases: np.ndarray
    estimates: np.ndarray
    language_model: KneserNey

    @property
    def unknown(self) -> int:
        """The token of a word that the language model doesn't know."""
        return len(self.target_words) + 1


def fit(
    sources: Sequence[Sequence[str]],
    targets: Sequence[Sequence[str]],
    *,
    longest: int = 7,
    order: int = 3,
    iterations: int = 5,
) -> PhraseModel:
    """The model of pairs of texts, cut into words.

    Args:
      sources: S texts.
      targets: the translation of each.
      longest: words of a phrase.
      order: N of the language model's n-grams.
      iterations: of IBM Model 1, and as many of Model 2.

    Raises:
      UserError: there are no words, or not as many texts on both sides.
    """
    source_words, target_words = vocabulary_of(sources), vocabulary_of(targets)
    here, there = numbered(sources, source_words), numbered(targets, target_words)
    forward = model_2(here, there, iterations, iterations).best
    backward = model_2(there, here, iterations, iterations).best
    links = symmetrised(forward, backward, here, there)
    table = tables.phrase_table(here, there, links, longest)
    words = tuple(target_words)
    language_model = _language_model(there, len(words), order)
    lengths, first = table.targets.lengths, table.targets.first
    place = first[:, None] + np.arange(longest)
    inside = np.arange(longest) < lengths[:, None]
    phrases = there.ids[np.minimum(place, len(there.ids) - 1)] + 1
    phrases = np.where(inside, phrases, -1).astype(np.int32)
    estimates, _ = scored(language_model, language_model.begin(len(phrases)), phrases)
    return PhraseModel(source_words, words, table, phrases, estimates, language_model)


def _language_model(targets: Sentences, words: int, order: int) -> KneserNey:
    """Of texts one behind the other, with so many ends between them that none sees another."""
    ends = max(order - 1, 1)
    tokens = np.full(len(targets.ids) + ends * len(targets.starts), END, np.int64)
    tokens[np.arange(len(targets.ids)) + ends * (targets.owners + 1)] = targets.ids + 1
    return KneserNey.fit(tokens, words + 2, order)


def beginning(language_model: KneserNey, count: int) -> np.ndarray:
    """States before the first word of so many texts, int64 [count, N]."""
    states = language_model.begin(count)
    for _ in range(len(language_model.orders) - 1):
        _, states = language_model.advance(states, np.full(count, END))
    return states


def scored(
    language_model: KneserNey, states: np.ndarray, phrases: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The log of each phrase's p behind a state [B], and the states behind it.

    Args:
      language_model: of N.
      states: int64 [B, N].
      phrases: tokens [B, M], -1 behind the end.
    """
    logs, states = np.zeros(len(phrases)), states.copy()
    for column in range(phrases.shape[1]):
        (rows,) = np.nonzero(phrases[:, column] >= 0)
        if not len(rows):
            break
        found, states[rows] = language_model.advance(states[rows], phrases[rows, column])
        logs[rows] += found
    return logs, states
