"""Boxes, their coding, anchors and matching: against torchvision, and by their properties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch_layout import load

from aimodels.errors import UserError
from aimodels.modules import anchors, box_coding, boxes, matching

# Float32 against float64, on numbers up to 100: some roundings of 6e-8 each.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}

OVERLAPS = jax.jit(lambda a, b: (boxes.pairwise_iou(a, b), boxes.pairwise_giou(a, b)))


def some_boxes(count):
    """Boxes [count, 4] of sides of 0 to 60 in pixels of 100, halves of a pixel."""
    halves = st.integers(0, 120).map(lambda value: value / 2)
    numbers = hnp.arrays(np.float32, (count, 4), elements=halves)
    return numbers.map(lambda x: np.concatenate([x[:, :2], x[:, :2] + x[:, 2:]], 1))


def test_formats_areas_and_overlaps_are_torchvisions():
    golden = load("boxes", "overlaps")
    first, second = golden["first"], golden["second"]
    for name in ("xywh", "cxcywh"):
        converted = boxes.convert_boxes(first, "xyxy", name)
        np.testing.assert_allclose(converted, golden[name], **CLOSE)
        back = boxes.convert_boxes(converted, name, "xyxy")
        np.testing.assert_allclose(back, first, **CLOSE)
    np.testing.assert_allclose(
        boxes.convert_boxes(golden["xywh"], "xywh", "cxcywh"), golden["cxcywh"], **CLOSE
    )
    np.testing.assert_allclose(boxes.area(first), golden["area"], **CLOSE)
    overlap, generalized = OVERLAPS(first, second)
    np.testing.assert_allclose(overlap, golden["iou"], **CLOSE)
    np.testing.assert_allclose(generalized, golden["giou"], **CLOSE)
    np.testing.assert_allclose(boxes.iou(first[:5], second), np.diag(golden["iou"]), **CLOSE)
    np.testing.assert_allclose(boxes.clip_boxes(second, (60, 80)), golden["clipped"], **CLOSE)
    assert golden["large"].any()
    assert not golden["large"].all()
    np.testing.assert_array_equal(boxes.large_enough(first, 20), golden["large"])


def test_an_unknown_format_is_named():
    with pytest.raises(UserError, match=r"unknown box format 'xyhw'. Did you mean 'xywh'"):
        boxes.convert_boxes(np.zeros((1, 4)), "xyhw", "xyxy")


def test_images_of_a_batch_clip_by_their_own_sizes():
    given = np.array([[[-5.0, 10, 300, 90]], [[150, 10, 300, 90]]], np.float32)
    clipped = boxes.clip_boxes(given, np.array([[50, 200], [200, 100]]))
    np.testing.assert_array_equal(clipped[:, 0], [[0, 10, 200, 50], [100, 10, 100, 90]])
    np.testing.assert_array_equal(boxes.area(clipped)[:, 0], [8000, 0])


@settings(max_examples=50)
@given(some_boxes(6), some_boxes(6))
def test_overlaps_are_symmetric_and_bounded(first, second):
    overlap, generalized = OVERLAPS(first, second)
    turned = OVERLAPS(second, first)
    np.testing.assert_array_equal(overlap, turned[0].T)
    np.testing.assert_array_equal(generalized, turned[1].T)
    assert (overlap >= 0).all()
    assert (overlap <= 1).all()
    assert (generalized >= -1).all()
    assert (generalized <= overlap).all()
    whole = np.asarray(boxes.area(first)) > 0
    np.testing.assert_array_equal(np.diag(OVERLAPS(first, first)[0]), whole)


def test_empty_boxes_overlap_nothing_and_have_finite_gradients():
    given = np.array([[5.0, 5, 5, 5], [9, 9, 5, 5], [0, 0, 10, 10]], np.float32)
    overlap = boxes.pairwise_iou(given, given)
    np.testing.assert_array_equal(overlap, np.diag([0, 0, 1]))
    gradient = jax.grad(lambda x: boxes.pairwise_giou(x, x).sum())(given)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("name", "weights"),
    [("rpn", box_coding.FASTER_RCNN_RPN_WEIGHTS), ("ssd", box_coding.SSD_WEIGHTS)],
)
def test_coding_is_torchvisions(name, weights):
    golden = load("boxes", "coding")
    encoded = box_coding.encode_boxes(golden["boxes"], golden["anchors"], weights)
    np.testing.assert_allclose(encoded, golden[f"encoded.{name}"], rtol=1e-5, atol=1e-4)
    decoded = box_coding.decode_boxes(golden["codes"], golden["anchors"], weights)
    np.testing.assert_allclose(decoded, golden[f"decoded.{name}"], rtol=1e-5, atol=1e-4)


def sides_above_one(count):
    return some_boxes(count).map(lambda x: x + np.array([0, 0, 1, 1], np.float32))


@settings(max_examples=30)
@given(sides_above_one(5), sides_above_one(5))
def test_coding_round_trips(targets, given_anchors):
    codes = box_coding.encode_boxes(targets, given_anchors, box_coding.SSD_WEIGHTS)
    decoded = box_coding.decode_boxes(codes, given_anchors, box_coding.SSD_WEIGHTS)
    # of 180 pixels
    np.testing.assert_allclose(decoded, targets, rtol=1e-5, atol=180 * 1e-5)


def test_yolo_codes_round_trip_and_stay_in_the_cell():
    priors = anchors.yolo_priors([(2, 3), (1, 2)], [16, 32], [[(10, 20), (30, 5)], [(60, 60)]])
    assert priors.corner.shape == priors.size.shape == (2 * 3 * 2 + 2, 2)
    np.testing.assert_array_equal(priors.corner[6:8], [[0, 16]] * 2)
    np.testing.assert_array_equal(priors.size[[0, 1, -1]], [[10, 20], [30, 5], [60, 60]])
    rng = np.random.default_rng(0)
    codes = np.concatenate([rng.random((14, 2)), rng.normal(size=(14, 2))], 1).astype(np.float32)
    decoded = box_coding.decode_yolo(codes, priors)
    center = boxes.convert_boxes(decoded, "xyxy", "cxcywh")[:, :2]
    np.testing.assert_array_equal(np.floor(center / priors.stride), priors.corner / priors.stride)
    np.testing.assert_allclose(box_coding.encode_yolo(decoded, priors), codes, rtol=1e-5, atol=1e-5)


def test_codes_of_padding_are_finite():
    empty = np.zeros((1, 4), np.float32)
    anchor = np.array([[0, 0, 10, 10]], np.float32)
    assert np.isfinite(box_coding.encode_boxes(empty, anchor)).all()


def test_anchors_are_torchvisions():
    golden = load("boxes", "anchors")
    pyramid = anchors.grid_anchors((64, 96), [(8, 12), (4, 6)], [(16, 20), (32, 40)])
    np.testing.assert_array_equal(pyramid, golden["pyramid"])
    from aimodels.models import SSD300

    default = SSD300(21).default_boxes()
    assert default.shape == (8732, 4)
    np.testing.assert_allclose(default[::37], golden["default"], **CLOSE)
    with pytest.raises(UserError, match="2 feature maps, but sizes or aspect ratios for 1"):
        anchors.grid_anchors((64, 96), [(8, 12), (4, 6)], [(16,)])


def test_clusters_find_the_shapes_that_the_boxes_have():
    rng = np.random.default_rng(0)
    shapes = np.array([[10, 13], [60, 45], [150, 300]])
    sizes = np.repeat(shapes, 50, axis=0) * np.exp(rng.normal(0, 0.05, (150, 2)))
    found = anchors.cluster_anchors(sizes, 3)
    np.testing.assert_allclose(found, shapes, rtol=0.05)
    overlap = anchors.shape_iou(sizes, found).max(1).mean()
    assert overlap > anchors.shape_iou(sizes, anchors.cluster_anchors(sizes, 2)).max(1).mean()
    np.testing.assert_array_equal(found, anchors.cluster_anchors(sizes, 3))
    with pytest.raises(UserError, match="2 clusters need as many boxes of different sizes"):
        anchors.cluster_anchors(np.full((7, 2), 5.0), 2)
    with pytest.raises(UserError, match="the least side being 0"):
        anchors.cluster_anchors(np.array([[1.0, 0], [2, 2]]), 2)


RULES = {
    "rpn": lambda o, m: matching.match_by_thresholds(o, m, high=0.7, low=0.3, low_quality=True),
    "head": lambda o, m: matching.match_by_thresholds(o, m, high=0.5, low=0.5),
    "between": lambda o, m: matching.match_by_thresholds(o, m, high=0.6, low=0.4),
    "ssd": matching.match_by_best,
}


@pytest.mark.parametrize("rule", RULES)
def test_matches_are_torchvisions_whatever_the_padding(rule):
    golden = load("boxes", "matching")
    overlaps, rule_of = golden["overlaps"], jax.jit(RULES[rule])
    assert (golden[rule] >= 0).any()
    padding = np.ones((3, overlaps.shape[1]), np.float32)
    padded = np.concatenate([overlaps, padding])
    mask = np.arange(len(padded)) < len(overlaps)
    matches = rule_of(np.stack([padded, padded]), np.stack([mask, np.zeros_like(mask)]))
    np.testing.assert_array_equal(matches[0], golden[rule])
    np.testing.assert_array_equal(matches[1], np.full(overlaps.shape[1], -1))  # no object


def test_a_target_that_nothing_overlaps():
    overlaps, mask = np.zeros((1, 4), np.float32), np.ones(1, bool)
    np.testing.assert_array_equal(RULES["rpn"](overlaps, mask), [-1] * 4)
    np.testing.assert_array_equal(RULES["ssd"](overlaps, mask), [0, -1, -1, -1])


def test_yolo_gives_each_target_the_prior_of_its_cell_and_shape():
    # Four cells of 32 pixels with two priors each, and one of 64 with one.
    priors = anchors.yolo_priors([(2, 2), (1, 1)], [32, 64], [[(10, 20), (40, 30)], [(60, 60)]])
    given = np.array(
        [[40, 5, 50, 25], [0, 0, 64, 62], [33, 40, 63, 60], [30, 40, 62, 60], [70, 0, 80, 20]],
        np.float32,
    )
    mask = np.array([[True] * 5, [False, True, False, True, False], [False] * 5])
    overlaps = np.zeros((3, 5, 9), np.float32)
    overlaps[:, 4, 1], overlaps[:, 3, 0], overlaps[:, 1, 8] = 0.6, 0.5, 0.9
    matches = jax.jit(matching.match_yolo)(np.stack([given] * 3), mask, priors, overlaps)
    # The first has a small prior in the right upper cell; the second the large one; the next two
    # want the wide prior in the right lower cell, and the last is outside.
    none = -1
    np.testing.assert_array_equal(matches[0], [none, -2, 0, none, none, none, none, 3, 1])
    np.testing.assert_array_equal(matches[1], [none] * 7 + [3, 1])
    np.testing.assert_array_equal(matches[2], [none] * 9)


def test_matched_values():
    matches = np.array([[1, -1, 0], [-2, -1, -1]])
    values = np.array([[[1.0, 2], [3, 4]], [[5, 6], [7, 8]]])
    np.testing.assert_array_equal(
        matching.matched(values, matches), [[[3, 4], [0, 0], [1, 2]], [[0, 0]] * 3]
    )
    np.testing.assert_array_equal(
        matching.matched(np.array([[5, 6], [7, 8]]), matches, 9), [[6, 9, 5], [9, 9, 9]]
    )


@pytest.mark.parametrize(
    ("positives", "negatives", "ignored", "expected"),
    [(20, 70, 10, (8, 24)), (3, 90, 7, (3, 29)), (0, 100, 0, (0, 32)), (40, 5, 55, (8, 5))],
)
def test_samples_are_random_disjoint_and_fill_up(positives, negatives, ignored, expected):
    rng = np.random.default_rng(0)
    counts = [positives, negatives, ignored]
    matches = rng.permutation(np.repeat(np.array([4, -1, -2]), counts))
    batch = np.stack([matches] * 40)
    draw = jax.jit(lambda key: matching.sample(key, batch, 32, 0.25))
    samples = jax.tree.map(np.asarray, draw(jax.random.key(0)))
    assert samples.index.shape == (40, 32)
    seen = np.zeros((40, 100), int)
    for index, mask, positive, count in zip(
        samples.index, samples.mask, samples.positive, seen, strict=True
    ):
        assert (positive.sum(), (mask & ~positive).sum()) == expected
        np.add.at(count, index[mask], 1)
        np.testing.assert_array_equal(matches[index[positive]], 4)
        np.testing.assert_array_equal(matches[index[mask & ~positive]], -1)
    assert seen.max() == 1
    for kind, wanted, total in ((4, expected[0], positives), (-1, expected[1], negatives)):
        if 0 < wanted < total:  # each is taken sometimes; the seed is fixed
            rates = seen[:, matches == kind].mean(0)
            assert rates.min() > 0
            assert rates.max() < 1
    assert (np.asarray(draw(jax.random.key(1)).index) != samples.index).any()
    assert jnp.array_equal(draw(jax.random.key(0)).index, samples.index)
