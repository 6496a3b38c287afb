"""The task of regression: which examples are wrong by more than they may be."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from aimodels.models import Linear
from aimodels.tasks.metrics import by_name
from aimodels.tasks.regression import Regression

TASK = Regression(Linear(1), optax.sgd(0.1), tolerance=0.5)


def test_wrong_are_those_that_are_as_far_off_as_the_tolerance():
    batch = {"targets": jnp.zeros(4), "mask": jnp.array([True, True, True, False])}
    outputs = jnp.array([[0.49], [-0.5], [2.0], [9.0]])
    measured = by_name(TASK.metrics(outputs, batch).compute())
    assert measured["wrong"] == pytest.approx(2 / 3)
    assert measured["mae"] == pytest.approx((0.49 + 0.5 + 2) / 3)
    # In the unit of the data, where targets were standardised.
    there = batch | {"target_std": jnp.full(4, 0.1)}
    assert by_name(TASK.metrics(outputs, there).compute())["wrong"] == 0
    # Of several numbers one is enough.
    several = Regression(Linear(2), optax.sgd(0.1), tolerance=0.5)
    pairs = several.metrics(jnp.array([[0.0, 1.0], [0.1, 0.1]]), {"targets": jnp.zeros((2, 2))})
    assert by_name(pairs.compute())["wrong"] == 0.5


def test_parts_of_a_batch_are_merged():
    targets = np.array([0.0, 1.0, 2.0])
    parts = [
        TASK.metrics(jnp.zeros((len(part), 1)), {"targets": jnp.array(part)})
        for part in (targets[:1], targets[1:])
    ]
    assert by_name(parts[0].merge(parts[1]).compute())["wrong"] == pytest.approx(2 / 3)


def test_without_a_tolerance_there_is_no_report():
    plain = Regression(Linear(1), optax.sgd(0.1))
    measured = by_name(plain.metrics(jnp.zeros((2, 1)), {"targets": jnp.zeros(2)}).compute())
    assert set(measured) == {"loss", "mse", "rmse", "mae", "r2"}
