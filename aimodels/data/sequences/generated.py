"""Examples that are computed when they are asked for, each from a seed and its own number."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from aimodels.data.source import check_indices

# Field -> array or NumPy's number.
Example = Mapping[str, Any]
# The sequences of a split have draws of their own.
SPLITS = {"train": 0, "validation": 1, "test": 2}


def generator(seed: int, split: str, index: int) -> np.random.Generator:
    """What draws example `index` of a split: the same on every machine, whatever else was drawn."""
    counter = [0, 0, 0, SPLITS[split]]
    return np.random.Generator(np.random.Philox(key=[seed, index], counter=counter))


class Generated:
    """A source whose examples are made by a function of their number, and kept nowhere.

    Args:
      length: the number of examples.
      make: an example's number -> field -> array; all examples have the same fields and shapes.
    """

    def __init__(self, length: int, make: Callable[[int], Example]) -> None:
        self._length, self._make = length, make

    def __len__(self) -> int:
        return self._length

    def gather(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """The examples at `indices` [B]."""
        indices = check_indices(indices, len(self))
        examples = [self._make(int(index)) for index in indices]
        # The fields and types of no examples are those of the first.
        first = examples[0] if examples else self._make(0)
        if not examples:
            return {name: np.asarray(value)[None][:0] for name, value in first.items()}
        return {name: np.stack([example[name] for example in examples]) for name in first}
