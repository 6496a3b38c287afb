"""Recurrent encoder-decoders: as the papers' equations say, and step by step as all at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aimodels
from aimodels.errors import UserError
from aimodels.models import RecurrentEncoderDecoder
from aimodels.models.generation import beam_search

SOURCES = jnp.array([[1, 2, 3, 4, 5], [3, 4, 1, 9, 9]])
LENGTHS = jnp.array([5, 3])
TARGETS = jnp.array([[0, 2, 3, 7], [0, 5, 6, 7]])
FORMS = {
    "bahdanau": {"attention": "bahdanau", "features": 4, "embedding_features": 3},
    "luong": {"attention": "luong", "features": 4, "embedding_features": 3, "score": "general"},
    "two_layers": {"attention": "luong", "features": 4, "num_layers": 2, "score": "concat"},
    "gru": {"attention": "bahdanau", "features": 4, "num_layers": 2, "cell": "gru"},
    "dot": {"attention": "luong", "features": 4, "score": "dot"},
    "none": {"attention": "none", "features": 4, "embedding_features": 3},
    "none_gru": {"attention": "none", "features": 4, "num_layers": 2, "cell": "gru"},
}


def made(form):
    """A model, its variables, and a function of it under jit."""
    model = RecurrentEncoderDecoder(11, **FORMS[form])
    shapes = jax.eval_shape(model.init, jax.random.key(0), SOURCES, decoder_inputs=TARGETS)
    # Drawn on the host: nothing to compile, and no bias is zero.
    generator = np.random.default_rng(0)
    draw = lambda leaf: jnp.asarray(generator.normal(size=leaf.shape) / 2, jnp.float32)  # noqa: E731
    return model, jax.tree.map(draw, shapes)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(weights, x, hidden, cell):
    gates = x @ weights["input_kernel"] + weights["input_bias"]
    gates = gates + hidden @ weights["recurrent_kernel"] + weights["recurrent_bias"]
    write, forget, new, output = np.split(gates, 4)
    cell = sigmoid(forget) * cell + sigmoid(write) * np.tanh(new)
    return sigmoid(output) * np.tanh(cell), cell


def run(weights, vectors):
    """All hidden states, and the last state."""
    hidden = cell = np.zeros(4)
    states = []
    for x in vectors:
        hidden, cell = lstm(weights, x, hidden, cell)
        states.append(hidden)
    return np.stack(states), hidden, cell


def softmax(scores):
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def reference(form, params, source, target):
    """Logits [T, V] of one pair, by the papers' equations in NumPy."""
    p = jax.tree.map(np.asarray, params)
    vectors = p["embedding"]["embedding"][source]
    forward, hidden, cell = run(p["encoder"]["layer_0_forward"], vectors)
    step = p["decoder"]
    weights = step.get("recurrent", step)["layer_0_forward"]
    if form == "bahdanau":
        backward = run(p["encoder"]["layer_0_backward"], vectors[::-1])[0][::-1]
        memory = np.concatenate([forward, backward], -1)
        beginning = p["beginning"]
        hidden = np.tanh(backward[0] @ beginning["kernel"] + beginning["bias"])
        cell = np.zeros(4)
    else:
        memory = forward
    if form != "none":
        keys = memory @ p["memory_projection"]["kernel"]
    fed, logits = np.zeros(4), []
    for token in target:
        y = p["target_embedding"]["embedding"][token]
        if form == "bahdanau":
            energy = np.tanh(hidden @ step["align"]["query_projection"]["kernel"] + keys)
            context = softmax((energy @ step["align"]["energy"]["kernel"])[:, 0]) @ memory
            hidden, cell = lstm(weights, np.concatenate([y, context]), hidden, cell)
            pairs = np.concatenate([hidden, y, context]) @ p["maxout"]["kernel"]
            out = (pairs + p["maxout"]["bias"]).reshape(-1, 2).max(-1)
        elif form == "none":
            hidden, cell = lstm(weights, y, hidden, cell)
            out = hidden
        else:
            hidden, cell = lstm(weights, np.concatenate([y, fed]), hidden, cell)
            context = softmax(keys @ hidden) @ memory
            out = fed = np.tanh(np.concatenate([context, hidden]) @ step["combine"]["kernel"])
        logits.append(out @ p["head"]["kernel"] + p["head"]["bias"])
    return np.stack(logits)


@pytest.mark.parametrize("form", ["bahdanau", "luong", "none"])
def test_logits_are_those_of_the_equations(form):
    model, variables = made(form)
    logits = jax.jit(model.apply)(variables, SOURCES, decoder_inputs=TARGETS, lengths=LENGTHS)
    for row in range(2):
        source = np.asarray(SOURCES[row, : LENGTHS[row]])
        expected = reference(form, variables["params"], source, np.asarray(TARGETS[row]))
        # float32 against float64, a dozen operations deep.
        np.testing.assert_allclose(logits[row], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_step_by_step_is_as_all_at_once(form):
    model, variables = made(form)

    @jax.jit
    def both(sources):
        whole = model.apply(variables, sources, decoder_inputs=TARGETS, lengths=LENGTHS)
        cache = model.apply(variables, sources, lengths=LENGTHS, method="read")
        # The second row reads one token of the first two, and the other one then.
        first = jnp.array([[0, 2], [0, 9]])
        start, cache = model.apply(
            variables, first, cache, lengths=jnp.array([2, 1]), method="decode"
        )
        rest, _ = model.apply(variables, jnp.array([[3], [5]]), cache, method="decode")
        return whole, start, rest

    whole, start, rest = both(SOURCES)
    found = [start[0, 0], start[0, 1], rest[0, 0], start[1, 0], rest[1, 0]]
    expected = [whole[0, 0], whole[0, 1], whole[0, 2], whole[1, 0], whole[1, 1]]
    # The same sums in another order, in float32.
    np.testing.assert_allclose(np.stack(found), np.stack(expected), rtol=1e-5, atol=1e-5)
    # What stands behind the source's end is never seen.
    np.testing.assert_array_equal(both(SOURCES.at[1, 3:].set(2))[0], whole)


def test_a_beams_score_is_the_probability_of_its_text():
    model, variables = made("luong")

    @jax.jit
    def search():
        cache = model.apply(variables, SOURCES, lengths=LENGTHS, method="read")
        begins = jnp.zeros((2, 1), jnp.int32)
        ids, scores = beam_search(model, variables, begins, 4, beams=3, stop=1, cache=cache)
        reading = jnp.pad(ids[:, 0, :-1], ((0, 0), (1, 0)))
        logits = model.apply(variables, SOURCES, decoder_inputs=reading, lengths=LENGTHS)
        return ids[:, 0], scores[:, 0], jax.nn.log_softmax(logits)

    ids, scores, known = map(np.asarray, search())
    for row in range(2):
        ends = np.flatnonzero(ids[row] == 1)
        count = ends[0] + 1 if len(ends) else 4
        total = sum(known[row, place, ids[row, place]] for place in range(count))
        assert scores[row] == pytest.approx(total, rel=1e-4)
        assert (ids[row, count:] == 1).all()


def test_parameters_are_those_of_the_parts():
    ids = jax.ShapeDtypeStruct((1, 3), jnp.int32)
    count = aimodels.count_parameters(
        RecurrentEncoderDecoder(30_000, features=1000, embedding_features=620, cell="gru"),
        ids,
        decoder_inputs=ids,
    )
    vectors = 2 * 30_000 * 620
    gru = lambda inputs: 3 * 1000 * (inputs + 1000 + 2)  # noqa: E731  two biases, as PyTorch
    alignment = 2000 * 1000 + 1000 * 1000 + 1000
    readout = (1000 + 620 + 2000) * 1240 + 1240 + 620 * 30_000 + 30_000
    beginning = 1000 * 1000 + 1000
    assert count == vectors + 2 * gru(620) + gru(2620) + alignment + readout + beginning


def test_a_target_is_needed():
    model, variables = made("dot")
    with pytest.raises(UserError, match="reads a target too"):
        jax.eval_shape(model.apply, variables, SOURCES)
