"""Environments on the host are pure functions: whatever was asked before, and in which process."""

import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aimodels.environments import host
from aimodels.environments.host import HostEnvironment, Outcome
from aimodels.errors import UserError, raised_on_host


class Walk(HostEnvironment):
    """A sum of seeded noise and actions, in lives of `life` steps, games of three lives."""

    id = "Walk"
    num_actions, max_steps = 3, 20

    def __init__(self, life=100, repeats=True):
        self.observation = jax.ShapeDtypeStruct((2,), jnp.float32)
        self.life, self.repeats, self.made, self.resets = life, repeats, 0, 0

    def make(self):
        """One that is counted."""
        self.made += 1
        return WalkGame(self)


class WalkGame:
    """One walk."""

    def __init__(self, of):
        self.of = of

    def reset(self, seed):
        """At 0."""
        self.of.resets += 1
        self.random = np.random.default_rng(seed if self.of.repeats else None)
        self.time, self.sum = 0, 0.0
        return self.shown()

    def shown(self):
        """The sum, and noise."""
        return np.float32([self.sum, self.random.random()])

    def step(self, action):
        """The reward is the action, the score the time."""
        self.time += 1
        self.sum += (action + 1) * self.random.random()
        over = self.time == 3 * self.of.life
        cut = self.time == self.of.max_steps
        lost = self.time % self.of.life == 0
        seen = self.shown()
        following = None if over or cut else self.shown() if lost else seen
        return Outcome(seen, float(action), float(self.time), lost, cut, following)


def same(left, right):
    jax.tree.map(
        lambda x, y: np.testing.assert_array_equal(np.asarray(x), np.asarray(y)), left, right
    )


def play(environment, running, actions, seed=1):
    """Transitions of actions [T, N], and where that leads."""
    copies = environment.copies(actions.shape[1])
    chances = copies.chances(jax.random.key(seed), len(actions))

    def step(running, item):
        return copies.step(running, *item)

    return jax.jit(lambda *item: jax.lax.scan(step, *item))(running, (actions, chances))


def draw(steps, number, actions=3):
    return jax.random.randint(jax.random.key(7), (steps, number), 0, actions)


def test_a_state_can_be_stepped_twice_and_in_any_order():
    environment = Walk()
    step, key = jax.jit(environment.step), jax.random.key(0)
    states = [environment.reset(jax.random.key(seed))[0] for seed in range(3)]
    first = [step(state, jnp.int32(1), key) for state in states]
    deep = [step(step(after.state, jnp.int32(2), key).state, jnp.int32(0), key) for after in first]
    for state, after in reversed(list(zip(states, first, strict=True))):
        same(step(state, jnp.int32(1), key), after)
        other = step(state, jnp.int32(0), key)
        assert float(other.observation[0]) == pytest.approx(float(after.observation[0]) / 2)
        same(step(state, jnp.int32(1), key), after)
    again = [step(step(after.state, jnp.int32(2), key).state, jnp.int32(0), key) for after in first]
    same(deep, again)


def test_what_is_asked_twice_is_not_made_twice():
    environment = Walk()
    copies = environment.copies(4)
    step = jax.jit(copies.step)
    running = copies.reset(jax.random.key(0))
    actions, chances = jnp.zeros(4, jnp.int32), copies.chance(jax.random.key(1))
    for _ in range(10):
        # A replica of a loop that is finished does its last step over and over.
        after = step(running, actions, chances)
        same(step(running, actions, chances), after)
        running = after[0]
    assert environment.made == environment.resets == 4


def test_another_process_goes_on_to_the_same_bits():
    whole, parts = Walk(), Walk()
    actions = draw(50, 3)
    begin = whole.copies(3).reset(jax.random.key(0))
    end = play(whole, begin, actions)
    halfway, early = play(parts, begin, actions[:25])
    # Its games are gone, and what is saved is what a checkpoint holds.
    saved = jax.tree.map(np.asarray, halfway)
    fresh = Walk()
    chances = whole.copies(3).chances(jax.random.key(1), 50)
    copies = fresh.copies(3)
    later = jax.lax.scan(
        lambda running, item: copies.step(running, *item),
        saved,
        (actions[25:], jax.tree.map(lambda x: x[25:], chances)),
    )
    same(end[0], later[0])
    same(end[1], jax.tree.map(lambda *x: np.concatenate(x), early, later[1]))
    assert fresh.resets == 3 + int(later[1].game_over.sum())


def test_an_episode_that_ends_keeps_its_last_observation_and_lives_go_on():
    environment = Walk(life=4)
    running = environment.copies(2).reset(jax.random.key(0))
    first = running.state.seed
    end, seen = play(environment, running, jnp.ones((25, 2), jnp.int32))
    time = np.arange(1, 26)
    np.testing.assert_array_equal(seen.terminated[:, 0], time % 4 == 0)
    np.testing.assert_array_equal(seen.finished[:, 0], time % 12 == 0)
    np.testing.assert_array_equal(seen.episode_length[:, 0], (time - 1) % 4 + 1)
    # The return is the game's, which the rewards to learn from are not.
    np.testing.assert_array_equal(seen.episode_return[:, 0], (time - 1) % 12 + 1)
    np.testing.assert_array_equal(seen.reward, 1)
    goes_on = np.all(np.asarray(seen.next_observation[:-1] == seen.observation[1:]), -1)
    np.testing.assert_array_equal(goes_on, ~np.asarray(seen.done[:-1]))
    # The next life is in the same game: its sum goes on.
    np.testing.assert_array_equal(seen.observation[4, :, 0], seen.next_observation[3, :, 0])
    np.testing.assert_array_equal(seen.observation[12, :, 0], 0)
    assert (end.state.seed != first).all()
    assert environment.resets == 2 + 2 * 2


def test_a_limit_is_no_end():
    environment = Walk()
    running = environment.copies(2).reset(jax.random.key(0))
    _, seen = play(environment, running, draw(45, 2))
    np.testing.assert_array_equal(seen.truncated[:, 1], np.arange(1, 46) % 20 == 0)
    assert not seen.terminated.any()
    np.testing.assert_array_equal(seen.finished, seen.truncated)


def test_games_are_a_bounded_number(monkeypatch):
    monkeypatch.setattr(host, "KEPT", 6)
    environment, key = Walk(), jax.random.key(0)
    step = jax.jit(environment.step)
    states = [environment.reset(jax.random.key(seed))[0] for seed in range(20)]
    for _ in range(2):
        for state in states:
            step(state, jnp.int32(0), key)
    assert len(environment.games) == environment.made == 6
    assert environment.resets == 3 * 20  # in turn, each is wanted just after it was given up


def test_a_game_that_does_not_repeat_itself_is_noticed():
    environment = Walk(repeats=False)
    running = environment.copies(2).reset(jax.random.key(0))
    running, seen = play(environment, running, draw(5, 2))
    assert np.isfinite(seen.reward).all()
    fresh = Walk(repeats=False)
    message = (
        r"^environment Walk does not repeat itself from its seed.* \(5 of them\).*what it was$"
    )
    with pytest.raises(UserError, match=message), raised_on_host():
        jax.block_until_ready(play(fresh, running, draw(1, 2)))
    with pytest.raises(jax.errors.JaxRuntimeError, match="ZeroDivisionError"), raised_on_host():
        jax.block_until_ready(jax.jit(broken)(jnp.ones(())))


def broken(x):
    return jax.pure_callback(lambda x: 1 // 0, jax.ShapeDtypeStruct((), jnp.float32), x)


def test_replicas_of_environments_are_one_call(monkeypatch):
    environment = Walk()
    copies, calls = environment.copies(3), []
    step = environment.games.step
    monkeypatch.setattr(
        environment.games, "step", lambda words: (calls.append(words.shape), step(words))[1]
    )
    running = jax.vmap(copies.reset)(jax.random.split(jax.random.key(0)))
    actions = draw(2, 3)
    chances = jax.vmap(copies.chance)(jax.random.split(jax.random.key(1)))
    after = jax.jit(jax.vmap(copies.step))(running, actions, chances)
    assert [shape[:2] for shape in calls] == [(2, 3)]
    for replica in range(2):
        one = jax.tree.map(lambda x: x[replica], (running, actions, chances))  # noqa: B023
        same(jax.tree.map(lambda x: x[replica], after), copies.step(*one))  # noqa: B023


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_long_history_does_not_block_a_loop(threads):
    # JAX's calls of the host have come to a halt where its threads wait for each other.
    code = """
        import jax, jax.numpy as jnp, numpy as np
        from test_host import Walk, draw
        Walk.max_steps = 1_000_000
        environment = Walk(life=1_000_000)
        copies = environment.copies(4)
        actions, chances = draw(200, 4), copies.chances(jax.random.key(1), 200)
        def all_steps(running):
            step = lambda running, item: copies.step(running, *item)
            return jax.lax.scan(step, running, (actions, chances))
        loop = jax.jit(all_steps, donate_argnums=0)
        running = copies.reset(jax.random.key(0))
        for _ in range(2):
            running, seen = loop(running)
        assert (np.asarray(running.episode_return) == 400).all()
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={"NPROC": threads, "JAX_PLATFORMS": "cpu", "PYTHONPATH": ":".join(sys.path)},
        timeout=300,
        check=True,
    )
