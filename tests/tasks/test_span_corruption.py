"""Span corruption: an example by hand, and texts that can be put together again."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from aimodels.errors import UserError
from aimodels.models import T5
from aimodels.tasks.span_corruption import SpanCorruption, corrupt, counts, noise_mask

TINY = {"width": 8, "num_layers": 1, "num_heads": 1, "head_width": 8, "mlp_width": 8}


def test_an_example_by_hand():
    # The paper's figure 2: "Thank you <for inviting> me to your party <last> week", here with a
    # span at the end, as the authors' code always has one.
    tokens = jnp.array([10, 11, 12, 13, 14, 15, 16, 17, 18, 19])
    mask = jnp.array([0, 0, 1, 1, 0, 0, 0, 0, 1, 1], bool)
    made = corrupt(tokens, mask, noise=4, spans=2, first_sentinel=99, end=1)
    np.testing.assert_array_equal(made["inputs"], [10, 11, 99, 14, 15, 16, 17, 98, 1])
    np.testing.assert_array_equal(made["targets"], [99, 12, 13, 98, 18, 19, 1])


def test_counts_are_those_of_the_authors_code():
    # Their 568 tokens become the 512 of the inputs and the 114 of the targets.
    noise, spans = counts(568)
    assert (noise, spans) == (85, 28)
    assert (568 - noise + spans + 1, noise + spans + 1) == (512, 114)
    assert counts(2) == (1, 1)


def restored(inputs, targets, first_sentinel, end):
    """The text: each sentinel of the inputs replaced by what the targets have behind it."""
    assert inputs[-1] == targets[-1] == end
    text, number = [], 0
    targets = list(targets)
    for token in inputs[:-1]:
        if token != first_sentinel - number:
            text.append(token)
            continue
        begin = targets.index(token) + 1
        number += 1
        following = first_sentinel - number
        stop = targets.index(following) if following in targets else len(targets) - 1
        assert stop > begin
        text += targets[begin:stop]
    return text


@pytest.mark.parametrize(
    ("length", "density", "mean_span"), [(2, 0.15, 3.0), (33, 0.15, 3.0), (40, 0.5, 1.0)]
)
def test_inputs_and_targets_restore_the_text(length, density, mean_span):
    noise, spans = counts(length, density, mean_span)
    texts = np.random.default_rng(0).integers(100, size=(50, length))

    @jax.jit
    @jax.vmap
    def made(text, key):
        mask = noise_mask(key, length, noise, spans)
        fields = {"noise": noise, "spans": spans, "first_sentinel": 999, "end": 777}
        return mask, corrupt(text, mask, **fields)

    masks, sides = made(jnp.asarray(texts), jax.random.split(jax.random.key(0), 50))
    for row, mask in enumerate(np.asarray(masks)):
        assert mask.sum() == noise
        assert (np.diff(mask.astype(int), prepend=0) == 1).sum() == spans
        assert not mask[0]
        assert mask[-1]
        inputs, targets = (np.asarray(sides[name])[row] for name in ("inputs", "targets"))
        assert restored(inputs, targets, 999, 777) == texts[row].tolist()


def test_all_masks_are_equally_likely():
    # Of 6 tokens 3 in 2 spans: 2 ways to cut the text by 2 to cut the noise.
    keys = jax.random.split(jax.random.key(0), 2000)
    masks = jax.jit(jax.vmap(lambda key: noise_mask(key, 6, 3, 2)))(keys)
    kinds, found = np.unique(np.asarray(masks), axis=0, return_counts=True)
    assert len(kinds) == 4
    # 500 each, with a standard deviation of 19.
    np.testing.assert_allclose(found, 500, atol=100)


def test_a_batch_follows_from_its_key_alone():
    task = SpanCorruption(T5(30, dropout_rate=0.0, **TINY), optax.adam(1e-2), start=20, end=21)
    texts = jax.random.randint(jax.random.key(0), (3, 40), 0, 20)
    batch = {"inputs": texts, "targets": texts}
    draw = jax.jit(lambda seed: task.training_batch(batch, jax.random.key(seed)))
    first, again, other = draw(1), draw(1), draw(2)
    # 6 of 40 tokens in 2 spans.
    assert first["inputs"].shape == (3, 37)
    assert first["targets"].shape == (3, 9)
    assert (first["targets"][:, 0] == 29).all()
    np.testing.assert_array_equal(first["inputs"], again["inputs"])
    assert (first["inputs"] != other["inputs"]).any()

    @jax.jit
    def losses():
        state = task.init(jax.random.key(0), batch)
        measured = [task.eval_step(state, batch, jax.random.key(k)) for k in (0, 1)]
        state, _ = task.train_step(state, batch, jax.random.key(3))
        return [m.compute()["loss"] for m in measured], state.step

    (one, two), step = losses()
    assert one == two  # what is left out in evaluation is always the same
    assert np.isfinite(one)
    assert step == 1


def test_what_can_not_be_is_told():
    model = T5(30, **TINY)
    with pytest.raises(UserError, match="density is 1"):
        SpanCorruption(model, optax.sgd(0.1), density=1)
    with pytest.raises(UserError, match=r"mean_span is 0\.5"):
        SpanCorruption(model, optax.sgd(0.1), mean_span=0.5)
    with pytest.raises(UserError, match="without padding"):
        SpanCorruption(model, optax.sgd(0.1)).corrupted(
            {"inputs": jnp.ones((1, 4), int), "lengths": jnp.array([3])}, jax.random.key(0)
        )
