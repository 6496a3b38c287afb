"""Token sequences drawn at random: to measure speed and memory, where no text is needed."""

import dataclasses

import numpy as np

from aimodels.data.base import Dataset, Feature, Info
from aimodels.data.source import ArraySource

_STREAMS = {"train": 0, "test": 1}


@dataclasses.dataclass(frozen=True)
class RandomTokens(Dataset):
    """Ids drawn evenly: `inputs` [B, T] int32, and `targets` [B, T] int32, the id after each.

    There is nothing in them to learn: the best loss is log V.

    Attributes:
      vocabulary: V.
      length: T.
      train_size: sequences to train on.
      test_size: sequences to test on.
    """

    vocabulary: int = 256
    length: int = 64
    train_size: int = 1024
    test_size: int = 128

    def info(self) -> Info:
        """The facts."""
        tokens = Feature((self.length,), "int32")
        return Info(
            name="random_tokens",
            title="Random tokens",
            task="classification",
            features={"inputs": tokens, "targets": tokens},
            splits={"train": self.train_size, "test": self.test_size},
            num_classes=self.vocabulary,
            licence="none needed",
            citation="none needed",
            source="NumPy's Philox generator",
            how="generated, no download",
            notes="nothing to learn; for measuring speed and memory",
        )

    def load_whole(self, split: str) -> ArraySource:
        """The train or test part; the same on every machine."""
        generator = np.random.Generator(np.random.Philox(key=[0, _STREAMS[split]]))
        shape = (self.info().splits[split], self.length + 1)
        tokens = generator.integers(0, self.vocabulary, shape, dtype=np.int32)
        return ArraySource({"inputs": tokens[:, :-1], "targets": tokens[:, 1:]})
