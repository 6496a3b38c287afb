"""Dropout: rates that are numbers or traced, its mean, its gradient at the ends."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aimodels.errors import UserError
from aimodels.modules import Dropout

INPUTS = jnp.arange(1.0, 20_001.0).reshape(100, 200) / 10_000


def dropped(rate, key=0, inputs=INPUTS, **fields):
    rngs = {"dropout": jax.random.key(key)}
    return Dropout(rate, deterministic=False, **fields).apply({}, inputs, rngs=rngs)


def test_equals_flaxs_for_the_same_key():
    rngs = {"dropout": jax.random.key(0)}
    theirs = nn.Dropout(0.3, deterministic=False).apply({}, INPUTS, rngs=rngs)
    np.testing.assert_allclose(dropped(0.3), theirs, rtol=1e-6)  # x · (1/k) or x / k: one rounding


def test_traced_rate_equals_the_number_and_may_vary_under_vmap():
    rates = jnp.array([0.0, 0.1, 0.5, 1.0])
    swept = jax.jit(jax.vmap(dropped))(rates)
    for rate, row in zip((0.0, 0.1, 0.5, 1.0), swept, strict=True):
        np.testing.assert_allclose(row, dropped(rate), rtol=1e-6)  # one rounding of 1 / keep


@pytest.mark.parametrize("rate", [0.1, 0.8])
def test_zeros_have_their_rate_and_the_mean_stays(rate):
    outputs = dropped(rate)
    # 20,000 draws: the share of zeros has a deviation below 0.0036; five of them.
    assert abs(np.mean(outputs == 0) - rate) < 0.018
    # Relative deviation of the mean: √(rate / (1 - rate) · E[x²] / E[x]² / 20,000) <= 0.017.
    assert abs(np.mean(outputs) / np.mean(INPUTS) - 1) < 0.08


def test_gradient_is_the_mask_and_finite_when_everything_is_dropped():
    gradient = jax.grad(lambda x: dropped(jnp.float32(0.5), inputs=x).sum())(INPUTS)
    np.testing.assert_array_equal(gradient, np.where(dropped(0.5) == 0, 0.0, 2.0))
    for rate in (1.0, jnp.float32(1.0)):
        gradient = jax.grad(lambda x, rate=rate: dropped(rate, inputs=x).sum())(INPUTS)
        np.testing.assert_array_equal(gradient, np.zeros_like(INPUTS))


def test_broadcast_dims_share_one_mask():
    is_zero = np.asarray(dropped(0.5, inputs=jnp.ones((4, 30, 8)), broadcast_dims=(1,)) == 0)
    assert np.all(is_zero == is_zero[:, :1])
    assert 0 < is_zero.mean() < 1


def test_deterministic_or_a_zero_rate_needs_no_key():
    for module, deterministic in ((Dropout(0.5), True), (Dropout(0.0), False)):
        np.testing.assert_array_equal(module.apply({}, INPUTS, deterministic=deterministic), INPUTS)


def test_keeps_dtype():
    assert dropped(0.5, inputs=INPUTS.astype(jnp.bfloat16)).dtype == jnp.bfloat16


@pytest.mark.parametrize("rate", [-0.1, 1.5, 2])
def test_a_rate_that_is_no_probability_is_an_error(rate):
    with pytest.raises(UserError, match="from 0 to 1"):
        dropped(rate)
