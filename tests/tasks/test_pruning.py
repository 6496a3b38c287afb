"""Masks of the smallest weights, and rounds of pruning that go back to the initial weights."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from run_checks import assert_same_end

import aimodels
from aimodels.errors import UserError
from aimodels.models import MLP
from aimodels.tasks.pruning import (
    IterativePruning,
    kept_share,
    lowest_masked,
    magnitudes,
    masked,
    random_scores,
)

PARAMS = {
    "dense": {"kernel": jnp.array([[3.0, -1.0], [0.5, -4.0]]), "bias": jnp.array([2.0, -0.1])},
    "head": {"kernel": jnp.array([[9.0], [-8.0], [7.0], [6.0]])},
}
BATCH = {"inputs": jax.random.normal(jax.random.key(0), (32, 6)), "targets": jnp.arange(32) % 3}


def test_masks_rank_within_a_layer_its_kernel_with_its_bias():
    mask = lowest_masked(magnitudes(PARAMS), 0.5)
    np.testing.assert_array_equal(mask["dense"]["kernel"], [[True, False], [False, True]])
    np.testing.assert_array_equal(mask["dense"]["bias"], [True, False])
    np.testing.assert_array_equal(mask["head"]["kernel"].ravel(), [True, True, False, False])
    assert kept_share(mask) == 0.5
    np.testing.assert_array_equal(masked(PARAMS, mask)["dense"]["bias"], [2, 0])
    # Whole weights: two of six (both of the kernel), and one of four; none, and all.
    third = jax.tree.leaves(lowest_masked(PARAMS, 0.34))
    assert [int(jnp.sum(~leaf)) for leaf in third] == [0, 2, 1]
    assert kept_share(lowest_masked(PARAMS, 0.0)) == 1
    assert kept_share(lowest_masked(PARAMS, 1.0)) == 0
    traced = jax.jit(lambda share: lowest_masked(magnitudes(PARAMS), share))(0.5)
    jax.tree.map(np.testing.assert_array_equal, traced, mask)


def test_random_masks_are_even():
    params = {"layer": {"kernel": jnp.zeros((100, 100))}}
    keys = jax.random.split(jax.random.key(0), 50)
    draw = jax.jit(jax.vmap(lambda key: lowest_masked(random_scores(params, key), 0.9)))
    kept = draw(keys)["layer"]["kernel"]
    np.testing.assert_array_equal(kept.sum((1, 2)), 1000)
    # Each weight is kept with probability 0.1, 5 times of 50: deviation 2.1; of rows' means 0.03.
    np.testing.assert_allclose(kept.mean((0, 2)), 0.1, atol=0.03)


def task(**fields):
    given = {"sparsities": (0.0, 0.5, 0.8), "round_steps": 4, **fields}
    return IterativePruning(MLP((8,), 3, initializer="torch"), optax.adam(0.05), **given)


def run(pruning, steps):
    """The state after each step, the initial one first."""
    states = [pruning.init(jax.random.key(1), BATCH)]
    step = jax.jit(pruning.train_step)
    for number in range(steps):
        state, metrics = step(states[-1], BATCH, jax.random.key(number))
        states.append(state)
    return states, metrics


@pytest.mark.parametrize("rank_after", [None, 3])
def test_a_round_prunes_what_ended_low_and_goes_back_to_the_start(rank_after):
    states, metrics = run(task(rank_after=rank_after), 10)
    first = states[0].params
    for place, share in ((4, 0.5), (8, 0.8)):
        ranked = states[place - 4 + (rank_after or 4)].params
        expected = lowest_masked(magnitudes(ranked), share)
        mask = states[place + 1].extra["mask"]
        jax.tree.map(np.testing.assert_array_equal, mask, expected)
        # One step of Adam moves a weight by its learning rate at most, from where it started.
        moved = jax.tree.map(lambda now, start: now - start, states[place + 1].params, first)
        for change, kept, start in zip(*map(jax.tree.leaves, (moved, mask, first)), strict=True):
            change, kept, start = (np.asarray(array) for array in (change, kept, start))
            assert (np.abs(change[kept]) < 0.051).all()
            np.testing.assert_array_equal(change[~kept], -start[~kept])
        for state in states[place + 1 : place + 3]:
            assert all(
                (leaf[~kept] == 0).all()
                for leaf, kept in zip(*map(jax.tree.leaves, (state.params, mask)), strict=True)
            )
    # What was pruned stays pruned.
    earlier, later = states[5].extra["mask"], states[9].extra["mask"]
    pairs = zip(*map(jax.tree.leaves, (earlier, later)), strict=True)
    assert all((late <= early).all() for early, late in pairs)
    # 56 and 27 weights: 45 and 22 are left out.
    assert float(metrics["kept_share"]) == pytest.approx((11 + 5) / 83)
    assert int(states[-1].step) == 10


def test_the_first_round_is_plain_training_and_the_last_goes_on():
    pruning = task(sparsities=(0.0,), round_steps=3)
    states, _ = run(pruning, 3)
    plain = optax.adam(0.05)
    params, optimizer_state = states[0].params, plain.init(states[0].params)
    for _ in range(3):

        def loss(params):
            outputs = pruning.model.apply({"params": params}, BATCH["inputs"], train=True)
            return optax.losses.softmax_cross_entropy_with_integer_labels(
                outputs, BATCH["targets"]
            ).mean()

        updates, optimizer_state = plain.update(jax.grad(loss)(params), optimizer_state, params)
        params = optax.apply_updates(params, updates)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),  # compiled apart
        states[-1].params,
        params,
    )
    states, metrics = run(task(sparsities=(0.5,), round_steps=2), 5)
    assert float(metrics["kept_share"]) == pytest.approx((28 + 13) / 83)


def test_random_rounds_draw_anew():
    states, _ = run(task(sparsities=(0.5,), round_steps=2, criterion="random"), 3)
    first, second = (states[place].extra["mask"]["dense_0"]["kernel"] for place in (1, 3))
    assert first.sum() != first.size
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sparsities": ()}, "one a round"),
        ({"sparsities": (0.5, 1.5)}, "numbers from 0 to 1"),
        ({"rank_after": 0}, "a step of a round, 1 to round_steps = 4"),
        ({"rank_after": 5}, "a step of a round, 1 to round_steps = 4"),
    ],
)
def test_mistakes(fields, message):
    with pytest.raises(UserError) as error:
        task(**fields)
    assert message in str(error.value)


def test_a_run_in_rounds_of_replicas_is_resumed_to_the_bit(small_config, tmp_path):
    rounds = {"sparsities": (0.0, 0.6, 0.9), "round_steps": 10, "rank_after": 8}
    config = small_config(
        task={"name": "iterative_pruning", **rounds},
        training={"steps": 30, "log_every": 5},
        replicas={"seeds": (0, 1), "mode": "sequential"},
        evaluation={"every": 10},
        checkpoint={"every": 14, "keep": 9},
    )
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    aimodels.train(config, whole, verbose=False)
    loaded = aimodels.load(whole, replica=1)
    # 80 and 51 weights.
    assert sum(int((leaf != 0).sum()) for leaf in jax.tree.leaves(loaded.params)) == 8 + 5
    shutil.copytree(whole, parts)
    (parts / "results.json").unlink()  # as a kill within the second round would have left it
    for step in ("28", "30"):
        shutil.rmtree(parts / "checkpoints" / step)
    aimodels.train(config, parts, verbose=False)
    assert_same_end(whole, parts)
