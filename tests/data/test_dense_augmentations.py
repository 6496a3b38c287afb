"""Images and labels stay together; deformations are U-Net's; parts of clips."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aimodels.config import call_section, named_section
from aimodels.data.augmentations.dense import bilinear, cubic_weights, nearest
from aimodels.data.pixel_weights import border_weights
from aimodels.data.transforms import Pipeline
from aimodels.errors import UserError

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 200, (16, 12, 12)).astype(np.uint8)
# Whatever is done to the labels shows in the image as well.
IMAGES = np.stack([LABELS, LABELS // 2], -1)
WEIGHTS = LABELS.astype(np.float32) / 7
CLIPS = RNG.integers(0, 255, (6, 9, 4, 5, 1)).astype(np.uint8)


def run(name, train=True, seed=0, batch=None, **fields):
    section = named_section("transform", {"name": name, **fields}, "transforms")
    steps = Pipeline((call_section("transform", section),))
    batch = batch or {"inputs": IMAGES, "targets": LABELS, "weights": WEIGHTS}
    batch = jax.tree.map(jnp.asarray, batch)
    result = jax.jit(lambda batch, key: steps(batch, key, train=train))(batch, jax.random.key(seed))
    return jax.tree.map(np.asarray, result)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("horizontal_flip", {}),
        ("vertical_flip", {}),
        ("random_transpose", {}),
        ("dense_crop", {"size": (8, 6)}),
    ],
)
def test_what_happens_to_pixels_happens_to_labels(name, fields):
    result = run(name, **fields)
    np.testing.assert_array_equal(result["inputs"][..., 0], result["targets"])
    np.testing.assert_array_equal(result["inputs"][..., 1], result["targets"] // 2)
    np.testing.assert_array_equal(result["weights"], result["targets"].astype(np.float32) / 7)
    assert {str(array.dtype) for array in result.values()} == {"uint8", "float32"}


def test_all_eight_symmetries_are_drawn():
    one = {"inputs": np.repeat(IMAGES[:1], 64, 0), "targets": np.repeat(LABELS[:1], 64, 0)}
    for number, name in enumerate(("horizontal_flip", "vertical_flip", "random_transpose")):
        one = run(name, batch=one, seed=number)
    assert len({array.tobytes() for array in one["targets"]}) == 8
    np.testing.assert_array_equal(one["inputs"][..., 0], one["targets"])


def test_crops_are_boxes_of_the_image():
    found = run("dense_crop", size=(8, 6))["targets"]
    assert found.shape == (16, 8, 6)
    places = set()
    for crop, image in zip(found, LABELS, strict=True):
        at = [
            (y, x)
            for y in range(5)
            for x in range(7)
            if (image[y : y + 8, x : x + 6] == crop).all()
        ]
        assert len(at) == 1
        places |= set(at)
    assert len(places) > 8


def test_scaled_crops_keep_labels_and_smooth_images():
    result = run("dense_crop", size=(10, 10), scale=(0.5, 2.0))
    assert result["inputs"].shape == (16, 10, 10, 2)
    for crop, image in zip(result["targets"], LABELS, strict=True):
        assert set(crop.reshape(-1)) <= set(image.reshape(-1))
    # A ramp stays a ramp: the middle of a box is the same in image and labels.
    ramp = np.tile(np.arange(0, 240, 2, dtype=np.uint8), (8, 120, 1))
    batch = {"inputs": ramp[..., None], "targets": ramp}
    result = run("dense_crop", batch=batch, size=(40, 40), scale=(0.5, 2.0))
    inner = (slice(None), slice(None), slice(3, -3))
    difference = result["inputs"][..., 0][inner].astype(int) - result["targets"][inner]
    assert np.abs(difference).max() <= 1  # half a pixel, where a label is the nearest pixel's
    assert abs(difference.mean()) < 0.2
    slopes = np.diff(result["targets"][:, 0].astype(int)).sum(-1)
    assert slopes.max() > 1.3 * slopes.min()


def test_evaluation_changes_nothing():
    for name, fields in (
        ("random_transpose", {}),
        ("dense_crop", {"size": (8, 8)}),
        ("elastic_deformation", {}),
    ):
        result = run(name, train=False, **fields)
        np.testing.assert_array_equal(result["inputs"], IMAGES)
        np.testing.assert_array_equal(result["targets"], LABELS)


def test_elastic_deformations_are_smooth_and_have_their_size():
    size, std = 64, 4.0
    rows, columns = (x.astype(np.float32) for x in np.mgrid[:size, :size])
    batch = {
        "inputs": np.repeat(np.stack([rows, columns], -1)[None], 200, 0),
        "targets": np.zeros((200, size, size), np.uint8),
    }
    result = run("elastic_deformation", batch=batch, std=std)["inputs"]
    moved = result - batch["inputs"]
    middle = moved[:, size // 2, size // 2]
    # 400 draws: a standard deviation is known to 3.5 % (one sd); four of them.
    assert abs(middle.std() / std - 1) < 0.15
    inside = moved[:, 16:48, 16:48]
    steps = np.abs(np.diff(inside, axis=1)).max()
    # Six sd from one point of the grid to the next, over half the image, with a cubic's overshoot.
    assert steps < 1.6 * 6 * std / (size / 2)
    assert np.abs(np.corrcoef(moved[:, 0, 0, 0], moved[:, -1, -1, 0])[0, 1]) < 0.3


def test_labels_follow_the_image_they_belong_to():
    blob = np.zeros((8, 40, 40), np.uint8)
    blob[:, 12:28, 10:30] = 1
    batch = {"inputs": (255 * blob)[..., None], "targets": blob}
    result = run("elastic_deformation", batch=batch, std=3.0)
    same = (result["inputs"][..., 0] > 127) == (result["targets"] == 1)
    assert same.mean() > 0.995  # all but pixels of the border that lie half way
    assert set(np.unique(result["targets"])) == {0, 1}
    assert (result["targets"] != blob).mean() > 0.02


def test_images_go_on_as_in_a_mirror_and_labels_do_not_count_there():
    for train in (True, False):
        result = run("mirror_pad", train=train, margin=3, ignore_label=250)
        expected = np.pad(IMAGES, ((0, 0), (3, 3), (3, 3), (0, 0)), mode="reflect")
        np.testing.assert_array_equal(result["inputs"], expected)
        np.testing.assert_array_equal(result["targets"][:, 3:-3, 3:-3], LABELS)
        assert (result["targets"][:, :3] == 250).all()
        assert (result["weights"][:, :, -3:] == 0).all()


def test_no_deformation_is_the_image_itself():
    result = run("elastic_deformation", std=0.0)
    np.testing.assert_array_equal(result["inputs"], IMAGES)
    np.testing.assert_array_equal(result["weights"], WEIGHTS)


def test_cubic_weights_go_through_the_points_and_keep_lines():
    weights = cubic_weights(9, 3)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(weights[[0, 4, 8]], np.eye(3), atol=1e-6)
    line = cubic_weights(13, 5) @ np.arange(5.0)
    np.testing.assert_allclose(line[3:10], np.linspace(0, 4, 13)[3:10], atol=1e-6)


def test_sampling_goes_on_as_in_a_mirror():
    image = jnp.arange(12.0).reshape(3, 4, 1)
    rows, columns = jnp.array([[-1.0, 0.5, 3.0]]), jnp.array([[0.0, 1.25, -2.0]])
    np.testing.assert_allclose(bilinear(image, rows, columns)[0, :, 0], [4, 3.25, 6])
    np.testing.assert_array_equal(nearest(image, rows, columns)[0, :, 0], [4, 1, 6])


@pytest.mark.parametrize(
    ("name", "fields", "batch", "message"),
    [
        ("mirror_pad", {"margin": 1}, {"inputs": IMAGES, "targets": LABELS[:, :9]}, "each pixel"),
        ("elastic_deformation", {}, {"inputs": LABELS}, r"takes images \[B, H, W, C\]"),
        ("random_transpose", {}, {"inputs": IMAGES[:, :9]}, "can't be transposed"),
        ("random_crop", {}, None, "would leave the labels of pixels where they were"),
        ("resize", {"size": 6}, None, "would leave the labels of pixels where they were"),
        ("dense_crop", {"size": (13, 2)}, None, r"hold no box of \(13, 2\)"),
        ("dense_crop", {"size": (0, 2)}, None, "must be above 0"),
        ("elastic_deformation", {"grid": 1}, None, "grid 1"),
        ("segment_snippets", {}, None, r"takes clips \[B, T, H, W, C\]"),
        ("segment_snippets", {"segments": 10}, {"inputs": CLIPS}, "clips of 9 frames hold no 10"),
        ("segment_snippets", {"frames": 0}, {"inputs": CLIPS}, "both are 1 at least"),
    ],
)
def test_what_is_refused(name, fields, batch, message):
    with pytest.raises(UserError, match=message):
        run(name, batch=batch, **fields)


def test_one_frame_of_a_clip():
    one = {"segments": 1, "frames": 1}
    result = run("segment_snippets", train=False, batch={"inputs": CLIPS}, **one)["inputs"]
    np.testing.assert_array_equal(result[:, 0, 0], CLIPS[:, 4])
    same = {"inputs": np.repeat(CLIPS[:1], 100, 0)}
    found = {frame.tobytes() for frame in run("segment_snippets", batch=same, **one)["inputs"]}
    assert found == {frame.tobytes() for frame in CLIPS[0]}


def test_snippets_come_from_their_segments():
    clip = np.broadcast_to(np.arange(9).reshape(1, 9, 1, 1, 1), (200, 9, 1, 1, 1))
    batch = {"inputs": clip.astype(np.uint8)}
    found = run("segment_snippets", batch=batch, segments=3, frames=2)["inputs"][..., 0, 0, 0]
    assert found.shape == (200, 3, 2)
    assert {tuple(pair) for pair in found[:, 1]} == {(3, 4), (4, 5)}
    assert {tuple(pair) for pair in found[:, 2]} == {(6, 7), (7, 8)}
    middle = run("segment_snippets", train=False, batch=batch, segments=3)["inputs"][
        0, ..., 0, 0, 0
    ]
    np.testing.assert_array_equal(middle, [[1], [4], [7]])
    long = run("segment_snippets", batch=batch, segments=2, frames=6)["inputs"][0, ..., 0, 0, 0]
    np.testing.assert_array_equal(long[1], np.arange(3, 9))


def test_crops_of_clips_are_the_same_for_all_frames():
    still = {"inputs": np.repeat(CLIPS[:1, :1], 9, 1).repeat(64, 0)}
    found = run("clip_crop", batch=still, padding=2)["inputs"]
    assert found.shape == (64, 9, 4, 5, 1)
    np.testing.assert_array_equal(found, np.repeat(found[:, :1], 9, 1))
    assert len({clip.tobytes() for clip in found}) > 25  # of 5 x 5 places, twice
    plain = run("clip_crop", batch=still, padding=0, flip=False)["inputs"]
    np.testing.assert_array_equal(plain, still["inputs"])
    evaluated = run("clip_crop", train=False, batch=still)["inputs"]
    np.testing.assert_array_equal(evaluated, still["inputs"])


def test_border_weights_are_unets_equation_2():
    objects = np.zeros((40, 60), int)
    objects[5:35, 5:28], objects[5:35, 31:55], objects[36:39, 40:50] = 1, 2, 7
    found = border_weights(objects, balance=False)
    distances = np.stack(
        [
            np.sqrt(
                (
                    (
                        np.indices(objects.shape)[:, :, :, None]
                        - np.argwhere(objects == i).T[:, None, None]
                    )
                    ** 2
                ).sum(0)
            ).min(-1)
            for i in (1, 2, 7)
        ]
    )
    nearest_two = np.sort(distances, 0)[:2].sum(0)
    expected = 1 + np.where(objects > 0, 0, 10 * np.exp(-(nearest_two**2) / 50))
    # What lies beyond four sigma is left out: less than a thousandth of w0.
    np.testing.assert_allclose(found, expected, atol=0.01)
    assert found[20, 29] > 7
    balanced = border_weights(objects, w0=0.0)
    inside = objects > 0
    np.testing.assert_allclose(balanced[inside].sum(), balanced[~inside].sum(), rtol=1e-5)
    np.testing.assert_allclose(balanced.mean(), 1, rtol=1e-5)
    assert (border_weights(np.zeros((3, 3), int)) == 1).all()
