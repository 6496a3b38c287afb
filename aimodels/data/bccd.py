"""BCCD: photographs of blood under a microscope, with boxes around cells.

github.com/Shenggan/BCCD_Dataset, made from the images of cosmicad and akshaylamba.
"""

import dataclasses
import io
import re
from pathlib import Path

import numpy as np

from aimodels.data.base import Dataset, Info
from aimodels.data.cache import cache_folder, damaged, keep, missing, sha256_of_files
from aimodels.data.detection import Resizing, detection_features, padded, read_voc, resized
from aimodels.data.fetching import Files, WayError, archive_ways, first_that_works
from aimodels.data.source import ArraySource
from aimodels.errors import UserError

CLASSES = ("RBC", "WBC", "Platelets")
SPLITS = {"train": 205, "val": 87, "test": 72}
MOST_BOXES = 32  # an image has 30 at most
SHA256 = "adce5ccd01285d48dbca9894924bc78798f8773fb35f7be34eef966be3ffbe82"
MIRROR_ARCHIVE = "bccd.tar.gz"
URL = "https://github.com/Shenggan/BCCD_Dataset/archive/refs/heads/master.tar.gz"
WANTED = re.compile(
    r"(?:\./)?(?:[^/]+/)?BCCD/(?P<name>Annotations/[^/]+\.xml|JPEGImages/[^/]+\.jpg"
    r"|ImageSets/Main/(?:train|val|test)\.txt)"
)


@dataclasses.dataclass(frozen=True)
class Bccd(Dataset):
    """Blood cells: `inputs` [B, H, W, 3] uint8, `boxes`, `labels` as in `aimodels.data.detection`.

    Attributes:
      image_size: (H, W) to which the photographs of 480x640 are brought.
      resize: `stretch` or `pad`.
    """

    image_size: tuple[int, int] = (192, 256)
    resize: Resizing = "stretch"

    def __post_init__(self) -> None:
        if min(self.image_size) < 8:
            raise UserError(f"data.image_size is {self.image_size}; it takes sides of 8 or more")

    def info(self) -> Info:
        """The facts."""
        return Info(
            name="bccd",
            title="BCCD, blood cells with boxes",
            task="detection",
            features=detection_features(self.image_size, MOST_BOXES),
            splits=SPLITS,
            num_classes=len(CLASSES),
            class_names=CLASSES,
            licence="MIT",
            citation="Shenggan, BCCD_Dataset, 2017",
            source="github.com/Shenggan/BCCD_Dataset",
            how="fetched from a mirror or GitHub (7 MB)",
            notes="the official split; empty boxes of the annotations are left out",
        )

    def is_ready(self) -> bool:
        """Whether the files are there."""
        folder = _folder()
        lists = [folder / f"ImageSets/Main/{split}.txt" for split in SPLITS]
        images = folder / "JPEGImages"
        count = sum(1 for _ in images.glob("*.jpg")) if images.is_dir() else 0
        return all(path.is_file() for path in lists) and count >= sum(SPLITS.values())

    def load_whole(self, split: str) -> ArraySource:
        """A whole split, every image decoded and resized."""
        from PIL import Image

        files = _read()
        names = files[f"ImageSets/Main/{split}.txt"].decode().split()
        examples = []
        for name in names:
            try:
                picture = Image.open(io.BytesIO(files[f"JPEGImages/{name}.jpg"]))
                boxes, labels = read_voc(files[f"Annotations/{name}.xml"], CLASSES)
                pixels, boxes = resized(picture, boxes, self.image_size, self.resize)
            except (OSError, ValueError, KeyError) as error:
                raise damaged("bccd", _folder() / name, str(error)) from error
            examples.append((pixels, *padded(boxes, labels, self.image_size, MOST_BOXES)))
        fields = zip(*examples, strict=True)
        return ArraySource(
            {
                name: np.stack(arrays)
                for name, arrays in zip(("inputs", "boxes", "labels"), fields, strict=True)
            }
        )

    def fetch(self) -> str:
        """Get it from a mirror folder or from GitHub."""
        ways = archive_ways(MIRROR_ARCHIVE, URL, WANTED)
        files, line = first_that_works("bccd", ways, _check)
        for name, content in files.items():
            keep(_folder() / name, content)
        return line


def _folder() -> Path:
    return cache_folder() / "bccd"


def _read() -> Files:
    folder = _folder()
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    if not files:
        raise missing("bccd", folder)
    if sha256_of_files(files.items()) != SHA256:
        raise damaged("bccd", folder, "the SHA-256 over its files differs")
    return files


def _check(files: Files) -> None:
    if sha256_of_files(files.items()) != SHA256:
        raise WayError("the SHA-256 over its files differs")
