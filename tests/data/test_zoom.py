"""Augmentations that move boxes and masks with their images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aimodels.data.augmentations.crops import RandomResizedCrop
from aimodels.data.augmentations.jitter import VerticalFlip
from aimodels.data.augmentations.mixing import Mixup
from aimodels.data.augmentations.zoom import RandomZoom
from aimodels.data.transforms import HorizontalFlip, PadTo, RandomCrop
from aimodels.errors import UserError

KEY = jax.random.key(3)
SIZE = 40


def batch_of(boxes, labels):
    """Black images with a white rectangle at the first box, which is their mask too."""
    boxes, labels = np.array(boxes, np.float32), np.array(labels, np.int32)
    masks = np.zeros((len(boxes), SIZE, SIZE), np.uint8)
    for mask, (box, *_) in zip(masks, boxes.astype(int), strict=True):
        mask[box[1] : box[3], box[0] : box[2]] = 1
    images = np.repeat(masks[..., None] * 255, 3, -1)
    return {"inputs": images, "boxes": boxes, "labels": labels, "targets": masks}


def bounds(mask):
    rows, columns = (np.nonzero(mask.any(axis))[0] for axis in (1, 0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


BATCH = batch_of([[[5, 10, 20, 30], [0, 0, 0, 0]]] * 16, [[2, -1]] * 16)


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (HorizontalFlip(probability=1.0), [20, 10, 35, 30]),
        (VerticalFlip(probability=1.0), [5, 10, 20, 30]),
        (HorizontalFlip(probability=0.0), [5, 10, 20, 30]),
    ],
)
def test_mirrors_move_boxes_and_masks(transform, expected):
    moved = jax.jit(transform)(BATCH, KEY)
    np.testing.assert_array_equal(moved["boxes"][0], [expected, [0, 0, 0, 0]])
    assert bounds(np.asarray(moved["targets"][0])) == expected
    assert bounds(np.asarray(moved["inputs"][0, ..., 0]) > 0) == expected
    np.testing.assert_array_equal(moved["labels"], BATCH["labels"])


def test_the_window_moves_images_boxes_and_masks_alike():
    zoom = RandomZoom(scale=(0.7, 1.6), probability=1.0, least_visible=0.2)
    moved = jax.tree.map(np.asarray, jax.jit(zoom)(BATCH, KEY))
    assert moved["inputs"].dtype == np.uint8
    widths = set()
    for image, boxes, labels, mask in zip(
        *(moved[name] for name in ("inputs", "boxes", "labels", "targets")), strict=True
    ):
        assert labels[1] == -1
        assert not boxes[1].any()
        if labels[0] < 0:
            assert not boxes.any()
            continue
        # What is white is where the box says, to the half of a pixel that rounding takes.
        bright = (image > 160).all(-1)
        np.testing.assert_allclose(bounds(bright), boxes[0], atol=1.01)
        np.testing.assert_allclose(bounds(mask), boxes[0], atol=1.01)
        widths.add(round(float(boxes[0, 2] - boxes[0, 0])))
    assert len(widths) > 5
    assert (moved["labels"][:, 0] >= 0).sum() > 10


def test_what_leaves_the_window_has_no_target():
    batch = batch_of([[[0, 0, 6, 6]]] * 32, [[1]] * 32)
    zoom = RandomZoom(scale=(0.5, 0.5), ratio=(1.0, 1.0), probability=1.0)
    moved = jax.tree.map(np.asarray, zoom(batch, KEY))
    gone = moved["labels"][:, 0] < 0
    assert 10 < gone.sum() < 32
    assert not moved["boxes"][gone].any()
    assert (moved["boxes"][~gone][..., 2] <= SIZE).all()


def test_without_a_change_nothing_changes():
    still = RandomZoom(probability=0.0)(BATCH, KEY)
    for name, value in BATCH.items():
        np.testing.assert_array_equal(still[name], value)


def test_a_zoom_is_a_function_of_the_key_and_takes_floats():
    images = jnp.asarray(BATCH["inputs"], jnp.float32)
    zoom = RandomZoom(fill=0.0)
    first, again, other = (
        zoom({"inputs": images}, k)["inputs"] for k in (KEY, KEY, jax.random.key(4))
    )
    np.testing.assert_array_equal(first, again)
    assert (np.asarray(first) != np.asarray(other)).any()


def test_what_lies_outside_has_the_label_that_is_asked_for():
    full = {name: jnp.ones((8, 16, 16), jnp.uint8) for name in ("targets", "weights")}
    zoom = RandomZoom(scale=(2.0, 2.0), ratio=(1.0, 1.0), probability=1.0, outside_label=255)
    moved = zoom({"inputs": jnp.ones((8, 16, 16, 3), jnp.uint8)} | full, KEY)
    outside = np.asarray(moved["inputs"] == 114).all(-1)
    assert 0.7 < outside.mean() < 0.8
    np.testing.assert_array_equal(moved["targets"], np.where(outside, 255, 1))
    np.testing.assert_array_equal(moved["weights"], np.where(outside, 0, 1))


@pytest.mark.parametrize(
    "transform",
    [RandomCrop(), RandomResizedCrop(32), PadTo(size=(SIZE + 2, SIZE + 2)), Mixup(num_classes=3)],
)
def test_what_leaves_boxes_behind_is_refused(transform):
    with pytest.raises(UserError, match=r"would leave boxes where they were.*random_zoom"):
        transform(BATCH, KEY)


@pytest.mark.parametrize(
    "fields", [{"scale": (0.0, 1.0)}, {"ratio": (2.0, 1.0)}, {"least_visible": 0.0}]
)
def test_settings_out_of_range_are_refused(fields):
    with pytest.raises(UserError, match=f"random_zoom: {next(iter(fields))}"):
        RandomZoom(**fields)
