"""Pooling against PyTorch, ties and padding included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import pullback
from torch_layout import load

from aimodels.errors import UserError
from aimodels.modules import adaptive_avg_pool, avg_pool, ceil_padding, max_pool

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


@pytest.mark.parametrize("sizes", [(7, 7), (4, 6), (1, 2), (5, 3)])
def test_adaptive_pooling_divides_each_axis_evenly(sizes):
    inputs = np.random.default_rng(0).standard_normal((2, 4, 6, 3)).astype(np.float32)
    outputs = adaptive_avg_pool(jnp.asarray(inputs), sizes)
    assert outputs.shape == (2, *sizes, 3)
    for row in range(sizes[0]):
        for column in range(sizes[1]):
            rows = slice(row * 4 // sizes[0], int(np.ceil((row + 1) * 4 / sizes[0])))
            columns = slice(column * 6 // sizes[1], int(np.ceil((column + 1) * 6 / sizes[1])))
            expected = inputs[:, rows, columns].mean((1, 2))
            np.testing.assert_allclose(outputs[:, row, column], expected, **CLOSE)


@pytest.mark.parametrize(
    ("size", "window", "windows"),
    # torch.nn.MaxPool2d(window, 2, ceil_mode=True) of that many places.
    [(15, 3, 7), (14, 3, 7), (16, 3, 8), (7, 2, 4), (8, 2, 4), (1, 2, 1), (2, 3, 1), (3, 3, 1)],
)
def test_ceil_padding_covers_every_place(size, window, windows):
    inputs = jnp.arange(size, dtype=jnp.float32)[None, :, None]
    pads = ceil_padding((size,), (window,), (2,))
    outputs = max_pool(inputs, (window,), strides=2, padding=pads)
    assert outputs.shape == (1, windows, 1)
    ends = np.minimum(2 * np.arange(windows) + window, size) - 1
    np.testing.assert_array_equal(outputs[0, :, 0], ends)
