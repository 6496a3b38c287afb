"""What fields of agents and their environments do not take."""

import jax
import pytest

from aimodels.config import resolve
from aimodels.errors import UserError
from aimodels.training.build import task_builder

CARTPOLE = {"name": "gymnax", "id": "CartPole-v1"}
LAKE = {"name": "toy_text", "id": "FrozenLake-v1"}
PGX = {"name": "pgx", "id": "tic_tac_toe"}
# A task -> the network and the environment that suit it.
SUITED = {
    "dqn": ("QNetwork", CARTPOLE),
    "ppo": ("ActorCritic", CARTPOLE),
    "a2c": ("ActorCritic", CARTPOLE),
    "reinforce": ("ActorCritic", CARTPOLE),
    "actor_critic_traces": ("ActorCritic", CARTPOLE),
    "tabular": (None, LAKE),
    "alphazero": ("AlphaZeroNetwork", PGX),
}


def config(task, environment=None, model="suited", **fields):
    network, suited = SUITED[task]
    return {
        "task": {"name": task, **fields},
        "model": network if model == "suited" else model,
        "environment": {**suited, **(environment or {})},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "training": {"steps": 1},
    }


def begun(*arguments, **fields):
    """The shapes of the state with which such a run begins."""
    agent = task_builder(resolve(config(*arguments, **fields)))({})
    return jax.eval_shape(lambda: agent.init(jax.random.key(0), {}))


@pytest.mark.parametrize("task", SUITED)
def test_suited_ones_begin(task):
    begun(task)


WHOLE = [
    ("dqn", ("environments", "train_every", "batch_size", "capacity", "target_every", "n_step")),
    ("ppo", ("environments", "rollout_steps", "epochs", "minibatches")),
    ("a2c", ("environments", "rollout_steps", "actor_learners")),
    ("reinforce", ("environments",)),
    ("actor_critic_traces", ("environments",)),
    ("tabular", ("environments", "environment_steps")),
    ("alphazero", ("games", "moves", "simulations", "considered", "updates", "batch_size")),
    ("alphazero", ("capacity", "learning_starts", "opponent_simulations")),
]


@pytest.mark.parametrize(
    ("task", "field"), [(task, field) for task, fields in WHOLE for field in fields]
)
def test_none_of_a_thing_is_refused(task, field):
    with pytest.raises(UserError, match=rf"config.task.{field}: got 0 .* whole number >= 1"):
        resolve(config(task, **{field: 0}))


@pytest.mark.parametrize(
    ("task", "fields", "message"),
    [
        ("dqn", {"epsilon": (2.0, 0.5)}, "task.epsilon: got 2.0 .* a number >= 0 and <= 1"),
        ("dqn", {"discount": 1.1}, "task.discount: got 1.1"),
        ("dqn", {"exploration_fraction": -0.1}, "task.exploration_fraction: got -0.1"),
        ("dqn", {"priority_exponent": -1.0}, "task.priority_exponent: got -1.0 .* number >= 0"),
        ("dqn", {"importance_exponent": 2.0}, "task.importance_exponent: got 2.0"),
        ("dqn", {"learning_starts": -1}, "task.learning_starts: got -1"),
        ("ppo", {"gae_lambda": 1.5}, "task.gae_lambda: got 1.5"),
        ("ppo", {"clip": -0.1}, "task.clip: got -0.1"),
        ("actor_critic_traces", {"trace_decay": 2.0}, "task.trace_decay: got 2.0"),
        ("tabular", {"epsilon": (0.1, -0.1)}, "task.epsilon: got -0.1"),
        ("alphazero", {"noise_fraction": 1.5}, "task.noise_fraction: got 1.5"),
        ("alphazero", {"opening_moves": -1}, "task.opening_moves: got -1"),
        ("ppo", {"environment": {"sticky_actions": 1.5}}, "environment.sticky_actions: got 1.5"),
        ("ppo", {"environment": {"max_steps": 0}}, "environment.max_steps: got 0 .* None"),
        ("tabular", {"environment": {"max_steps": 0}}, "environment.max_steps: got 0"),
        (
            "dqn",
            {"environment": {"name": "gymnasium", "max_steps": 0}},
            "environment.max_steps: got 0",
        ),
    ],
)
def test_numbers_out_of_range_are_refused(task, fields, message):
    with pytest.raises(UserError, match=message):
        resolve(config(task, **fields))


@pytest.mark.parametrize(
    ("task", "fields", "message"),
    [
        (
            "dqn",
            {"capacity": 40, "n_step": 10, "environments": 4},
            "task.capacity: 40 .* task.n_step = 10 steps; take more than 40",
        ),
        (
            "ppo",
            {"rollout_steps": 128, "environments": 4, "minibatches": 512},
            "task.minibatches: 512 are of one step each",
        ),
    ],
)
def test_numbers_that_do_not_fit_together_are_refused(task, fields, message):
    with pytest.raises(UserError, match=message):
        begun(task, **fields)


@pytest.mark.parametrize(
    ("task", "model", "environment", "message"),
    [
        (
            "ppo",
            "QNetwork",
            None,
            r"config.model: PPO takes .* a policy's logits \[B, 2\] and a value \[B\], such as "
            r"ActorCritic; QNetwork gives \[B, 2\]",
        ),
        (
            "dqn",
            "ActorCritic",
            None,
            r"config.model: DQN takes a network that gives values of actions \[B, 2\], such as "
            r"QNetwork; ActorCritic gives \[B, 2\] and \[B\]",
        ),
        ("alphazero", "QNetwork", None, r"AlphaZero takes .* QNetwork gives \[B, 9\]"),
        *((task, None, None, "config.model is missing: ") for task in SUITED if task != "tabular"),
        ("dqn", "QNetwork", LAKE, "FrozenLake-v1 shows the number of its state; take task tabular"),
        ("a2c", "ActorCritic", LAKE, "FrozenLake-v1 shows the number of its state"),
    ],
)
def test_networks_and_observations_that_do_not_suit_are_refused(task, model, environment, message):
    with pytest.raises(UserError, match=message):
        begun(task, environment, model)
