"""The copy problem: ten symbols to be said again after a long wait."""

import dataclasses

import numpy as np

from aimodels.data.base import Dataset, Feature, Info
from aimodels.data.sequences.generated import Example, Generated, generator

SYMBOLS, BLANK, MARKER = 8, 0, 9


@dataclasses.dataclass(frozen=True)
class CopyProblem(Dataset):
    """Ids 0 to 9: `inputs` [B, T + 2 S] int32, `targets` [B, T + 2 S] int32.

    S symbols, each 1 to 8; T - 1 blanks (0); S + 1 markers (9), from the first of which on the
    symbols are asked for. The targets are T + S blanks, then the symbols. That is the form of Bai
    et al. 2018; in Hochreiter & Schmidhuber's spirit, it is due to Arjovsky et al. 2016, whose
    sequences have one marker and blanks behind it. Who remembers nothing has a loss of
    S log 8 / (T + 2 S) a step.

    Attributes:
      length: T, the wait.
      symbols: S.
      train_size: sequences to train on; none costs memory.
      test_size: sequences to test on.
      seed: of all sequences.
    """

    length: int = 1000
    symbols: int = 10
    train_size: int = 10_000
    test_size: int = 1000
    seed: int = 0

    def info(self) -> Info:
        """The facts."""
        ids = Feature((self.length + 2 * self.symbols,), "int32")
        return Info(
            name="copy_problem",
            title=f"Copy problem, T = {self.length}",
            task="classification",
            features={"inputs": ids, "targets": ids},
            splits={"train": self.train_size, "test": self.test_size},
            num_classes=SYMBOLS + 2,
            licence="none needed",
            citation="Bai, Kolter & Koltun, arXiv:1803.01271, 2018; Arjovsky et al., ICML 2016",
            source="NumPy's Philox generator",
            how="generated, no download",
        )

    def load_whole(self, split: str) -> Generated:
        """The train or test part."""

        def make(index: int) -> Example:
            symbols = generator(self.seed, split, index).integers(1, SYMBOLS + 1, self.symbols)
            inputs = np.full(self.length + 2 * self.symbols, BLANK, np.int32)
            inputs[: self.symbols] = symbols
            inputs[-self.symbols - 1 :] = MARKER
            targets = np.full_like(inputs, BLANK)
            targets[-self.symbols :] = symbols
            return {"inputs": inputs, "targets": targets}

        return Generated(self.info().splits[split], make)
