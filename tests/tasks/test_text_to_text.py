"""Text to text: whole texts that are right, and decoders that read what they write themselves."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from aimodels.errors import UserError
from aimodels.models import RecurrentEncoderDecoder
from aimodels.models.encoder_decoder import shifted_right
from aimodels.tasks.text_to_text import TextToText

MODEL = RecurrentEncoderDecoder(7, attention="none", features=8)
TARGETS = jnp.array([[3, 4, 1, 0], [5, 1, 0, 0], [2, 6, 3, 1]])
BATCH = {
    "inputs": jnp.array([[2, 3, 4], [5, 0, 0], [2, 2, 0]]),
    "lengths": jnp.array([3, 1, 2]),
    "targets": TARGETS,
    "target_lengths": jnp.array([3, 2, 4]),
}


def test_exact_is_the_share_of_targets_that_are_right_up_to_their_ends():
    task = TextToText(MODEL, optax.sgd(0.1))
    # The first is right but for what stands behind its end, the second has another end.
    best = jnp.array([[3, 4, 1, 6], [5, 2, 0, 0], [2, 6, 3, 1]])
    outputs = jax.nn.one_hot(best, 7)
    assert task.metrics(outputs, BATCH).compute()["exact"] == pytest.approx(2 / 3)
    masked = BATCH | {"mask": jnp.array([True, True, False])}
    assert task.metrics(outputs, masked).compute()["exact"] == pytest.approx(1 / 2)
    whole = {name: BATCH[name] for name in ("inputs", "targets")}
    assert task.metrics(outputs, whole).compute()["exact"] == pytest.approx(1 / 3)


@pytest.fixture(scope="module")
def state():
    task = TextToText(MODEL, optax.sgd(0.1))
    return jax.jit(lambda key: task.init(key, BATCH))(jax.random.key(0))


def gradients(state, batch, **fields):
    task = TextToText(MODEL, optax.sgd(0.1), **fields)
    return jax.jit(task._gradients)(state, batch, jax.random.key(5))[0]


@pytest.mark.parametrize("buckets", [(), (4,)])
def test_without_a_teacher_the_decoder_reads_what_it_writes(state, buckets):
    task = TextToText(MODEL, optax.sgd(0.1))
    # Word by word, each with all that was written before it.
    written = np.zeros((3, 4), np.int32)
    read = jax.jit(lambda ids: task.predict(state, BATCH | {"decoder_inputs": ids}))
    for place in range(4):
        logits = read(shifted_right(jnp.asarray(written), 0))
        written[:, place] = logits[:, place].argmax(-1)
        ended = (written[:, :place] == 1).any(1)
        written[ended, place] = 1
    assert (written != TARGETS).any()
    expected = gradients(state, BATCH | {"decoder_inputs": shifted_right(jnp.asarray(written), 0)})
    found = gradients(state, BATCH, teacher_forcing=0.0, bucket_lengths=buckets)
    # The same sums, compiled in another program.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), found, expected
    )
    taught = gradients(state, BATCH)
    differences = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), found, taught)
    assert max(jax.tree.leaves(differences)) > 1e-4


def test_a_teacher_is_there_as_often_as_asked_for(state):
    """Of many examples alike, the gradient is that share of the one and of the other."""
    many = jax.tree.map(lambda leaf: jnp.repeat(leaf[:1], 1000, 0), BATCH)
    taught = gradients(state, many)
    alone = gradients(state, many, teacher_forcing=0.0)
    mixed = gradients(state, many, teacher_forcing=0.75)
    bias = lambda tree: tree["head"]["bias"]  # noqa: E731
    share = (bias(mixed) - bias(alone)) / (bias(taught) - bias(alone))
    # The standard deviation of a share of 1,000 coins is 0.014.
    np.testing.assert_allclose(share, 0.75, atol=0.06)


def test_a_share_is_a_share():
    with pytest.raises(UserError, match=r"teacher_forcing is 1\.5; it takes 0 to 1"):
        TextToText(MODEL, optax.sgd(0.1), teacher_forcing=1.5)


def test_a_target_may_be_longer_than_its_source():
    # SCAN's commands have 9 words, their actions are 49 with the end.
    model = RecurrentEncoderDecoder(7, attention="none", features=8, max_length=49)
    task = TextToText(model, optax.sgd(0.1), end=6)
    sources = {"inputs": jnp.ones((2, 9), jnp.int32), "lengths": jnp.array([9, 4])}
    targets = {"targets": jnp.ones((2, 49), jnp.int32), "target_lengths": jnp.array([49, 9])}
    state = jax.jit(lambda key: task.init(key, sources | targets))(jax.random.key(0))
    params = jax.tree.map(jnp.zeros_like, state.params)
    # All tokens are alike: the first is taken, and the end never comes.
    found = task.predict(dataclasses.replace(state, params=params), sources)
    assert found.shape == (2, 49)
