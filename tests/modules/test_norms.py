"""Norms against PyTorch, and BatchNorm's statistics."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import apply, init, pullback
from torch_layout import load, under

from aimodels.modules import BatchNorm, GroupNorm, LayerNorm, RMSNorm

# Float32 against float64: 6e-8 a rounding, dozens of them, times 1/deviation (at most about 3).
CLOSE = {"rtol": 2e-5, "atol": 1e-5}


def channels_last(array):
    return np.moveaxis(array, 1, -1) if array.ndim == 4 else array


def norm_params(arrays):
    names = {"weight": "scale", "bias": "bias"}
    return {names[name]: array for name, array in arrays.items()}


def compare(golden, output, tolerance):
    """`output(params, inputs)` and its gradients against the golden case."""
    outputs, (params_gradient, gradient) = pullback(
        output,
        channels_last(golden["cotangent.outputs"]),
        norm_params(under(golden, "parameters.")),
        channels_last(golden["inputs"]),
    )
    np.testing.assert_allclose(outputs, channels_last(golden["outputs"]), **tolerance)
    np.testing.assert_allclose(gradient, channels_last(golden["gradient.inputs"]), **tolerance)
    expected = norm_params(under(golden, "gradient.parameters."))
    assert params_gradient.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(params_gradient[name], array, **tolerance)


@pytest.mark.parametrize(
    ("case", "module"),
    [
        ("layer", LayerNorm()),
        ("layer_bert", LayerNorm(epsilon=1e-12)),
        ("rms", RMSNorm()),
        ("group", GroupNorm(num_groups=2)),
    ],
)
def test_equals_pytorch_forward_and_gradient(case, module):
    compare(load("norms", case), lambda p, x: module.apply({"params": p}, x), CLOSE)


def test_layer_norm_keeps_its_digits_far_from_zero():
    # Inputs near 1,000 have a spacing of 6e-5 in float32, and so has the mean: 1e-4 at best.
    # The fast variance would be wrong by several per cent.
    module = LayerNorm()
    compare(
        load("norms", "layer_far"),
        lambda p, x: module.apply({"params": p}, x),
        {"rtol": 1e-3, "atol": 3e-4},
    )


def test_batch_norm_equals_pytorch_in_training_with_running_statistics():
    golden = load("norms", "batch_train")
    module = BatchNorm(use_running_average=False)
    stats = {"mean": golden["mean"], "var": golden["var"]}

    def run(params, inputs):
        variables = {"params": params, "batch_stats": stats}
        return module.apply(variables, inputs, mutable=["batch_stats"])

    compare(golden, lambda p, x: run(p, x)[0], CLOSE)
    inputs = channels_last(golden["inputs"])
    _, changed = run(norm_params(under(golden, "parameters.")), inputs)
    for name in ("mean", "var"):
        np.testing.assert_allclose(changed["batch_stats"][name], golden[f"{name}_after"], **CLOSE)


def test_batch_norm_equals_pytorch_in_evaluation():
    golden = load("norms", "batch_eval")
    module = BatchNorm(use_running_average=True)
    stats = {"mean": golden["mean"], "var": golden["var"]}
    compare(golden, lambda p, x: module.apply({"params": p, "batch_stats": stats}, x), CLOSE)


def test_batch_norm_without_the_correction_is_flaxs():
    inputs = jax.random.normal(jax.random.key(0), (3, 2, 4)) * 3 + 1
    theirs = nn.BatchNorm(use_running_average=False, momentum=0.9)
    ours = BatchNorm(use_running_average=False, unbiased=False)
    variables = init(ours, inputs)
    expected, expected_stats = theirs.apply(variables, inputs, mutable=["batch_stats"])
    outputs, stats = ours.apply(variables, inputs, mutable=["batch_stats"])
    np.testing.assert_allclose(outputs, expected, **CLOSE)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), stats, expected_stats)
    # The correction is n / (n - 1), n = 6: the same update, 20 % more variance.
    _, corrected = BatchNorm(use_running_average=False).apply(
        variables, inputs, mutable=["batch_stats"]
    )
    gained = corrected["batch_stats"]["var"] - 0.9, stats["batch_stats"]["var"] - 0.9
    np.testing.assert_allclose(gained[0], gained[1] * 1.2, rtol=1e-5)  # a few roundings


def test_batch_norm_over_a_mapped_axis_sees_the_whole_batch():
    inputs = jax.random.normal(jax.random.key(0), (8, 3, 5))
    whole = BatchNorm(use_running_average=False)
    variables = init(whole, inputs)
    expected, expected_stats = whole.apply(variables, inputs, mutable=["batch_stats"])
    parts = BatchNorm(use_running_average=False, axis_name="data")
    outputs, stats = jax.vmap(
        lambda part: parts.apply(variables, part, mutable=["batch_stats"]), axis_name="data"
    )(inputs.reshape(4, 2, 3, 5))
    np.testing.assert_allclose(outputs.reshape(inputs.shape), expected, **CLOSE)
    for name, value in stats["batch_stats"].items():
        np.testing.assert_allclose(value[2], expected_stats["batch_stats"][name], **CLOSE)


@pytest.mark.parametrize(
    "norm",
    [
        LayerNorm(dtype=jnp.bfloat16),
        RMSNorm(dtype=jnp.bfloat16),
        GroupNorm(num_groups=2, dtype=jnp.bfloat16),
        BatchNorm(use_running_average=True, dtype=jnp.bfloat16),
    ],
)
def test_bfloat16_results_have_float32_parameters(norm):
    inputs = jnp.ones((2, 3, 4), jnp.bfloat16)
    variables = init(norm, inputs)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert apply(norm, variables, inputs).dtype == jnp.bfloat16
