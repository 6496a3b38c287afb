"""Answers of sequences: which places count, and what is right."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from aimodels.models import RecurrentClassifier
from aimodels.tasks.metrics import by_name
from aimodels.tasks.sequence_answers import SequenceAnswers

TASK = SequenceAnswers(RecurrentClassifier(2, 2, readout="each"), optax.sgd(0.1))
BATCH = {
    "targets": jnp.array([[9, 0, 1, 9], [9, 9, 1, 1], [0, 9, 9, 9]]) % 9,
    "answer_starts": jnp.array([1, 2, 0]),
    "answer_ends": jnp.array([3, 4, 1]),
}
# The first is right at both places, the second at one, the third at its only one.
BEST = jnp.array([[1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 1, 1]])
OUTPUTS = jnp.where(BEST[..., None] == jnp.arange(2), 2.0, 0.0)
RIGHT, WRONG = np.log1p(np.exp(-2)), np.log1p(np.exp(2))


def test_the_loss_is_the_mean_over_the_places_of_an_answer():
    losses = TASK.loss(OUTPUTS, BATCH)
    np.testing.assert_allclose(losses, [RIGHT, (RIGHT + WRONG) / 2, RIGHT], rtol=1e-6)
    assert TASK.train_metrics(OUTPUTS, BATCH)["accuracy"] == pytest.approx(2.5 / 3)


def test_metrics_are_of_examples_that_count():
    measured = TASK.metrics(OUTPUTS, BATCH | {"mask": jnp.array([True, True, False])})
    computed = by_name(measured.compute())
    assert computed == {
        "loss": pytest.approx((RIGHT + (RIGHT + WRONG) / 2) / 2),
        "accuracy": pytest.approx(0.75),
        "exact": pytest.approx(0.5),
    }
    whole = by_name(TASK.metrics(OUTPUTS, BATCH).compute())
    assert whole["exact"] == pytest.approx(2 / 3)
