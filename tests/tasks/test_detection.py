"""Tasks of detection: what they learn is what they decode; each learns a few pictures by heart."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny_detectors import SIZE, Compiled, TinyTrunk, TinyYOLOv1, pictures, unit

from aimodels import models
from aimodels.errors import UserError
from aimodels.models import backbones
from aimodels.models.ssd import SSDOutputs
from aimodels.modules.box_coding import SSD_WEIGHTS, encode_boxes, encode_yolo
from aimodels.modules.boxes import pairwise_iou
from aimodels.modules.matching import match_by_best, match_yolo, matched
from aimodels.tasks.detection import (
    SSDDetection,
    YOLOv1Detection,
    YOLOv3Detection,
    targets_of,
)
from aimodels.tasks.faster_rcnn import FasterRCNNDetection
from aimodels.tasks.metrics import by_name

BATCH = pictures()
KEY = jax.random.key(1)


@pytest.fixture(autouse=True)
def _prepared(monkeypatch):
    pytest.importorskip("pycocotools")  # the extra `detection`
    monkeypatch.setitem(backbones.BACKBONES, "tiny", TinyTrunk)


def ssd():
    ratios, scales = ((2,),) * 3, (0.2, 0.3, 0.45, 0.7)
    return models.SSD(3, "tiny", extra_features=(), aspect_ratios=ratios, scales=scales)


def yolov3():
    priors = (((12, 16), (18, 18)), ((12, 26), (24, 24)), ((32, 32), (48, 48)))
    return models.YOLOv3(2, priors=priors, backbone="tiny", neck_features=(16, 16, 16))


def faster_rcnn():
    return models.FasterRCNN(
        3,
        "tiny",
        levels=("c3", "c4"),
        extra_level=False,
        features=16,
        anchor_sizes=((16,), (24,)),
        hidden_features=32,
        output_size=3,
        candidates=(32, 32),
        proposals=(24, 16),
        sampled_anchors=32,
        sampled_regions=16,
    )


OPTIMIZER = optax.adam(5e-3)
STEPS = 120


def tasks():
    return {
        "ssd": SSDDetection(ssd(), OPTIMIZER, unit),
        "yolov1": YOLOv1Detection(TinyYOLOv1(), OPTIMIZER, unit),
        "yolov3": YOLOv3Detection(yolov3(), OPTIMIZER, unit),
        "faster_rcnn": FasterRCNNDetection(faster_rcnn(), OPTIMIZER, unit),
    }


@functools.cache
def compiled(name):
    return Compiled(tasks()[name])


def figures_of(collection):
    return jax.tree.map(np.asarray, by_name(collection.compute()))


@pytest.mark.parametrize("name", ["ssd", "yolov1", "yolov3", "faster_rcnn"])
def test_a_few_pictures_are_learned_by_heart(name):
    """An image without objects among them: it must not become NaN, nor find anything."""
    state, losses = compiled(name).trained(BATCH, steps=STEPS)
    assert all(np.isfinite(value) for step in losses for value in step.values())
    assert losses[-1]["loss"] < 0.3 * losses[0]["loss"]
    found, collection = compiled(name).found(state, BATCH)
    figures = figures_of(collection)
    assert figures["mAP@0.5"] > 0.95
    assert figures["AP@0.5/class"].shape == (2,)
    sure = found.mask & (found.scores > 0.5)
    # Both objects of each picture, and none where there is none; precision says the rest.
    assert (sure.sum(1)[:-1] >= 2).all()
    assert not sure[-1].any()
    assert (found.boxes >= 0).all()
    assert (found.boxes <= SIZE).all()


def test_ssd_decodes_what_it_learns():
    """Outputs that are their own targets: no loss of boxes, and every target is found."""
    task = tasks()["ssd"]

    @jax.jit
    def perfect(batch):
        anchors = jnp.asarray(task.model.default_boxes((SIZE, SIZE)))
        boxes, labels = targets_of(batch)
        matches = match_by_best(pairwise_iou(boxes, anchors), labels >= 0)
        codes = encode_boxes(matched(boxes, matches), anchors, SSD_WEIGHTS)
        classes = jax.nn.one_hot(matched(labels + 1, matches), 3)
        codes = jnp.where((matches >= 0)[..., None], codes, 0)
        outputs = SSDOutputs(logits=20 * classes, codes=codes)
        return task.losses(outputs, batch), task.metrics(outputs, batch)

    losses, collection = perfect(BATCH)
    # Both are sums of some tens of roundings of logarithms and differences.
    np.testing.assert_allclose(losses["box"], 0, atol=1e-4)
    np.testing.assert_allclose(losses["class"], 0, atol=1e-4)
    assert figures_of(collection)["mAP"] > 0.99


def test_yolov3_decodes_what_it_learns():
    task = tasks()["yolov3"]

    @jax.jit
    def perfect(batch):
        priors = task.model.yolo_priors((SIZE, SIZE))
        boxes, labels = targets_of(batch)
        matches = match_yolo(boxes, labels >= 0, priors)
        codes = encode_yolo(matched(boxes, matches), priors)
        place = jnp.clip(codes[..., :2], 1e-4, 1 - 1e-4)
        there = matches >= 0
        classes = jax.nn.one_hot(matched(labels, matches), 2)
        logits = jnp.where(classes > 0, 15.0, -15.0)
        objects = jnp.where(there, 15.0, -15.0)[..., None]
        places = jnp.log(place / (1 - place))
        outputs = jnp.concatenate([places, codes[..., 2:], objects, logits], -1)
        nothing = jnp.array([0, 0, 0, 0, -15.0, 0, 0])
        outputs = jnp.where(there[..., None], outputs, nothing)
        return task.losses(outputs, batch), task.metrics(outputs, batch)

    losses, collection = perfect(BATCH)
    for part in losses.values():
        np.testing.assert_allclose(part, 0, atol=1e-3)
    assert figures_of(collection)["mAP"] > 0.99


@pytest.mark.parametrize("name", ["ssd", "yolov1", "yolov3", "faster_rcnn"])
def test_a_batch_without_any_object_has_a_finite_loss_and_gradient(name):
    empty = BATCH | {"labels": np.full_like(BATCH["labels"], -1), "boxes": 0 * BATCH["boxes"]}
    state = compiled(name).init(KEY, empty)
    after, metrics = compiled(name).train_step(state, empty, KEY)
    assert all(np.isfinite(v) for k, v in metrics.items() if k.endswith("loss"))
    assert metrics["box_loss"] == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after.params))


def test_bad_boxes_teach_nothing():
    """Boxes outside the image, turned inside out, or of a crowd, are no targets."""
    boxes = np.array([[[5, 5, 20, 20], [70, 5, 90, 20], [30, 30, 20, 40], [-9, 50, 9, 80]]])
    batch = {
        "inputs": BATCH["inputs"][:1],
        "boxes": boxes,
        "labels": np.array([[1, 1, 0, 0]]),
        "crowd": np.array([[True, False, False, False]]),
    }
    kept, labels = targets_of(batch)
    np.testing.assert_array_equal(labels, [[-1, -1, -1, 0]])
    np.testing.assert_array_equal(kept[0], [[0] * 4] * 3 + [[0, 50, 9, 64]])
    np.testing.assert_array_equal(targets_of(batch, crowds=True)[1], [[1, -1, -1, 0]])


def test_a_batch_without_boxes_is_refused():
    with pytest.raises(UserError, match=r"'boxes' and 'labels'.*have 'inputs', 'targets'"):
        targets_of({"inputs": BATCH["inputs"], "targets": np.zeros(6)})


def test_outputs_that_are_no_numbers_find_nothing():
    task = tasks()["ssd"]
    shapes = jax.eval_shape(task.model.init, KEY, jnp.zeros((1, SIZE, SIZE, 3)))
    outputs = jax.eval_shape(task.model.apply, shapes, jnp.zeros((2, SIZE, SIZE, 3)))
    nothing = jax.tree.map(lambda leaf: jnp.full(leaf.shape, jnp.nan), outputs)
    found = jax.jit(lambda outputs: task.detections(outputs, (SIZE, SIZE)))(nothing)
    assert not found.mask.any()


def test_the_figures_by_size_are_given_when_asked_for():
    outputs = SSDOutputs(logits=jnp.zeros((6, 336, 3)), codes=jnp.zeros((6, 336, 4)))
    by_size = SSDDetection(ssd(), OPTIMIZER, unit, by_size=True)
    names = [
        set(figures_of(jax.jit(task.metrics)(outputs, BATCH))) for task in (tasks()["ssd"], by_size)
    ]
    assert names[1] - names[0] == {
        "mAP/small",
        "mAP/medium",
        "mAP/large",
        "recall@1",
        "recall@10",
    }
