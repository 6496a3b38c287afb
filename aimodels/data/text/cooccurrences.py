"""How often words stand near each other, as GloVe counts it."""

import dataclasses
import functools

import numpy as np

from aimodels.data.base import Feature
from aimodels.data.source import ArraySource, Source
from aimodels.data.text.words import Counted, Words
from aimodels.errors import UserError

# Tokens that are counted at a time: it bounds the memory.
CHUNK = 1 << 20


def cooccurrences(
    tokens: np.ndarray, segments: np.ndarray, vocabulary: int, window: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of words and X of each: Σ 1 / distance, over both orders.

    Pennington, Socher & Manning, "GloVe: global vectors for word representation", EMNLP 2014,
    section 4.2.

    Args:
      tokens: a text, int32 [N].
      segments: the sentence of each, [N]; pairs are of one sentence.
      vocabulary: V.
      window: the largest distance.

    Returns:
      int32 [M, 2] in rising order, float32 [M]; X of (i, j) is that of (j, i).
    """
    keys, sums = np.empty(0, np.int64), np.empty(0)
    for start in range(0, len(tokens), CHUNK):
        part = slice(start, start + CHUNK + window)
        found, weights = [keys], [sums]
        for distance in range(1, window + 1):
            # Of each pair the first word is in the chunk, the second may lie behind it.
            left, left_segments = (row[part][:CHUNK] for row in (tokens, segments))
            right, right_segments = (row[part][distance:][:CHUNK] for row in (tokens, segments))
            left, left_segments = left[: len(right)], left_segments[: len(right)]
            same = left_segments == right_segments
            found.append(left[same].astype(np.int64) * vocabulary + right[same])
            weights.append(np.full(len(found[-1]), 1 / distance))
        keys, sums = _added(found, weights)
    left, right = np.divmod(keys, vocabulary)
    keys, sums = _added([keys, right * vocabulary + left], [sums, sums])
    rows = np.stack(np.divmod(keys, vocabulary), 1).astype(np.int32)
    return rows, sums.astype(np.float32)


def _added(keys: list[np.ndarray], values: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Each key once, in rising order, and the sum of its values."""
    once, places = np.unique(np.concatenate(keys), return_inverse=True)
    return once, np.bincount(places, np.concatenate(values), len(once))


@dataclasses.dataclass(frozen=True)
class Cooccurrences(Words):
    """Pairs of words that stand near each other, `inputs` [B, 2] int32, and X, `targets` [B].

    Each pair in both orders. Other splits are those of `words`.

    Attributes:
      window: the largest distance.
    """

    window: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window < 1:
            raise UserError(f"data.window is {self.window}; it takes 1 or more")

    @property
    def _kind(self) -> str:
        return "cooccurrences"

    @property
    def _features(self) -> dict[str, Feature]:
        return {"inputs": Feature((2,), "int32"), "targets": Feature((), "float32")}

    def _train(self) -> Source:
        return _source(_Same(self.counted), self.window)


@dataclasses.dataclass(frozen=True)
class _Same:
    """A counted text as a key of a cache: it is the same object where its data set is."""

    counted: Counted

    def __hash__(self) -> int:
        return id(self.counted)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.counted is other.counted


@functools.lru_cache(maxsize=2)  # a run makes its data set anew for each of its parts
def _source(same: _Same, window: int) -> ArraySource:
    counted = same.counted
    pairs, values = cooccurrences(counted.tokens, counted.segments, len(counted.words), window)
    return ArraySource({"inputs": pairs, "targets": values})
