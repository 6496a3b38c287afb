"""Losses and metrics of segmentation, and the task: what counts, what it refuses and learns."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.metrics import confusion_matrix, f1_score, jaccard_score

from aimodels.errors import UserError
from aimodels.models import UNet
from aimodels.tasks.metrics import by_name
from aimodels.tasks.segmentation import Segmentation
from aimodels.tasks.segmentation_losses import (
    LOSSES,
    dice_loss,
    focal_loss,
    pixel_cross_entropy,
)
from aimodels.tasks.segmentation_metrics import CARRY, pixel_confusion

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(3, 5, 7, 4)).astype(np.float32)
LABELS = RNG.integers(0, 4, (3, 5, 7))
VALID = RNG.random((3, 5, 7)) > 0.2
# float32 sums of a few dozen numbers of order 1.
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def log_p():
    return np.asarray(jax.nn.log_softmax(SCORES.astype(np.float64)))


def test_cross_entropy_weighs_pixels_and_classes():
    weights, classes = RNG.random((3, 5, 7)).astype(np.float32), (0.5, 1.0, 2.0, 3.0)
    minus = -np.take_along_axis(log_p(), LABELS[..., None], -1)[..., 0]
    counts = VALID * weights * np.asarray(classes)[LABELS]
    expected = (minus * counts).sum((1, 2)) / counts.sum((1, 2))
    found = pixel_cross_entropy(SCORES, LABELS, VALID, weights, classes)
    np.testing.assert_allclose(found, expected, **CLOSE)


def test_focal_loss_is_the_papers_and_cross_entropy_without_gamma():
    logs = np.take_along_axis(log_p(), LABELS[..., None], -1)[..., 0]
    values = np.where(VALID, -((1 - np.exp(logs)) ** 2.5) * logs, 0)
    expected = values.sum((1, 2)) / VALID.sum((1, 2))
    np.testing.assert_allclose(focal_loss(SCORES, LABELS, VALID, gamma=2.5), expected, **CLOSE)
    plain = pixel_cross_entropy(SCORES, LABELS, VALID)
    np.testing.assert_allclose(focal_loss(SCORES, LABELS, VALID, gamma=0.0), plain, **CLOSE)


def test_the_focal_gradient_is_finite_where_a_pixel_is_sure():
    scores = jnp.array([[[[200.0, 0.0], [0.0, 200.0]]]])
    labels, valid = jnp.zeros((1, 1, 2), int), jnp.ones((1, 1, 2), bool)
    gradient = jax.grad(lambda s: focal_loss(s, labels, valid, gamma=0.5).sum())(scores)
    assert jnp.isfinite(gradient).all()


def test_dice_loss_is_v_nets_over_the_classes_that_are_there():
    labels = np.where(LABELS == 3, 0, LABELS)  # no class 3
    p = np.exp(log_p())
    g = np.eye(4)[labels]
    p, g = (np.where(VALID[..., None], x, 0) for x in (p, g))
    ratio = 2 * (p * g).sum((1, 2)) / ((p * p).sum((1, 2)) + (g * g).sum((1, 2)))
    expected = 1 - ratio[:, :3].mean(-1)
    np.testing.assert_allclose(dice_loss(SCORES, labels, VALID), expected, **CLOSE)


@pytest.mark.parametrize("name", LOSSES)
def test_what_does_not_count_changes_nothing(name):
    loss = LOSSES[name]
    gradient = jax.grad(lambda s, labels: loss(s, labels, VALID).sum())
    before = loss(SCORES, LABELS, VALID), gradient(SCORES, LABELS)
    spoiled = np.where(VALID[..., None], SCORES, np.nan)
    labels = np.where(VALID, LABELS, 255)
    np.testing.assert_allclose(loss(spoiled, labels, VALID), before[0], **CLOSE)
    hidden = np.where(VALID[..., None], SCORES, 1e4)
    np.testing.assert_allclose(gradient(hidden, labels), before[1], **CLOSE)
    assert not np.asarray(before[1])[~VALID].any()
    nothing = np.zeros_like(VALID)
    np.testing.assert_array_equal(loss(SCORES, LABELS, nothing), np.zeros(3))
    assert jnp.isfinite(jax.grad(lambda s: loss(s, LABELS, nothing).sum())(SCORES)).all()


def test_a_label_that_no_class_has_is_not_taken_for_another():
    labels = LABELS.copy()
    labels[0, 0, 0] = 4
    valid = np.ones_like(VALID)
    losses = pixel_cross_entropy(SCORES, labels, valid)
    assert np.isnan(losses[0])
    assert np.isfinite(losses[1:]).all()


def test_metrics_are_scikit_learns_over_whole_splits():
    task = Segmentation(model=None, optimizer=None, ignore_label=9)
    labels = np.where(VALID, LABELS, 9)
    parts = [
        task.metrics(SCORES[at], {"targets": labels[at], "mask": np.array(mask)})
        for at, mask in ((slice(0, 2), [True, True]), (slice(1, 3), [False, True]))
    ]
    found = by_name(parts[0].merge(parts[1]).compute())
    truth, predicted = LABELS[VALID], SCORES.argmax(-1)[VALID]
    expected = {
        "pixel_accuracy": (truth == predicted).mean(),
        "pixel_error": (truth != predicted).mean(),
        "miou": jaccard_score(truth, predicted, average="macro"),
        "dice": f1_score(truth, predicted, average="macro"),
        "iou/class": jaccard_score(truth, predicted, average=None),
        "confusion": confusion_matrix(truth, predicted, normalize="all"),
        "loss": np.mean(pixel_cross_entropy(SCORES, LABELS, VALID)),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, **CLOSE, err_msg=name)


def test_classes_that_never_occur_are_left_out_and_pixels_do_not_overflow():
    metric = pixel_confusion(3)
    counts = np.zeros((2, 3, 3), np.int32)
    counts[1, 0, 0], counts[1, 0, 1] = 3000, 1000  # 4 · 10⁹ pixels
    total = metric(counts=jnp.asarray(counts))
    for _ in range(4):
        more = np.zeros((2, 3, 3), np.int32)
        more[0, 0, 0] = CARRY - 1
        total = total.merge(metric(counts=jnp.asarray(more)))
    assert int(total.counts[1, 0, 0]) == 3003
    found = total.compute()
    np.testing.assert_allclose(found["miou"], (3004 / 4004) / 2, rtol=1e-3)
    assert np.isnan(found["iou/class"][2])
    assert np.isnan(pixel_confusion(3).empty().compute()["miou"])


def test_outputs_for_the_middle_are_measured_on_the_middle():
    task = Segmentation(model=None, optimizer=None)
    labels = np.full((1, 9, 11), 7)
    labels[:, 2:7, 2:9] = LABELS[:1]
    weights = np.zeros((1, 9, 11), np.float32)
    weights[:, 2:7, 2:9] = 1 + RNG.random((1, 5, 7))
    batch = {"targets": labels, "weights": weights}
    expected = pixel_cross_entropy(
        SCORES[:1], LABELS[:1], np.ones((1, 5, 7), bool), weights[:, 2:7, 2:9]
    )
    np.testing.assert_allclose(task.loss(SCORES[:1], batch), expected, **CLOSE)


@pytest.mark.parametrize(
    ("fields", "targets", "message"),
    [
        ({}, np.zeros((3, 5, 7)), "takes scores .* whole labels"),
        ({}, np.zeros((3, 5), int), r"got \(3, 5, 7, 4\) and \(3, 5\)"),
        ({}, np.zeros((3, 4, 7), int), "scores .* are larger than the labels"),
        ({"class_weights": (1.0,)}, LABELS, "1 weights for the model's 4 classes"),
    ],
)
def test_what_the_task_refuses(fields, targets, message):
    task = Segmentation(model=None, optimizer=None, **fields)
    with pytest.raises(UserError, match=message):
        task.loss(SCORES, {"targets": targets})


@pytest.mark.parametrize("loss_name", ["cross_entropy", "cross_entropy_and_dice"])
def test_memorises_a_few_images(loss_name):
    images = RNG.random((4, 16, 16, 1)).astype(np.float32)
    labels = (images[..., 0] > 0.5).astype(np.uint8)
    labels[:, :2] = 255
    model = UNet(2, base_features=8, num_levels=2, padding="same", dropout_rate=0.0)
    task = Segmentation(model=model, optimizer=optax.adam(1e-2), loss_name=loss_name)
    batch = {"inputs": images, "targets": labels}
    state = jax.jit(task.init)(jax.random.key(0), batch)

    def step(state, _):
        state, metrics = task.train_step(state, batch, jax.random.key(1))
        return state, metrics["loss"]

    state, losses = jax.jit(lambda state: jax.lax.scan(step, state, length=60))(state)
    found = by_name(jax.jit(task.eval_step)(state, batch, jax.random.key(2)).compute())
    assert losses[0] > 0.4
    assert found["pixel_accuracy"] > 0.98
    assert found["miou"] > 0.95
