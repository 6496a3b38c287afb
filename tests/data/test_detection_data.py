"""Boxes of data sets: padding, resizing, VOC's XML, tiles; TFDS's detection sets."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from aimodels.data import make
from aimodels.data.detection import padded, read_voc, resized
from aimodels.data.tree_boxes import overlapping_tiles, separate_tiles
from aimodels.errors import UserError


def test_boxes_are_cut_off_at_the_border_and_empty_ones_left_out():
    boxes = [[-5, 2, 4, 30], [3, 3, 3, 9], [40, 1, 50, 9], [1, 1, 9, 9], [np.nan, 0, 5, 5]]
    full, labels = padded(np.array(boxes), np.arange(5), (20, 30), 4)
    np.testing.assert_array_equal(full[:2], [[0, 2, 4, 20], [1, 1, 9, 9]])
    np.testing.assert_array_equal(labels, [0, 3, -1, -1])
    assert not full[2:].any()
    assert full.dtype == np.float32
    assert labels.dtype == np.int32


def test_of_too_many_boxes_the_largest_stay_in_their_order():
    boxes = np.array([[0, 0, side, side] for side in (3, 9, 1, 7)])
    full, labels = padded(boxes, np.arange(4), (10, 10), 2)
    np.testing.assert_array_equal(labels, [1, 3])
    np.testing.assert_array_equal(full[:, 2], [9, 7])


def test_an_image_without_objects_has_padding_alone():
    full, labels = padded(np.zeros((0, 4)), np.zeros(0), (8, 8), 3)
    assert not full.any()
    assert (labels == -1).all()


@pytest.mark.parametrize(("how", "box"), [("stretch", [10, 10, 30, 20]), ("pad", [10, 5, 30, 10])])
def test_boxes_move_with_the_image(how, box):
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[10:20, 20:60] = 255
    image, boxes = resized(Image.fromarray(pixels), np.array([[20, 10, 60, 20]]), (40, 40), how)
    np.testing.assert_allclose(boxes, [box])
    left, top, right, bottom = box
    bright = image[..., 0] > 128
    rows, columns = (np.nonzero(bright.any(axis))[0] for axis in (1, 0))
    assert (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) == (left, top, right, bottom)


VOC = b"""<annotation><object><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>7.5</xmax>
<ymax>9</ymax></bndbox></object><object><name>tree</name><bndbox><xmin>0</xmin><ymin>0</ymin>
<xmax>1</xmax><ymax>1</ymax></bndbox></object></annotation>"""


def test_voc_annotations_are_read():
    boxes, labels = read_voc(VOC, ("dog", "cat"))
    np.testing.assert_array_equal(boxes, [[1, 2, 7.5, 9]])
    np.testing.assert_array_equal(labels, [1])
    boxes, labels = read_voc(b"<annotation/>", ("cat",))
    assert boxes.shape == (0, 4)
    assert labels.shape == (0,)


@pytest.mark.parametrize("content", [b"not xml", VOC[:80], VOC.replace(b"<ymin>2</ymin>", b"")])
def test_broken_annotations_are_refused(content):
    with pytest.raises(ValueError, match=r"no XML|missing"):
        read_voc(content, ("cat",))


PHOTOGRAPH = np.arange(30 * 50 * 3, dtype=np.uint32).astype(np.uint8).reshape(30, 50, 3)
# The third lies where the last tile of a row of overlapping ones would see it again; the fourth is
# half in one tile and half in the next.
TREES = np.array([[2, 2, 8, 8], [43, 20, 50, 30], [31, 3, 37, 9], [16, 12, 24, 18]])


def test_tiles_for_training_overlap_and_hold_a_box():
    found = overlapping_tiles(PHOTOGRAPH, TREES, np.zeros(4, int), 20)
    # Four columns and two rows of them.
    assert all((labels >= 0).any() for _, _, labels in found)
    assert sum(labels[labels >= 0].size for _, _, labels in found) > len(TREES)
    tile, own, _ = found[0]
    np.testing.assert_array_equal(tile, PHOTOGRAPH[:20, :20])
    np.testing.assert_array_equal(own[0], [2, 2, 8, 8])
    assert all(tile.shape == (20, 20, 3) for tile, _, _ in found)


def test_tiles_for_the_test_lie_beside_each_other_and_all_count():
    found = separate_tiles(PHOTOGRAPH, TREES, np.zeros(4, int), 20)
    counts = [labels[labels >= 0].size for _, _, labels in found]
    # Two rows of three; the half of the fourth tree that is in each of two tiles is a tree there.
    assert counts == [2, 2, 0, 0, 0, 1]
    assert sum(counts) == len(TREES) + 1
    for number, (tile, _, _) in enumerate(found):
        top, left = 20 * (number // 3), 20 * (number % 3)
        there = PHOTOGRAPH[top : top + 20, left : left + 20]
        np.testing.assert_array_equal(tile[: len(there), : there.shape[1]], there)
        assert not tile[len(there) :].any()
        assert not tile[:, there.shape[1] :].any()
    np.testing.assert_array_equal(found[1][1][0], [11, 3, 17, 9])


def test_settings_out_of_range_are_told():
    for name, fields, message in (
        ("scenes", {"size": 8}, "data.size is 8"),
        ("bccd", {"image_size": (4, 4)}, "data.image_size"),
        ("tree_boxes", {"tile": 1000}, "data.tile is 1000"),
    ):
        with pytest.raises(UserError, match=message):
            make(name, **fields)


def test_missing_sets_name_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path))
    for name in ("scenes", "bccd", "tree_boxes"):
        dataset = make(name)
        assert not dataset.is_ready()
        assert dataclasses.asdict(dataset.info())["task"] == "detection"
        with pytest.raises(UserError, match=f"aimodels data fetch {name}"):
            dataset.load_whole("train")


def test_bccd_has_the_official_counts(fetched):
    dataset = fetched("bccd")
    info = dataset.info()
    boxes = 0
    for split, size in {"train": 205, "val": 87, "test": 72}.items():
        batch = dataset.load(split).gather(np.arange(size))
        assert batch["inputs"].shape == (size, 192, 256, 3)
        boxes += (batch["labels"] >= 0).sum()
        there = batch["labels"] >= 0
        assert (batch["labels"] < len(info.class_names)).all()
        assert there.any(1).all()
        sides = batch["boxes"][..., 2:] - batch["boxes"][..., :2]
        assert (sides[there] > 0).all()
    # Its README counts 4,888: 4,155 red and 372 white cells, 361 platelets; less what is empty.
    assert 4_870 <= boxes <= 4_888


def test_a_damaged_file_of_bccd_is_told(fetched, monkeypatch, tmp_path):
    import shutil

    from aimodels.data import bccd

    fetched("bccd")
    shutil.copytree(bccd._folder(), tmp_path / "bccd")
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path))
    image = next((tmp_path / "bccd/JPEGImages").glob("*.jpg"))
    image.write_bytes(image.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"bccd.*damaged.*aimodels data fetch bccd"):
        make("bccd").load("test")


def test_trees_of_one_photograph_are_in_one_part(fetched):
    dataset = fetched("tree_boxes")
    sizes = dataset.info().splits
    for split, size in sizes.items():
        batch = dataset.load(split).gather(np.arange(size))
        assert batch["inputs"].shape == (size, 256, 256, 3)
        assert (batch["labels"] >= 0).any(1).all() == (split == "train")
        assert set(np.unique(batch["labels"])) == {-1, 0}
    from aimodels.data.tree_boxes import IMAGES

    assert not set(IMAGES["train"].values()) & set(IMAGES["test"].values())
