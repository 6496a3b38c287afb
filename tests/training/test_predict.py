"""aimodels predict: boxes in the pixels of the files, the picture, and what it refuses."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import aimodels
from aimodels.cli import main
from aimodels.data import make
from aimodels.errors import UserError
from aimodels.models import backbones
from aimodels.training.predict import find_objects, predict

sys.path.insert(0, str(Path(__file__).parents[1] / "tasks"))
from tiny_detectors import SIZE, TinyTrunk, pictures

BATCH = pictures()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A detector that knows six pictures by heart, trained by the command's own loop."""
    pytest.importorskip("pycocotools")  # the extra `detection`
    backbones.BACKBONES["tiny"] = TinyTrunk
    folder = tmp_path_factory.mktemp("run")
    arrays = {f"{split}_{name}": BATCH[name] for split in ("train", "test") for name in BATCH}
    np.savez(folder / "pictures.npz", **arrays)
    config = {
        "model": {
            "name": "SSD",
            "num_classes": 3,
            "backbone": "tiny",
            "extra_features": (),
            "aspect_ratios": ((2,),) * 3,
            "scales": (0.2, 0.3, 0.45, 0.7),
        },
        "task": {"name": "ssd"},
        "data": {"name": "arrays", "path": str(folder / "pictures.npz")},
        "optimizer": {"name": "adam", "learning_rate": 5e-3},
        "training": {
            "steps": 150,
            "batch_size": 6,
            "transforms": ("scale", {"name": "standardize", "mean": (0.5,), "std": (0.5,)}),
        },
        "evaluation": {"batch_size": 4},
        "execution": {"steps_per_dispatch": 1},
    }
    result = aimodels.train(config, folder / "run", verbose=False)
    yield folder, result
    del backbones.BACKBONES["tiny"]


def test_a_run_ends_with_the_average_precision(run):
    metrics = run[1].results["replicas"][0]["metrics"]
    assert metrics["test/mAP@0.5"] > 0.95
    assert metrics["test/mAP"] > 0.5


def test_boxes_are_in_the_pixels_of_the_file(run, capsys, tmp_path):
    folder = run[0]
    # Twice as wide, three times as high: the detector sees 64x64 all the same.
    for number in (0, len(BATCH["inputs"]) - 1):
        picture = Image.fromarray(BATCH["inputs"][number])
        picture.resize((2 * SIZE, 3 * SIZE), Image.Resampling.NEAREST).save(
            tmp_path / f"{number}.png"
        )
    command = ["predict", "--workdir", str(folder / "run"), "--images", str(tmp_path)]
    assert main(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert Path(told["picture"]).stat().st_size > 1000
    first, empty = told["images"]
    assert (first["width"], first["height"]) == (2 * SIZE, 3 * SIZE)
    assert empty["objects"] == []
    wanted = BATCH["boxes"][0][:2] * np.array([2, 3, 2, 3])
    assert len(first["objects"]) == 2
    for each in first["objects"]:
        distances = np.abs(wanted - np.array(each["box"])).max(1)
        assert distances.min() < 12
        assert each["class"] == f"class {BATCH['labels'][0][distances.argmin()]}"
        assert each["score"] > 0.5


def test_a_photograph_is_looked_at_tile_by_tile(run):
    """Where a data set cuts its photographs into tiles, nothing is shrunk or lost."""
    rows = [np.concatenate([BATCH["inputs"][n] for n in row], 1) for row in ((0, 1, 5), (2, 5, 3))]
    # Its last row and column are less than a tile.
    photograph = np.concatenate(rows)[: 2 * SIZE - 4, : 3 * SIZE - 4]
    loaded = aimodels.load(run[0] / "run")

    class Tiled(type(make("random_images"))):
        resize = "tiles"

    found = find_objects(loaded, Tiled(), Image.fromarray(photograph), 0.5).about["objects"]
    offsets = {0: (0, 0), 1: (SIZE, 0), 2: (0, SIZE), 3: (2 * SIZE, SIZE)}
    for number, offset in offsets.items():
        for box in BATCH["boxes"][number][:2] + np.array(offset * 2):
            distances = [np.abs(box - np.array(each["box"])).max() for each in found]
            assert sum(distance < 6 for distance in distances) == 1
    small = find_objects(loaded, Tiled(), Image.fromarray(photograph[:40, :50]), 0.5)
    assert all(max(each["box"][2:]) <= 50 for each in small.about["objects"])


def test_what_it_cannot_do_is_told(run, tmp_path):
    folder = run[0] / "run"
    good, broken = tmp_path / "good.png", tmp_path / "broken.png"
    Image.fromarray(BATCH["inputs"][0]).save(good)
    broken.write_bytes(good.read_bytes()[:200])
    with pytest.raises(UserError, match="is damaged"):
        predict(folder, [broken])
    with pytest.raises(UserError, match="does not exist"):
        predict(folder, [tmp_path / "none.png"])
    with pytest.raises(UserError, match=r"the picture is a \.png"):
        predict(folder, [good], output="boxes.txt")
    with pytest.raises(UserError, match="takes a score from 0 to 1"):
        predict(folder, [good], threshold=50)


def test_grey_and_transparent_files_are_read(run, tmp_path):
    Image.fromarray(BATCH["inputs"][0]).convert("L").save(tmp_path / "grey.png")
    Image.fromarray(BATCH["inputs"][1]).convert("RGBA").save(tmp_path / "alpha.png")
    told = predict(run[0] / "run", [tmp_path])
    assert len(told["images"]) == 2
    assert len(told["images"][0]["objects"]) == 2  # alpha.png


def test_a_classifiers_run_is_refused(small_config, tmp_path):
    aimodels.train(small_config(training={"steps": 1}), tmp_path / "iris", verbose=False)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"'classification' finds nothing to draw"):
        predict(tmp_path / "iris", [tmp_path / "a.png"])
