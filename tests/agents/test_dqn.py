"""DQN: its targets against rlax's, when it does what, and that it learns."""

import shutil

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rlax
from run_checks import assert_same_end

import aimodels
from aimodels.agents.dqn import DQN
from aimodels.config import resolve
from aimodels.environments.gymnax import Gymnax
from aimodels.errors import UserError
from aimodels.models.value_networks import QNetwork
from aimodels.training.build import task_builder


class Table(nn.Module):
    """Values of actions for observations that are row numbers."""

    @nn.compact
    def __call__(self, rows):
        """[B, 1] -> [B, 3]."""
        table = self.param("table", nn.initializers.normal(1.0), (6, 3))
        return table[rows.astype(int)[:, 0]]


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("loss_name", ["huber", "squared_error"])
def test_errors_are_those_of_rlax(double, loss_name):
    agent = DQN(
        environment=Gymnax("CartPole-v1"), model=Table(), double=double, loss_name=loss_name
    )
    draw = np.random.RandomState(0)
    params, target = ({"table": jnp.asarray(draw.randn(6, 3) * 2)} for _ in range(2))
    rows, following = draw.randint(0, 6, (2, 32, 1)).astype(np.float32)
    sample = {
        "observation": jnp.asarray(rows),
        "next_observation": jnp.asarray(following),
        "action": jnp.asarray(draw.randint(0, 3, 32)),
        "reward": jnp.asarray(draw.randn(32)),
        "discount": jnp.asarray(0.9 * (draw.rand(32) < 0.7)),
        "weight": jnp.asarray(draw.rand(32)),
    }
    now = params["table"][rows[:, 0].astype(int)]
    later = target["table"][following[:, 0].astype(int)]
    arguments = (now, sample["action"], sample["reward"], sample["discount"], later)
    if double:
        picking = params["table"][following[:, 0].astype(int)]
        errors = jax.vmap(rlax.double_q_learning)(*arguments, picking)
    else:
        errors = jax.vmap(rlax.q_learning)(*arguments)
    (loss, (_, ours)) = agent.loss(params, target, sample)
    np.testing.assert_allclose(ours, errors, rtol=1e-5, atol=1e-6)  # float32 sums in another order
    of = rlax.huber_loss(errors) if loss_name == "huber" else 0.5 * errors**2
    scale = 1.0 if loss_name == "huber" else 2.0  # rlax and the paper halve the square
    np.testing.assert_allclose(loss, (scale * of * sample["weight"]).mean(), rtol=1e-5)


def test_a_dueling_network_centres_its_advantages():
    network = QNetwork(num_actions=3, features=(8,), dueling=True)
    seen = jax.random.normal(jax.random.key(0), (5, 4))
    variables = network.init(jax.random.key(1), seen)
    values = network.apply(variables, seen)
    hidden = nn.relu(
        seen @ variables["params"]["dense_0"]["kernel"] + variables["params"]["dense_0"]["bias"]
    )
    state_value = (
        hidden @ variables["params"]["value"]["kernel"] + variables["params"]["value"]["bias"]
    )
    np.testing.assert_allclose(values.mean(-1), state_value[:, 0], rtol=1e-5, atol=1e-6)  # float32


def test_the_network_is_cleanrls():
    example = jax.ShapeDtypeStruct((1, 4), "float32")
    assert aimodels.count_parameters(QNetwork(num_actions=2), example) == 10_934


def small(**changes):
    config = {
        "environment": {"name": "gymnax", "id": "CartPole-v1"},
        "model": {"name": "QNetwork", "features": (16,)},
        "task": {
            "name": "dqn",
            "train_every": 4,
            "batch_size": 16,
            "capacity": 200,
            "learning_starts": 100,
            "target_every": 40,
        },
        "optimizer": {"name": "adam", "learning_rate": 1e-3},
        "training": {"steps": 120, "log_every": 5},
        "evaluation": {"batch_size": 4},
    }
    for path, value in changes.items():
        section, field = path.split("__")
        config.setdefault(section, {})[field] = value
    return config


def made(config):
    return task_builder(resolve(config))({})


def test_it_learns_only_after_the_start_and_copies_when_it_is_due():
    agent = made(small())
    state = agent.init(jax.random.key(0), {})
    step = jax.jit(lambda state, key: agent.train_step(state, {}, key))
    before = state
    for number in range(1, 60):
        before, (state, metrics) = state, step(state, jax.random.key(number))
        seen = number * 4
        moved = any(
            jax.tree.leaves(jax.tree.map(lambda x, y: (x != y).any(), state.params, before.params))
        )
        copied = any(
            jax.tree.leaves(
                jax.tree.map(
                    lambda x, y: (x != y).any(), state.extra["target"], before.extra["target"]
                )
            )
        )
        assert moved == (seen > 100)
        assert copied == (seen > 100 and seen % 40 == 0)
        assert int(state.extra["replay"].added) == seen
        assert float(metrics["epsilon"]) == pytest.approx(
            max(1 - 0.95 * seen / 240, 0.05), rel=1e-5
        )
    counted = optax.tree_utils.tree_get_all_with_path(state.optimizer_state, "count")
    assert {int(count) for _, count in counted} == {59 - 25}


@pytest.mark.parametrize(
    ("ends", "fraction", "expected"),
    [
        ((1.0, 0.1), 0.5, [1.0, 0.55, 0.1, 0.1]),
        ((0.1, 1.0), 0.5, [0.1, 0.55, 1.0, 1.0]),  # rising
        ((1.0, 0.1), 0.0, [0.1, 0.1, 0.1, 0.1]),
        ((1.0, 0.2), 1.0, [1.0, 0.8, 0.6, 0.2]),
    ],
)
def test_epsilon_goes_from_one_end_to_the_other(ends, fraction, expected):
    seen = jnp.asarray([0, 100, 200, 400])
    agent = DQN(
        environment=Gymnax("CartPole-v1"),
        train_every=4,
        epsilon=ends,
        exploration_fraction=fraction,
        total_steps=100,
    )
    np.testing.assert_allclose(agent.epsilon_at(seen), expected, rtol=1e-6)  # float32


@pytest.mark.parametrize("learning_starts", [0, 20])
def test_priorities_come_from_updates_alone(learning_starts):
    changes = {"task__train_every": 1, "task__n_step": 3, "task__priority_exponent": 0.6}
    agent = made(small(**changes, task__learning_starts=learning_starts, task__environments=2))
    state = agent.init(jax.random.key(0), {})
    step = jax.jit(lambda state, key: agent.train_step(state, {}, key))
    for number in range(1, 30):
        before, (state, metrics) = state, step(state, jax.random.key(number))
        replay, seen = state.extra["replay"], 2 * number
        assert np.isfinite(metrics["loss"])
        assert not replay.priorities[seen:].any()
        # The first example is there with its third step.
        learns = seen > max(learning_starts, 4)
        assert learns == any(
            jax.tree.leaves(jax.tree.map(lambda x, y: (x != y).any(), state.params, before.params))
        )
        if not learns:
            np.testing.assert_array_equal(replay.priorities[:seen], 1)
            assert float(replay.largest) == 1
    assert (replay.priorities[: seen - 4] != 1).any()


VARIANTS = {
    "plain": {},
    "all": {
        "task__double": True,
        "task__n_step": 3,
        "task__priority_exponent": 0.6,
        "model__dueling": True,
        "task__environments": 2,
    },
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(variant, tmp_path):
    config = small(**VARIANTS[variant], checkpoint__every=30, replicas__seeds=(0, 1))
    config["checkpoint"]["keep"] = 9
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    aimodels.train(config, whole, verbose=False)
    shutil.copytree(whole, parts)
    (parts / "results.json").unlink()  # as a kill after step 60 would have left it
    for step in ("90", "120"):
        shutil.rmtree(parts / "checkpoints" / step)
    aimodels.train(config, parts, verbose=False)
    assert_same_end(whole, parts)


def test_seeds_differ_in_everything(tmp_path):
    config = small(replicas__seeds=(0, 1, 2))
    aimodels.train(config, tmp_path / "run", verbose=False)
    state = aimodels.load(tmp_path / "run").all_replicas
    for leaf in (*jax.tree.leaves(state.params), state.extra["replay"].stored["observation"]):
        for left, right in ((0, 1), (1, 2), (0, 2)):
            if np.asarray(leaf[left]).any():
                assert (leaf[left] != leaf[right]).any()


def test_it_says_what_is_wrong(tmp_path):
    with pytest.raises(UserError, match=r"task\.capacity: 201 is not divisible by the 4"):
        aimodels.train(small(task__capacity=201), tmp_path / "run", verbose=False)
    with pytest.raises(UserError, match=r"split 'train'.*only 'test'"):
        aimodels.train(small(evaluation__splits=("train",)), tmp_path / "split", verbose=False)
    wrong = small()
    del wrong["environment"]
    with pytest.raises(UserError, match=r"config\.environment is missing: task dqn"):
        aimodels.train(wrong, tmp_path / "none", verbose=False)


@pytest.mark.slow
def test_cartpole_is_solved(tmp_path):
    result = aimodels.train("experiments/rl/classic_control.py:dqn_cartpole", tmp_path / "run")
    assert result.metrics["test/return"] >= 475  # gymnasium's threshold
