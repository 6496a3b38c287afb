"""Atari: the preprocessing by its definition, the games against ale-py's own environments."""

from fractions import Fraction

import ale_py
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aimodels.agents.replay import Replay
from aimodels.environments import atari
from aimodels.environments.atari import Atari, resized
from aimodels.errors import UserError

gymnasium.register_envs(ale_py)


def overlap(left, right):
    return max(min(left[1], right[1]) - max(left[0], right[0]), 0)


@pytest.mark.parametrize("shape", [(210, 160), (250, 160)])
def test_a_pixel_is_the_mean_of_the_area_that_it_covers(shape):
    screen = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)
    ours = resized(screen)
    assert ours.shape == (84, 84)
    assert ours.dtype == np.uint8
    tall, wide = (Fraction(length, 84) for length in shape)
    for row, column in ((0, 0), (0, 83), (83, 0), (83, 83), (41, 17), (1, 50), (60, 33)):
        rows = [overlap((i, i + 1), (row * tall, (row + 1) * tall)) for i in range(shape[0])]
        columns = [
            overlap((j, j + 1), (column * wide, (column + 1) * wide)) for j in range(shape[1])
        ]
        area = sum(
            rows[i] * columns[j] * int(screen[i, j]) for i, j in np.ndindex(shape) if rows[i]
        )
        assert int(ours[row, column]) == round(area / (tall * wide))
    assert (resized(np.full(shape, 255, np.uint8)) == 255).all()


def test_a_plain_loop_over_ale_gives_the_same():
    environment = Atari("Pong", sticky_actions=0.0, clip_rewards=False)
    theirs = gymnasium.make(
        "ALE/Pong-v5", frameskip=1, repeat_action_probability=0.0, obs_type="grayscale"
    )
    seed = 5
    game = environment.make()
    ours = game.reset(seed)
    theirs.reset(seed=0)
    no_ops = np.random.default_rng(seed).integers(1, 31)
    assert no_ops > 1
    for _ in range(no_ops):
        screen, *_ = theirs.step(0)
    frames = [resized(screen)] * 4
    actions, rewards = np.random.RandomState(1).randint(0, 6, 250), 0
    for action in actions:
        np.testing.assert_array_equal(ours, np.stack(frames, -1))
        screens, reward = [], 0.0
        for _ in range(4):
            screen, gained, over, *_ = theirs.step(action)
            screens.append(screen)
            reward += gained
        frames = [*frames[1:], resized(np.maximum(*screens[-2:]))]
        outcome = game.step(action)
        ours = outcome.following
        assert outcome.reward == reward
        assert not over
        rewards += reward != 0
    assert rewards > 3


def test_a_frame_is_sticky_by_the_probability_of_machado():
    environment = Atari("Pong", sticky_actions=0.25)
    game = environment.make()
    game.reset(0)
    made = []

    class Spy:
        """Keeps the actions that reach the emulator."""

        def __init__(self, emulator):
            self.emulator = emulator

        def __getattr__(self, name):
            return getattr(self.emulator, name)

        def act(self, action):
            """As the emulator."""
            made.append(action)
            return self.emulator.act(action)

    game._emulator = Spy(game._emulator)
    steps, held = 400, 0
    for step in range(steps):
        last = made[-1] if made else None
        game.step(2 + step % 2)
        wanted = game._actions[2 + step % 2]
        frames = made[-4:]
        held += last is not None and frames[0] != wanted
        # What has once begun goes on: a frame has its own action or the one of the frame before.
        begun = frames.index(wanted) if wanted in frames else 4
        assert all(frame == wanted for frame in frames[begun:])
        assert all(frame == last for frame in frames[:begun]) or last is None
    expected, deviation = 0.25 * steps, (steps * 0.25 * 0.75) ** 0.5
    assert abs(held - expected) < 4 * deviation


def played(environment, steps, number=1, running=None, seed=1):
    copies = environment.copies(number)
    actions = jax.random.randint(jax.random.key(2), (400, number), 0, environment.num_actions)
    chances = copies.chances(jax.random.key(seed), 400)
    running = copies.reset(jax.random.key(0)) if running is None else running
    items = jax.tree.map(lambda x: x[steps], (actions, chances))
    loop = jax.jit(lambda running: jax.lax.scan(lambda r, i: copies.step(r, *i), running, items))
    return loop(running)


def test_lives_end_episodes_and_returns_are_of_games():
    environment = Atari("Breakout", 0.0, life_is_episode=True, fire_at_begin=True)
    _, seen = played(environment, slice(None), 2)
    lives = np.asarray(seen.terminated).sum(0)
    games = np.asarray(seen.finished).sum(0)
    assert (games >= 1).all()
    assert (lives >= 5 * games).all()
    assert (lives < 5 * (games + 1)).all()
    assert not seen.truncated.any()
    assert set(np.unique(seen.reward)) == {0.0, 1.0}
    first = np.asarray(seen.observation)[1:][np.asarray(seen.done)[:-1]]
    assert (first == first[..., :1]).all()  # the first frame, 4 times
    for copy in range(2):
        place = int(np.argmax(seen.finished[:, copy]))
        # Bricks of the first rows count 1, others more, and those rows were not reached.
        assert seen.episode_return[place, copy] == seen.reward[: place + 1, copy].sum()
        assert seen.episode_length[place, copy] < place  # of its last life
    whole = Atari("Breakout", 0.0)
    assert whole.num_actions == 4
    _, seen = played(whole, slice(100))
    np.testing.assert_array_equal(seen.finished, seen.terminated)


def test_a_replay_of_frames_shows_the_same():
    environment = Atari("Breakout", 0.25, life_is_episode=True, fire_at_begin=True)
    _, seen = played(environment, slice(None), 2)
    assert seen.terminated.sum() > 4
    replay = Replay.empty(800, environment.observation, 800, environment.stacked_frames)
    replay = replay.add(seen)
    places = jnp.arange(798)
    example = replay.example(places, 1, 2, 0.99)

    def flat(x):
        return np.asarray(x).reshape(800, *x.shape[2:])[:798]

    np.testing.assert_array_equal(example["observation"], flat(seen.observation))
    going = ~flat(seen.terminated)
    np.testing.assert_array_equal(
        np.asarray(example["next_observation"])[going], flat(seen.next_observation)[going]
    )


def test_rewards_are_clipped_to_learn_from_and_returns_are_not():
    clipped, plain = (Atari("SpaceInvaders", 0.0, clip_rewards=clip) for clip in (True, False))
    (_, left), (_, right) = (played(environment, slice(150)) for environment in (clipped, plain))
    assert set(np.unique(left.reward)) == {0.0, 1.0}
    assert right.reward.max() > 1
    np.testing.assert_array_equal(left.episode_return, right.episode_return)
    np.testing.assert_array_equal(left.reward, np.sign(right.reward))


def test_another_process_goes_on_to_the_same_bits():
    def made():
        return Atari("Breakout", 0.25, life_is_episode=True, fire_at_begin=True)

    end, whole = played(made(), slice(150), 2)
    halfway, _ = played(made(), slice(100), 2)
    saved = jax.tree.map(np.asarray, halfway)
    again, rest = played(made(), slice(100, 150), 2, saved)
    assert whole.terminated[:100].any()
    for left, right in ((end, again), (jax.tree.map(lambda x: x[100:], whole), rest)):
        jax.tree.map(np.testing.assert_array_equal, left, right)
    other, _ = played(made(), slice(150), 2, seed=3)
    assert other.state.seed.shape == end.state.seed.shape


def test_a_limit_of_frames_truncates():
    environment = Atari("Pong", max_frames=41)
    assert environment.max_steps == 10
    _, seen = played(environment, slice(25))
    np.testing.assert_array_equal(seen.truncated[:, 0], np.arange(1, 26) % 10 == 0)
    assert not seen.terminated.any()


def test_no_ops_are_drawn_from_the_seed(monkeypatch):
    counts = []
    frames = atari.AtariGame._frames

    def counted(self, action, number):
        counts.append((action, number))
        return frames(self, action, number)

    monkeypatch.setattr(atari.AtariGame, "_frames", counted)
    game, numbers = Atari("Pong", max_no_ops=5).make(), []
    for seed in range(60):
        counts.clear()
        game.reset(seed)
        assert set(counts) == {(0, 1)}
        numbers.append(len(counts))
    assert set(numbers) == {1, 2, 3, 4, 5}
    counts.clear()
    first = Atari("Pong", max_no_ops=0).make().reset(0)
    assert not counts
    assert first.max() > 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": "Pongg"}, "unknown Atari game 'Pongg'.*'Pong'.*SpaceInvaders"),
        ({"id": "Pong", "sticky_actions": 1.0}, "sticky_actions: 1.0; it takes 0 to less than 1"),
        ({"id": "Pong", "mode": 9}, "environment.mode: Pong has no mode 9, only 0, 1"),
        ({"id": "Pong", "frame_skip": 0}, "environment.frame_skip: 0; it takes 1 or more"),
    ],
)
def test_mistakes_are_answered_in_one_line(fields, message):
    with pytest.raises(UserError, match=message):
        Atari(**fields)


def test_a_rom_that_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("ALE_ROMS_DIR", str(tmp_path))
    with pytest.raises(UserError, match=r"Pong: its ROM is missing or damaged.*ALE_ROMS_DIR"):
        Atari("Pong")
