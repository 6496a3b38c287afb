"""A2C: its loss by hand and by rlax; with several actor-learners, the algorithm of A3C."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rlax
from corridor import Corridor, Table, one_hot

from aimodels.agents.a2c import A2C
from aimodels.environments.base import Transition
from aimodels.errors import UserError

CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def agent(**fields):
    defaults = {"environment": Corridor(), "model": Table(), "optimizer": optax.sgd(0.1)}
    return A2C(**defaults | {"environments": 4, "discount": 0.5} | fields)


def one_step_each(places, actions, rewards, terminated, truncated, next_places):
    """Transitions [1, N]."""
    return Transition(
        observation=one_hot([places]),
        action=jnp.asarray([actions]),
        reward=jnp.asarray([rewards], jnp.float32),
        terminated=jnp.asarray([terminated], bool),
        truncated=jnp.asarray([truncated], bool),
        next_observation=one_hot([next_places]),
        episode_return=jnp.asarray([rewards], jnp.float32),
        episode_length=jnp.ones((1, len(places)), jnp.int32),
    )


# Values 1, 2, 3, 4 of the places; even chances but at place 1, where they are 1/4 and 3/4.
PARAMS = {
    "policy": jnp.log(jnp.asarray([[0.5, 0.5], [0.25, 0.75], [0.5, 0.5], [0.5, 0.5]])),
    "value": jnp.asarray([1.0, 2.0, 3.0, 4.0]),
}


def test_loss_by_hand_and_by_rlax():
    # Advantages, γ = 1/2: 1 + 2/2 - 1 = 1 goes on; 0 + 0 - 2 = -2 terminated;
    # 2 + 4/2 - 3 = 1 cut off: the value of what it ended with counts.
    played = one_step_each([0, 1, 2], [1, 1, 0], [1, 0, 2], [0, 1, 0], [0, 0, 1], [1, 3, 3])
    one = agent(value_coefficient=0.5, entropy_coefficient=0.1)
    gradients, metrics = jax.grad(one.loss, has_aux=True)(PARAMS, played)
    logs = np.log([0.5, 0.75, 0.5])
    randomness = (2 * np.log(2) - (np.log(0.25) + 3 * np.log(0.75)) / 4) / 3
    policy_loss = -np.mean(np.asarray([1, -2, 1]) * logs)
    assert metrics["policy_loss"] == pytest.approx(policy_loss, rel=1e-5)
    assert metrics["value_loss"] == pytest.approx((1 + 4 + 1) / 3, rel=1e-5)
    assert metrics["entropy"] == pytest.approx(randomness, rel=1e-5)
    assert metrics["loss"] == pytest.approx(policy_loss + 1 - 0.1 * randomness, rel=1e-5)
    # d/dV of ½ (A + V₀ - V)² / 3 is -A / 3: nothing comes by way of the next values.
    np.testing.assert_allclose(gradients["value"], np.asarray([-1, 2, -1, 0]) / 3, **CLOSE)

    def expected(policy):
        logits, weights = policy[:3], jnp.ones(3)
        actions, advantages = jnp.asarray([1, 1, 0]), jnp.asarray([1.0, -2.0, 1.0])
        loss = rlax.policy_gradient_loss(logits, actions, advantages, weights)
        return loss + 0.1 * rlax.entropy_loss(logits, weights)

    by_rlax = jax.grad(expected)(PARAMS["policy"])
    np.testing.assert_allclose(gradients["policy"], by_rlax, **CLOSE)


def round_robin(one, state, learners, keys):
    """Algorithm S3 of Mnih et al. 2016 as it is written, the threads taking turns."""
    size = one.environments // learners
    alone = dataclasses.replace(one, environments=size, actor_learners=1)

    @jax.jit
    def thread(local, shared, optimizer_state, extra, key):
        extra, played = alone.explore(local, extra, key)
        gradients, _ = jax.grad(alone.loss, has_aux=True)(local, played)
        updates, optimizer_state = one.optimizer.update(gradients, optimizer_state, shared)
        return optax.apply_updates(shared, updates), optimizer_state, extra

    local = [state.params] * learners
    running = [
        jax.tree.map(lambda leaf, i=i: leaf[i * size : (i + 1) * size], state.extra["running"])
        for i in range(learners)
    ]
    shared, optimizer_state = state.params, state.optimizer_state
    episodes = state.extra["episodes"]
    for step, key in enumerate(keys):
        mine = step % learners
        extra = {"running": running[mine], "episodes": episodes}
        shared, optimizer_state, extra = thread(local[mine], shared, optimizer_state, extra, key)
        running[mine], episodes, local[mine] = extra["running"], extra["episodes"], shared
    return shared, episodes, running


@pytest.mark.parametrize("learners", [1, 2, 4])
def test_actor_learners_take_turns_with_copies_of_their_own(learners):
    """One is A2C, to the bit: its copy of the weights is the weights."""
    one = agent(actor_learners=learners, optimizer=optax.rmsprop(0.05), rollout_steps=3)
    state = begin = one.init(jax.random.key(0), {})
    keys = jax.random.split(jax.random.key(1), 9)
    step = jax.jit(one.train_step)
    for key in keys:
        state, _ = step(state, {}, key)
    shared, episodes, running = round_robin(one, begin, learners, keys)
    jax.tree.map(np.testing.assert_array_equal, state.extra["episodes"], episodes)
    rows = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *running)
    jax.tree.map(np.testing.assert_array_equal, state.extra["running"], rows)
    compare = np.testing.assert_array_equal if learners == 1 else np.testing.assert_allclose
    jax.tree.map(lambda a, b: compare(a, b, **{} if learners == 1 else CLOSE), state.params, shared)
    assert float(jnp.abs(shared["policy"]).max()) > 0.01


def test_later_gradients_are_of_older_weights():
    """W = 2: the second update is of the first weights, though others are shared by then."""
    one = agent(actor_learners=2, environments=2)
    begin, step = one.init(jax.random.key(0), {}), jax.jit(one.train_step)
    keys = jax.random.split(jax.random.key(1))
    first, _ = step(begin, {}, keys[0])
    second, _ = step(first, {}, keys[1])
    # As if the first had not been made: the same copy and environment, the same gradient.
    alone, _ = step(dataclasses.replace(begin, step=jnp.asarray(1)), {}, keys[1])

    def moved(new, old):
        return new.params["policy"] - old.params["policy"]

    np.testing.assert_allclose(moved(second, first), moved(alone, begin), **CLOSE)
    assert not np.allclose(first.params["policy"], begin.params["policy"])


def test_statistics_are_learned_and_used():
    one = agent(normalize=True, rollout_steps=8)
    state = one.init(jax.random.key(0), {})
    assert one.seen(state.extra, one_hot([0]))[0, 0] == 1  # nothing is known yet
    for key in jax.random.split(jax.random.key(1), 3):
        state, metrics = jax.jit(one.train_step)(state, {}, key)
    assert state.extra["normalizer"].observations.count == 3 * 8 * 4
    seen = one.seen(state.extra, one_hot([0]))
    known = state.extra["normalizer"].observations
    np.testing.assert_allclose(seen[0], (one_hot(0) - known.mean) / known.deviation, **CLOSE)
    assert metrics["training_return"] <= -2 + 1e-6  # the corridor's own reward, not the scaled one


def test_environments_must_be_divisible():
    with pytest.raises(UserError, match=r"4 environments can't be divided among 3; take a divisor"):
        agent(actor_learners=3).init(jax.random.key(0), {})
