"""Targets that are shares of the classes: the loss is theirs, metrics take the largest."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from aimodels.config import call_section, named_section
from aimodels.data.transforms import Pipeline
from aimodels.errors import UserError
from aimodels.models import Linear
from aimodels.tasks.classification import Classification

OUTPUTS = jnp.array([[2.0, 0.0, -1.0], [0.0, 1.0, 3.0]])
SHARES = jnp.array([[0.7, 0.3, 0.0], [0.2, 0.5, 0.3]])


def task(*steps, **fields):
    return Classification(Linear(3), optax.sgd(0.1), Pipeline(steps), **fields)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_against_shares_and_smooths_them(smoothing):
    loss = task(label_smoothing=smoothing).loss(OUTPUTS, {"targets": SHARES})
    wanted = (1 - smoothing) * SHARES + smoothing / 3
    expected = -(wanted * jax.nn.log_softmax(OUTPUTS)).sum(-1)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)  # float32, another order


def test_metrics_take_the_largest_share():
    batch = {"inputs": OUTPUTS, "targets": SHARES, "mask": jnp.array([True, True])}
    found = task(top_k=(2,)).metrics(OUTPUTS, batch).compute()
    assert found["confusion"]["accuracy"] == 0.5
    assert found["top_2_accuracy"] == 1.0
    assert task().train_metrics(OUTPUTS, batch)["accuracy"] == 0.5
    hard = task().metrics(OUTPUTS, batch | {"targets": jnp.array([0, 1])}).compute()
    np.testing.assert_allclose(found["nll"], hard["nll"])
    np.testing.assert_allclose(found["loss"], task().loss(OUTPUTS, batch).mean(), rtol=1e-6)


def test_other_losses_take_none():
    with pytest.raises(UserError, match="whole class ids"):
        task(loss_name="hinge").loss(OUTPUTS, {"targets": SHARES})
    labels = {"targets": jnp.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])}  # not shares: three labels
    loss = task(loss_name="binary_cross_entropy").loss(OUTPUTS, labels)
    expected = optax.losses.sigmoid_binary_cross_entropy(OUTPUTS, labels["targets"]).mean(-1)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_a_step_with_mixup_trains_on_ids():
    section = named_section("transform", {"name": "mixup", "num_classes": 3}, "transforms")
    mixing = task(call_section("transform", section), label_smoothing=0.1)
    batch = {
        "inputs": jnp.eye(6),
        "targets": jnp.array([0, 1, 2, 0, 1, 2]),
        "mask": jnp.ones(6, bool),
    }
    state = mixing.init(jax.random.key(0), batch)
    step = jax.jit(mixing.train_step)
    losses = []
    for number in range(30):
        state, metrics = step(state, batch, jax.random.key(number))
        losses.append(float(metrics["loss"]))
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert (
        mixing.eval_step(state, batch, jax.random.key(0)).compute()["confusion"]["accuracy"] > 0.3
    )
