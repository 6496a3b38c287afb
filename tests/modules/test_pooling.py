"""Pooling against PyTorch, ties and padding included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import pullback
from torch_layout import load

from aimodels.errors import UserError
from aimodels.modules import avg_pool, max_pool

CLOSE = {"rtol": 1e-6, "atol": 1e-6}  # means of at most 9 float32 values of order 1


def channels_last(array):
    return np.moveaxis(array, 1, -1)


@pytest.mark.parametrize(
    ("case", "pool"),
    [
        ("max_pool", lambda x: max_pool(x, (2, 2))),
        ("max_pool_overlapping", lambda x: max_pool(x, (3, 3), strides=2, padding=1)),
        ("avg_pool", lambda x: avg_pool(x, (2, 2))),
        ("avg_pool_padded", lambda x: avg_pool(x, (3, 3), strides=2, padding=1)),
        (
            "avg_pool_valid_only",
            lambda x: avg_pool(x, (3, 3), strides=2, padding=1, count_include_pad=False),
        ),
    ],
)
def test_equals_pytorch_forward_and_gradient(case, pool):
    # The max cases are full of ties: of equal values the first takes the gradient.
    golden = load("convolution", case)
    outputs, (gradient,) = pullback(
        pool, channels_last(golden["cotangent.outputs"]), channels_last(golden["inputs"])
    )
    np.testing.assert_allclose(outputs, channels_last(golden["outputs"]), **CLOSE)
    np.testing.assert_allclose(gradient, channels_last(golden["gradient.inputs"]), **CLOSE)


@pytest.mark.parametrize("place", range(4))
def test_nan_wins_wherever_it_is(place):
    inputs = jnp.arange(4.0).at[place].set(jnp.nan).reshape(1, 2, 2, 1)
    assert np.isnan(max_pool(inputs, (2, 2))).all()


def test_one_axis_and_same_padding():
    inputs = -jnp.arange(1.0, 6.0).reshape(1, 5, 1)
    # The padding comes at the end and never wins, though everything is negative.
    outputs = max_pool(inputs, (2,), padding="SAME")
    np.testing.assert_array_equal(outputs[0, :, 0], [-1.0, -3.0, -5.0])


def test_paddings_that_repeat_the_inputs_are_refused():
    with pytest.raises(UserError, match="REFLECT"):
        max_pool(jnp.ones((1, 4, 4, 1)), (2, 2), padding="REFLECT")


def test_dtypes_stay():
    inputs = jax.random.normal(jax.random.key(0), (1, 4, 4, 2), jnp.bfloat16)
    assert max_pool(inputs, (2, 2)).dtype == avg_pool(inputs, (2, 2)).dtype == jnp.bfloat16
    whole = -jnp.arange(1, 6).reshape(1, 5, 1)
    outputs = max_pool(whole, (2,), padding="SAME")
    assert outputs.dtype == whole.dtype
    np.testing.assert_array_equal(outputs[0, :, 0], [-1, -3, -5])
