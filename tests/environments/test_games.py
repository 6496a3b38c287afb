"""Games of pgx through our interface: the contract, mirrors, boards and mistakes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aimodels.config import resolve
from aimodels.environments.boards import board
from aimodels.environments.games import LONGEST, Pgx, check_game
from aimodels.environments.gymnax import Gymnax
from aimodels.errors import UserError
from aimodels.training.build import task_builder


def after(game, actions, key=0):
    """The state after moves from the beginning."""
    state = jax.jit(game.init)(jax.random.key(key))
    step = jax.jit(game.step)
    for action in actions:
        assert bool(state.legal_action_mask[action])
        assert not bool(state.terminated)
        state = step(state, action)
    return state


@pytest.mark.parametrize("id", LONGEST)
def test_random_games_keep_the_contract(id):
    """Players move in turn, what one gets the other loses, and games end in time."""
    game, number = Pgx(id), 4
    states = jax.vmap(game.init)(jax.random.split(jax.random.key(0), number))
    random = np.random.RandomState(0)
    step = jax.jit(jax.vmap(game.step))
    length = np.zeros(number, int)
    for _ in range(game.max_steps):
        assert states.observation.shape[1:] == game.observation.shape
        assert states.observation.dtype == game.observation.dtype
        alive = ~np.asarray(states.terminated)
        if not alive.any():
            break
        legal = np.asarray(states.legal_action_mask)
        assert legal.shape == (number, game.num_actions)
        assert legal.any(1).all()
        actions = [random.choice(np.flatnonzero(row)) for row in legal]
        before, states = states, step(states, np.asarray(actions, np.int32))
        np.testing.assert_array_equal(states.rewards.sum(1), 0)
        going = alive & ~np.asarray(states.terminated)
        np.testing.assert_array_equal(
            states.current_player[going], 1 - before.current_player[going]
        )
        np.testing.assert_array_equal(states.rewards[going], 0)
        length += alive
    assert bool(states.terminated.all())
    assert length.max() <= game.max_steps
    assert length.min() > 4


def test_a_column_of_four_wins_and_the_end_is_the_end():
    game = Pgx("connect_four")
    state = after(game, [3, 4, 3, 4, 3, 4])
    winner = int(state.current_player)
    state = jax.jit(game.step)(state, 3)
    assert bool(state.terminated)
    assert float(state.rewards[winner]) == 1
    assert float(state.rewards[1 - winner]) == -1
    state = jax.jit(game.step)(state, 0)
    assert bool(state.terminated)
    np.testing.assert_array_equal(state.rewards, 0)


def test_observations_are_those_of_who_is_to_move():
    game = Pgx("tic_tac_toe")
    state = after(game, [0, 4, 8])
    np.testing.assert_array_equal(np.argwhere(state.observation[..., 0]), [[1, 1]])
    np.testing.assert_array_equal(np.argwhere(state.observation[..., 1]), [[0, 0], [2, 2]])


MIRRORED = {  # moves, and the same in a mirror
    "tic_tac_toe": ([0, 4, 5], [2, 4, 3]),
    "connect_four": ([0, 0, 5, 6], [6, 6, 1, 0]),
    "go_9x9": ([0, 12, 80, 81], [8, 14, 72, 81]),
}


@pytest.mark.parametrize("id", MIRRORED)
def test_a_game_in_a_mirror_is_the_mirrored_game(id):
    game = Pgx(id)
    left, right = (after(game, moves) for moves in MIRRORED[id])
    policy = np.random.RandomState(0).rand(1, game.num_actions)
    observation, mirrored = game.mirrored(left.observation[None], jnp.asarray(policy))
    np.testing.assert_array_equal(observation[0], right.observation)
    legal = game.mirrored(left.observation[None], left.legal_action_mask[None])[1]
    np.testing.assert_array_equal(legal[0], right.legal_action_mask)
    for here, there in zip(*MIRRORED[id], strict=True):
        assert mirrored[0, there] == pytest.approx(policy[0, here])
    twice = game.mirrored(observation, mirrored)
    np.testing.assert_array_equal(twice[0][0], left.observation)
    np.testing.assert_allclose(twice[1], policy, rtol=1e-6)


def test_boards():
    assert board(after(Pgx("tic_tac_toe"), [4, 0])) == "   0 1 2\n0  O . .\n3  . X .\n6  . . ."
    lines = board(after(Pgx("connect_four"), [3, 3, 4])).splitlines()
    assert lines[0] == "0 1 2 3 4 5 6"
    assert lines[-2:] == [". . . O . . .", ". . . X X . ."]
    for moves in ([], [19], [19, 18]):  # who began has two, then four stones, then three
        text = board(after(Pgx("othello"), moves))
        assert (text.count("X"), text.count("O")) == [(2, 2), (4, 1), (3, 3)][len(moves)]
    # A stone that is surrounded is taken.
    text = board(after(Pgx("go_9x9"), [1, 0, 9]))
    assert (text.count("X"), text.count("O")) == (2, 0)
    with pytest.raises(UserError, match="board of game 'ches'"):
        board(None, "ches")


def test_mistakes_are_answered_in_one_line(monkeypatch):
    with pytest.raises(UserError, match=r"game of pgx 'connect_for'.*'connect_four'"):
        Pgx("connect_for")
    with pytest.raises(UserError, match=r"alphazero plays games.*CartPole-v1 is an environment of"):
        check_game("alphazero", Gymnax("CartPole-v1"))
    config = {
        "environment": {"name": "pgx", "id": "tic_tac_toe"},
        "model": {"name": "QNetwork"},
        "task": {"name": "dqn"},
        "optimizer": "adam",
        "training": {"steps": 1},
    }
    with pytest.raises(UserError, match="tic_tac_toe is a game of two players, and DQN acts alone"):
        task_builder(resolve(config))({})
    config |= {
        "environment": {"name": "gymnax", "id": "CartPole-v1"},
        "model": {"name": "AlphaZeroNetwork", "channels": 4, "blocks": 1},
        "task": {"name": "alphazero"},
    }
    with pytest.raises(UserError, match="alphazero plays games of two players"):
        task_builder(resolve(config))({})
    monkeypatch.setitem(__import__("sys").modules, "pgx", None)
    with pytest.raises(UserError, match=r"needs pgx: pip install 'aimodels\[rl\]'"):
        Pgx("tic_tac_toe")
