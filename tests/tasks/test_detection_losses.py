"""Losses of detectors: against torchvision and PyTorch, and YOLO's against their equations."""

import functools

import jax
import numpy as np
import pytest
from compiled import pullback
from torch_layout import load

from aimodels.modules.anchors import yolo_priors
from aimodels.modules.box_coding import SSD_WEIGHTS, decode_yolo, encode_boxes
from aimodels.modules.matching import matched
from aimodels.tasks import detection_losses, yolo_losses

# Float32 against float64: some tens of roundings of 6e-8 on values up to 10.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def assert_with_gradient(function, outputs, golden, name=""):
    expected = golden[f"{name}values"]
    values, (gradient,) = pullback(function, np.ones_like(expected), outputs)
    np.testing.assert_allclose(values, expected, **CLOSE)
    np.testing.assert_allclose(gradient, golden[f"{name}gradient"], **CLOSE)


@pytest.mark.parametrize(
    ("name", "alpha", "gamma"), [("default", 0.25, 2), ("unweighted", None, 1.5)]
)
def test_focal_loss_is_torchvisions(name, alpha, gamma):
    golden = load("boxes", "focal")
    assert_with_gradient(
        lambda logits: detection_losses.sigmoid_focal_loss(
            logits, golden["targets"], alpha=alpha, gamma=gamma
        ),
        golden["logits"],
        golden,
        f"{name}.",
    )


@pytest.mark.parametrize(("name", "beta"), [("one", 1.0), ("ninth", 1 / 9), ("zero", 0.0)])
def test_smooth_l1_is_pytorchs(name, beta):
    golden = load("boxes", "smooth_l1")
    assert_with_gradient(
        lambda outputs: detection_losses.smooth_l1_loss(outputs, golden["targets"], beta=beta),
        golden["outputs"],
        golden,
        f"{name}.",
    )


def test_giou_loss_is_torchvisions():
    golden = load("boxes", "giou")
    assert (golden["values"] > 1).any()  # some don't touch
    assert_with_gradient(
        lambda boxes: detection_losses.giou_loss(boxes, golden["targets"]),
        golden["boxes"],
        golden,
    )


def test_ssd_loss_is_torchvisions_also_without_objects():
    golden = load("boxes", "ssd")
    matches = np.stack([golden["matches"], np.full_like(golden["matches"], -1)])
    boxes, classes = np.stack([golden["boxes"]] * 2), np.stack([golden["classes"]] * 2)

    def losses(logits, codes):
        targets = encode_boxes(matched(boxes, matches), golden["anchors"], SSD_WEIGHTS)
        both = detection_losses.ssd_loss(logits, codes, matched(classes, matches), targets, matches)
        count = (matches >= 0).sum()
        return tuple(each.sum() / count for each in both)

    one = np.float32(1)
    (of_classes, of_boxes), gradients = pullback(
        losses, (one, one), golden["logits"], golden["codes"]
    )
    np.testing.assert_allclose(of_classes, golden["of_classes"], **CLOSE)
    np.testing.assert_allclose(of_boxes, golden["of_boxes"], **CLOSE)
    np.testing.assert_allclose(gradients[0], golden["logits_gradient"], **CLOSE)
    np.testing.assert_allclose(gradients[1], golden["codes_gradient"], **CLOSE)


def test_hard_negatives_are_the_worst_backgrounds():
    losses = np.array([[5.0, 1, 3, 9, 3, 7], [1, 2, 3, 4, 5, 6]], np.float32)
    matches = np.array([[0, -1, -1, -2, -1, -1], [-1] * 6])
    chosen = detection_losses.hard_negatives(losses, matches, 2)
    expected = [[False, False, True, False, False, True], [False] * 6]  # of equal ones the first
    np.testing.assert_array_equal(chosen, expected)
    matches = np.array([[0, 1, 2, -1, -1, -2]])
    chosen = detection_losses.hard_negatives(losses[:1], matches)  # fewer than are wanted
    np.testing.assert_array_equal(chosen, [[False] * 3 + [True, True, False]])


BOXES = np.array([[[10, 20, 50, 40], [0, 0, 64, 64], [33, 33, 60, 62]]], np.float32)
CLASSES = np.array([[1, 0, 2]])
IMAGE = (64, 64)


def test_yolov1_targets_stand_in_their_cells():
    mask = np.array([[True, False, True]])
    codes, classes, is_target = yolo_losses.yolov1_targets(BOXES, CLASSES, mask, 2, IMAGE)
    # The first box's centre is (30, 30), the third's (46.5, 47.5).
    np.testing.assert_array_equal(is_target[0], [[True, False], [False, True]])
    np.testing.assert_array_equal([classes[0, 0, 0], classes[0, 1, 1]], [1, 2])
    sides = np.sqrt([40 / 64, 20 / 64])
    np.testing.assert_allclose(codes[0, 0, 0], [30 / 32, 30 / 32, *sides], rtol=1e-6)
    found = yolo_losses.yolov1_boxes(codes[..., None, :], IMAGE)
    np.testing.assert_allclose(found[0, [0, 1], [0, 1], 0], BOXES[0, [0, 2]], atol=1e-4)


def test_yolov1_loss_is_the_papers():
    rng = np.random.default_rng(0)
    mask = np.array([[True, False, True]])
    codes, classes, is_target = yolo_losses.yolov1_targets(BOXES, CLASSES, mask, 2, IMAGE)
    outputs = rng.uniform(0, 1, (1, 2, 2, 2 * 5 + 3)).astype(np.float32)
    loss = jax.jit(yolo_losses.yolov1_loss)(outputs, codes, classes, is_target)

    expected = dict.fromkeys(("box", "object", "no_object", "class"), 0.0)
    for row, column in np.ndindex(2, 2):
        cell = outputs[0, row, column].astype(float)
        pairs = cell[:10].reshape(2, 5)
        responsible = None
        if is_target[0, row, column]:
            target = np.asarray(codes[0, row, column], float)
            overlaps = [corner_iou(box[:4], target, row, column) for box in pairs]
            responsible = int(np.argmax(overlaps))
            box = pairs[responsible]
            expected["box"] += 5 * ((box[:4] - target) ** 2).sum()
            expected["object"] += (box[4] - overlaps[responsible]) ** 2
            wanted = np.eye(3)[classes[0, row, column]]
            expected["class"] += ((cell[10:] - wanted) ** 2).sum()
        for number, box in enumerate(pairs):
            if number != responsible:
                expected["no_object"] += 0.5 * box[4] ** 2
    assert set(loss) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(loss[name], [value], rtol=1e-5)


def corner_iou(first, second, row, column):
    """IoU of two boxes of a 2 x 2 grid, as shares of the image."""

    def corners(code):
        x, y, width, height = (
            (code[0] + column) / 2,
            (code[1] + row) / 2,
            code[2] ** 2,
            code[3] ** 2,
        )
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2

    a, b = corners(first), corners(second)
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return shared / (sum(areas) - shared)


def test_yolov3_loss_is_the_papers():
    rng = np.random.default_rng(0)
    priors = yolo_priors([(2, 2)], [32], [[(10, 20), (40, 30)]])
    outputs = rng.normal(size=(2, 8, 5 + 3)).astype(np.float32)
    targets = rng.uniform(0.1, 0.9, (2, 8, 4)).astype(np.float32)
    targets[0, 0] = np.inf  # of a place without target
    classes = rng.integers(0, 3, (2, 8))
    matches = np.array([[-1, 0, -2, 1, -1, -1, -1, 0], [-1] * 8])
    function = functools.partial(yolo_losses.yolov3_loss, priors=priors, image_size=IMAGE)
    loss = jax.jit(function)(outputs, targets, classes, matches)

    def sigmoid(x):
        return 1 / (1 + np.exp(-np.float64(x)))

    expected = {"box": np.zeros(2), "object": np.zeros(2), "class": np.zeros(2)}
    for image, place in np.ndindex(2, 8):
        raw, match = outputs[image, place], matches[image, place]
        if match == -1:
            expected["object"][image] -= np.log(1 - sigmoid(raw[4]))
        if match >= 0:
            expected["object"][image] -= np.log(sigmoid(raw[4]))
            is_class = np.arange(3) == classes[image, place]
            p = sigmoid(raw[5:])
            expected["class"][image] -= np.log(np.where(is_class, p, 1 - p)).sum()
            target = targets[image, place].astype(float)
            width, height = np.exp(target[2:]) * priors.size[place]
            difference = np.concatenate([sigmoid(raw[:2]), raw[2:4]]) - target
            expected["box"][image] += (2 - width * height / 64**2) * (difference**2).sum()
    assert expected["box"][1] == expected["class"][1] == 0 < expected["object"][1]  # no object
    for name, value in expected.items():
        np.testing.assert_allclose(loss[name], value, rtol=1e-5)
    codes = np.concatenate([sigmoid(outputs[..., :2]), outputs[..., 2:4]], -1).astype(np.float32)
    np.testing.assert_allclose(
        yolo_losses.yolov3_boxes(outputs, priors), decode_yolo(codes, priors), rtol=1e-5, atol=1e-4
    )
