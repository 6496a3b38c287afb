"""The toy-text environments against gymnasium's own, step by step and by their frequencies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aimodels.environments.base import Copies
from aimodels.environments.toy_text import LONGEST, TableState, ToyText
from aimodels.errors import UserError

gymnasium = pytest.importorskip("gymnasium")

# The 99.99 % quantiles of chi-square by degrees of freedom: with fixed keys a test passes always or
# never, and a right sampler fails one in ten thousand.
CHI_SQUARE = {2: 18.42, 299: 400.4}

DETERMINISTIC = [
    ("FrozenLake-v1", {"is_slippery": False}),
    ("FrozenLake8x8-v1", {"is_slippery": False}),
    ("FrozenLake-v1", {"desc": ("SFFH", "FFHG"), "is_slippery": False}),
    ("CliffWalking-v1", {}),
    ("Taxi-v4", {}),
]


def chi_square(counts, probabilities):
    """The statistic and its degrees of freedom; what can't happen must not have happened."""
    counts, probabilities = np.asarray(counts, float), np.asarray(probabilities)
    possible = probabilities > 0
    assert not counts[~possible].any()
    expected = counts.sum() * probabilities[possible]
    assert expected.min() > 5
    return ((counts[possible] - expected) ** 2 / expected).sum(), possible.sum() - 1


@pytest.mark.parametrize(("id", "options"), DETERMINISTIC)
def test_same_steps_as_gymnasium_from_the_same_state_and_actions(id, options):
    theirs, ours = gymnasium.make(id, **options), ToyText(id, options=options)
    assert ours.num_states == theirs.observation_space.n
    assert ours.num_actions == theirs.action_space.n
    step, key = jax.jit(ours.step), jax.random.key(0)
    actions = np.random.default_rng(0).integers(0, ours.num_actions, 1500)
    number, _ = theirs.reset(seed=0)
    state = TableState(jnp.int32(number), jnp.int32(0))
    ends = set()
    for action in actions:
        number, reward, terminated, truncated, _ = theirs.step(int(action))
        got = step(state, jnp.int32(action), key)
        assert int(got.observation) == int(got.state.table) == number
        assert float(got.reward) == reward
        assert bool(got.terminated) == terminated
        # CliffWalking's limit is our own.
        limited = theirs.spec.max_episode_steps is not None
        assert bool(got.truncated) == (truncated if limited else int(got.state.time) >= LONGEST)
        state = got.state
        if terminated or truncated:
            ends.add((terminated, truncated))
            number, _ = theirs.reset()
            state = TableState(jnp.int32(number), jnp.int32(0))
    if id.startswith("FrozenLake"):
        assert (True, False) in ends
    if id == "Taxi-v4":
        assert (False, True) in ends


@pytest.mark.parametrize("action", range(4))
def test_slippery_lake_goes_each_way_as_often_as_the_table_says(action):
    environment = ToyText("FrozenLake-v1")
    state = TableState(jnp.int32(14), jnp.int32(0))  # beside the goal: three different outcomes
    keys = jax.random.split(jax.random.key(action), 30_000)
    step = jax.vmap(environment.step, (None, None, 0))(state, jnp.int32(action), keys)
    counts = np.bincount(step.observation, minlength=16)
    probabilities = np.zeros(16)
    for probability, number, _, _ in gymnasium.make("FrozenLake-v1").unwrapped.P[14][action]:
        probabilities[number] += probability
    statistic, degrees = chi_square(counts, probabilities)
    assert statistic < CHI_SQUARE[degrees]
    np.testing.assert_array_equal(step.reward, step.observation == 15)
    np.testing.assert_array_equal(step.terminated, step.observation == 15)


def test_uneven_outcomes_come_as_often_as_the_table_says():
    options = {"is_rainy": True, "rainy_probability": 0.7}
    environment = ToyText("Taxi-v4", options=options)
    number = 220  # in the third row: all ways are open to the south
    cells = gymnasium.make("Taxi-v4", **options).unwrapped.P[number][0]
    assert sorted(cell[0] for cell in cells) == pytest.approx([0.15, 0.15, 0.7])
    keys = jax.random.split(jax.random.key(1), 30_000)
    state = TableState(jnp.int32(number), jnp.int32(0))
    step = jax.vmap(environment.step, (None, None, 0))(state, jnp.int32(0), keys)
    probabilities = np.zeros(500)
    for probability, to, _, _ in cells:
        probabilities[to] += probability
    statistic, degrees = chi_square(np.bincount(step.observation, minlength=500), probabilities)
    assert statistic < CHI_SQUARE[degrees]


def test_episodes_begin_where_gymnasiums_do():
    environment = ToyText("Taxi-v4")
    keys = jax.random.split(jax.random.key(2), 30_000)
    _, numbers = jax.vmap(environment.reset)(keys)
    begin = gymnasium.make("Taxi-v4").unwrapped.initial_state_distrib
    statistic, degrees = chi_square(np.bincount(numbers, minlength=500), begin)
    assert statistic < CHI_SQUARE[degrees]
    state, number = ToyText("CliffWalking-v1").reset(jax.random.key(0))
    assert (int(number), int(state.time)) == (36, 0)


def test_time_limits_truncate_and_the_next_episode_begins():
    environment = ToyText("CliffWalking-v1", max_steps=3)
    copies = Copies(environment, 2)
    running = copies.reset(jax.random.key(0))
    for time in range(1, 7):
        # Up and up again; down and down again, at the wall.
        running, transition = copies.step(
            running, jnp.array([0, 2]), copies.chance(jax.random.key(time))
        )
        assert transition.truncated.tolist() == [time % 3 == 0] * 2
        assert not transition.terminated.any()
    assert transition.next_observation.tolist() == [0, 36]
    assert running.observation.tolist() == [36, 36]


def test_limits_are_the_registrys():
    assert ToyText("FrozenLake-v1").max_steps == 100
    assert ToyText("FrozenLake8x8-v1").max_steps == 200
    assert ToyText("Taxi-v4").max_steps == 200
    assert ToyText("CliffWalking-v1").max_steps == LONGEST
    assert ToyText("Taxi-v4", max_steps=7).max_steps == 7


@pytest.mark.parametrize(
    ("id", "options", "message"),
    [
        ("Taxi-v3", {}, "Taxi-v4"),
        ("Blackjack-v1", {}, "unknown environment"),
        ("CartPole-v1", {}, "unknown environment"),
        ("FrozenLake-v1", {"map": "8x8"}, "map_name"),
        ("FrozenLake-v1", {"map_name": None}, "desc"),
        (
            "FrozenLake-v1",
            {"map_name": "9x9"},
            r"environment FrozenLake-v1, options \{'map_name': '9x9'\}: '9x9'",
        ),
        ("FrozenLake-v1", {"desc": ("SFX", "FFG")}, r"options.desc: \('SFX', 'FFG'\); .* rows"),
        ("FrozenLake-v1", {"desc": ("SFF", "FG")}, "options.desc: .* equal length"),
        ("FrozenLake-v1", {"desc": ("FFF", "FFG")}, "options.desc: .* at least one"),
        ("Taxi-v4", {"fickle_passenger": True}, "fickle_passenger"),
    ],
)
def test_what_it_cant_be_is_said(id, options, message):
    with pytest.raises(UserError, match=message):
        ToyText(id, options=options)


def test_a_missing_package_is_named_with_its_command(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gymnasium", None)
    with pytest.raises(UserError, match=r"needs gymnasium: pip install 'aimodels\[rl\]'"):
        ToyText("Taxi-v4")
