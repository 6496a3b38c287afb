"""The temporal convolutional network, against its equations in NumPy, step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import apply, init

from aimodels.models import TemporalConvNet

MODEL = TemporalConvNet(5, 4, num_levels=3, kernel_size=3, readout="each")
SIGNALS = jax.random.normal(jax.random.key(0), (2, 19, 3))
LENGTHS = jnp.array([19, 11])


@pytest.fixture(scope="module")
def variables():
    """Drawn on the host: no scale is its kernel's norm, and no bias is small."""
    shapes = jax.eval_shape(MODEL.init, jax.random.key(0), SIGNALS)
    generator = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: generator.normal(size=leaf.shape).astype("float32"), shapes)


def convolution(weights, inputs, dilation):
    """Weight normalisation, w = g v / |v|, and a window that ends at each step."""
    kernel = weights["kernel"].astype(float)
    size, _, features = kernel.shape
    for feature in range(features):
        direction = kernel[:, :, feature]
        kernel[:, :, feature] = (
            weights["scale"][feature] * direction / np.sqrt((direction**2).sum())
        )
    outputs = np.tile(weights["bias"].astype(float), (len(inputs), 1))
    for time in range(len(inputs)):
        for place in range(size):
            seen = time - (size - 1 - place) * dilation
            if seen >= 0:
                outputs[time] += inputs[seen] @ kernel[place]
    return outputs


def reference(params, inputs):
    """Section 3 of the paper, for one sequence [T, C]."""
    hidden = np.asarray(inputs, float)
    for level in range(3):
        block = params[f"block_{level}"]
        inside = np.maximum(convolution(block["conv_0"], hidden, 2**level), 0)
        inside = np.maximum(convolution(block["conv_1"], inside, 2**level), 0)
        if "shortcut" in block:
            hidden = hidden @ block["shortcut"]["kernel"] + block["shortcut"]["bias"]
        hidden = np.maximum(hidden + inside, 0)
    return hidden @ params["head"]["kernel"] + params["head"]["bias"]


def test_outputs_are_those_of_the_equations(variables):
    outputs = apply(MODEL, variables, SIGNALS)
    for row in range(2):
        expected = reference(variables["params"], SIGNALS[row])
        # float32 against float64; outputs are of the order of 10.
        np.testing.assert_allclose(outputs[row], expected, rtol=1e-4, atol=1e-4)
    assert "shortcut" not in variables["params"]["block_1"]
    last = apply(MODEL.clone(readout="last"), variables, SIGNALS, lengths=LENGTHS)
    np.testing.assert_allclose(last, outputs[jnp.arange(2), LENGTHS - 1], rtol=1e-5, atol=1e-5)


def test_an_output_sees_the_past_as_far_as_the_docstring_says(variables):
    """1 + 2 (3 - 1) (2^2 - 1) = 13 steps, with two levels."""
    model = MODEL.clone(num_levels=2)
    params = variables["params"]
    params = {"params": {name: params[name] for name in ("block_0", "block_1", "head")}}
    # No ReLU is shut where all is positive.
    params = jax.tree.map(jnp.abs, params)
    slope = jax.jacobian(lambda signal: model.apply(params, signal[None])[0, 15].sum())
    seen = np.flatnonzero(np.abs(jax.jit(slope)(jnp.abs(SIGNALS[0]))).sum(-1))
    np.testing.assert_array_equal(seen, np.arange(15 - 12, 16))


def test_at_the_beginning_normalisation_changes_nothing():
    params = init(MODEL, SIGNALS)["params"]
    for block in ("block_0", "block_2"):
        weights = params[block]["conv_1"]
        norms = np.sqrt((weights["kernel"] ** 2).sum((0, 1)))
        np.testing.assert_allclose(weights["scale"], norms, rtol=1e-6)


def test_whole_features_are_dropped(variables):
    model = MODEL.clone(num_levels=1, dropout_rate=0.5)
    _, found = model.apply(
        variables,
        SIGNALS,
        train=True,
        rngs={"dropout": jax.random.key(1)},
        capture_intermediates=lambda module, _: "Dropout" in type(module).__name__,
        mutable="intermediates",
    )
    (first,) = found["intermediates"]["block_0"]["Dropout_0"]["__call__"]
    dropped = np.asarray(first == 0)
    assert 0 < dropped.all(axis=1).mean() < 1
