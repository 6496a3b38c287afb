"""Sequences cut to what a batch needs: the same losses and gradients, fewer computations."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from aimodels.errors import UserError
from aimodels.models import RecurrentClassifier
from aimodels.tasks.classification import Classification
from aimodels.tasks.sequence_classification import SequenceClassification

MODEL = RecurrentClassifier(4, 3, cell="gru", vocabulary=9, embedding_features=5, readout="mean")
KEY = jax.random.key(0)


def batch(lengths):
    ids = jax.random.randint(KEY, (len(lengths), 12), 0, 9)
    targets = jnp.arange(len(lengths)) % 3
    return {"inputs": ids, "lengths": jnp.array(lengths), "targets": targets}


def made(cls, **fields):
    return cls(MODEL, optax.sgd(0.1), **fields)


PLAIN, CUT = made(Classification), made(SequenceClassification, bucket_lengths=(8, 4, 99))


@jax.jit
def both(state, data):
    """What each task learns from a batch, and the loss that it measures."""
    return [
        (
            task.train_step(state, data, KEY),
            task.eval_step(state, data, KEY),
        )
        for task in (CUT, PLAIN)
    ]


@pytest.mark.parametrize("lengths", [(1, 3, 4), (5, 2, 4), (8, 1, 1), (9, 3, 2), (12, 12, 12)])
def test_it_learns_and_measures_as_without(lengths):
    state = jax.jit(PLAIN.init)(KEY, batch(lengths))
    ((after, metrics), measured), ((expected, wanted), known) = both(state, batch(lengths))
    # Sums over time of other lengths in float32.
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7),
        (after.params, metrics["loss"], measured.compute()["loss"]),
        (expected.params, wanted["loss"], known.compute()["loss"]),
    )


def test_a_short_batch_is_computed_at_a_short_length():
    seen = []

    class Spy(SequenceClassification):
        def keywords(self, batch):
            seen.append(batch["inputs"].shape[1])
            return super().keywords(batch)

    task = made(Spy, bucket_lengths=(4, 8))
    state = jax.eval_shape(PLAIN.init, KEY, batch((2, 2, 2)))
    lowered = jax.jit(task.train_step).lower(state, batch((2, 2, 2)), KEY)
    assert set(seen) == {4, 8, 12}
    assert "stablehlo.case" in lowered.as_text()  # one of the three runs


def test_mistakes_are_told():
    with pytest.raises(UserError, match="lengths of 1 or more"):
        made(SequenceClassification, bucket_lengths=(0, 4))
    task = made(SequenceClassification, bucket_lengths=(4,))
    state = jax.eval_shape(PLAIN.init, KEY, batch((2, 2, 2)))
    without = {name: value for name, value in batch((2, 2, 2)).items() if name != "lengths"}
    with pytest.raises(UserError, match="no lengths"):
        jax.eval_shape(task.train_step, state, without, KEY)
