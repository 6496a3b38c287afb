"""Images drawn at random: to measure speed and memory, where no pictures are needed."""

import dataclasses

import numpy as np

from aimodels.data.base import Dataset, Feature, Info
from aimodels.data.source import ArraySource

_STREAMS = {"train": 0, "test": 1}


@dataclasses.dataclass(frozen=True)
class RandomImages(Dataset):
    """Pixels and classes drawn evenly: `inputs` [B, *size, C] uint8, `targets` [B] int32.

    There is nothing in them to learn: the best loss is log V.

    Attributes:
      size: (height, width).
      channels: C.
      num_classes: V.
      train_size: images to train on.
      test_size: images to test on.
    """

    size: tuple[int, int] = (32, 32)
    channels: int = 3
    num_classes: int = 10
    train_size: int = 1024
    test_size: int = 128

    def info(self) -> Info:
        """The facts."""
        return Info(
            name="random_images",
            title="Random images",
            task="classification",
            features={
                "inputs": Feature((*self.size, self.channels), "uint8"),
                "targets": Feature((), "int32"),
            },
            splits={"train": self.train_size, "test": self.test_size},
            num_classes=self.num_classes,
            licence="none needed",
            citation="none needed",
            source="NumPy's Philox generator",
            how="generated, no download",
            notes="nothing to learn; for measuring speed and memory",
        )

    def load_whole(self, split: str) -> ArraySource:
        """The train or test part; the same on every machine."""
        generator = np.random.Generator(np.random.Philox(key=[1, _STREAMS[split]]))
        count = self.info().splits[split]
        shape = (count, *self.size, self.channels)
        return ArraySource(
            {
                "inputs": generator.integers(0, 256, shape, dtype=np.uint8),
                "targets": generator.integers(0, self.num_classes, count, dtype=np.int32),
            }
        )
