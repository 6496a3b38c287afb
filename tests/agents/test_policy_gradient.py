"""What the agents with a policy share: its terms, rollouts, advantages, normalising."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
from corridor import Corridor

from aimodels.agents.normalization import Moments, Normalizer
from aimodels.agents.policy_gradient import (
    entropy,
    generalized_advantages,
    log_probability,
    rollout,
)
from aimodels.environments.base import Copies, Transition
from aimodels.models import count_parameters
from aimodels.models.value_networks import ActorCritic

CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def transitions(reward, terminated, truncated):
    """Of [T, N], without observations."""
    reward = jnp.asarray(reward, jnp.float32)
    zeros = jnp.zeros_like(reward)
    return Transition(
        observation=zeros[..., None],
        action=zeros.astype(jnp.int32),
        reward=reward,
        terminated=jnp.asarray(terminated, bool),
        truncated=jnp.asarray(truncated, bool),
        next_observation=zeros[..., None],
        episode_return=zeros,
        episode_length=zeros.astype(jnp.int32),
    )


def test_terms_of_a_policy_by_hand():
    probabilities = jnp.asarray([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3]])
    logits = jnp.log(probabilities) + jnp.asarray([[3.0], [-2.0]])  # a constant changes nothing
    np.testing.assert_allclose(entropy(logits), [1.5 * np.log(2), np.log(3)], **CLOSE)
    found = log_probability(logits, jnp.asarray([1, 0]))
    np.testing.assert_allclose(found, [-2 * np.log(2), -np.log(3)], **CLOSE)
    weights = jnp.ones(2)
    np.testing.assert_allclose(-entropy(logits).mean(), rlax.entropy_loss(logits, weights), **CLOSE)


def test_advantages_by_hand():
    # γ = λ = 1/2. Column 0 goes on; column 1 terminates after its first step, column 2 is cut off
    # there, and what follows is another episode.
    played = transitions([[1, 1, 1], [2, 2, 2]], [[0, 1, 0], [0, 0, 0]], [[0, 0, 1], [0, 0, 0]])
    values = jnp.asarray([[1.0, 1.0, 1.0], [3.0, 3.0, 3.0]])
    next_values = jnp.asarray([[3.0, 8.0, 8.0], [4.0, 4.0, 4.0]])
    found = generalized_advantages(played, values, next_values, 0.5, 0.5)
    # The last step of all: 2 + 4/2 - 3 = 1. Before it: 1 + 3/2 - 1 + 1/4; 1 + 0 - 1; 1 + 8/2 - 1.
    np.testing.assert_allclose(found, [[1.75, 0.0, 4.0], [1.0, 1.0, 1.0]], **CLOSE)


@pytest.mark.parametrize("trace", [0.0, 0.9, 1.0])
def test_advantages_are_rlaxs(trace):
    steps, number, discount = 40, 6, 0.97
    draw = np.random.default_rng(0)
    terminated = draw.random((steps, number)) < 0.15
    truncated = (draw.random((steps, number)) < 0.15) & ~terminated
    reward, values, ends = draw.normal(size=(3, steps, number)).astype(np.float32)
    # What a step led to is what the next one begins with, but where an episode ends.
    next_values = np.where(terminated | truncated, ends, np.append(values[1:], ends[-1:], 0))
    played = transitions(reward, terminated, truncated)
    found = generalized_advantages(played, values, next_values, discount, trace)

    # rlax has no time limits, but a λ of each step: with 0 it stops at the value.
    going = discount * (1.0 - terminated)
    returns = jax.vmap(rlax.lambda_returns, 1, 1)(
        reward, going, next_values, trace * (1.0 - truncated)
    )
    np.testing.assert_allclose(found + values, returns, rtol=1e-4, atol=1e-5)

    played = transitions(reward, terminated, np.zeros_like(truncated))
    along = np.append(values, ends[-1:], 0)
    found = generalized_advantages(played, values, along[1:], discount, trace)
    expected = jax.vmap(
        lambda *of: rlax.truncated_generalized_advantage_estimation(of[0], of[1], trace, of[2]),
        1,
        1,
    )(reward, going, along)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_rollout_keeps_what_an_episode_ended_with():
    world = Corridor(length=3, max_steps=4)
    copies = Copies(world, 64)
    running = copies.reset(jax.random.key(0))
    up_most = jnp.asarray([0.0, 1.5])

    def logits_of(observation):
        return jnp.broadcast_to(up_most, (len(observation), 2))

    running, played = rollout(copies, running, logits_of, 50, jax.random.key(1))
    share = float(played.action.mean())
    expected = float(jax.nn.softmax(up_most)[1])
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / (50 * 64))
    terminated, truncated = np.asarray(played.terminated), np.asarray(played.truncated)
    assert terminated.any()
    assert truncated.any()
    assert not (terminated & truncated).any()
    after = np.asarray(played.next_observation).argmax(-1)
    assert (after[terminated] == 3).all()  # the end, not the next beginning
    assert (after[truncated] < 3).all()
    before = np.asarray(played.observation).argmax(-1)
    done = np.asarray(played.done)
    assert (before[1:][done[:-1]] == 0).all()
    np.testing.assert_array_equal(before[1:][~done[:-1]], after[:-1][~done[:-1]])
    assert len(np.unique(np.asarray(played.action), axis=1).T) > 60  # each of them has its own luck


def test_moments_are_those_of_all_that_was_seen():
    draw = np.random.default_rng(0)
    parts = [draw.normal(3, 2, (steps, 4, 3)).astype(np.float32) for steps in (1, 5, 20)]
    moments = Moments.none((3,))
    assert (moments.mean == 0).all()
    assert (moments.variance == 1).all()
    for part in parts:
        moments = moments.after(jnp.asarray(part))
    seen = np.concatenate(parts).reshape(-1, 3)
    assert moments.count == len(seen)
    np.testing.assert_allclose(moments.mean, seen.mean(0), rtol=1e-5)
    np.testing.assert_allclose(moments.variance, seen.var(0), rtol=1e-4)


def test_rewards_are_divided_by_the_deviation_of_discounted_returns():
    played = transitions([[1, 4], [2, 0], [3, 2]], [[0, 0], [0, 1], [0, 0]], np.zeros((3, 2)))
    normalizer = Normalizer.new(jax.ShapeDtypeStruct((1,), jnp.float32))
    assert normalizer.reward(jnp.asarray(2.0)) == pytest.approx(2)
    after, discounted = normalizer.after(played, jnp.asarray([8.0, 0.0]), 0.5)
    # 8/2 + 1, 5/2 + 2, 4.5/2 + 3; and 4, 4/2, then a new episode: 2.
    sums = [5, 4.5, 5.25, 4, 2, 2]
    np.testing.assert_allclose(discounted, [5.25, 2])
    assert after.reward(jnp.asarray(-1.0)) == pytest.approx(-1 / np.std(sums), rel=1e-5)
    assert after.reward(jnp.asarray(1e6)) == 10


def test_actor_critic_has_cleanrls_parameters_and_gains():
    observation = jax.ShapeDtypeStruct((1, 4), jnp.float32)
    trunk = 4 * 64 + 64 + 64 * 64 + 64
    separate, shared = ActorCritic(2), ActorCritic(2, shared=True)
    assert count_parameters(separate, observation) == 2 * trunk + (64 * 2 + 2) + (64 + 1)
    assert count_parameters(shared, observation) == trunk + (64 * 2 + 2) + (64 + 1)
    params = separate.init(jax.random.key(0), jnp.zeros((1, 4)))["params"]
    gains = {"policy_1": 2.0, "value_1": 2.0, "policy_head": 1e-4, "value_head": 1.0}
    for name, square in gains.items():
        kernel = np.asarray(params[name]["kernel"])
        np.testing.assert_allclose(
            kernel.T @ kernel, square * np.eye(kernel.shape[1]), atol=2e-5 * square
        )
        assert (params[name]["bias"] == 0).all()
    logits, values = separate.apply({"params": params}, jnp.ones((5, 4)))
    assert logits.shape == (5, 2)
    assert values.shape == (5,)
