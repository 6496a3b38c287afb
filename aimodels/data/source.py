"""Random-access sources: any examples, in any order, a batch at a time."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

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
        """The examples at `indices` [B]."""
        return self.pick(self.arrays, check_indices(indices, len(self)))

    def pick(self, arrays: Mapping[str, Any], indices: Any) -> dict[str, Any]:
        """The examples at `indices` [B] from arrays as `self.arrays`; both may be JAX's, traced."""
        return {name: array[indices] for name, array in arrays.items()}


class Windows(ArraySource):
    """Stretches of one long row of tokens, which is held once however much they overlap.

    Example i has `inputs` [T], the tokens from i · stride on, and `targets` [T], those that follow
    each. What is left at the end, less than a stretch, is in no example.

    Args:
      tokens: ids [N].
      length: T.
      stride: tokens from the beginning of an example to that of the next.

    Raises:
      ValueError: there are fewer than T + 1 tokens.
    """

    def __init__(self, tokens: np.ndarray, length: int, stride: int = 1) -> None:
        if len(tokens) <= length:
            raise ValueError(f"{len(tokens)} tokens don't fill a window of {length} and one more")
        super().__init__({"tokens": tokens})
        self._window, self._stride = length, stride
        self._length = (len(tokens) - length - 1) // stride + 1

    def pick(self, arrays: Mapping[str, Any], indices: Any) -> dict[str, Any]:
        """The stretches at `indices` [B]."""
        places = indices[..., None] * self._stride + np.arange(self._window + 1)
        tokens = arrays["tokens"][places]
        return {"inputs": tokens[..., :-1], "targets": tokens[..., 1:]}


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


def held(source: Source) -> ArraySource:
    """The whole source in memory: itself where it is there already."""
    if isinstance(source, ArraySource):
        return source
    return ArraySource(source.gather(np.arange(len(source))))


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
