"""What a trained segmenter says of images of other sizes than it learned from."""

import json

import numpy as np
import pytest

import aimodels
from aimodels.cli import main
from aimodels.data import make
from aimodels.errors import UserError
from aimodels.training.predict_pixels import class_names, find_masks, predict_pixels

MODEL = {"name": "UNet", "base_features": 4, "num_levels": 2, "dropout_rate": 0.0}


def pictures(seed, count, size):
    """Noisy images of dark and bright pixels, few or many, and which of them are bright."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((count, *size)) < rng.random((count, 1, 1))).astype(np.uint8)
    noise = rng.integers(-25, 26, (count, *size, 3))
    return (50 + 150 * labels[..., None] + noise).astype(np.uint8), labels


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Runs of U-Nets, with padding and without, that find bright pixels."""
    folder = tmp_path_factory.mktemp("pixels")
    images, labels = pictures(0, 12, (24, 32))
    data = {
        f"{split}_{name}": x
        for split in ("train", "test")
        for name, x in (("inputs", images), ("targets", labels))
    }
    np.savez(folder / "data.npz", **data)

    def train(padding):
        config = {
            "model": {**MODEL, "padding": padding},
            "task": {"name": "segmentation"},
            "data": {"name": "arrays", "path": str(folder / "data.npz")},
            "optimizer": {"name": "adam", "learning_rate": 1e-2},
            "training": {"steps": 240, "batch_size": 4, "transforms": ("scale",)},
            "evaluation": {"batch_size": 8},
            "execution": {"steps_per_dispatch": 4},
        }
        result = aimodels.train(config, folder / padding, verbose=False)
        return aimodels.load(folder / padding), result.metrics

    return {padding: train(padding) for padding in ("same", "valid")}


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_any_size_is_predicted(trained, padding):
    loaded, metrics = trained[padding]
    assert metrics["test/pixel_accuracy"] > 0.95
    assert metrics["test/miou"] > 0.9
    for size in ((24, 32), (50, 41), (5, 7)):
        images, labels = pictures(1, 2, size)
        found = predict_pixels(loaded, images, batch_size=2)
        assert found.shape == (2, *size, 2)
        np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)
        assert ((found[..., 1] > 0.5) == labels).mean() > 0.93


def test_masks_of_an_image_are_named_and_drawn(trained):
    from PIL import Image

    loaded, _ = trained["same"]
    pixels = np.full((30, 44, 3), 50, np.uint8)
    pixels[:, :11] = 200
    dataset = make(**loaded.config.data)
    about, draw, colours = find_masks(loaded, dataset, Image.fromarray(pixels), 0.0)
    assert [one["class"] for one in about["classes"]] == ["class 0", "class 1"]
    assert abs(about["classes"][1]["share"] - 0.25) < 0.05
    assert list(colours) == ["class 1"]
    shown = []
    draw(type("Axes", (), {"imshow": lambda self, picture: shown.append(picture)})())
    assert shown[0].shape == (30, 44, 3)
    assert (shown[0][:, 20:] == 50).mean() > 0.9  # the background stays as it is
    assert (shown[0][:, :8] != 200).any(-1).mean() > 0.9
    about, *_ = find_masks(loaded, dataset, Image.fromarray(pixels), 1.1)
    assert about["classes"] == []


def test_the_command_draws_masks(trained, tmp_path, capsys):
    from PIL import Image

    Image.fromarray(np.full((30, 44, 3), 50, np.uint8)).save(tmp_path / "dark.png")
    loaded, _ = trained["valid"]
    arguments = ["--workdir", str(loaded.checkpoints.folder.parent)]
    arguments += ["--images", str(tmp_path / "dark.png"), "--output", str(tmp_path / "found.png")]
    assert main(["predict", *arguments]) == 0
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert image["classes"][0] == {"class": "class 0", "share": pytest.approx(1, abs=0.05)}
    assert (image["width"], image["height"]) == (44, 30)
    assert Image.open(tmp_path / "found.png").size[0] > 300


def test_the_background_has_a_name_though_no_object_is_called_so():
    dataset = make("nuclei")
    assert class_names(dataset, 2) == ("background", "nucleus")
    scenes = make("scenes")
    named = class_names(scenes, 1 + len(scenes.info().class_names))
    assert named == ("background", *scenes.info().class_names)
    assert class_names(dataset, 5)[4] == "class 4"


def test_images_of_the_runs_own_size_are_seen_whole(trained):
    loaded, _ = trained["same"]
    images, _ = pictures(2, 1, (24, 32))
    scores = loaded.predict(images).astype(float)
    expected = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    np.testing.assert_allclose(predict_pixels(loaded, images), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 24, 32, 1), np.uint8),
        np.zeros((24, 32, 3), np.uint8),
        np.zeros((1, 24, 32, 3), np.float32),
    ],
)
def test_other_images_are_refused(trained, images):
    with pytest.raises(UserError, match=r"takes images \[B, H, W, 3\] uint8, got"):
        predict_pixels(trained["same"][0], images)


def test_runs_of_other_tasks_are_refused(small_config, tmp_path):
    config = small_config(training={"steps": 2})
    aimodels.train(config, tmp_path / "iris", verbose=False)
    with pytest.raises(UserError, match="this one's is classification"):
        predict_pixels(aimodels.load(tmp_path / "iris"), np.zeros((1, 4, 4, 3), np.uint8))
