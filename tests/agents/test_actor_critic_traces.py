"""Actor-critic with eligibility traces, step by step by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
from corridor import Corridor, Table

from aimodels.agents.actor_critic_traces import ActorCriticTraces

GAMMA, LAMBDA, BETA, ALPHA = 0.5, 0.8, 0.1, 0.2


def softmax(logits):
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def test_updates_are_those_of_the_algorithm():
    """Tabular, so that each gradient is written out."""
    environment = Corridor(length=2, max_steps=5)
    agent = ActorCriticTraces(
        environment=environment,
        model=Table(),
        optimizer=optax.sgd(ALPHA),
        discount=GAMMA,
        trace_decay=LAMBDA,
        entropy_coefficient=BETA,
    )
    state = agent.init(jax.random.key(0), {})
    step = jax.jit(agent.train_step)
    policy, value = np.zeros((3, 2)), np.zeros(3)
    policy_trace, value_trace = np.zeros((3, 2)), np.zeros(3)
    ends = set()
    for time in range(40):
        place = int(state.extra["running"].state[0][0])
        clock = int(state.extra["running"].state[1][0])
        state, metrics = step(state, {}, jax.random.fold_in(jax.random.key(1), time))
        # What was done shows in what came of it, but at place 0, where both ways are tried.
        following = int(state.extra["running"].state[0][0])
        done = int(state.extra["running"].episode_length[0]) == 0
        up = place + 1
        options = []
        for action, then in ((1, up), (0, max(place - 1, 0))):
            terminated = then == 2
            cut = clock + 1 >= 5 and not terminated
            seen = 0 if terminated or cut else then
            if (terminated or cut) == done and seen == following:
                options.append((action, then, terminated, cut))
        fits = []
        for action, then, terminated, cut in options:
            chances = softmax(policy[place])
            logs = np.log(chances)
            new_policy, new_value = LAMBDA * GAMMA * policy_trace, LAMBDA * GAMMA * value_trace
            new_policy[place] += 0.5 * (np.eye(2)[action] - chances)
            new_value[place] += 1
            reward = 0.0 if terminated else -1.0
            error = reward + GAMMA * (0 if terminated else value[then]) - value[place]
            randomness = np.zeros((3, 2))
            randomness[place] = -chances * (logs - (chances * logs).sum())
            after = policy + ALPHA * (error * new_policy + BETA * randomness)
            values = value + ALPHA * error * new_value
            if np.allclose(state.params["policy"], after, atol=1e-5) and np.allclose(
                state.params["value"], values, atol=1e-5
            ):  # float32
                fits.append((after, values, new_policy, new_value, terminated, cut))
        assert len(fits) == 1, (time, place, options)
        policy, value, policy_trace, value_trace, terminated, cut = fits[0]
        ends |= {"terminated"} if terminated else {"cut"} if cut else set()
        if terminated or cut:
            policy_trace, value_trace = 0 * policy_trace, 0 * value_trace
        np.testing.assert_allclose(state.extra["traces"]["value"][0], value_trace, atol=1e-5)
        assert np.isfinite(metrics["entropy"])
    assert ends == {"terminated", "cut"}


def test_several_environments_are_a_mean():
    """Of equal environments by equal actions, as many as you like are one."""
    environment = Corridor()
    one = ActorCriticTraces(environment=environment, model=Table(), optimizer=optax.sgd(0.1))
    four = dataclasses.replace(one, environments=4)
    # So sure of going up that chance has no say.
    sure = {"policy": jnp.tile(jnp.asarray([[-50.0, 50.0]]), (4, 1)), "value": jnp.arange(4.0)}
    states = []
    for agent in (one, four):
        state = dataclasses.replace(agent.init(jax.random.key(0), {}), params=sure)
        for time in range(7):
            state, _ = jax.jit(agent.train_step)(state, {}, jax.random.key(time))
        states.append(state)
    np.testing.assert_allclose(states[0].params["value"], states[1].params["value"], rtol=1e-5)


def test_it_learns_the_corridor():
    agent = ActorCriticTraces(
        environment=Corridor(), model=Table(), optimizer=optax.sgd(0.1), discount=0.9
    )
    state = agent.init(jax.random.key(0), {})

    def step(state, key):
        return agent.train_step(state, {}, key)

    state, metrics = jax.lax.scan(step, state, jax.random.split(jax.random.key(1), 4_000))
    assert metrics["training_return"][-1] > -2.2  # the shortest way costs 2
    best = jnp.argmax(state.params["policy"], -1)
    assert best[:3].tolist() == [1, 1, 1]
