"""The texts and pictures of `aimodels data`."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from aimodels.data import DATASETS, make
from aimodels.data.describe import list_text, save_samples_picture, show_text
from aimodels.errors import UserError


def test_the_list_has_every_name_and_tells_what_is_here(monkeypatch, tmp_path):
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path))
    text = list_text()
    for name in DATASETS:
        assert name in text
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line}
    assert lines["mnist1d"] == ["mnist1d", "classification", "4,000", "1,000", "10", "yes"]
    assert lines["fashion_mnist"][2:4] == ["60,000", "10,000"]
    assert lines["fashion_mnist"][5:] == ["aimodels", "data", "fetch", "fashion_mnist"]
    assert sum(name.startswith("uci_regression:") for name in lines) == 9
    assert list(tmp_path.iterdir()) == []  # a listing fetches and makes nothing


def test_a_fetched_set_is_listed_as_ready(fashion_mnist):
    line = next(line for line in list_text().splitlines() if line.startswith("fashion_mnist"))
    assert line.endswith("yes")


def test_show_has_the_facts(monkeypatch, tmp_path):
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path))
    text = show_text("fashion_mnist")
    for fact in ("MIT", "Xiao", "train 60,000, test 10,000", "Ankle boot", "[B, 28, 28, 1] uint8"):
        assert fact in text
    assert "no; get it with: aimodels data fetch fashion_mnist" in text
    assert "our own" in show_text("iris")
    with pytest.raises(UserError, match="Did you mean"):
        show_text("fashion_mnst")


def test_show_has_the_targets_unit(uci_regression):
    dataset = uci_regression(dataset="yacht")
    assert f"target x {dataset.info().target_std:.6g}" in show_text("uci_regression:yacht")


def test_pictures_of_each_kind(tmp_path, fashion_mnist):
    rng = np.random.default_rng(0)
    targets = np.arange(40) % 3
    np.savez(
        tmp_path / "reg.npz",
        train_inputs=rng.normal(size=(40, 3)),
        train_targets=rng.normal(size=40),
    )
    np.savez(tmp_path / "one.npz", train_inputs=rng.normal(size=(40, 1)), train_targets=targets)
    np.savez(tmp_path / "rgb.npz", train_inputs=rng.random((25, 8, 8, 3)))
    sets = {
        "images": fashion_mnist,
        "signals": make("mnist1d"),
        "table": make("iris"),
        "regression": make("arrays", path=str(tmp_path / "reg.npz")),
        "one number": make("arrays", path=str(tmp_path / "one.npz")),
        "no targets": make("arrays", path=str(tmp_path / "rgb.npz")),
    }
    for name, dataset in sets.items():
        path = tmp_path / "pictures" / f"{name}.png"
        save_samples_picture(dataset, path)
        pixels = np.asarray(Image.open(path).convert("L"))
        assert min(pixels.shape) > 100, name
        # Something is drawn, on a white ground.
        assert 0.005 < (pixels < 200).mean() < 0.9, name


def test_a_picture_of_a_missing_set_names_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path))
    with pytest.raises(UserError, match="aimodels data fetch fashion_mnist"):
        save_samples_picture(make("fashion_mnist"), tmp_path / "no.png")
    assert not (tmp_path / "no.png").exists()


def test_info_is_plain_data():
    for name in ("mnist1d", "iris", "fashion_mnist", "uci_regression"):
        info = make(name).info()
        assert dataclasses.asdict(info)["name"].startswith(name)
