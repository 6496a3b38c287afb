"""Fashion-MNIST: the official files, and every way in which a fetch can fail."""

import gzip
import shutil
import time

import numpy as np
import pytest

from aimodels.data import fashion_mnist as module
from aimodels.data import make
from aimodels.data.cache import sha256
from aimodels.errors import UserError


def test_the_official_counts_and_pixels(fashion_mnist):
    info = fashion_mnist.info()
    assert dict(info.splits) == {"train": 60_000, "test": 10_000}
    for split, size in info.splits.items():
        batch = fashion_mnist.load(split).gather(np.arange(size))
        assert batch["inputs"].shape == (size, 28, 28, 1)
        assert batch["inputs"].dtype == np.uint8
        assert batch["targets"].dtype == np.int32
        np.testing.assert_array_equal(np.bincount(batch["targets"]), [size // 10] * 10)
        if split == "train":
            # The mean and deviation that every published pipeline normalises with.
            pixels = batch["inputs"] / 255
            assert round(float(pixels.mean()), 4) == 0.2860
            assert round(float(pixels.std()), 4) == 0.3530
            assert [info.class_names[label] for label in batch["targets"][:3]] == [
                "Ankle boot",
                "T-shirt/top",
                "T-shirt/top",
            ]


def test_slices_share_no_example(fashion_mnist):
    train, held_out = fashion_mnist.load("train[:90%]"), fashion_mnist.load("train[90%:]")
    assert (len(train), len(held_out)) == (54_000, 6_000)
    whole = fashion_mnist.load("train")
    np.testing.assert_array_equal(
        held_out.gather(np.array([0]))["inputs"], whole.gather(np.array([54_000]))["inputs"]
    )


def test_a_missing_set_fails_at_once_with_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path))
    dataset = make("fashion_mnist")
    assert not dataset.is_ready()
    start = time.monotonic()
    with pytest.raises(UserError, match="aimodels data fetch fashion_mnist"):
        dataset.load("train")
    assert time.monotonic() - start < 1
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_named_never_used_and_mended(fashion_mnist, monkeypatch, tmp_path):
    source = module._folder()
    folder = tmp_path / "cache" / "fashion_mnist"
    shutil.copytree(source, folder)
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path / "cache"))
    damaged = folder / "t10k-labels-idx1-ubyte"
    content = bytearray(damaged.read_bytes())
    content[5000] ^= 1
    damaged.write_bytes(content)
    assert fashion_mnist.is_ready()  # sizes alone can't tell
    with pytest.raises(UserError, match=r"damaged.*aimodels data fetch fashion_mnist") as error:
        fashion_mnist.load("test")
    assert str(damaged) in str(error.value)

    monkeypatch.setenv("AIMODELS_DATA_MIRROR", str(mirror_of(source, tmp_path / "mirror")))
    assert fashion_mnist.fetch().startswith("from the mirror")
    assert len(fashion_mnist.load("test")) == 10_000
    assert {path.name for path in folder.iterdir()} == set(module.SHA256)  # no temporary files


def test_a_truncated_file_is_not_ready(fashion_mnist, monkeypatch, tmp_path):
    folder = tmp_path / "fashion_mnist"
    shutil.copytree(module._folder(), folder)
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path))
    with (folder / "train-labels-idx1-ubyte").open("r+b") as file:
        file.truncate(1000)
    assert not fashion_mnist.is_ready()
    with pytest.raises(UserError, match="damaged"):
        fashion_mnist.load("train")


def test_a_fetch_that_finds_nothing_says_what_it_tried_within_seconds(monkeypatch, tmp_path):
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("AIMODELS_DATA_MIRROR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))  # no apt-get
    monkeypatch.setattr(module, "URL", "https://host.invalid/{name}.gz")
    start = time.monotonic()
    with pytest.raises(UserError) as error:
        make("fashion_mnist").fetch()
    assert time.monotonic() - start < 30
    message = str(error.value)
    for part in (
        f"the mirror: {tmp_path} does not hold train-images-idx3-ubyte.gz",
        "https://host.invalid/*.gz: ",
        "there is no apt-get here",
        "AIMODELS_DATA_MIRROR",
        "aimodels data fetch fashion_mnist",
    ):
        assert part in message
    assert error.value.exit_code == 2
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("damage", ["other bytes", "truncated", "not gzip"])
def test_wrong_files_in_a_mirror_are_refused(damage, monkeypatch, tmp_path):
    files = {f"{name}.gz": gzip.compress(b"x" * 100) for name in module.SHA256}
    if damage == "truncated":
        files = {name: content[:-12] for name, content in files.items()}
    elif damage == "not gzip":
        files = dict.fromkeys(files, b"<html>not found</html>")
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("AIMODELS_DATA_MIRROR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module, "URL", "https://host.invalid/{name}.gz")
    with pytest.raises(UserError, match=r"SHA-256 differs|can't be unpacked"):
        make("fashion_mnist").fetch()
    assert not (tmp_path / "cache").exists()


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="not a Debian machine")
def test_an_unknown_debian_package_says_how_to_tell_apt(monkeypatch, tmp_path):
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path / "cache"))
    monkeypatch.delenv("AIMODELS_DATA_MIRROR", raising=False)
    monkeypatch.setattr(module, "DEBIAN_PACKAGE", "aimodels-no-such-package")
    monkeypatch.setattr(module, "URL", "https://host.invalid/{name}.gz")
    with pytest.raises(UserError, match="sudo apt-get update"):
        make("fashion_mnist").fetch()


def mirror_of(folder, target):
    """A mirror folder with the official file names."""
    target.mkdir()
    for name, digest in module.SHA256.items():
        content = (folder / name).read_bytes()
        assert sha256(content) == digest
        (target / f"{name}.gz").write_bytes(gzip.compress(content, compresslevel=1))
    return target
