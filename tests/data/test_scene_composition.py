"""Composed scenes: pure, exact boxes and masks, objects that stay visible."""

import hashlib

import numpy as np
import pytest

from aimodels.data.scene_composition import LEAST_VISIBLE, MOST_OBJECTS, box_of, compose


def draw(seed):
    return np.random.RandomState(np.random.Philox(key=[7, seed]))


@pytest.fixture(scope="module")
def stamps():
    """Two classes: red discs and green bars, opaque, of several sizes."""
    found = [[], []]
    for size in (20, 40, 90):
        y, x = np.indices((size, size)) - (size - 1) / 2
        disc = np.zeros((size, size, 4), np.uint8)
        disc[x**2 + y**2 <= (size / 2) ** 2] = (220, 10, 10, 255)
        found[0].append(disc)
        bar = np.zeros((size, size // 3, 4), np.uint8)
        bar[:] = (10, 220, 10, 255)
        found[1].append(bar)
    return found


@pytest.fixture(scope="module")
def photos():
    return [np.full((70, 90, 3), 128, np.uint8), np.full((50, 50, 3), 100, np.uint8)]


def test_a_scene_is_a_function_of_its_draws(stamps, photos):
    first, again, other = (compose(draw(seed), stamps, photos, 64) for seed in (3, 3, 4))
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name])
    assert (first["inputs"] != other["inputs"]).any()


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (3, "9afd7a1a63eeb3e61ff865a3d67da9d4a025486c07dddffeac492844aab7f33e"),
        (4, "055891afaebf2c34230a4656ed6e8c2e970f56d1a1f941d3eb3d03b7dfdf4999"),
    ],
)
def test_the_recipe_is_frozen(stamps, photos, seed, expected):
    """Another digest is another data set: then `aimodels.data.scenes.VERSION` counts on.

    It depends on the resizing and rotation of Pillow and on NumPy, whose versions are pinned.
    """
    made = compose(draw(seed), stamps, photos, 64)
    digest = hashlib.sha256()
    for name in ("inputs", "boxes", "labels", "targets"):
        digest.update(made[name].tobytes())
    assert digest.hexdigest() == expected


def test_boxes_masks_and_labels_say_the_same(stamps, photos):
    counts, sizes = set(), []
    for seed in range(40):
        made = compose(draw(seed), stamps, photos, 64)
        assert made["inputs"].shape == (64, 64, 3)
        assert made["inputs"].dtype == made["targets"].dtype == np.uint8
        assert made["boxes"].dtype == np.float32
        assert made["labels"].dtype == np.int32
        there = made["labels"] >= 0
        number = there.sum()
        counts.add(int(number))
        assert there[:number].all()  # those that are there come first
        assert not made["boxes"][~there].any()
        boxes = made["boxes"][there].astype(int)
        sizes += [*(boxes[:, 2:] - boxes[:, :2]).max(1)]
        assert (boxes >= 0).all()
        assert (boxes <= 64).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        # Every pixel of a class lies in a box of it, and every side of a box touches one.
        for label in range(2):
            seen = made["targets"] == label + 1
            covered = np.zeros((64, 64), bool)
            for left, top, right, bottom in boxes[made["labels"][there] == label]:
                covered[top:bottom, left:right] = True
                part = seen[top:bottom, left:right]
                assert part[0].any()
                assert part[-1].any()
                assert part[:, 0].any()
                assert part[:, -1].any()
            assert not (seen & ~covered).any()
        if number == 1:
            assert (box_of(made["targets"] > 0) == boxes[0]).all()
    assert counts >= set(range(1, MOST_OBJECTS - 1))
    assert min(sizes) < 20 < 35 < max(sizes)  # 0.2 to 0.65 of the side


def test_what_is_solid_has_the_objects_colour(stamps, photos):
    made = compose(draw(1), stamps, photos, 64)
    for label, channel in ((0, 0), (1, 1)):
        pixels = made["inputs"][made["targets"] == label + 1].astype(int)
        if len(pixels):
            # Light, contrast and noise change the colour, but not which of the three is brightest;
            # at an edge the photograph shines through.
            assert (pixels.argmax(1) == channel).mean() > 0.9


def test_objects_stay_visible(photos):
    """Squares of one class that have no hole: what is seen of each is a large share of it."""
    square = np.full((30, 30, 4), 255, np.uint8)
    for seed in range(20):
        made = compose(draw(seed), [[square]], photos, 64)
        there = made["labels"] >= 0
        boxes = made["boxes"][there]
        # Turned squares are at most √2 as wide, so an object's area is half of its whole box's.
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        assert (areas >= LEAST_VISIBLE * 0.2**2 * 64**2 * 0.8).all()
