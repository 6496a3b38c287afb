"""Replay memories: what they hold, what they sample, and how often."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from aimodels.agents.replay import Prioritised, Replay, proportional
from aimodels.environments.base import Transition
from aimodels.errors import UserError

SEEN = jax.ShapeDtypeStruct((1,), jnp.float32)


def transitions(first, steps, environments, done=()):
    """Steps `first` on; observation = 100 · environment + step, reward = step + 1."""
    step = np.arange(first, first + steps)[:, None] * np.ones((1, environments))
    name = step + 100 * np.arange(environments)
    ends = np.isin(step, done)
    return Transition(
        observation=jnp.asarray(name[..., None], jnp.float32),
        action=jnp.asarray(step, jnp.int32),
        reward=jnp.asarray(step + 1, jnp.float32),
        terminated=jnp.asarray(ends),
        truncated=jnp.zeros_like(ends),
        next_observation=jnp.asarray(name[..., None] + 0.5, jnp.float32),
        episode_return=jnp.zeros(step.shape),
        episode_length=jnp.zeros(step.shape, jnp.int32),
    )


def filled(kind, capacity, steps, environments=2, block=2, done=()):
    replay = kind.empty(capacity, SEEN, block * environments)
    for first in range(0, steps, block):
        replay = replay.add(transitions(first, block, environments, done))
    return replay


@pytest.mark.parametrize("kind", [Replay, Prioritised])
@pytest.mark.parametrize(("steps", "n_step"), [(6, 1), (6, 3), (22, 1), (22, 3), (26, 4)])
def test_every_start_that_has_its_steps_is_sampled_alike(kind, steps, n_step):
    replay = filled(kind, capacity=20, steps=steps)
    sample = replay.sample(jax.random.key(0), 20_000, n_step, 2, 0.9)
    oldest, newest = max(0, steps - 10), steps - n_step
    expected = [100 * e + s for e in range(2) for s in range(oldest, newest + 1)]
    names, counts = np.unique(np.asarray(sample["observation"][:, 0]), return_counts=True)
    assert sorted(names) == sorted(expected)
    if kind is Replay:
        assert scipy.stats.chisquare(counts).pvalue > 1e-3
    else:  # stratified: closer to even than by chance
        assert np.ptp(counts) <= 2
    np.testing.assert_allclose(sample["weight"], 1, rtol=1e-5)  # float32 sums


def test_n_step_targets_stop_at_the_end_of_an_episode():
    replay = filled(Replay, capacity=20, steps=8, environments=1, done=(4,))
    sample = replay.example(jnp.asarray([1, 3, 4, 5]), 3, 1, 0.5)
    # rewards are step + 1: from 1: 2 + 3/2 + 4/4; from 3: 4 + 5/2, its end; from 5: 6 + 7/2 + 8/4.
    np.testing.assert_allclose(sample["reward"], [4.5, 6.5, 5.0, 11.5])
    np.testing.assert_allclose(sample["discount"], [0.125, 0, 0, 0.125])
    np.testing.assert_allclose(sample["next_observation"][:, 0], [3.5, 4.5, 4.5, 7.5])


def test_a_truncated_episode_is_bootstrapped_from_its_last_observation():
    replay = Replay.empty(24, SEEN, 8)
    cut = transitions(0, 8, 1, done=(4,))
    replay = replay.add(cut.replace(terminated=cut.truncated, truncated=cut.terminated))
    sample = replay.example(jnp.asarray([3]), 3, 1, 0.5)
    np.testing.assert_allclose(sample["reward"], [6.5])
    np.testing.assert_allclose(sample["discount"], [0.25])
    np.testing.assert_allclose(sample["next_observation"][:, 0], [4.5])


PICTURE = jax.ShapeDtypeStruct((2, 2, 3), jnp.uint8)


def episodes(lengths, environments, kinds):
    """Transitions [T, N] of episodes of these lengths, in turn, whose frames are numbered.

    Environment e has frame 100 e + 1, 100 e + 2, ...; each end is by `kinds`, in turn.
    """
    rows = []
    number = 0
    for length, kind in zip(lengths, kinds, strict=True):
        number += 1
        frames = [number]
        for step in range(length):
            number += 1
            frames.append(number)
            padded = [frames[0]] * 3 + frames
            last = step == length - 1
            rows.append((padded[-4:-1], padded[-3:], step, last and kind))
    offset = 100 * np.arange(environments)

    def pictures(index):
        numbers = np.asarray([row[index] for row in rows])[:, None] + offset[:, None]
        return jnp.asarray(
            np.broadcast_to(numbers[:, :, None, None], (*numbers.shape[:2], 2, 2, 3))
        )

    def flags(kind):
        ends = np.asarray([row[3] == kind for row in rows])
        return jnp.asarray(np.repeat(ends[:, None], environments, 1))

    step = np.repeat(np.asarray([row[2] for row in rows])[:, None], environments, 1)
    return Transition(
        observation=pictures(0).astype(jnp.uint8),
        action=jnp.asarray(step, jnp.int32),
        reward=jnp.asarray(step + 1, jnp.float32),
        terminated=flags("terminated"),
        truncated=flags("truncated"),
        next_observation=pictures(1).astype(jnp.uint8),
        episode_return=jnp.zeros(step.shape),
        episode_length=jnp.asarray(step + 1, jnp.int32),
    )


@pytest.mark.parametrize("kind", [Replay, Prioritised])
@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("capacity", [16, 48])
@pytest.mark.parametrize("at_once", [1, 4])
def test_frames_stored_once_give_the_examples_that_were_seen(kind, n_step, capacity, at_once):
    """The same examples as from whole observations, but the ends that were cut off."""
    lengths, environments = (1, 5, 2, 7, 5), 2
    kinds = ("terminated", "truncated", "terminated", "truncated", False)
    made = episodes(lengths, environments, kinds)
    steps = len(made.action)
    once = kind.empty(capacity, PICTURE, environments * at_once, frames=3)
    whole = kind.empty(capacity, PICTURE, environments * at_once)
    for step in range(0, steps, at_once):
        some = jax.tree.map(lambda x, step=step: x[step : step + at_once], made)
        once, whole = once.add(some), whole.add(some)

    sample = once.sample(jax.random.key(0), 4_000, n_step, environments, 0.9)
    expected = whole.example(sample["place"], n_step, environments, 0.9)
    counts = np.asarray(sample["weight"]) > 0
    assert not counts.all()
    # Where the weight is 0 an episode was cut off; where the discount is, nothing comes after.
    goes_on = counts & (np.asarray(sample["discount"]) > 0)
    for name in ("observation", "action", "reward"):
        np.testing.assert_array_equal(sample[name], expected[name])
    np.testing.assert_array_equal(sample["discount"][counts], expected["discount"][counts])
    following = sample["next_observation"][goes_on], expected["next_observation"][goes_on]
    np.testing.assert_array_equal(*following)
    # All that have their frames and their steps are there: 2 of the oldest lack the former once
    # they are overwritten, n of the newest the latter.
    missing = n_step + (2 if steps > capacity // environments else 0)
    starts = min(steps, capacity // environments) - missing
    assert len(np.unique(sample["place"])) == starts * environments


def test_a_million_frames_of_atari_take_less_than_8_gb():
    seen = jax.ShapeDtypeStruct((84, 84, 4), jnp.uint8)
    replay = jax.eval_shape(lambda: Replay.empty(1_000_000, seen, 4, frames=4))
    assert sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(replay)) < 8e9


def test_priorities_decide_how_often_and_weights_make_up_for_it():
    replay = filled(Prioritised, capacity=20, steps=20, environments=1)
    errors = jnp.arange(20.0)
    replay = replay.learned(jnp.arange(20), errors, jnp.asarray(True))
    sample = replay.sample(jax.random.key(1), 50_000, 1, 1, 0.9, beta=1.0)
    probability = (np.arange(20) + 1e-6) ** 0.6
    probability /= probability.sum()
    counts = np.bincount(sample["place"], minlength=20)
    # A stratum holds 1 / 50,000 of all priority: counts are within 2 of what is expected.
    assert np.abs(counts - 50_000 * probability).max() <= 2
    weight = 1 / (20 * probability[np.asarray(sample["place"])])
    np.testing.assert_allclose(sample["weight"], weight / weight.max(), rtol=1e-4)  # float32
    fresh = replay.add(transitions(20, 2, 1))
    np.testing.assert_allclose(fresh.priorities[:2], fresh.largest)


@pytest.mark.parametrize("kind", [Replay, Prioritised])
def test_before_the_first_example_is_whole_its_place_is_returned(kind):
    for steps in (1, 2):
        replay = filled(kind, capacity=20, steps=steps, environments=1, block=1)
        assert not replay.complete(3, 1)
        sample = replay.sample(jax.random.key(0), 8, 3, 1, 0.9, beta=1.0)
        np.testing.assert_array_equal(sample["place"], 0)
        np.testing.assert_array_equal(sample["weight"], 1)


def test_small_weights_among_a_million_are_not_lost():
    weights = np.full(1_000_000, 1e-3, np.float32)
    weights[::1000] = 1000.0
    parts = np.random.RandomState(0).rand(100_000)
    # A hundred million numbers: XLA's optimizations, which tests do without, are worth it here.
    quick = jax.jit(proportional, compiler_options={"xla_backend_optimization_level": 3})
    place, share = quick(jnp.asarray(weights), jnp.asarray(parts, jnp.float32))
    small = np.asarray(place) % 1000 != 0
    exact = 999_000 * 1e-3 / weights.sum(dtype=np.float64)
    assert abs(small.mean() - exact) < 4 * np.sqrt(exact / 100_000)  # 4 standard deviations
    np.testing.assert_allclose(share, weights[place] / weights.sum(dtype=np.float64), rtol=1e-4)


def test_a_capacity_that_does_not_fit_says_which_would():
    with pytest.raises(UserError, match=r"task.capacity: 25 is not divisible by the 10 .* take 30"):
        Replay.empty(25, SEEN, 10)
