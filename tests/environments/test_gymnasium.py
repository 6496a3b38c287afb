"""Gymnasium's environments as ours: what they give is what a plain loop over them gives."""

import shutil

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from run_checks import assert_same_end

import aimodels
from aimodels.environments.gymnasium import Gymnasium
from aimodels.environments.gymnax import Gymnax
from aimodels.errors import UserError

gymnasium.logger.min_level = gymnasium.logger.ERROR


def played(environment, actions):
    """The seeds of the games [T, N] of actions [T, N], and the transitions."""
    copies = environment.copies(actions.shape[1])
    chances = copies.chances(jax.random.key(1), len(actions))

    def step(running, item):
        after, transition = copies.step(running, *item)
        return after, (running.state.seed, transition)

    loop = jax.jit(lambda running, *items: jax.lax.scan(step, running, items))
    return loop(copies.reset(jax.random.key(0)), jnp.asarray(actions), chances)[1]


def one_hot(number, of):
    return np.eye(of, dtype=np.float32)[number]


@pytest.mark.parametrize(
    ("name", "options", "shown"),
    [
        ("CartPole-v1", {}, np.float32),
        ("Acrobot-v1", {}, np.float32),
        ("LunarLander-v3", {}, np.float32),
        ("FrozenLake-v1", {"map_name": "8x8"}, lambda seen: one_hot(seen, 64)),
        ("CliffWalking-v1", {"is_slippery": True}, lambda seen: one_hot(seen, 48)),
        ("Taxi-v4", {}, lambda seen: one_hot(seen, 500)),
        (
            "Blackjack-v1",
            {},
            lambda seen: np.concatenate(
                [one_hot(part, of) for part, of in zip(seen, (32, 11, 2), strict=True)]
            ),
        ),
    ],
)
def test_a_plain_loop_gives_the_same(name, options, shown):
    environment = Gymnasium(name, options=options, max_steps=60)
    actions = np.random.RandomState(0).randint(0, environment.num_actions, (150, 2))
    seeds, ours = played(environment, actions)
    theirs = gymnasium.make(name, max_episode_steps=60, **options)
    episodes = 0
    for copy in range(2):
        fresh = True
        for time, action in enumerate(actions[:, copy]):
            if fresh:
                seen, _ = theirs.reset(seed=int(seeds[time, copy]))
                episodes, score = episodes + 1, 0.0
            here = jax.tree.map(lambda x: x[time, copy], ours)  # noqa: B023
            np.testing.assert_array_equal(here.observation, shown(seen))
            seen, reward, terminated, truncated, _ = theirs.step(int(action))
            score += reward
            np.testing.assert_array_equal(here.next_observation, shown(seen))
            assert float(here.reward) == np.float32(reward)
            assert float(here.episode_return) == np.float32(score)
            assert bool(here.terminated) == terminated
            assert bool(here.truncated) == (truncated and not terminated)
            fresh = terminated or truncated
    assert episodes > 4


def test_cartpole_is_that_of_gymnax():
    ours, theirs = Gymnasium("CartPole-v1"), Gymnax("CartPole-v1")
    actions = np.random.RandomState(2).randint(0, 2, 200)
    state, seen = ours.reset(jax.random.key(3))
    other, _ = theirs.reset(jax.random.key(0))
    other = other.replace(x=seen[0], x_dot=seen[1], theta=seen[2], theta_dot=seen[3])
    steps = jax.jit(ours.step), jax.jit(theirs.step)
    for action in actions:
        left = steps[0](state, jnp.int32(action), jax.random.key(0))
        right = steps[1](other, jnp.int32(action), jax.random.key(0))
        # float64 against float32 whose errors grow from step to step.
        np.testing.assert_allclose(left.observation, right.observation, atol=1e-4)
        assert bool(left.terminated) == bool(right.terminated)
        assert float(left.reward) == float(right.reward)
        state, other = left.state, right.state
        if left.terminated:
            break
    assert left.terminated


def test_a_time_limit_is_no_end_and_the_last_observation_is_kept():
    _, seen = played(Gymnasium("CartPole-v1", max_steps=7), np.arange(21)[:, None] % 2)
    cut = np.arange(1, 22) % 7 == 0
    np.testing.assert_array_equal(seen.truncated[:, 0], cut)
    assert not seen.terminated.any()
    np.testing.assert_array_equal(seen.episode_return[:, 0], (np.arange(21)) % 7 + 1)
    goes_on = np.all(np.asarray(seen.next_observation[:-1] == seen.observation[1:]), (1, 2))
    np.testing.assert_array_equal(goes_on, ~cut[:-1])


def config(task, **changes):
    return {
        "environment": {"name": "gymnasium", "id": "CartPole-v1"},
        "task": task,
        "optimizer": {"name": "adam", "learning_rate": 1e-3},
        "evaluation": {"batch_size": 3, "every": 10},
        "checkpoint": {"every": 10, "keep": 9},
        "training": {"steps": 40, "log_every": 2},
        **changes,
    }


DQN = {
    "name": "dqn",
    "train_every": 4,
    "batch_size": 16,
    "capacity": 120,
    "learning_starts": 40,
    "target_every": 20,
}
RUNS = {
    "dqn": config(DQN, model={"name": "QNetwork", "features": (16,)}),
    "dqn_two_seeds": config(
        DQN, model={"name": "QNetwork", "features": (16,)}, replicas={"seeds": (0, 1)}
    ),
    "a2c": config(
        {"name": "a2c", "environments": 8}, model={"name": "ActorCritic", "features": (16,)}
    ),
    "reinforce": config(
        {"name": "reinforce", "environments": 2},
        model={"name": "ActorCritic", "features": (16,)},
    ),
    "tabular": config(
        {"name": "tabular", "environment_steps": 10},
        environment={"name": "gymnasium", "id": "FrozenLake-v1", "one_hot": False},
        optimizer={"name": "sgd", "learning_rate": 0.1},
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(name, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    aimodels.train(RUNS[name], whole, verbose=False)
    shutil.copytree(whole, parts)
    (parts / "results.json").unlink()  # as a kill after step 20 would have left it
    for step in ("30", "40"):
        shutil.rmtree(parts / "checkpoints" / step)
    aimodels.train(RUNS[name], parts, verbose=False)
    assert_same_end(whole, parts)
    state = aimodels.load(whole).all_replicas
    if "running" in state.extra:
        times = np.asarray(state.extra["running"].state.time)
        assert (times != times.flat[0]).any() or times.size == 1


def test_replicas_on_devices_of_their_own_play_the_same(tmp_path):
    results = {}
    for devices in (1, 2):
        run = config(
            DQN,
            model={"name": "QNetwork", "features": (16,)},
            replicas={"seeds": (0, 1), "mode": "sequential"},
            parallel={"replica": devices},
        )
        result = aimodels.train(run, tmp_path / str(devices), verbose=False)
        results[devices] = [replica["metrics"] for replica in result.results["replicas"]]
    assert results[1] == results[2]
    assert results[1][0] != results[1][1]


@pytest.mark.parametrize(
    ("id", "options"), [("CartPole-v1", {}), ("FrozenLake-v1", {"is_slippery": True})]
)
def test_a_state_is_drawn_as_gymnasium_draws_it(id, options):
    environment = Gymnasium(id, options=options)
    theirs = gymnasium.make(id, render_mode="rgb_array", **options)
    state, observation = environment.begin(jnp.uint32(7))
    theirs.reset(seed=7)
    states = [(state, observation, theirs.render())]
    for action in (0, 1, 1):
        step = environment.step(state, jnp.int32(action), jax.random.key(0))
        theirs.step(action)
        state = step.state
        states.append((state, step.observation, theirs.render()))
        if bool(step.terminated):
            break
    for state, observation, picture in reversed(states):
        drawn = environment.draw(state, observation)
        assert drawn.dtype == np.uint8
        np.testing.assert_array_equal(drawn, picture)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": "CartPole-v2"}, r"unknown environment 'CartPole-v2'.*'CartPole-v1'"),
        ({"id": "Pendulum-v1"}, r"Pendulum-v1: its actions are Box\(1,\); .* CartPole-v1$"),
        ({"id": "nothing:Env-v0"}, "environment nothing:Env-v0: no package 'nothing'"),
        (
            {"id": "FrozenLake-v1", "options": {"map_nam": "8x8"}},
            "environment.options: unknown field 'map_nam'.*'map_name'",
        ),
        (
            {"id": "FrozenLake-v1", "options": {"map_name": "9x9"}},
            r"FrozenLake-v1, options \{'map_name': '9x9'\}: '9x9'",
        ),
        ({"id": "CartPole-v1", "one_hot": False}, "environment.one_hot: CartPole-v1 does not"),
        ({"id": "phys2d/CartPole-v1"}, "phys2d/CartPole-v1: it is written in JAX.*'gymnax'"),
        ({"id": "Ant-v5"}, r"environment Ant-v5: MuJoCo is not installed.*gymnasium\[mujoco\]"),
    ],
)
def test_mistakes_are_answered_in_one_line(fields, message):
    with pytest.raises(UserError, match=message) as caught:
        Gymnasium(**fields)
    assert "\n" not in str(caught.value)
