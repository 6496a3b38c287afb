"""Dense and MLP against PyTorch; activations, initial values, dtypes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import apply, init, pullback
from torch_layout import dense, load, under

from aimodels.errors import UserError
from aimodels.modules import MLP, Dense
from aimodels.modules.dense import ACTIVATIONS, activation
from aimodels.modules.initializers import KERNELS, orthogonal

# Float32 against float64: 6e-8 a rounding, a few dozen of them on values of order 1 to 10.
CLOSE = {"rtol": 1e-5, "atol": 5e-6}


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"identity", "swish"}))
def test_activation_equals_pytorchs_with_gradient(name):
    golden = load("dense", name)
    outputs, (gradient,) = pullback(activation(name), golden["cotangent.outputs"], golden["inputs"])
    np.testing.assert_allclose(outputs, golden["outputs"], **CLOSE)
    np.testing.assert_allclose(gradient, golden["gradient.inputs"], **CLOSE)


def mlp(arrays):
    """The parameters of nn.Sequential(Linear, Tanh, Linear, Tanh, Linear) as MLP's."""
    return {
        f"dense_{index}": dense(arrays[f"{2 * index}.weight"], arrays[f"{2 * index}.bias"])
        for index in range(3)
    }


def test_mlp_equals_pytorch_forward_and_gradient():
    golden = load("dense", "mlp")
    module = MLP((7, 6, 3), activation="tanh")
    params = mlp(under(golden, "parameters."))
    assert jax.tree.map(jnp.shape, init(module, golden["inputs"])["params"]) == jax.tree.map(
        jnp.shape, params
    )
    outputs, (params_gradient, gradient) = pullback(
        lambda params, inputs: module.apply({"params": params}, inputs),
        golden["cotangent.outputs"],
        params,
        golden["inputs"],
    )
    np.testing.assert_allclose(outputs, golden["outputs"], **CLOSE)
    np.testing.assert_allclose(gradient, golden["gradient.inputs"], **CLOSE)
    expected = mlp(under(golden, "gradient.parameters."))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), params_gradient, expected)


def test_unknown_names_are_errors_that_suggest():
    with pytest.raises(UserError, match="'gelu'"):
        activation("glu")
    with pytest.raises(UserError, match="'orthogonal'"):
        Dense(2, initializer="ortogonal").init(jax.random.key(0), jnp.ones((1, 2)))


@pytest.mark.parametrize("name", KERNELS)
def test_initial_values_have_the_deviation_of_their_source(name):
    fan_in, fan_out = 100, 400
    params = init(Dense(fan_out, initializer=name), jnp.ones((1, fan_in)))["params"]
    deviation = {
        "lecun": fan_in**-0.5,
        "glorot": (2 / (fan_in + fan_out)) ** 0.5,
        "he": (2 / fan_in) ** 0.5,
        "he_uniform": (2 / fan_in) ** 0.5,
        "he_fan_out": (2 / fan_out) ** 0.5,
        "orthogonal": 2**0.5 * fan_out**-0.5,
        "torch": (1 / 3 / fan_in) ** 0.5,
        "zeros": 0.0,
    }[name]
    # The deviation of 40,000 draws is known to 0.35 % (one sigma).
    np.testing.assert_allclose(np.std(params["kernel"]), deviation, rtol=0.02)
    assert np.all(params["bias"] == 0) == (name != "torch")


def test_orthogonal_matrices_of_replicas_are_made_one_by_one():
    keys = jax.random.split(jax.random.key(0), 3)
    make = jax.jit(jax.vmap(lambda key: orthogonal(2.0)(key, (4, 4))))
    # Batches of QR decompositions can wait for each other for ever.
    calls = [line for line in make.lower(keys).as_text().splitlines() if "geqrf" in line]
    assert calls
    assert all("tensor<4x4xf32>" in call for call in calls)
    for key, matrix in zip(keys, make(keys), strict=True):
        np.testing.assert_array_equal(
            matrix, jax.jit(orthogonal(2.0), static_argnums=1)(key, (4, 4))
        )
        np.testing.assert_allclose(matrix @ matrix.T, 4 * np.eye(4), atol=1e-5)


def test_torch_initial_values_fill_the_whole_range_and_no_more():
    params = init(Dense(4000, initializer="torch"), jnp.ones((1, 25)))["params"]
    for leaf in params.values():
        assert 0.19 < np.max(leaf) <= 0.2
        assert -0.2 <= np.min(leaf) < -0.19


def test_compute_dtype_and_parameter_dtype_are_separate():
    module = MLP((4, 2), dtype=jnp.bfloat16)
    inputs = jnp.ones((3, 5))
    variables = init(module, inputs)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert apply(module, variables, inputs).dtype == jnp.bfloat16


def test_dropout_lies_between_the_layers_only():
    module = MLP((50, 3), dropout_rate=0.5)
    inputs = jnp.ones((2, 4))
    variables = init(module, inputs)
    still = apply(module, variables, inputs)
    noisy = [
        module.apply(variables, inputs, train=True, rngs={"dropout": jax.random.key(i)})
        for i in (0, 1)
    ]
    assert not np.allclose(noisy[0], noisy[1])
    assert not np.allclose(noisy[0], still)
    assert np.all(noisy[0] != 0)  # nothing is dropped after the last layer
