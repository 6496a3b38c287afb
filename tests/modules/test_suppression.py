"""Non-maximum suppression: against torchvision and a plain loop."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_layout import load

from aimodels.modules import box_coding
from aimodels.modules.boxes import clip_boxes, iou
from aimodels.modules.suppression import detect, non_maximum_suppression


@functools.partial(jax.jit, static_argnames=("max_outputs", "threshold"))
def suppress(boxes, scores, mask=None, classes=None, *, threshold=0.5, max_outputs=None):
    return non_maximum_suppression(
        boxes, scores, threshold=threshold, mask=mask, classes=classes, max_outputs=max_outputs
    )


def places(kept, image=0):
    return np.asarray(kept.index)[image][np.asarray(kept.mask)[image]].tolist()


def plain(boxes, scores, mask, classes, threshold):
    """The definition, box by box."""
    overlaps, kept = np.asarray(iou(boxes[:, None], boxes[None])), []
    for place in np.argsort(-scores, kind="stable"):
        rivals = [other for other in kept if classes[other] == classes[place]]
        if mask[place] and not (overlaps[place, rivals] > threshold).any():
            kept.append(int(place))
    return kept


@pytest.mark.parametrize("case", ["suppression", "suppression_ties"])
def test_suppression_is_torchvisions(case):
    golden = load("boxes", case)
    boxes, scores = golden["boxes"][None], golden["scores"][None]
    for threshold in (0.1, 0.5, 0.75):
        expected = golden[f"kept.{threshold}"]
        assert 0 < len(expected) < 80
        assert places(suppress(boxes, scores, threshold=threshold)) == expected.tolist()
    kept = suppress(boxes, scores, None, golden["classes"][None], threshold=0.3)
    if case == "suppression":
        assert places(kept) == golden["by_class"].tolist()
    else:  # torchvision leaves open which of equal scores comes first here
        assert sorted(places(kept)) == sorted(golden["by_class"])
    first = suppress(boxes, scores, threshold=0.5, max_outputs=4)
    assert first.index.shape == (1, 4)
    assert places(first) == golden["kept.0.5"][:4].tolist()


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 7]))
def test_suppression_is_the_plain_loop_and_idempotent(seed, digits):
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 20, (2, 24, 2))
    boxes = np.concatenate([corner, corner + rng.integers(0, 20, (2, 24, 2))], -1)
    boxes = boxes.astype(np.float32)
    scores = rng.random((2, 24)).round(digits).astype(np.float32)
    mask, classes = rng.random((2, 24)) < 0.8, rng.integers(0, 2, (2, 24))
    kept = suppress(boxes, scores, mask, classes)
    again = np.zeros_like(mask)
    for image in range(2):
        expected = plain(boxes[image], scores[image], mask[image], classes[image], 0.5)
        assert places(kept, image) == expected
        again[image, expected] = True
    np.testing.assert_array_equal(suppress(boxes, scores, again, classes).index, kept.index)


def test_suppression_of_nothing_and_of_nan():
    boxes = np.tile(np.array([0, 0, 10, 10], np.float32), (3, 4, 1))
    scores = np.array([[1, 2, 3, 4], [np.nan, 0.1, np.nan, 0.2], [np.nan] * 4], np.float32)
    mask = np.array([[False] * 4, [True] * 4, [True] * 4])
    kept = suppress(boxes, scores, mask)
    assert [places(kept, image) for image in range(3)] == [[], [3], []]
    np.testing.assert_array_equal(kept.index[~np.asarray(kept.mask)], 0)


def test_detections_are_those_of_torchvisions_ssd():
    golden = load("boxes", "ssd")

    @jax.jit
    def found(codes, logits):
        boxes = box_coding.decode_boxes(codes, golden["anchors"], box_coding.SSD_WEIGHTS)
        return detect(
            clip_boxes(boxes, (80, 100)),
            jax.nn.softmax(logits)[..., 1:],
            score_threshold=0.2,
            iou_threshold=0.45,
            candidates=30,
            max_detections=50,
        )

    detections = jax.tree.map(np.asarray, found(golden["codes"], golden["logits"]))
    for image in range(2):
        mask = detections.mask[image]
        assert 0 < mask.sum() < 50 or len(golden[f"found.{image}.scores"]) == 50
        for ours, theirs, shift in (("scores", "scores", 0), ("classes", "labels", 1)):
            values = getattr(detections, ours)[image]
            expected = golden[f"found.{image}.{theirs}"]
            np.testing.assert_allclose(values[mask] + shift, expected, rtol=1e-5)
            assert (values[~mask] == 0).all()
        np.testing.assert_allclose(
            detections.boxes[image][mask], golden[f"found.{image}.boxes"], rtol=1e-5, atol=1e-4
        )


def test_detections_with_boxes_of_each_class_and_padding():
    boxes = np.arange(2 * 3 * 2 * 4, dtype=np.float32).reshape(2, 3, 2, 4)
    boxes[..., 2:] = boxes[..., :2] + 1
    scores = np.array([[[0.9, 0.1], [0.2, 0.8], [0.3, 0.3]]] * 2, np.float32)
    mask = np.array([[True, True, False], [False] * 3])
    found = detect(boxes, scores, mask=mask, score_threshold=0.15, max_detections=5)
    np.testing.assert_array_equal(found.mask, [[True] * 3 + [False] * 2, [False] * 5])
    np.testing.assert_array_equal(found.classes[0, :3], [0, 1, 0])
    np.testing.assert_allclose(found.scores[0, :3], [0.9, 0.8, 0.2])
    np.testing.assert_array_equal(found.boxes[0, :3], boxes[0, [0, 1, 1], [0, 1, 0]])
