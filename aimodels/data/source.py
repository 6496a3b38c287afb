"""Random-access sources: any examples, in any order, a batch at a time."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Source(Protocol):
    """What a feed reads: a length, and the examples at any indices as one batch."""

    def __len__(self) -> int:
        """The number of examples."""
        ...

    def gather(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """The examples at `indices` [B], in that order: field -> array [B, ...].

        Raises:
          IndexError: for an index outside 0 ... len(self) - 1. A negative index is an error too: it
            would be read from the end of what lies behind a subset.
        """
        ...


class ArraySource:
    """Examples held in memory.

    Attributes:
      arrays: field -> array [N, ...]; example i is row i of every array.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        sizes = {name: len(array) for name, array in arrays.items()}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"every field must have the same number of examples, got {sizes}")
        self.arrays = {name: np.asarray(array) for name, array in arrays.items()}
        self._length = next(iter(sizes.values()))

    def __len__(self) -> int:
        return self._length

    def gather(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """The rows at `indices` [B] of every array."""
        indices = check_indices(indices, len(self))
        return {name: array[indices] for name, array in self.arrays.items()}


class Subset:
    """Some examples of another source, renumbered from 0."""

    def __init__(self, source: Source, indices: np.ndarray | range) -> None:
        self.source = source
        self.indices = check_indices(np.asarray(indices, dtype=np.int64), len(source))

    def __len__(self) -> int:
        return len(self.indices)

    def gather(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """The examples at `indices` [B] of the subset."""
        return self.source.gather(self.indices[check_indices(indices, len(self))])


class Concatenated:
    """Several sources of the same fields, one after another, as one."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = tuple(sources)
        self._ends = np.cumsum([len(source) for source in self.sources])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def gather(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """The examples at `indices` [B], each from the source it falls into."""
        indices = check_indices(indices, len(self))
        owners = np.searchsorted(self._ends, indices, side="right")
        parts, places = [], []
        for number, source in enumerate(self.sources):
            (here,) = np.nonzero(owners == number)
            if len(here) or not parts:
                start = self._ends[number] - len(source)
                parts.append(source.gather(indices[here] - start))
                places.append(here)
        back = np.argsort(np.concatenate(places), kind="stable")
        return {name: np.concatenate([part[name] for part in parts])[back] for name in parts[0]}


def check_indices(indices: np.ndarray, length: int) -> np.ndarray:
    """`indices` [B] as an integer array, or IndexError if one is outside 0 ... length - 1."""
    indices = np.asarray(indices)
    if indices.size == 0:
        return indices.astype(np.int64)
    if indices.dtype.kind not in "iu":
        raise IndexError(f"indices must be integers, got {indices.dtype}")
    low, high = indices.min(), indices.max()
    if low < 0 or high >= length:
        raise IndexError(f"index {low if low < 0 else high} is outside 0 ... {length - 1}")
    return indices
