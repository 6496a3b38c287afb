"""Environments written in JAX against those that everybody measures with."""

from pathlib import Path

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aimodels.environments.base import Copies
from aimodels.environments.gymnax import Gymnax
from aimodels.errors import UserError

GOLDEN = Path(__file__).parent.parent / "golden"
gymnasium.logger.min_level = gymnasium.logger.ERROR


def states(name, state):
    """A gymnax state as gymnasium keeps it."""
    fields = {
        "CartPole-v1": ("x", "x_dot", "theta", "theta_dot"),
        "MountainCar-v0": ("position", "velocity"),
        "Acrobot-v1": ("joint_angle1", "joint_angle2", "velocity_1", "velocity_2"),
    }[name]
    return np.array([getattr(state, field) for field in fields], np.float64)


@pytest.mark.parametrize("name", ["CartPole-v1", "MountainCar-v0", "Acrobot-v1"])
def test_the_same_actions_lead_to_the_same_as_in_gymnasium(name):
    ours, theirs = Gymnax(name), gymnasium.make(name)
    theirs.reset(seed=0)
    step = jax.jit(ours.step)
    draw, episodes = np.random.RandomState(0), 0
    state, _ = ours.reset(jax.random.key(0))
    theirs.unwrapped.state = states(name, state)
    for time in range(600):
        action = int(draw.randint(ours.num_actions))
        after = step(state, jnp.int32(action), jax.random.key(time))
        observation, reward, terminated, truncated, _ = theirs.step(action)
        # float32 against float64, over an episode of up to 500 steps of a chaotic system.
        np.testing.assert_allclose(after.observation, observation, atol=2e-3)
        assert bool(after.terminated) == terminated
        assert float(after.reward) == reward
        state = after.state
        if terminated or truncated:
            episodes += 1
            assert bool(after.truncated) == truncated or terminated
            theirs.reset(seed=time)
            state, _ = ours.reset(jax.random.key(time))
            theirs.unwrapped.state = states(name, state)
    assert episodes >= 1


def test_a_time_limit_is_no_end_and_the_last_observation_is_kept():
    copies = Copies(Gymnax("CartPole-v1", max_steps=7), 3)
    running = copies.reset(jax.random.key(0))
    step = jax.jit(copies.step)
    for time in range(1, 15):
        before = running
        actions = jnp.full(3, time % 2, jnp.int32)
        running, transition = step(running, actions, copies.chance(jax.random.key(time)))
        cut = time % 7 == 0
        np.testing.assert_array_equal(transition.truncated, cut)
        assert not transition.terminated.any()
        np.testing.assert_array_equal(transition.episode_length, (time - 1) % 7 + 1)
        np.testing.assert_array_equal(transition.episode_return, (time - 1) % 7 + 1.0)
        np.testing.assert_array_equal(transition.observation, before.observation)
        same = np.all(np.asarray(transition.next_observation == running.observation), axis=1)
        np.testing.assert_array_equal(same, not cut)
        if cut:  # begins near the middle again
            assert np.abs(running.observation).max() <= 0.05
            np.testing.assert_array_equal(running.episode_return, 0)


@pytest.mark.parametrize("name", ["Breakout-MinAtar", "Asterix-MinAtar", "Catch-bsuite"])
def test_other_environments_can_be_played(name):
    environment = Gymnax(name)
    copies = Copies(environment, 2)

    actions = jax.random.randint(jax.random.key(2), (200, 2), 0, environment.num_actions)
    chances = copies.chances(jax.random.key(0), 200)
    _, transitions = jax.jit(
        lambda running: jax.lax.scan(
            lambda running, item: copies.step(running, *item), running, (actions, chances)
        )
    )(copies.reset(jax.random.key(1)))
    assert transitions.observation.shape == (200, 2, *environment.observation.shape)
    assert transitions.observation.dtype == environment.observation.dtype
    assert transitions.terminated.any()
    assert np.isfinite(transitions.episode_return).all()


def test_mistakes_are_answered_in_one_line():
    with pytest.raises(UserError, match=r"unknown environment 'CartPole-v2'.*'CartPole-v1'"):
        Gymnax("CartPole-v2")
    with pytest.raises(UserError, match="Pendulum-v1: its actions are Box"):
        Gymnax("Pendulum-v1")
    with pytest.raises(UserError, match=r"environment.options: unknown field 'gravitas'.*gravity"):
        Gymnax("CartPole-v1", options={"gravitas": 1.0})


def test_breakout_is_that_of_minatar():
    """Games recorded by MinAtar's own code, see tests/golden/make_minatar.py."""
    golden = np.load(GOLDEN / "minatar.npz")
    games, longest = golden["actions"].shape
    bits = np.unpackbits(golden["observations"])[: games * longest * 400]
    observations = bits.reshape(games, longest, 10, 10, 4).astype(bool)
    everything = {"use_minimal_action_set": False}
    ours = Gymnax("Breakout-MinAtar", max_steps=10_000, arguments=everything)
    step = jax.jit(ours.step)
    begins = {}
    for seed in range(20):
        state, _ = ours.reset(jax.random.key(seed))
        begins[int(state.ball_x) // 9] = state
    bricks = 0
    for game in range(games):
        state = begins[int(golden["start"][game])]
        for time, action in enumerate(golden["actions"][game]):
            after = step(state, jnp.int32(action), jax.random.key(0))
            np.testing.assert_array_equal(after.observation, observations[game, time])
            assert after.reward == golden["rewards"][game, time]
            assert after.terminated == golden["terminals"][game, time]
            bricks += int(after.reward)
            state = after.state
            if after.terminated:
                break
    assert bricks > 30  # all of a wall: it is built anew


def test_sticky_actions_do_the_last_one_again():
    """To the left after to the right: at place 4 of Breakout, two places apart."""
    sticky = Gymnax("Breakout-MinAtar", sticky_actions=0.25)
    number = 4_000

    def place(key):
        reset_key, first_key, second_key = jax.random.split(key, 3)
        state, _ = sticky.reset(reset_key)
        state = sticky.step(state, jnp.int32(1), first_key).state
        return sticky.step(state, jnp.int32(2), second_key).state["state"].pos

    # The first is left (3) or nothing (4); then right, or the same once more.
    places = np.bincount(jax.vmap(place)(jax.random.split(jax.random.key(0), number)), minlength=6)
    chances = {2: 0.75 * 0.25, 4: 0.75 * 0.75 + 0.25 * 0.25, 5: 0.25 * 0.75}
    for where, chance in chances.items():
        error = 4 * np.sqrt(number * chance * (1 - chance))  # 4 standard deviations
        assert abs(places[where] - number * chance) < error
    assert places.sum() == sum(places[where] for where in chances)


def test_values_that_gymnax_does_not_take_are_answered_in_one_line():
    for fields, message in (
        ({"id": "DeepSea-bsuite", "arguments": {"size": 0}}, "DeepSea-bsuite, .*'size': 0"),
        (
            {"id": "CartPole-v1", "options": {"gravity": "high"}},
            r"CartPole-v1, .*'gravity': 'high'",
        ),
        ({"id": "CartPole-v1", "options": {"max_steps_in_episode": "no"}}, "_episode': 'no'"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            Gymnax(**fields)
        assert "\n" not in str(caught.value)


def test_an_unknown_argument_says_which_there_are():
    with pytest.raises(UserError, match=r"environment.arguments: .*sise.*size"):
        Gymnax("DeepSea-bsuite", arguments={"sise": 5})
