"""GPT: initial values, causality, cached decoding, sampling."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compiled import apply, init

from aimodels.errors import UserError
from aimodels.models import GPT
from aimodels.models.generation import generate

MODEL = GPT(11, width=16, num_layers=2, num_heads=2, max_length=8)
TOKENS = jax.random.randint(jax.random.key(0), (3, 8), 0, 11)
# Other orders of summation of float32 numbers of order 1.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def variables():
    return init(MODEL, TOKENS)


@pytest.fixture(scope="module")
def trained():
    """Weights that count: after token t comes (3 t + 1) % 11."""
    tokens = [jnp.arange(11)]
    for _ in range(8):
        tokens.append((3 * tokens[-1] + 1) % 11)
    tokens = jnp.stack(tokens, axis=1)
    optimizer = optax.adam(1e-2)
    variables = init(MODEL, TOKENS)

    def loss(variables):
        logits = MODEL.apply(variables, tokens[:, :-1], train=True)
        return optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]).mean()

    def step(carry, _):
        variables, state = carry
        value, gradients = jax.value_and_grad(loss)(variables)
        updates, state = optimizer.update(gradients, state)
        return (optax.apply_updates(variables, updates), state), value

    carry = (variables, optimizer.init(variables))
    (variables, _), losses = jax.jit(lambda c: jax.lax.scan(step, c, length=200))(carry)
    assert losses[0] == pytest.approx(math.log(11), abs=0.1)  # small weights: nearly uniform
    assert losses[-1] < 0.01
    return variables


def test_initial_deviations_are_nanogpts():
    params = init(GPT(65), jnp.zeros((1, 64), jnp.int32))["params"]
    block = params["decoder"]["block_3"]
    for leaf, deviation in (
        (params["embedding"]["embedding"], 0.02),
        (params["positions"]["embedding"], 0.02),
        (block["attention"]["query"]["kernel"], 0.02),
        (block["mlp"]["hidden"]["kernel"], 0.02),
        (block["attention"]["out"]["kernel"], 0.02 / math.sqrt(8)),
        (block["mlp"]["out"]["kernel"], 0.02 / math.sqrt(8)),
    ):
        # 8,192 draws or more: the deviation is known to 0.8 %
        assert float(leaf.std()) == pytest.approx(deviation, rel=0.04)
    assert "bias" not in block["mlp_norm"]
    assert "bias" not in block["mlp"]["out"]


def test_logits_do_not_see_later_tokens(variables):
    before = apply(MODEL, variables, TOKENS)
    after = apply(MODEL, variables, TOKENS.at[:, 5:].add(1))
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert (before[:, 5:] != after[:, 5:]).any(axis=-1).all()


def test_decoding_equals_the_full_forward(variables):
    full = apply(MODEL, variables, TOKENS)
    lengths = jnp.array([5, 1, 3])
    rows = jnp.arange(3)
    prompts = jnp.where(jnp.arange(5) < lengths[:, None], TOKENS[:, :5], 10)
    logits, cache = apply(
        MODEL, variables, prompts, MODEL.empty_cache(3), lengths=lengths, method="decode"
    )
    np.testing.assert_allclose(logits[rows, lengths - 1], full[rows, lengths - 1], **CLOSE)
    step = jax.jit(lambda token, cache: MODEL.apply(variables, token, cache, method="decode"))
    for time in range(3):
        at = lengths + time
        logits, cache = step(TOKENS[rows, at][:, None], cache)
        np.testing.assert_allclose(logits[:, 0], full[rows, at], **CLOSE)


def test_greedy_generation_goes_on_as_learned(trained):
    prompts = jnp.array([[4, 2, 7], [5, 5, 0]])  # the second has one valid id
    greedy = jax.jit(
        lambda lengths: generate(
            MODEL, trained, prompts, 6, jax.random.key(0), lengths=lengths, temperature=0.0
        )
    )
    expected = [[0, 1, 4, 2, 7, 0], [5, 5, 5, 5, 5, 5]]
    np.testing.assert_array_equal(greedy(jnp.array([3, 1])), expected)


def test_sampling_follows_the_probabilities(variables):
    sharp = jax.tree.map(lambda leaf: 5 * leaf, variables)
    prompts = jnp.tile(jnp.array([[1, 2, 3]]), (4000, 1))

    @jax.jit
    def draw(key, temperature):
        return generate(MODEL, sharp, prompts, 1, key, temperature=temperature)[:, 0]

    logits = apply(MODEL, sharp, prompts[:1])[0, -1]
    for temperature in (1.0, 3.0):
        tokens = draw(jax.random.key(0), temperature)
        shares = np.bincount(tokens, minlength=11) / 4000
        # 4,000 draws: a share is known to 0.008; 11 shares, 4 deviations
        np.testing.assert_allclose(shares, jax.nn.softmax(logits / temperature), atol=0.032)
    best = set(np.argsort(logits)[-2:].tolist())
    few = generate(MODEL, sharp, prompts, 1, jax.random.key(0), top_k=2)
    assert set(np.unique(few).tolist()) == best


def test_generating_more_than_the_model_can_read_is_named(variables):
    with pytest.raises(UserError, match=r"3 tokens and 7 new ones are more than .* of 8"):
        generate(MODEL, variables, TOKENS[:, :3], 7, jax.random.key(0))
