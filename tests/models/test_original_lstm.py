"""The LSTM of 1997: its equations by hand, its truncated gradient, what padding changes."""

import jax
import jax.numpy as jnp
import numpy as np

from aimodels.models import OriginalLSTM, RecurrentClassifier, count_parameters

MODEL = OriginalLSTM()
INPUTS = np.random.default_rng(0).uniform(-1, 1, (3, 7, 2)).astype(np.float32)


def drawn(seed=0):
    """Parameters of order 1."""
    shapes = jax.eval_shape(MODEL.init, jax.random.key(0), INPUTS)["params"]
    draw = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: draw.normal(size=leaf.shape).astype(np.float32), shapes)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(params, sequence):
    """Unit by unit: cells 0 to 3 in blocks of two, input gates 4 and 5, output gates 6 and 7."""
    memory, before = np.zeros(4), np.zeros(8)
    for now in np.asarray(sequence, float):
        net = now @ params["input_kernel"] + before @ params["recurrent_kernel"] + params["bias"]
        after = np.zeros(8)
        after[4:] = sigmoid(net[4:])
        for cell in range(4):
            block = cell // 2
            memory[cell] += after[4 + block] * (4 * sigmoid(net[cell]) - 2)
            after[cell] = after[6 + block] * (2 * sigmoid(memory[cell]) - 1)
        before = after
    head = params["head"]
    return sigmoid(before[:4] @ head["kernel"] + head["bias"])


def test_it_has_the_papers_93_weights():
    assert count_parameters(MODEL, INPUTS) == 93


def test_outputs_are_those_by_hand_and_padding_is_not_seen():
    params, lengths = drawn(), jnp.array([7, 1, 4])
    got = MODEL.apply({"params": params}, INPUTS, lengths=lengths)
    expected = [by_hand(params, row[:n]) for row, n in zip(INPUTS, lengths, strict=True)]
    # float32 against float64, numbers of order 1.
    np.testing.assert_allclose(np.asarray(got), expected, atol=1e-5)
    whole = MODEL.apply({"params": params}, INPUTS)
    np.testing.assert_allclose(np.asarray(whole)[0], expected[0], atol=1e-5)


def test_the_gradient_goes_back_through_the_memory_alone():
    """The truncated gradient of a weight, by differences: activations at t-1 stay as they were."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, float), drawn(1))
    sequence = INPUTS[0].astype(float)

    def output(changed, recurrent_activations):
        memory = np.zeros(4)
        for now, before in zip(sequence, recurrent_activations, strict=True):
            net = now @ changed["input_kernel"] + before @ changed["recurrent_kernel"]
            net = net + changed["bias"]
            gates = sigmoid(net[4:])
            memory = memory + np.repeat(gates[:2], 2) * (4 * sigmoid(net[:4]) - 2)
            shown = np.repeat(gates[2:], 2) * (2 * sigmoid(memory) - 1)
        head = changed["head"]
        return sigmoid(shown @ head["kernel"] + head["bias"])[0]

    # The activations that each step has seen.
    seen, memory, before = [], np.zeros(4), np.zeros(8)
    for now in sequence:
        seen.append(before)
        net = now @ params["input_kernel"] + before @ params["recurrent_kernel"] + params["bias"]
        gates = sigmoid(net[4:])
        memory = memory + np.repeat(gates[:2], 2) * (4 * sigmoid(net[:4]) - 2)
        before = np.concatenate([np.repeat(gates[2:], 2) * (2 * sigmoid(memory) - 1), gates])

    def outputs_of(params, model=MODEL):
        return model.apply({"params": params}, INPUTS[:1])[0, 0]

    gradient = jax.grad(outputs_of)(drawn(1))
    whole = jax.grad(lambda params: outputs_of(params, OriginalLSTM(truncated=False)))(drawn(1))
    for name in ("input_kernel", "recurrent_kernel"):
        for place in ((0, 1), (1, 4), (1, 7)):
            step = np.zeros_like(params[name])
            step[place] = 1e-5
            sides = [output(params | {name: params[name] + sign * step}, seen) for sign in (1, -1)]
            # Second differences of a smooth function of order 1 against a float32 gradient.
            expected = (sides[0] - sides[1]) / 2e-5
            np.testing.assert_allclose(gradient[name][place], expected, rtol=1e-3, atol=1e-5)
    assert not np.allclose(gradient["recurrent_kernel"], whole["recurrent_kernel"], rtol=1e-2)


def test_input_gates_begin_shut_and_the_rest_is_small():
    params = MODEL.init(jax.random.key(0), INPUTS)["params"]
    np.testing.assert_array_equal(params["bias"][4:6], [-3, -6])
    rest = np.concatenate(
        [
            np.ravel(params["bias"])[[0, 1, 2, 3, 6, 7]],
            *map(
                np.ravel,
                (params["input_kernel"], params["recurrent_kernel"], *params["head"].values()),
            ),
        ]
    )
    assert len(rest) == 91
    assert 0.09 < np.abs(rest).max() <= 0.1


def test_a_recurrent_network_reads_each_step():
    model = RecurrentClassifier(4, 3, cell="gru", readout="each")
    variables = model.init(jax.random.key(0), INPUTS)
    each = model.apply(variables, INPUTS)
    assert each.shape == (3, 7, 3)
    last = model.clone(readout="last")
    for length in (1, 5):
        np.testing.assert_allclose(
            np.asarray(each)[:, length - 1],
            np.asarray(last.apply(variables, INPUTS[:, :length])),
            atol=1e-6,  # float32, numbers below 1
        )
