"""Recurrent layers against PyTorch; lengths, directions, steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import apply, init, pullback
from torch_layout import load, under

from aimodels.errors import UserError
from aimodels.modules import GRU, LSTM, RNN, Dense, LSTMState, recurrent_scan

# Five time steps of float32 against float64, gates of order 1: dozens of roundings of 6e-8.
CLOSE = {"rtol": 2e-5, "atol": 1e-5}

KINDS = {
    "rnn": RNN(4),
    "rnn_relu": RNN(4, activation="relu"),
    "gru": GRU(4),
    "lstm": LSTM(4),
}
SHAPES = {
    "1": {},
    "2_both": {"num_layers": 2, "bidirectional": True},
    "2_both_packed": {"num_layers": 2, "bidirectional": True},
}


def recurrent_params(arrays):
    """nn.GRU's and its like's weight_ih_l0_reverse ... as ours."""
    parts = {
        "weight_ih": "input_kernel",
        "weight_hh": "recurrent_kernel",
        "bias_ih": "input_bias",
        "bias_hh": "recurrent_bias",
    }
    params = {}
    for name, array in arrays.items():
        part, layer = name.removesuffix("_reverse").rsplit("_l", 1)
        direction = "backward" if name.endswith("_reverse") else "forward"
        params.setdefault(f"layer_{layer}_{direction}", {})[parts[part]] = array.T
    return params


@pytest.mark.parametrize(
    ("kind", "shape", "one_scan_below"),
    [
        *((kind, shape, 1000) for kind in ("rnn", "gru", "lstm") for shape in SHAPES),
        ("rnn_relu", "1", 1000),
        # Two scans, as wide layers have them.
        ("gru", "2_both_packed", 0),
        ("lstm", "2_both", 0),
    ],
)
def test_equals_pytorch_forward_and_gradient(kind, shape, one_scan_below, monkeypatch):
    monkeypatch.setattr(recurrent_scan, "ONE_SCAN_BELOW", one_scan_below)
    golden = load("recurrent", f"{kind}_{shape}")
    module = KINDS[kind].clone(**SHAPES[shape])
    params = recurrent_params(under(golden, "parameters."))
    shapes = jax.tree.map(jnp.shape, init(module, golden["inputs"])["params"])
    assert shapes == jax.tree.map(jnp.shape, params)

    def as_state(prefix, arrays):
        if kind == "lstm":
            return LSTMState(arrays[f"{prefix}hidden"], arrays[f"{prefix}cell"])
        return arrays[f"{prefix}hidden"]

    def run(params, inputs, state):
        lengths = golden.get("lengths")
        return module.apply({"params": params}, inputs, state=state, lengths=lengths)

    cotangents = (
        golden["cotangent.outputs"],
        as_state("cotangent.last_", golden),
    )
    (outputs, last), gradients = pullback(
        run, cotangents, params, golden["inputs"], as_state("", golden)
    )
    expected = (
        recurrent_params(under(golden, "gradient.parameters.")),
        golden["gradient.inputs"],
        as_state("gradient.", golden),
    )
    np.testing.assert_allclose(outputs, golden["outputs"], **CLOSE)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, **CLOSE),
        (last, gradients),
        (as_state("last_", golden), expected),
    )


@pytest.mark.parametrize("module", [GRU(3, bidirectional=True), LSTM(3, num_layers=2)])
def test_padded_rows_equal_the_rows_alone_whatever_the_padding(module):
    inputs = jax.random.normal(jax.random.key(0), (4, 6, 2))
    lengths = jnp.array([6, 2, 0, 5])
    junk = jnp.where(jnp.arange(6)[:, None] < lengths[:, None, None], inputs, jnp.nan)
    variables = init(module, inputs)
    outputs, last = apply(module, variables, junk, lengths=lengths)
    for row, length in enumerate([6, 2, 0, 5]):
        assert np.all(outputs[row, length:] == 0)
        state = jax.tree.map(lambda leaf, row=row: leaf[:, row], last)
        if length == 0:
            assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(state))
            continue
        alone, alone_last = apply(module, variables, inputs[row : row + 1, :length])
        np.testing.assert_allclose(outputs[row, :length], alone[0], **CLOSE)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b[:, 0], **CLOSE), state, alone_last
        )


def test_gradient_does_not_reach_the_padding():
    module = GRU(3, bidirectional=True)
    inputs = jax.random.normal(jax.random.key(0), (2, 5, 2))
    variables = init(module, inputs)
    lengths = jnp.array([2, 5])
    loss = jax.grad(lambda x: module.apply(variables, x, lengths=lengths)[0].sum())
    gradient = jax.jit(loss)(inputs)
    assert np.all(gradient[0, 2:] == 0)
    assert np.all(gradient[0, :2] != 0)


def test_backward_direction_is_the_forward_one_on_the_reversed_sequence():
    module = GRU(3, bidirectional=True)
    inputs = jax.random.normal(jax.random.key(0), (2, 5, 2))
    variables = init(module, inputs)
    scopes = variables["params"]
    swapped = {
        "layer_0_forward": scopes["layer_0_backward"],
        "layer_0_backward": scopes["layer_0_forward"],
    }
    outputs, last = apply(module, variables, inputs)
    mirrored, mirrored_last = apply(module, {"params": swapped}, inputs[:, ::-1])
    np.testing.assert_allclose(outputs[..., 3:], mirrored[:, ::-1, :3], **CLOSE)
    np.testing.assert_allclose(outputs[..., :3], mirrored[:, ::-1, 3:], **CLOSE)
    np.testing.assert_allclose(last, mirrored_last[::-1], **CLOSE)


@pytest.mark.parametrize("module", [RNN(3), GRU(3, num_layers=2), LSTM(3, num_layers=2)])
def test_steps_equal_the_whole_sequence(module):
    inputs = jax.random.normal(jax.random.key(0), (2, 4, 5))
    variables = init(module, inputs)
    outputs, last = apply(module, variables, inputs)
    state = module.initial_state(2)
    for time in range(4):
        now, state = apply(module, variables, inputs[:, time], state, method="step")
        np.testing.assert_allclose(now, outputs[:, time], **CLOSE)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), state, last)


def count(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables))


def test_parameter_counts_are_pytorchs():
    # MNIST-1D's GRU (Greydanus & Kobak 2024, notebooks/models.py) has 5,134 parameters.
    gru = init(GRU(6, bidirectional=True), jnp.ones((1, 40, 1)))
    assert count(gru) + count(init(Dense(10), jnp.ones((1, 480)))) == 5134
    # torch.nn.LSTM(10, 20, 2): 4 · 20 · (10 + 20 + 2) + 4 · 20 · (20 + 20 + 2).
    assert count(init(LSTM(20, num_layers=2), jnp.ones((1, 2, 10)))) == 2560 + 3360
    # One bias: Hochreiter & Schmidhuber's; 4 · 20 fewer.
    assert count(init(LSTM(20, recurrent_bias=False), jnp.ones((1, 2, 10)))) == 2560 - 80


def test_standard_initial_values():
    scope = init(LSTM(16), jnp.ones((1, 2, 8)))["params"]["layer_0_forward"]
    np.testing.assert_array_equal(scope["input_bias"], np.repeat([0, 1, 0, 0], 16))
    np.testing.assert_array_equal(scope["recurrent_bias"], 0)
    for gate in np.split(scope["recurrent_kernel"], 4, axis=1):
        np.testing.assert_allclose(gate @ gate.T, np.eye(16), atol=1e-5)  # 16 float32 products
    bound = (6 / (8 + 16)) ** 0.5  # Glorot's, of one gate
    assert 0.9 * bound < np.abs(scope["input_kernel"]).max() <= bound


def test_torch_initial_values_are_uniform_by_the_width():
    scope = init(GRU(16, initializer="torch"), jnp.ones((1, 2, 100)))["params"]["layer_0_forward"]
    for leaf in scope.values():
        assert 0.22 < np.abs(leaf).max() <= 0.25


def test_replicas_under_vmap_in_a_loop_equal_single_runs():
    module = GRU(3, bidirectional=True)
    inputs = jax.random.normal(jax.random.key(0), (2, 4, 1))
    keys = jax.random.split(jax.random.key(1), 3)
    variables = jax.jit(jax.vmap(lambda key: module.init(key, inputs)))(keys)

    def train(variables):
        def step(_, variables):
            gradient = jax.grad(lambda v: jnp.square(module.apply(v, inputs)[0]).sum())(variables)
            return jax.tree.map(lambda value, slope: value - 0.1 * slope, variables, gradient)

        return jax.lax.fori_loop(0, 3, step, variables)

    together = jax.jit(jax.vmap(train))(variables)
    alone = jax.jit(train)(jax.tree.map(lambda leaf: leaf[1], variables))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[1], b, **CLOSE), together, alone)


def test_dropout_lies_between_layers_only():
    inputs = jnp.ones((2, 4, 3))

    def run(num_layers, key):
        module = GRU(20, num_layers=num_layers, dropout_rate=0.5)
        rngs = {"dropout": jax.random.key(key)}
        run = jax.jit(lambda v: module.apply(v, inputs, train=True, rngs=rngs)[0])
        return run(init(module, inputs))

    np.testing.assert_array_equal(run(1, 0), run(1, 1))
    assert not np.allclose(run(2, 0), run(2, 1))
    assert np.all(run(2, 0) != 0)


def test_compute_dtype_and_parameter_dtype_are_separate():
    module = LSTM(3, bidirectional=True, dtype=jnp.bfloat16)
    inputs = jnp.ones((2, 4, 3))
    variables = init(module, inputs)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    outputs, last = apply(module, variables, inputs, lengths=jnp.array([4, 2]))
    assert {leaf.dtype for leaf in (outputs, *last)} == {jnp.dtype("bfloat16")}


def test_mistakes_are_named():
    key, sequence = jax.random.key(0), jnp.ones((1, 3, 2))
    with pytest.raises(UserError, match=r"\[B, T, D\]"):
        GRU(3).init(key, sequence[0])
    with pytest.raises(UserError, match="'torch'"):
        GRU(3, initializer="tourch").init(key, sequence)
    with pytest.raises(UserError, match="'tanh'"):
        RNN(3, activation="tan").init(key, sequence)
    both = GRU(3, bidirectional=True)
    with pytest.raises(UserError, match="future"):
        both.apply(both.init(key, sequence), sequence[:, 0], both.initial_state(1), method="step")
