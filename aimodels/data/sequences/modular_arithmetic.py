"""Arithmetic modulo a number: all its problems, a part of them to learn from."""

import dataclasses
from typing import Literal

import numpy as np

from aimodels.data.base import Dataset, Feature, Info
from aimodels.data.source import ArraySource
from aimodels.errors import UserError


@dataclasses.dataclass(frozen=True)
class ModularArithmetic(Dataset):
    """Ids a, b, "=" as `inputs` [B, 3] int32; `targets` [B] int32, a ∘ b modulo p.

    Numbers are their own ids, "=" is p. There are p² problems (p (p - 1) of division, whose b is
    not 0). A share of them, drawn by the seed, is for training, the rest for testing: Power et al.
    2022; Nanda et al. 2023.

    Attributes:
      modulus: p; of division a prime.
      operation: "add", "subtract", "multiply" or "divide".
      train_fraction: the share to train on.
      seed: of the draw.
    """

    modulus: int = 113
    operation: Literal["add", "subtract", "multiply", "divide"] = "add"
    train_fraction: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.modulus < 2:
            raise UserError(f"data.modulus is {self.modulus}; it takes 2 or more")
        if self.operation == "divide" and not _is_prime(self.modulus):
            raise UserError(f"data.modulus is {self.modulus}; division takes a prime")
        if not 0 < self._train_size() < self._size():
            raise UserError(
                f"data.train_fraction is {self.train_fraction}; of {self._size()} problems it has "
                "to leave some for training and some for testing"
            )

    def info(self) -> Info:
        """The facts."""
        train = self._train_size()
        return Info(
            name="modular_arithmetic",
            title=f"Modular arithmetic, {self.operation} modulo {self.modulus}",
            task="classification",
            features={"inputs": Feature((3,), "int32"), "targets": Feature((), "int32")},
            splits={"train": train, "test": self._size() - train},
            num_classes=self.modulus,
            licence="none needed",
            citation="Power et al., arXiv:2201.02177, 2022; Nanda et al., ICLR 2023",
            source="arithmetic; NumPy's Philox generator",
            how="generated, no download",
            notes="the split is our own, as that of every paper is",
        )

    def load_whole(self, split: str) -> ArraySource:
        """The train or test part."""
        p, first_b = self.modulus, int(self.operation == "divide")
        a, b = np.meshgrid(np.arange(p), np.arange(first_b, p), indexing="ij")
        a, b = a.ravel(), b.ravel()
        result = {
            "add": lambda: a + b,
            "subtract": lambda: a - b,
            "multiply": lambda: a * b,
            "divide": lambda: a * np.array([0, *(pow(n, -1, p) for n in range(1, p))])[b],
        }[self.operation]()
        draw = np.random.Generator(np.random.Philox(key=[self.seed, p]))
        order, train = draw.permutation(len(a)), self._train_size()
        rows = np.sort(order[:train] if split == "train" else order[train:])
        inputs = np.stack([a, b, np.full_like(a, p)], axis=1)
        return ArraySource(
            {
                "inputs": inputs[rows].astype(np.int32),
                "targets": (result % p)[rows].astype(np.int32),
            }
        )

    def _size(self) -> int:
        return self.modulus * (self.modulus - (self.operation == "divide"))

    def _train_size(self) -> int:
        return int(self.train_fraction * self._size())


def _is_prime(number: int) -> bool:
    return all(number % divisor for divisor in range(2, int(number**0.5) + 1))
