"""Convolutions: against PyTorch, one implementation against the other, the rule that picks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import apply, init, pullback
from torch_layout import load, under

from aimodels.errors import UserError
from aimodels.modules import Conv, vmapped
from aimodels.modules.convolution import choose_implementation
from aimodels.modules.direct_convolution import direct_convolution

# Sums of at most 80 products of order 1 in two orders: dozens of roundings of 6e-8.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def channels_last(array):
    return np.moveaxis(array, 1, -1)


def conv_params(arrays):
    """nn.Conv's weight [F, C/groups, *k] -> kernel [*k, C/groups, F]."""
    rank = arrays["weight"].ndim - 2
    kernel = arrays["weight"].transpose(*range(2, rank + 2), 1, 0)
    return {"kernel": kernel} | ({"bias": arrays["bias"]} if "bias" in arrays else {})


@pytest.mark.parametrize("implementation", ["direct", "patches"])
@pytest.mark.parametrize(
    ("case", "module"),
    [
        ("mnist1d", Conv(5, 5, strides=2, padding=1)),
        ("dilated", Conv(4, 3, padding=2, dilation=2)),
        ("image", Conv(4, (3, 2), strides=(2, 1), padding=(1, 0))),
        ("same", Conv(3, (3, 3), padding="SAME", dilation=(1, 2))),
        ("grouped", Conv(6, (3, 3), padding=1, groups=2)),
        ("depthwise", Conv(6, (3, 3), strides=2, padding=1, groups=3)),
        ("circular", Conv(3, (3, 3), padding="CIRCULAR")),
        ("reflect", Conv(3, (3, 3), padding="REFLECT")),
        ("pointwise", Conv(4, (1, 1), use_bias=False)),
        ("volume", Conv(3, (2, 3, 1), padding=((0, 0), (1, 1), (0, 0)))),
    ],
)
def test_equals_pytorch_forward_and_gradient(case, module, implementation):
    golden = load("convolution", case)
    module = module.clone(implementation=implementation)
    params = conv_params(under(golden, "parameters."))
    inputs = channels_last(golden["inputs"])
    shapes = jax.tree.map(jnp.shape, init(module, inputs)["params"])
    assert shapes == jax.tree.map(jnp.shape, params)
    outputs, (params_gradient, gradient) = pullback(
        lambda params, inputs: module.apply({"params": params}, inputs),
        channels_last(golden["cotangent.outputs"]),
        params,
        inputs,
    )
    np.testing.assert_allclose(outputs, channels_last(golden["outputs"]), **CLOSE)
    np.testing.assert_allclose(gradient, channels_last(golden["gradient.inputs"]), **CLOSE)
    for name, expected in conv_params(under(golden, "gradient.parameters.")).items():
        np.testing.assert_allclose(params_gradient[name], expected, **CLOSE)


def random_case(seed):
    """A module and inputs: one or two axes; every field drawn; the window fits."""
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, 3))
    kernel = tuple(int(n) for n in rng.integers(1, 5, rank))
    strides = tuple(int(n) for n in rng.integers(1, 4, rank))
    dilation = tuple(int(n) for n in rng.integers(1, 3, rank))
    groups = int(rng.choice([1, 1, 1, 2, 4]))
    paddings = [
        "SAME",
        "VALID",
        int(rng.integers(0, 3)),
        tuple((int(a), int(b)) for a, b in rng.integers(0, 3, (rank, 2))),
        "CIRCULAR",
        *(["CAUSAL"] if rank == 1 else []),
    ]
    padding = paddings[rng.integers(len(paddings))]
    module = Conv(4, kernel, strides=strides, padding=padding, dilation=dilation, groups=groups)
    spatial = [int(n) for n in rng.integers(8, 11, rank)]
    return module, jnp.asarray(rng.standard_normal((2, *spatial, 4)), jnp.float32)


@pytest.mark.parametrize("seed", range(24))
def test_patches_equal_direct_forward_and_gradient(seed):
    module, inputs = random_case(seed)
    variables = init(module, inputs)

    def both(variables, inputs):
        """Output and gradients by either implementation."""
        results = []
        for implementation in ("direct", "patches"):
            one = module.clone(implementation=implementation)
            outputs, pull = jax.vjp(one.apply, variables, inputs)
            cotangent = jax.random.normal(jax.random.key(seed), outputs.shape)
            results.append((outputs, pull(cotangent)))
        return results

    results = jax.jit(both)(variables, inputs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), *results)


# Whole parts of 8, parts of 9 and of 10, one part; a stride that leaves the last inputs unseen.
@pytest.mark.parametrize("batch", [32, 18, 20, 17, 1])
@pytest.mark.parametrize(
    "fields", [{}, {"strides": 2, "padding": "VALID"}, {"dilation": (1, 2), "padding": (2, 1)}]
)
def test_gradients_in_parts_of_the_batch_are_those_that_jax_derives(batch, fields, monkeypatch):
    module = Conv(3, (3, 2), implementation="direct", **fields)
    inputs = jax.random.normal(jax.random.key(0), (batch, 8, 9, 2))
    variables = init(module, inputs)

    def gradients():
        loss = lambda v, x: jnp.square(module.apply(v, x)).mean()  # noqa: E731
        return jax.jit(jax.grad(loss, (0, 1)))(variables, inputs)

    ours = gradients()
    monkeypatch.setattr(jax, "default_backend", lambda: "not a CPU")
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), ours, gradients())


def test_parts_of_a_bfloat16_batch_are_added_up_in_float32():
    draw = np.random.default_rng(0)
    inputs = draw.normal(size=(256, 6, 6, 4)).astype(jnp.bfloat16)
    kernel = draw.normal(size=(3, 3, 4, 5)).astype(jnp.bfloat16)
    slopes = draw.normal(size=(256, 6, 6, 5)).astype(jnp.bfloat16)
    given = {"strides": (1, 1), "pads": ((1, 1), (1, 1)), "dilation": (1, 1)}

    def gradient(dtype):
        arrays = [jnp.asarray(x, dtype) for x in (inputs, kernel, slopes)]
        function = functools.partial(direct_convolution, arrays[0], **given)
        return np.float64(jax.vjp(function, arrays[1])[1](arrays[2])[0])

    exact = gradient(jnp.float32)
    # 32 parts, each rounded once to 8 bits, on sums of their size, and once more at the end.
    assert np.abs(gradient(jnp.bfloat16) - exact).max() < 2**-8 * np.abs(exact).max()


def test_patches_equal_direct_with_a_kernel_for_each_replica():
    inputs = jax.random.normal(jax.random.key(0), (3, 2, 9, 4))
    module = Conv(5, 3, strides=2, padding=1)
    variables = jax.vmap(lambda key: module.init(key, inputs[0]))(
        jax.random.split(jax.random.key(1), 3)
    )

    def step(implementation):
        one = module.clone(implementation=implementation)
        loss = jax.grad(lambda v, x: jnp.square(one.apply(v, x)).sum())
        return jax.jit(jax.vmap(loss))(variables, inputs)

    jax.tree.map(
        # Gradients reach 100, of hundreds of terms: relative error 1e-6 at the scale of the sum.
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        step("direct"),
        step("patches"),
    )


def test_causal_outputs_see_no_later_input():
    module = Conv(2, 3, padding="CAUSAL", dilation=2)
    inputs = jax.random.normal(jax.random.key(0), (1, 8, 3))
    variables = init(module, inputs)
    changed = apply(module, variables, inputs.at[:, 5].add(1.0))
    outputs = apply(module, variables, inputs)
    assert outputs.shape == (1, 8, 2)
    np.testing.assert_array_equal(outputs[:, :5], changed[:, :5])
    assert np.all(outputs[:, [5, 7]] != changed[:, [5, 7]])


def used(module, inputs):
    """Which implementation the traced program contains."""
    variables = module.init(jax.random.key(0), inputs)
    # A new function each time: JAX would reuse what it traced before.
    jaxpr = str(jax.make_jaxpr(lambda v, x: module.apply(v, x))(variables, inputs))
    return "direct" if "conv_general_dilated" in jaxpr else "patches"


def test_auto_takes_patches_for_replicas_and_where_no_convolution_is_needed():
    image = jnp.ones((1, 6, 6, 4))
    assert used(Conv(2, (3, 3)), image) == "direct"
    with vmapped():
        assert used(Conv(2, (3, 3)), image) == "patches"
        assert used(Conv(2, (3, 3), implementation="direct"), image) == "direct"
    assert used(Conv(2, (3, 3)), image) == "direct"
    assert used(Conv(2, (1, 1)), image) == "patches"
    assert used(Conv(4, (3, 3), groups=4), image) == "patches"
    assert used(Conv(4, (3, 3), groups=2), image) == "patches"
    assert used(Conv(2, 3), image[0]) == "patches"


def test_vmapped_ends_with_its_block_even_after_an_error():
    with pytest.raises(RuntimeError), vmapped():
        raise RuntimeError
    assert used(Conv(2, (3, 3)), jnp.ones((1, 6, 6, 1))) == "direct"


def test_patches_that_would_fill_the_memory_are_not_made(monkeypatch):
    rule = {"kernel_shape": (3, 3, 64, 64), "groups": 1}
    with vmapped():
        assert choose_implementation(places=2**18, **rule) == "patches"
        assert choose_implementation(places=2**19, **rule) == "direct"
        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
        assert choose_implementation(places=1, **rule) == "direct"


def test_leading_axes_are_all_batch_or_none():
    module = Conv(3, (3, 3))
    inputs = jax.random.normal(jax.random.key(0), (2, 4, 5, 6, 2))
    variables = init(module, inputs)
    outputs = apply(module, variables, inputs)
    assert outputs.shape == (2, 4, 5, 6, 3)
    np.testing.assert_allclose(apply(module, variables, inputs[1, 2]), outputs[1, 2], **CLOSE)


@pytest.mark.parametrize("implementation", ["direct", "patches"])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_compute_dtype_and_parameter_dtype_are_separate(implementation, groups):
    module = Conv(4, 3, groups=groups, implementation=implementation, dtype=jnp.bfloat16)
    inputs = jax.random.normal(jax.random.key(0), (2, 5, 4))
    variables = init(module, inputs)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    outputs = apply(module, variables, inputs)
    assert outputs.dtype == jnp.bfloat16
    exact = apply(module.clone(dtype=jnp.float32), variables, inputs)
    # bfloat16 has 8 bits: 0.4 % a rounding, of inputs, kernel and sum, on values up to 3.
    np.testing.assert_allclose(outputs.astype(jnp.float32), exact, rtol=0.03, atol=0.03)


def test_torch_initial_values_count_the_window_in_fan_in():
    params = init(Conv(600, (3, 3), initializer="torch"), jnp.ones((1, 5, 5, 4)))["params"]
    bound = (3 * 3 * 4) ** -0.5
    for leaf in params.values():
        assert 0.98 * bound < np.abs(leaf).max() <= bound * (1 + 1e-6)  # the last bit of √


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"padding": "FULL"}, "padding is 'FULL'"),
        ({"padding": (1, 2, 3)}, "padding is"),
        ({"strides": (1, 2, 3)}, "strides is"),
        ({"groups": 3}, "groups is 3"),
        ({"implementation": "patch"}, "'patches'"),
        ({"padding": "VALID", "dilation": 4}, "does not fit"),
    ],
)
def test_mistakes_are_named(fields, message):
    with pytest.raises(UserError, match=message):
        Conv(6, (3, 3), **fields).init(jax.random.key(0), jnp.ones((1, 6, 6, 4)))
