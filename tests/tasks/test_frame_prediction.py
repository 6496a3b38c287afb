"""Prediction of frames: the likelihood of a frame by hand, frames alike."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from aimodels.models import RecurrentClassifier
from aimodels.tasks.frame_prediction import FramePrediction
from aimodels.tasks.metrics import by_name

TASK = FramePrediction(RecurrentClassifier(2, 2, readout="each"), optax.sgd(0.1))
OUTPUTS = jnp.array([[[1.0, -2.0], [0.5, 0.0]], [[3.0, 3.0], [9.0, 9.0]]])
BATCH = {"targets": jnp.array([[[1, 0], [0, 1]], [[1, 0], [0, 0]]]), "lengths": jnp.array([2, 1])}


def nats(logit, bit):
    return np.log1p(np.exp(-logit if bit else logit))


FRAMES = [
    nats(1, 1) + nats(-2, 0),
    nats(0.5, 0) + nats(0, 1),
    nats(3, 1) + nats(3, 0),
]


def test_a_loss_is_the_mean_over_an_examples_frames():
    losses = TASK.loss(OUTPUTS, BATCH)
    np.testing.assert_allclose(losses, [(FRAMES[0] + FRAMES[1]) / 2, FRAMES[2]], rtol=1e-6)


def test_all_frames_count_alike():
    computed = by_name(TASK.metrics(OUTPUTS, BATCH).compute())
    assert computed == {
        "loss": pytest.approx(sum(FRAMES) / 3),
        "log_likelihood": pytest.approx(-sum(FRAMES) / 3),
    }
    masked = TASK.metrics(OUTPUTS, BATCH | {"mask": jnp.array([False, True])}).compute()
    assert masked["loss"] == pytest.approx(FRAMES[2])
