"""Positions against their formulas, and what rotary positions promise."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import pullback
from torch_layout import load

from aimodels.errors import UserError
from aimodels.modules.positions import (
    LearnedPositions,
    SinusoidalPositions,
    rotate,
    sinusoidal,
)

# Angles up to 2,000 radians have 1e-4 of float32 rounding; features are of order 1.
ROTARY_TOLERANCE = {"rtol": 0, "atol": 5e-4}


def test_sinusoidal_is_the_formula_of_the_paper():
    table = np.asarray(sinusoidal(jnp.arange(40), 10))
    for position in (0, 1, 17, 39):
        for i in range(5):
            angle = position / 10_000 ** (2 * i / 10)
            # float32 angles up to 39 are exact to 4e-6
            assert math.isclose(table[position, 2 * i], math.sin(angle), abs_tol=5e-6)
            assert math.isclose(table[position, 2 * i + 1], math.cos(angle), abs_tol=5e-6)


def test_sinusoidal_module_adds_and_takes_explicit_positions():
    tokens = jax.random.normal(jax.random.key(0), (2, 6, 8))
    module = SinusoidalPositions()
    whole = module.apply({}, tokens)
    np.testing.assert_array_equal(whole, tokens + sinusoidal(jnp.arange(6), 8))
    later = module.apply({}, tokens[:, 4:], jnp.array([[4, 5], [4, 5]]))
    np.testing.assert_array_equal(later, whole[:, 4:])


def test_sinusoidal_refuses_an_odd_width():
    with pytest.raises(UserError, match="even width; width is 5"):
        sinusoidal(jnp.arange(3), 5)


def test_learned_rows_are_added_by_position():
    tokens = jax.random.normal(jax.random.key(0), (2, 3, 4))
    module = LearnedPositions(max_length=7)
    variables = module.init(jax.random.key(1), tokens)
    table = variables["params"]["embedding"]
    assert table.shape == (7, 4)
    np.testing.assert_array_equal(module.apply(variables, tokens), tokens + table[:3])
    at = jnp.array([[6, 0, 2], [1, 1, 5]])
    np.testing.assert_array_equal(module.apply(variables, tokens, at), tokens + table[at])


def test_learned_positions_refuse_more_tokens_than_rows():
    with pytest.raises(UserError, match="8 tokens, more than the 7"):
        LearnedPositions(max_length=7).init(jax.random.key(0), jnp.zeros((1, 8, 4)))


@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_rotary_equals_the_reference(layout):
    golden = load("attention", layout)

    def output(inputs):
        return rotate(inputs, golden["positions"], layout=layout)

    result, (gradient,) = pullback(output, golden["cotangent.outputs"], golden["inputs"])
    np.testing.assert_allclose(result, golden["outputs"], **ROTARY_TOLERANCE)
    np.testing.assert_allclose(gradient, golden["gradient.inputs"], **ROTARY_TOLERANCE)


@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_rotary_products_depend_on_the_distance_only(layout):
    query, key = jax.random.normal(jax.random.key(0), (2, 1, 1, 1, 8))

    def product(query_position, key_position):
        turned = rotate(query, jnp.array([query_position]), layout=layout)
        return float((turned * rotate(key, jnp.array([key_position]), layout=layout)).sum())

    for shift in (1, 20, 90):
        # angles of 100 radians are exact to 4e-6, times a product of order 10
        assert product(7 + shift, 3 + shift) == pytest.approx(product(7, 3), abs=1e-4)
    assert abs(product(7, 3) - product(3, 7)) > 1e-2  # the sign of the distance counts


def test_rotary_keeps_lengths_and_dtype():
    inputs = jax.random.normal(jax.random.key(0), (2, 5, 3, 8), jnp.bfloat16)
    turned = rotate(inputs, jnp.arange(5))
    assert turned.dtype == jnp.bfloat16
    norms = [jnp.linalg.norm(each.astype(jnp.float32), axis=-1) for each in (turned, inputs)]
    np.testing.assert_allclose(*norms, rtol=2e-2)  # bfloat16 has 8 bits
    np.testing.assert_array_equal(turned[:, 0], inputs[:, 0])  # position 0 is not turned


def test_rotary_refuses_unknown_layouts_and_odd_widths():
    inputs = jnp.zeros((1, 2, 1, 4))
    with pytest.raises(UserError, match=r"'interleave'.*Did you mean 'interleaved'"):
        rotate(inputs, jnp.arange(2), layout="interleave")
    with pytest.raises(UserError, match="even width; this one is 3"):
        rotate(inputs[..., :3], jnp.arange(2))
