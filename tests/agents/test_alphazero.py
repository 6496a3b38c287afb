"""AlphaZero: targets by hand, it learns, resuming is exact, playing in the terminal, mistakes."""

import dataclasses
import io
import itertools
import json
import math
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from run_checks import assert_same_end

import aimodels
from aimodels.agents.alphazero import AlphaZero
from aimodels.agents.play import play
from aimodels.agents.self_play import Memory
from aimodels.cli import main
from aimodels.config import load_config, resolve
from aimodels.environments.games import Pgx
from aimodels.errors import UserError
from aimodels.models.alphazero import AlphaZeroNetwork
from aimodels.training.build import task_builder

GAME = Pgx("tic_tac_toe")


def small(**changes):
    config = {
        "environment": {"name": "pgx", "id": "tic_tac_toe"},
        "model": {
            "name": "AlphaZeroNetwork",
            "channels": 8,
            "blocks": 1,
            "value_features": 8,
        },
        "task": {
            "name": "alphazero",
            "games": 8,
            "moves": 4,
            "simulations": 8,
            "updates": 2,
            "batch_size": 32,
            "capacity": 8 * 20,
            "mirror": True,
            "opponent_simulations": 8,
        },
        "optimizer": {"name": "adam", "learning_rate": 3e-3},
        "training": {"steps": 12, "log_every": 1},
        "evaluation": {"batch_size": 4},
        "execution": {"steps_per_dispatch": 1},
    }
    for path, value in changes.items():
        section, field = path.split("__")
        config[section] = config.get(section, {}) | {field: value}
    return config


def made(**changes):
    return task_builder(resolve(small(**changes)))({})


@jax.jit
def one_move(memory, state, action, column, number):
    """The memory and the state after a move by hand in a column."""
    columns = memory.known.shape[1]
    here = jnp.arange(columns) == column
    policy = jnp.where(here[:, None], jax.nn.one_hot(action, 9), 0)
    memory = memory.add(jnp.where(here[:, None, None, None], state.observation, False), policy)
    after = GAME.step(state, action)
    result = jnp.where(here, after.rewards[state.current_player], 0)
    length = jnp.full(columns, number + 1)
    return memory.ended(here & after.terminated, result, length), after


def run_game(memory, column, moves):
    """The memory after a game by hand in a column, nothing of note happening in the others."""
    state = GAME.init(jax.random.key(0))
    for number, action in enumerate(moves):
        memory, state = one_move(memory, state, action, column, number)
    assert bool(state.terminated)
    return memory


@pytest.mark.parametrize(
    ("moves", "outcomes"),
    [
        ([0, 3, 1, 4, 2], [1, -1, 1, -1, 1]),  # who began wins
        ([0, 3, 1, 4, 8, 5], [-1, 1, -1, 1, -1, 1]),  # the other wins
        ([0, 1, 2, 4, 3, 5, 7, 6, 8], [0] * 9),
    ],
)
def test_outcomes_are_those_of_who_was_to_move(moves, outcomes):
    rows = 12
    memory = Memory.empty(GAME, rows, 2)
    for _ in range(3):  # over the end of the rows, too
        before = int(memory.added)
        memory = run_game(memory, 1, moves)
        places = (before + np.arange(len(moves))) % rows
        np.testing.assert_array_equal(memory.outcome[places, 1], outcomes)
        np.testing.assert_array_equal(memory.policy[places, 1].argmax(1), moves)
        assert bool(memory.known[places, 1].all())
    assert not bool(memory.known[:, 0].any())  # no game ended there
    assert int(memory.number()) == min(rows, 3 * len(moves))


def test_a_new_game_leaves_the_outcomes_of_the_one_before():
    memory = run_game(Memory.empty(GAME, 12, 1), 0, [0, 3, 1, 4, 2])
    memory = run_game(memory, 0, [0, 3, 1, 4, 8, 5])
    np.testing.assert_array_equal(memory.outcome[:11, 0], [1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1])
    np.testing.assert_array_equal(memory.known[:, 0], [True] * 11 + [False])
    # The next position takes the last free row, the one after it the oldest, which is forgotten.
    seen, policy = jnp.zeros((1, 3, 3, 2), bool), jnp.zeros((1, 9))
    memory = memory.add(seen, policy).add(seen, policy)
    np.testing.assert_array_equal(memory.known[:, 0], [False] + [True] * 10 + [False])


def test_samples_are_of_what_is_known_each_equally_likely():
    memory = run_game(Memory.empty(GAME, 12, 2), 1, [0, 3, 1, 4, 2])
    memory = dataclasses.replace(memory, outcome=jnp.arange(24.0).reshape(12, 2))
    drawn = np.asarray(memory.sample(jax.random.key(0), 5000)["outcome"])
    values, counts = np.unique(drawn, return_counts=True)
    np.testing.assert_array_equal(values, [1, 3, 5, 7, 9])
    # χ² with 4 degrees of freedom is larger with probability 0.001.
    assert ((counts - 1000) ** 2 / 1000).sum() < 18.5


def test_self_plays_targets_are_games_that_follow_the_rules():
    """Replays each column of the memory: outcomes come to the movers in turn, and sum up."""
    agent = made(task__moves=30, task__capacity=8 * 40, task__updates=1)
    state = jax.jit(lambda key: agent.init(key, {}))(jax.random.key(0))
    state, metrics = jax.jit(lambda s, k: agent.train_step(s, {}, k))(state, jax.random.key(1))
    memory = state.extra["memory"]
    known, outcome = np.asarray(memory.known), np.asarray(memory.outcome)
    stones = np.asarray(memory.observation).sum((2, 3, 4))
    policy, seen = np.asarray(memory.policy), np.asarray(memory.observation)
    lengths = []
    for game in range(8):
        begins = [row for row in range(30) if stones[row, game] == 0]
        for begin, end in itertools.pairwise(begins):
            assert known[begin:end, game].all()
            signs = outcome[begin:end, game] * (-1.0) ** np.arange(end - begin)
            assert len(set(signs)) == 1
            np.testing.assert_array_equal(stones[begin:end, game], np.arange(end - begin))
            lengths.append(end - begin)
            # The last mover has not lost, and has won a game that ended with free squares.
            assert outcome[end - 1, game] >= 0
            if end - begin < 9:
                assert outcome[end - 1, game] == 1
    taken = seen[:30].any(-1).reshape(30, 8, 9)
    np.testing.assert_array_equal(policy[:30][taken], 0)
    np.testing.assert_allclose(policy[:30].sum(-1), 1, rtol=1e-5)
    assert min(lengths) >= 5
    assert 5 <= float(metrics["game_length"]) <= 9
    assert all(np.isfinite(jax.tree.leaves(metrics["loss"])))


def test_the_loss_is_the_papers():
    """Cross-entropy and squared error, by NumPy."""
    agent = made()
    state = jax.jit(lambda key: agent.init(key, {}))(jax.random.key(0))
    random = np.random.RandomState(0)
    examples = {
        "observation": jnp.asarray(random.rand(6, 3, 3, 2) < 0.3),
        "policy": jnp.asarray(random.dirichlet(np.ones(9), 6), jnp.float32),
        "outcome": jnp.asarray([1.0, -1, 0, 1, 1, -1]),
    }
    loss, (metrics, after) = jax.jit(agent.loss)(state.params, state.collections, examples)
    (logits, values), _ = agent.model.apply(
        state.variables, examples["observation"], train=True, mutable=["batch_stats"]
    )
    logits, policy = np.asarray(logits, np.float64), np.asarray(examples["policy"], np.float64)
    log = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    outcome = np.asarray(examples["outcome"])
    expected = -(policy * log).sum(1) + (np.asarray(values) - outcome) ** 2
    assert float(loss) == pytest.approx(expected.mean(), rel=1e-5)
    floor = -(policy * np.log(policy)).sum(1).mean()
    assert float(metrics["target_entropy"]) == pytest.approx(floor, rel=1e-5)
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), state.collections, after)
    assert all(jax.tree.leaves(changed))  # batch normalisation's statistics move


def test_a_batch_is_memorised_to_the_entropy_of_its_targets():
    agent = made(model__channels=32, model__value_features=32)
    state = jax.jit(lambda key: agent.init(key, {}))(jax.random.key(0))
    random = np.random.RandomState(0)
    examples = {
        "observation": jnp.asarray(random.rand(16, 3, 3, 2) < 0.4),
        "policy": jnp.asarray(random.dirichlet(np.ones(9), 16), jnp.float32),
        "outcome": jnp.asarray(random.choice([-1.0, 0, 1], 16), jnp.float32),
    }
    optimizer = optax.adam(1e-2)

    def step(carry, _):
        params, collections, optimizer_state = carry
        gradients, (metrics, collections) = jax.grad(agent.loss, has_aux=True)(
            params, collections, examples
        )
        updates, optimizer_state = optimizer.update(gradients, optimizer_state)
        return (optax.apply_updates(params, updates), collections, optimizer_state), metrics

    carry = state.params, state.collections, optimizer.init(state.params)
    _, metrics = jax.jit(lambda carry: jax.lax.scan(step, carry, length=600))(carry)
    first, last = (jax.tree.map(lambda x, i=i: float(x[i]), metrics) for i in (0, -1))
    assert first["policy_loss"] > first["target_entropy"] + 0.3
    assert last["policy_loss"] == pytest.approx(last["target_entropy"], abs=0.01)
    assert last["value_loss"] < 0.01


@pytest.mark.slow
def test_a_few_steps_lower_the_loss(tmp_path):
    config = small(task__updates=8, training__steps=25, task__exhaustive=False)
    aimodels.train(config, tmp_path, verbose=False)
    lines = aimodels.training.writers.read_metrics(tmp_path / "metrics.jsonl")
    losses = [line["loss"] for line in lines if line["split"] == "train"]
    learning = [loss for loss in losses if loss > 0]
    assert np.mean(learning[-3:]) < 0.85 * np.mean(learning[:3])


@pytest.mark.parametrize("search", [pytest.param("puct", marks=pytest.mark.slow), "gumbel"])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(search, tmp_path):
    config = small(task__search=search, training__steps=8)
    config["checkpoint"] = {"every": 2, "keep": 9}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    aimodels.train(config, whole, verbose=False)
    shutil.copytree(whole, parts)
    (parts / "results.json").unlink()  # as a kill after step 4 would have left it
    for step in ("6", "8"):
        shutil.rmtree(parts / "checkpoints" / step)
    aimodels.train(config, parts, verbose=False)
    assert_same_end(whole, parts)


@pytest.mark.slow
def test_seeds_differ_in_everything(tmp_path):
    config = small(training__steps=6, replicas__seeds=(0, 1), replicas__mode="vmap")
    aimodels.train(config, tmp_path / "run", verbose=False)
    state = aimodels.load(tmp_path / "run").all_replicas
    memory = state.extra["memory"]
    for leaf in (*jax.tree.leaves(state.params), memory.observation, memory.policy):
        if np.asarray(leaf).any():
            assert (leaf[0] != leaf[1]).any()


def test_it_says_what_is_wrong(tmp_path):
    with pytest.raises(UserError, match=r"task\.capacity: 70 positions; .* moves: 72"):
        aimodels.train(small(task__capacity=70), tmp_path / "small", verbose=False)
    with pytest.raises(UserError, match=r"task\.capacity: 161 .* 168"):
        aimodels.train(small(task__capacity=161), tmp_path / "uneven", verbose=False)
    with pytest.raises(UserError, match=r"match of 5 games .*evaluation\.batch_size"):
        aimodels.train(small(evaluation__batch_size=5), tmp_path / "odd", verbose=False)


def test_the_network_is_the_papers():
    """A tower of 256 channels and 19 blocks for Go: by hand, from the paper's description."""
    network = AlphaZeroNetwork(num_actions=362)
    convolution = 9 * 256 * 256 + 2 * 256  # and the norm's scale and bias
    policy = 2 * 256 + 2 * 2 + 362 * (2 * 361) + 362
    value = 256 + 2 + 256 * 361 + 256 + 256 + 1
    expected = 9 * 17 * 256 + 2 * 256 + 38 * convolution + policy + value
    seen = jax.ShapeDtypeStruct((1, 19, 19, 17), "bool")
    assert aimodels.count_parameters(network, seen) == expected


def answers(lines):
    """A reader of these lines."""
    left = iter(lines)

    def read(prompt):
        del prompt
        try:
            return next(left)
        except StopIteration:
            raise EOFError from None

    return read


@pytest.fixture(scope="module")
def untrained():
    agent = made(task__simulations=64)
    return agent, jax.jit(lambda key: agent.init(key, {}).variables)(jax.random.key(0))


def test_a_game_in_the_terminal(untrained):
    """A person who always takes the lowest free square, with mistakes in between."""
    agent, variables = untrained
    said = []
    lines = ["five", "9", "-1", *(str(number) for _ in range(9) for number in range(9))]
    result, moves = play(agent, variables, read=answers(lines), write=said.append)
    assert 5 <= moves <= 9
    text = "\n".join(said)
    assert "'five' is no move here; these are: 0, 1, 2, 3, 4, 5, 6, 7, 8" in text
    assert "'9' is no move" in text
    end = {1: "You win.", -1: "AlphaZero wins.", 0: "A draw."}[result]
    assert said[-1] == end
    assert text.startswith("You are X.")


def test_a_game_can_be_left_and_begun_by_the_agent(untrained):
    agent, variables = untrained
    for lines in (["quit"], []):
        said = []
        result = play(agent, variables, read=answers(lines), write=said.append, second=True)
        assert result is None
        assert sum(line.startswith("AlphaZero plays") for line in said) == 1
        assert "You are O." in said[0]
        assert said[-1] == "The game is not finished."


def test_it_plays_itself(untrained):
    said = []
    result, moves = play(*untrained, read=None, write=said.append)
    assert said[-1] == {1: "X wins.", -1: "O wins.", 0: "A draw."}[result]
    assert sum(line.startswith("AlphaZero plays") for line in said) == moves
    assert not any("You" in line for line in said)


def test_commands_of_a_run(tmp_path, monkeypatch, capsys):
    """`aimodels play` reads from a pipe, `aimodels elo` rates checkpoints."""
    config = small(training__steps=4)
    config["checkpoint"] = {"every": 2, "keep": 9}
    folder = tmp_path / "run"
    aimodels.train(config, folder, verbose=False)
    monkeypatch.setattr("sys.stdin", io.StringIO("4\nquit\n"))
    assert main(["play", f"--workdir={folder}", "--simulations=4"]) == 0
    said = capsys.readouterr().out
    assert "AlphaZero plays" in said
    assert "3  . X ." in said

    arguments = ["--games=4", "--simulations=2", "--opening_moves=1"]
    assert main(["elo", f"--workdir={folder}", *arguments]) == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in table] == [
        "player",
        "plain MCTS, 8 simulations",
        "step 2",
        "step 4",
    ]
    assert (folder / "elo.png").stat().st_size > 5000
    assert main(["watch", f"--workdir={folder}"]) == 0
    watched = capsys.readouterr()
    (episode,) = json.loads(watched.out)["episodes"]
    assert 5 <= episode["length"] <= 9
    assert watched.err.count("AlphaZero plays") == episode["length"]


def test_a_run_of_another_task_is_refused(tmp_path, capsys):
    config = {
        "environment": {"name": "gymnax", "id": "CartPole-v1"},
        "model": {"name": "QNetwork", "features": (4,)},
        "task": {"name": "dqn", "capacity": 100, "learning_starts": 10, "batch_size": 8},
        "optimizer": {"name": "adam", "learning_rate": 1e-3},
        "training": {"steps": 2},
        "evaluation": {"batch_size": 2},
    }
    aimodels.train(config, tmp_path, verbose=False)
    capsys.readouterr()
    for command in ("play", "elo"):
        assert main([command, f"--workdir={tmp_path}"]) == 2
        said = capsys.readouterr()
        wanted = f"aimodels: aimodels {command} takes a run of task alphazero; this one is DQN"
        assert (said.out, said.err) == ("", f"{wanted}\n")


@pytest.mark.slow
def test_tic_tac_toe_is_never_lost(tmp_path):
    config = load_config("experiments/rl/alphazero.py:tic_tac_toe")
    result = aimodels.train(config, tmp_path, verbose=False)
    assert result.metrics["test/lost_lines"] == 0
    assert result.metrics["test/score"] >= 0.5
    assert not math.isnan(result.metrics["test/draws"])


def test_alphazero_is_a_task_of_its_own():
    assert AlphaZero.updates_per_step({"updates": 7}) == 7
