"""The data set of scenes: splits that share nothing, scenes that are made once and kept."""

import shutil

import numpy as np
import pytest
from PIL import Image

from aimodels.data import make, scenes
from aimodels.errors import UserError


@pytest.fixture
def cutouts(monkeypatch, tmp_path):
    """A small set of cut-outs in a data folder of its own: two classes, two photographs."""
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(scenes, "CLASSES", {"bird": ("animals/birds",), "coin": ("coins",)})
    monkeypatch.setattr(scenes, "PHOTOS", {"train": ("a.jpg",), "test": ("b.jpg",)})
    monkeypatch.setattr(scenes, "SPLITS", {"train": 7, "test": 3})
    monkeypatch.setattr(scenes, "SHARD", 4)
    files = {}
    rng = np.random.default_rng(0)
    for number, name in enumerate(("birds/owl", "birds/hen", "birds/hen2", "birds/cartoon/x")):
        files[f"animals/{name}.png"] = stamp(rng, number)
    files |= {f"coins/{name}.png": stamp(rng, 7) for name in ("penny", "dime", "yen005_mirror")}
    files |= {f"photo/{name}.jpg": photo(rng) for name in "ab"}
    scenes.keep(scenes._cutouts_file(), scenes._packed(files))
    scenes._cutouts.cache_clear()
    yield tmp_path / "data"
    scenes._cutouts.cache_clear()


def saved(pixels, kind):
    import io

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def stamp(rng, number):
    pixels = np.zeros((40 + number, 50, 4), np.uint8)
    pixels[5:-5, 5:-5] = (*rng.integers(0, 255, 3), 255)
    return saved(pixels, "PNG")


def photo(rng):
    return saved(rng.integers(0, 255, (60, 80, 3)).astype(np.uint8), "JPEG")


def test_a_scene_is_kept_and_the_same_whatever_is_asked_for(cutouts):
    dataset = make("scenes", size=48)
    everything = dataset.load("train").gather(np.arange(7))
    assert everything["inputs"].shape == (7, 48, 48, 3)
    assert everything["targets"].shape == (7, 48, 48)
    files = sorted(path.name for path in cutouts.glob("scenes/v*/*.npy"))
    assert files == ["train-48-000.npy", "train-48-001.npy"]
    some = dataset.load("train[2:6]").gather(np.array([3, 0, 3]))
    for name, value in some.items():
        np.testing.assert_array_equal(value, everything[name][[5, 2, 5]])
        assert value.dtype == dataset.info().features[name].dtype
    one = scenes.scene("train", 5, 48)
    for name, value in one.items():
        np.testing.assert_array_equal(value, everything[name][5])
    # Other splits and sizes are other scenes.
    test = dataset.load("test").gather(np.arange(3))
    assert (test["inputs"] != everything["inputs"][:3]).any((1, 2, 3)).all()
    assert make("scenes", size=32).load("test").gather(np.arange(1))["inputs"].shape == (
        1,
        32,
        32,
        3,
    )


def test_views_of_one_thing_are_in_one_part(cutouts):
    names = ["animals/birds/owl.png", "animals/birds/hen.png", "animals/birds/hen2.png"]
    splits = scenes.splits_of([*names, "animals/birds/hen_black.png", "photo/a.jpg"])
    assert set(splits) == {*names, "animals/birds/hen_black.png"}
    assert len({splits[name] for name in splits if "hen" in name}) == 1
    assert set(splits.values()) == {"train", "test"}


def test_what_is_no_stamp_of_a_class_is_left_out(cutouts):
    with np.load(scenes._cutouts_file()) as file:
        names = file.files
    assert not [name for name in names if "cartoon" in name or "mirror" in name]
    assert {name.split("/")[0] for name in names} == {"train", "test"}


@pytest.mark.parametrize("damage", ["truncated", "other"])
def test_damaged_scenes_are_removed_and_made_again(cutouts, damage):
    source = make("scenes", size=48).load("test")
    before = source.gather(np.arange(3))
    (path,) = cutouts.glob("scenes/v*/*.npy")
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        np.save(path, np.zeros(3))
    with pytest.raises(UserError, match=r"was damaged.*is removed; give the same command again"):
        source.gather(np.arange(3))
    np.testing.assert_array_equal(source.gather(np.arange(3))["inputs"], before["inputs"])


def test_damaged_cutouts_name_the_command(cutouts):
    scenes._cutouts_file().write_bytes(b"no zip")
    with pytest.raises(UserError, match=r"is damaged.*aimodels data fetch scenes"):
        make("scenes", size=48).load("test").gather(np.arange(1))


def test_packages_of_another_version_are_refused(cutouts, monkeypatch):
    shutil.rmtree(cutouts)
    monkeypatch.setattr(scenes, "_from_debian", lambda: {"animals/birds/owl.png": b"other"})
    with pytest.raises(UserError, match="other versions of the packages"):
        make("scenes").fetch()
    assert not make("scenes").is_ready()


def test_the_real_parts_share_no_cutout(fetched):
    dataset = fetched("scenes")
    with np.load(scenes._cutouts_file()) as file:
        kept = [name.split("/", 2) for name in file.files]
    for label, name in enumerate(dataset.info().class_names):
        parts = {
            split: {n for s, k, n in kept if (s, k) == (split, str(label))} for split in SPLITS
        }
        assert min(map(len, parts.values())) >= 2, name
        assert not parts["train"] & parts["test"]
    batch = dataset.load("test").gather(np.arange(100))
    there = batch["labels"] >= 0
    assert there.any(1).all()
    assert set(np.unique(batch["labels"][there])) == set(range(len(dataset.info().class_names)))


SPLITS = ("train", "test")
