"""Fashion-MNIST: the official 60,000 + 10,000 images.

Xiao, Rasul & Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
algorithms", 2017.
"""

import dataclasses
import gzip
import zlib
from pathlib import Path

import numpy as np

from aimodels.data.base import Dataset, Feature, Info
from aimodels.data.cache import cache_folder, keep, mirror_folder, read_file
from aimodels.data.fetching import (
    Files,
    WayError,
    check_digests,
    debian_package,
    download,
    first_that_works,
)
from aimodels.data.source import ArraySource

# Of the uncompressed IDX files: Debian's package compresses the same bytes anew, so that the
# publisher's checksums of the .gz files would refuse it.
SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
SIZES = {"train": 60_000, "test": 10_000}
PREFIXES = {"train": "train", "test": "t10k"}
URL = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/{name}.gz"
DEBIAN_PACKAGE = "dataset-fashion-mnist"
DEBIAN_FOLDER = "usr/share/datasets/fashion-mnist"
IMAGE_HEADER_BYTES = 16
LABEL_HEADER_BYTES = 8


@dataclasses.dataclass(frozen=True)
class FashionMnist(Dataset):
    """Fashion-MNIST, `inputs` [B, H=28, W=28, C=1] uint8, `targets` [B] int32."""

    def info(self) -> Info:
        """The facts."""
        return Info(
            name="fashion_mnist",
            title="Fashion-MNIST",
            task="classification",
            features={"inputs": Feature((28, 28, 1), "uint8"), "targets": Feature((), "int32")},
            splits=SIZES,
            num_classes=10,
            class_names=(
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ),
            licence="MIT",
            citation="Xiao, Rasul & Vollgraf, Fashion-MNIST, 2017, arXiv:1708.07747",
            source="github.com/zalandoresearch/fashion-mnist; Debian dataset-fashion-mnist",
            how="fetched from a mirror, the publisher or Debian (31 MB)",
            notes="the official files and split",
        )

    def is_ready(self) -> bool:
        """Whether the four files are there, at their sizes."""
        return all(
            (_folder() / name).is_file() and (_folder() / name).stat().st_size == _size(name)
            for name in SHA256
        )

    def load_whole(self, split: str) -> ArraySource:
        """A whole split, its files checked by SHA-256."""
        images = _read(f"{PREFIXES[split]}-images-idx3-ubyte")[IMAGE_HEADER_BYTES:]
        labels = _read(f"{PREFIXES[split]}-labels-idx1-ubyte")[LABEL_HEADER_BYTES:]
        return ArraySource(
            {
                "inputs": np.frombuffer(images, np.uint8).reshape(-1, 28, 28, 1),
                "targets": np.frombuffer(labels, np.uint8).astype(np.int32),
            }
        )

    def fetch(self) -> str:
        """Get the four files from a mirror folder, the publisher or Debian's package."""
        ways = [
            ("the mirror", _from_mirror),
            (URL.format(name="*"), _from_publisher),
            (f"Debian's package {DEBIAN_PACKAGE}", _from_debian),
        ]
        files, line = first_that_works("fashion_mnist", ways, _check)
        for name, content in files.items():
            keep(_folder() / name, content)
        return line


def _folder() -> Path:
    return cache_folder() / "fashion_mnist"


def _size(name: str) -> int:
    count = SIZES["train" if name.startswith("train") else "test"]
    return IMAGE_HEADER_BYTES + count * 784 if "images" in name else LABEL_HEADER_BYTES + count


def _read(name: str) -> bytes:
    return read_file(_folder() / name, "fashion_mnist", SHA256[name])


def _check(files: Files) -> None:
    check_digests(files, SHA256)


def _from_mirror() -> Files:
    mirror = mirror_folder()
    for folder in (mirror, mirror / "fashion_mnist", mirror / "fashion-mnist"):
        paths = {name: folder / f"{name}.gz" for name in SHA256}
        if all(path.is_file() for path in paths.values()):
            return _unpack({name: path.read_bytes() for name, path in paths.items()})
    raise WayError(f"{mirror} does not hold {', '.join(f'{name}.gz' for name in SHA256)}")


def _from_publisher() -> Files:
    return _unpack({name: download(URL.format(name=name)) for name in SHA256})


def _from_debian() -> Files:
    files = debian_package(DEBIAN_PACKAGE, f"{DEBIAN_FOLDER}/*.gz")
    if missing := [name for name in SHA256 if f"{name}.gz" not in files]:
        raise WayError(f"the package does not hold {', '.join(missing)}")
    return _unpack({name: files[f"{name}.gz"] for name in SHA256})


def _unpack(files: Files) -> Files:
    try:
        return {name: gzip.decompress(content) for name, content in files.items()}
    except (OSError, EOFError, zlib.error) as error:
        raise WayError(f"a file can't be unpacked: {error}") from error
