"""Moving Fashion-MNIST: clips whose label is the motion, of which single frames say nothing.

A generated set of this project, after the idea of Moving MNIST (Srivastava, Mansimov &
Salakhutdinov, ICML 2015).
"""

import dataclasses
import functools

import numpy as np

from aimodels.data.base import Dataset, Feature, Info
from aimodels.data.fashion_mnist import FashionMnist
from aimodels.data.source import ArraySource

# The recipe; a change makes another data set.
FRAMES, SIZE = 8, 32
COUNTS = {"train": 8000, "test": 2000}
SEEDS = {"train": 20260101, "test": 20260102}
SPEEDS = (2, 3)  # pixels a frame along each axis that changes
TURNS = (20.0, 40.0)  # degrees a frame, least and most
# Motion -> pixels down and to the right, and turns, each in units of a draw of the clip's own.
MOTIONS: dict[str, tuple[int, int, int]] = {
    "right": (0, 1, 0),
    "down right": (1, 1, 0),
    "down": (1, 0, 0),
    "down left": (1, -1, 0),
    "left": (0, -1, 0),
    "up left": (-1, -1, 0),
    "up": (-1, 0, 0),
    "up right": (-1, 1, 0),
    "still": (0, 0, 0),
    "clockwise": (0, 0, 1),
    "counter-clockwise": (0, 0, -1),
}
CHUNK = 200


@dataclasses.dataclass(frozen=True)
class MovingFashion(Dataset):
    """Clips, `inputs` [B, T=8, H=32, W=32, C=1] uint8, `targets` [B] int32, 11 motions.

    A piece of clothing, half as large as in Fashion-MNIST, is turned by a random angle and put at a
    random place of a canvas whose opposite borders are one. Then it moves into one of eight
    directions, or turns, or stays. At each time its place and its angle are uniform whatever the
    motion is, so that the frames of all motions are alike. The test clips are made of test images.
    """

    def info(self) -> Info:
        """The facts."""
        return Info(
            name="moving_fashion",
            title="Moving Fashion-MNIST, labelled by the motion",
            task="classification",
            features={
                "inputs": Feature((FRAMES, SIZE, SIZE, 1), "uint8"),
                "targets": Feature((), "int32"),
            },
            splits=COUNTS,
            num_classes=len(MOTIONS),
            class_names=tuple(MOTIONS),
            licence="MIT (Fashion-MNIST)",
            citation="Xiao, Rasul & Vollgraf, Fashion-MNIST, 2017; clips of our own",
            source="generated from Fashion-MNIST",
            how="generated; needs Fashion-MNIST (31 MB)",
            notes="our own set: no published figure is of it",
        )

    def is_ready(self) -> bool:
        """Whether Fashion-MNIST is there."""
        return FashionMnist().is_ready()

    def fetch(self) -> str:
        """Get Fashion-MNIST."""
        return FashionMnist().fetch()

    def load_whole(self, split: str) -> ArraySource:
        """A split, generated when it is first asked for: some seconds."""
        return ArraySource(_clips(split))


@functools.lru_cache(maxsize=2)
def _clips(split: str) -> dict[str, np.ndarray]:
    draw = np.random.RandomState(SEEDS[split])  # whose stream NumPy promises to keep
    source, count = FashionMnist().load_whole(split), COUNTS[split]
    images = source.gather(draw.permutation(len(source))[:count])["inputs"][..., 0]
    labels = np.arange(count) % len(MOTIONS)
    draw.shuffle(labels)
    motions = np.array(list(MOTIONS.values()))[labels]
    start = draw.randint(SIZE, size=(count, 2))
    angle = draw.uniform(0, 360, count)
    speed = np.array(SPEEDS)[draw.randint(len(SPEEDS), size=count)]
    turn = draw.uniform(*TURNS, count)
    times = np.arange(FRAMES)
    places = start[:, None] + times[:, None] * (speed[:, None] * motions[:, :2])[:, None]
    angles = angle[:, None] + times * (turn * motions[:, 2])[:, None]
    # Half the size by the mean of four pixels.
    small = images.reshape(count, 14, 2, 14, 2).mean((2, 4), dtype=np.float32)
    clips = np.zeros((count, FRAMES, SIZE, SIZE, 1), np.uint8)
    for first in range(0, count, CHUNK):
        at = slice(first, first + CHUNK)
        clips[at, ..., 0] = drawn(small[at], places[at], angles[at])
    return {"inputs": clips, "targets": labels.astype(np.int32)}


def drawn(images: np.ndarray, places: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Images on canvases whose opposite borders are one, bilinearly.

    Args:
      images: [N, S, S], S even.
      places: [N, T, 2] of their middles, row and column, whole.
      angles: [N, T] by which they are turned clockwise, in degrees.

    Returns:
      [N, T, SIZE, SIZE] uint8.
    """
    side = images.shape[1]
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    # Where each pixel of the canvas lies from the image's middle, the nearest way round.
    axis = np.arange(SIZE)
    half = SIZE / 2
    rows = (axis[:, None] + 0.5 - places[..., 0, None, None] + half) % SIZE - half
    columns = (axis + 0.5 - places[..., 1, None, None] + half) % SIZE - half
    cos, sin = (f(np.deg2rad(angles))[..., None, None] for f in (np.cos, np.sin))
    # Turned back, as places in the padded image.
    y = np.clip(cos * rows - sin * columns + side / 2 + 0.5, 0, side + 0.999)
    x = np.clip(sin * rows + cos * columns + side / 2 + 0.5, 0, side + 0.999)
    top, left = y.astype(np.intp), x.astype(np.intp)
    down, right = y - top, x - left
    which = np.arange(len(images))[:, None, None, None]
    pixels = (
        padded[which, top, left] * (1 - down) * (1 - right)
        + padded[which, top, left + 1] * (1 - down) * right
        + padded[which, top + 1, left] * down * (1 - right)
        + padded[which, top + 1, left + 1] * down * right
    )
    return np.round(pixels).astype(np.uint8)
