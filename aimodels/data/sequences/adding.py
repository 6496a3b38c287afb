"""The adding problem: the sum of two marked numbers of a long sequence."""

import dataclasses
from typing import Literal

import numpy as np

from aimodels.data.base import Dataset, Feature, Info
from aimodels.data.sequences.generated import Example, Generated, generator
from aimodels.errors import UserError

MARKED_FIRST = 10  # one of the first ten pairs is marked


@dataclasses.dataclass(frozen=True)
class AddingProblem(Dataset):
    """Pairs of a number and a marker, `inputs` [B, T', 2] float32; `targets` [B] float32.

    Two pairs are marked by 1. There are two forms.

    "original" is Hochreiter & Schmidhuber 1997, section 5.4: numbers from [-1, 1]; T to T + T/10
    pairs, as `lengths` [B] int32 say, so that T' = T + T/10 with zeros behind; X1 is among the
    first ten pairs, X2 among the first T/2 - 1; the first and the last pair have the marker -1, all
    others 0; the target is 0.5 + (X1 + X2) / 4. Where the first pair is marked, its number is 0.

    "later" is that of Bai et al. 2018 (and, but for the places, of Le et al. 2015): numbers from
    [0, 1], T' = T pairs, any two of them marked, all others 0; the target is X1 + X2. The best
    constant, 1, has a mean squared error of 1/6.

    Attributes:
      length: T.
      form: "original" or "later".
      train_size: sequences to train on; none costs memory.
      test_size: sequences to test on.
      seed: of all sequences.
    """

    length: int = 100
    form: Literal["original", "later"] = "original"
    train_size: int = 100_000
    test_size: int = 2560
    seed: int = 0

    def __post_init__(self) -> None:
        smallest = 2 * MARKED_FIRST if self.form == "original" else 2
        if self.length < smallest:
            raise UserError(
                f"data.length is {self.length}; the {self.form} form of the adding problem takes "
                f"{smallest} or more"
            )

    @property
    def longest(self) -> int:
        """T'."""
        return self.length + (self.length // 10 if self.form == "original" else 0)

    def info(self) -> Info:
        """The facts."""
        features = {
            "inputs": Feature((self.longest, 2), "float32"),
            "targets": Feature((), "float32"),
        }
        if self.form == "original":
            features["lengths"] = Feature((), "int32")
        return Info(
            name="adding_problem",
            title=f"Adding problem, {self.form} form, T = {self.length}",
            task="regression",
            features=features,
            splits={"train": self.train_size, "test": self.test_size},
            licence="none needed",
            citation="Hochreiter & Schmidhuber, Long short-term memory, 1997"
            if self.form == "original"
            else "Bai, Kolter & Koltun, arXiv:1803.01271, 2018",
            source="NumPy's Philox generator",
            how="generated, no download",
            target_mean=0.0,
            target_std=1.0,
        )

    def load_whole(self, split: str) -> Generated:
        """The train or test part."""
        make = self._original if self.form == "original" else self._later
        return Generated(
            self.info().splits[split], lambda index: make(generator(self.seed, split, index))
        )

    def _original(self, draw: np.random.Generator) -> Example:
        length = int(draw.integers(self.length, self.longest, endpoint=True))
        first = int(draw.integers(MARKED_FIRST))
        second = int(draw.integers(self.length // 2 - 2))
        second += second >= first  # any of the first T/2 - 1 pairs but the one that is marked
        pairs = np.zeros((self.longest, 2), np.float32)
        pairs[:length, 0] = draw.uniform(-1, 1, length)
        pairs[[0, length - 1], 1] = -1
        pairs[[first, second], 1] = 1
        if 0 in (first, second):
            pairs[0, 0] = 0
        total = pairs[first, 0] + pairs[second, 0]
        return {
            "inputs": pairs,
            "targets": np.float32(0.5 + total / 4),
            "lengths": np.int32(length),
        }

    def _later(self, draw: np.random.Generator) -> Example:
        pairs = np.zeros((self.length, 2), np.float32)
        pairs[:, 0] = draw.random(self.length)
        marked = draw.choice(self.length, 2, replace=False)
        pairs[marked, 1] = 1
        return {"inputs": pairs, "targets": np.float32(pairs[marked, 0].sum())}
