"""CIFAR-10's JPEG files: counts, classes, pixels near the official ones, and what can be wrong."""

import io
import tarfile

import numpy as np
import pytest

from aimodels.data import cifar10_jpeg as module
from aimodels.data import make
from aimodels.errors import UserError


@pytest.fixture
def cifar10(fetched):
    return fetched("cifar10_jpeg")


def test_counts_classes_and_pixels(cifar10):
    info = cifar10.info()
    for split, size in info.splits.items():
        batch = cifar10.load(split).gather(np.arange(size))
        assert batch["inputs"].shape == (size, 32, 32, 3)
        assert batch["inputs"].dtype == np.uint8
        np.testing.assert_array_equal(np.bincount(batch["targets"]), [size // 10] * 10)
        if split == "train":
            # What every published pipeline takes off the official pixels, and divides by. JPEG
            # moves the means by less than a tenth of a level, and takes 0.6 % of the deviation.
            means = batch["inputs"].mean((0, 1, 2)) / 255
            np.testing.assert_allclose(means, (0.4914, 0.4822, 0.4465), atol=4e-4)
            deviations = batch["inputs"].reshape(-1, 3).std(0) / 255
            np.testing.assert_allclose(deviations, (0.2470, 0.2435, 0.2616), atol=2e-3)


def test_files_are_found_in_the_mirrors_archive_and_in_githubs():
    for path in (
        "train/cat/0000.jpg",
        "./test/truck/0999.jpg",
        "CIFAR-10-images-master/test/dog/0001.jpg",
    ):
        match = module.WANTED.fullmatch(path)
        assert match
        assert match["name"] == "/".join(path.split("/")[-3:])
    for path in ("README.md", "train/cats/0000.jpg", "../a/b/test/dog/0001.jpg", "test/dog/1.jpg"):
        assert not module.WANTED.fullmatch(path)


def test_missing_and_damaged_files(monkeypatch, tmp_path):
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path))
    dataset = make("cifar10_jpeg")
    assert not dataset.is_ready()
    with pytest.raises(UserError, match=r"not on this machine.*aimodels data fetch cifar10_jpeg"):
        dataset.load("test")
    for path in (path for split in ("train", "test") for path in module._paths(split)):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"0" * 64)
    assert dataset.is_ready()
    with pytest.raises(UserError, match=r"damaged.*aimodels data fetch cifar10_jpeg"):
        dataset.load("test")


def test_a_wrong_archive_is_refused(monkeypatch, tmp_path):
    with tarfile.open(tmp_path / module.MIRROR_ARCHIVE, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("train/cat/0000.jpg"), io.BytesIO())
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("AIMODELS_DATA_MIRROR", str(tmp_path))
    monkeypatch.setattr(module, "URL", "https://host.invalid/archive.tar.gz")
    with pytest.raises(UserError, match="1 images in train, and CIFAR-10 has 50,000"):
        make("cifar10_jpeg").fetch()
    assert not (tmp_path / "cache").exists()
