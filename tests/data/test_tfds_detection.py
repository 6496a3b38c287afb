"""Detection sets of TFDS, prepared here from a builder of the tests' own; COCO's config."""

import numpy as np
import pytest

from aimodels.data import make
from aimodels.errors import UserError


@pytest.fixture(scope="module")
def prepared(data_folder):
    folder = data_folder / "tfds"
    for name in ("TinyBoxes", "TinyShapes"):
        make("tfds_detection", dataset=f"tiny_shapes:{name}", data_dir=str(folder)).fetch()


@pytest.mark.parametrize("resize", ["stretch", "pad"])
def test_boxes_of_examples_with_any_number_of_them(prepared, resize):
    size = (20, 20)
    dataset = make(
        "tfds_detection", dataset="tiny_boxes", image_size=size, most_boxes=2, resize=resize
    )
    info = dataset.info()
    assert info.task == "detection"
    assert info.class_names == ("square", "bar")
    assert dict(info.splits) == {"train": 4}
    batch = dataset.load("train").gather(np.arange(4))
    for name, feature in info.features.items():
        assert batch[name].shape == (4, *feature.shape)
        assert batch[name].dtype == feature.dtype
    # TFDS shuffles when it prepares; example i is of the grey 50 + i.
    index = batch["inputs"][:, 0, 0, 0].astype(int) - 50
    assert sorted(index) == [0, 1, 2, 3]
    there = batch["labels"] >= 0
    np.testing.assert_array_equal(there.sum(1), np.minimum(index, 2))
    assert not batch["boxes"][~there].any()
    assert not batch["crowd"].any()  # the third object, for which there is no room
    # Images are 20 high and 40 + 8 i wide; padded ones keep that shape in 20 columns.
    for boxes, own, number in zip(batch["boxes"], there, index, strict=True):
        height = 20 if resize == "stretch" else round(20 * 20 / (40 + 8 * number))
        expected = [5, 0.1 * height, 15, 0.5 * height]
        np.testing.assert_allclose(boxes[own], np.tile(expected, (own.sum(), 1)), rtol=1e-5)


def test_regions_of_many_objects_are_marked(prepared):
    dataset = make("tfds_detection", dataset="tiny_boxes", image_size=(20, 20), most_boxes=3)
    batch = dataset.load("train").gather(np.arange(4))
    assert batch["crowd"].sum() == 1
    place = tuple(np.argwhere(batch["crowd"])[0])
    assert batch["labels"][place] == 0
    assert place[1] == 2


def test_no_examples_have_the_shapes_too(prepared):
    source = make("tfds_detection", dataset="tiny_boxes", image_size=(20, 20)).load("train")
    empty = source.gather(np.zeros(0, int))
    assert empty["inputs"].shape == (0, 20, 20, 3)
    assert empty["boxes"].shape == (0, 100, 4)


def test_a_set_without_boxes_and_one_that_is_not_here_are_told(prepared):
    with pytest.raises(UserError, match="a detection set has 'image', and 'objects' with bbox"):
        make("tfds_detection", dataset="tiny_shapes").load("train")
    coco = make("tfds_detection", dataset="coco/2017", image_size=(300, 300))
    assert not coco.is_ready()
    assert coco.info().features["inputs"].shape == (300, 300, 3)
    with pytest.raises(UserError, match="aimodels data fetch tfds_detection:coco/2017"):
        coco.load("train")
