"""End-to-end memory networks: a plain NumPy reading of the paper, times, padding, linear start."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aimodels
from aimodels.config import call_section
from aimodels.models import EndToEndMemoryNetwork
from aimodels.tasks.memory_answers import MemoryAnswers

V, B, M, S = 11, 3, 5, 4
MEMORY = 6


@pytest.fixture(scope="module")
def stories():
    draw = np.random.default_rng(0)
    inputs, questions = draw.integers(1, V, (B, M, S)), draw.integers(1, V, (B, S))
    inputs[:, :, 3:], questions[0, 2:] = 0, 0
    lengths = np.array([5, 3, 1], np.int32)
    for row, length in enumerate(lengths):
        inputs[row, length:] = 0
    return {"inputs": inputs, "questions": questions, "lengths": lengths}


@pytest.fixture(scope="module")
def network(stories):
    model = EndToEndMemoryNetwork(vocabulary=V, width=6, num_hops=2, memory=MEMORY)
    inputs = stories["inputs"]
    given = {name: stories[name] for name in ("questions", "lengths")}
    variables = model.init(jax.random.key(1), inputs, **given)
    # Larger than at the start, so that the softmax is far from even.
    return model, jax.tree.map(lambda x: 8 * x, variables), inputs, given


def read(words, times, sentences, question, *, linear=False):
    """One story: section 2.1 and 2.2 of the paper, hop by hop, a place of the memory at a time."""
    D = words.shape[-1]

    def vector(table, ids):
        ids = [i for i in ids if i]
        total = np.zeros(D)
        for j, word in enumerate(ids, 1):
            for k in range(1, D + 1):
                weight = (1 - j / len(ids)) - (k / D) * (1 - 2 * j / len(ids))
                total[k - 1] += 2 * weight * table[word, k - 1]
        return total

    u = vector(words[0], question)
    for hop in range(len(words) - 1):
        A, C, T_A, T_C = words[hop], words[hop + 1], times[hop], times[hop + 1]
        ages = range(len(sentences) - 1, -1, -1)
        m, c = np.zeros((2, MEMORY, D))
        for place, (x, age) in enumerate(zip(sentences, ages, strict=True)):
            m[place], c[place] = vector(A, x) + T_A[age], vector(C, x) + T_C[age]
        p = m @ u
        if not linear:
            p = np.exp(p - p.max()) / np.exp(p - p.max()).sum()
        u = u + p @ c
    return words[-1] @ u


@pytest.mark.parametrize("linear", [False, True])
def test_it_is_what_the_paper_says(network, stories, linear):
    model, variables, inputs, given = network
    words, times = (np.float64(variables["params"][name]) for name in ("words", "times"))
    flags = {"linear": jnp.full(B, True)} if linear else {}
    outputs = model.apply(variables, inputs, **given, **flags)
    for row, length in enumerate(stories["lengths"]):
        expected = read(
            words, times, inputs[row, :length], stories["questions"][row], linear=linear
        )
        # float32 against float64, over sums of some hundred products.
        np.testing.assert_allclose(outputs[row], expected, rtol=1e-4, atol=1e-4)


def test_tables_have_the_papers_shapes():
    """Section 4.1: adjacent tying leaves K + 1 tables V x d, and as many of time."""
    model = EndToEndMemoryNetwork(vocabulary=177, width=20)
    arrays = (jnp.zeros((1, 50, 7), jnp.int32),)
    count = aimodels.count_parameters(model, *arrays, questions=jnp.zeros((1, 7), jnp.int32))
    assert count == 4 * 177 * 20 + 4 * 50 * 20


def test_padding_says_nothing(network):
    model, variables, inputs, given = network
    wider = np.pad(inputs, ((0, 0), (0, 2), (0, 3)))
    questions = np.pad(given["questions"], ((0, 0), (0, 3)))
    left = model.apply(variables, inputs, **given)
    right = model.apply(variables, wider, questions=questions, lengths=given["lengths"])
    np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-5)  # another order of sums


def test_times_vary_in_training_only(network):
    model, variables, inputs, given = network
    often = model.clone(empty_rate=1.0)

    def trained(model, seed):
        rngs = {"dropout": jax.random.key(seed)}
        return model.apply(variables, inputs, **given, train=True, rngs=rngs)

    plain = model.apply(variables, inputs, **given)
    never = trained(model.clone(empty_rate=0.0), 0)
    np.testing.assert_array_equal(plain, never)
    # With an empty one behind each, sentence `age` is counted 2 age + 1 back, at most 5.
    ages, there = jnp.array([[3, 2, 1, 0]]), jnp.ones((1, 4), bool)
    rngs = {"dropout": jax.random.key(0)}
    back = nn.apply(lambda model: model._back(ages, there, train=True), often)({}, rngs=rngs)
    np.testing.assert_array_equal(back, [[5, 5, 3, 1]])
    assert not np.allclose(trained(often, 0), plain)
    half = model.clone(empty_rate=0.5)
    assert not np.allclose(trained(half, 0), trained(half, 1))


def test_the_task_starts_linear_and_goes_on_with_the_softmax(network, stories):
    model, _, _, _ = network
    batch = jax.tree.map(jnp.asarray, stories) | {"targets": jnp.array([1, 2, 3])}
    from aimodels.training.optimizers import make_optimizer

    section = {"name": "sgd", "learning_rate": 0.1, "schedule": {"name": "constant"}}
    del section["schedule"]
    optimizer = make_optimizer(section, 10)
    task = MemoryAnswers(model=model, optimizer=optimizer, linear_steps=2, confusion=False)
    plain = MemoryAnswers(model=model, optimizer=optimizer, confusion=False)
    key = jax.random.key(0)
    state = task.init(key, batch)
    losses = {}
    for step in (0, 1, 2):
        at = state.replace(step=jnp.int32(step))
        losses[step] = [each.train_step(at, batch, key)[1]["loss"] for each in (task, plain)]
    assert losses[0][0] == losses[1][0] != losses[0][1]
    np.testing.assert_allclose(*losses[2], rtol=1e-6)  # the same numbers by another program
    metrics = task.eval_step(state, batch, key).compute()
    expected = plain.eval_step(state, batch, key).compute()
    np.testing.assert_array_equal(metrics["loss"], expected["loss"])


def test_a_network_and_task_are_known_by_name():
    section = {"name": "EndToEndMemoryNetwork", "vocabulary": 5}
    assert isinstance(call_section("model", section), EndToEndMemoryNetwork)
