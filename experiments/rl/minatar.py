"""MinAtar: Young & Tian, "MinAtar: An Atari-Inspired Testbed", 2019, arXiv:1903.03176.

aimodels train --config=experiments/rl/minatar.py:ppo_breakout --workdir=runs/breakout
aimodels train --config=experiments/rl/minatar.py:dqn_asterix --workdir=runs/asterix
aimodels watch --workdir runs/breakout

aimodels reproduce experiments/rl/minatar.py --seeds 3

The games are those that gymnax has written in JAX. One thing differs in its Asterix: for what
appears it looks for a free row in seven of the eight, and where it finds none erases what is in the
last of them; MinAtar looks in all, and does nothing.

DQN and the actor-critic with eligibility traces have the networks and settings of the paper's code
(examples/dqn.py and AC_lambda.py, of which the one with RMSprop), with sticky actions, ramping and
all six actions. The paper gives their results as curves over 5,000,000 frames, not as numbers: they
stand here without a figure, after what fits an hour of two cores. The whole budget is
`--config.training.steps=5000000`. Two things differ in DQN: ε falls from the first frame on, there
after 5,000 frames at random; the target network is renewed every 1,000 frames, there every 1,000
updates. What differs in the actor-critic, its file says.

PPO has the settings of gymnax-blines (agents/Breakout-MinAtar/ppo.yaml and Asterix's): 10,000,000
steps, no sticky actions, episodes of at most 1,000 steps, played by drawing actions; figures are
those of gymnax's README, of one run each.
"""

from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

GAMES = {"breakout": "Breakout-MinAtar", "asterix": "Asterix-MinAtar"}
VARIANTS = tuple(f"{agent}_{game}" for agent in ("dqn", "ac", "ppo") for game in GAMES)
# One layer of 16 windows of 3x3, and a hidden layer of 128: section 3 of the paper.
NETWORK = {"convolutions": ((16, 3, 1),), "features": (128,), "initializer": "torch"}


def get_config(variant: str = "dqn_breakout") -> ConfigDict:
    """An agent in a game."""
    agent, _, game = variant.partition("_")
    return ConfigDict({"execution": {"threads": 1}, **AGENTS[agent](GAMES[game])})


def as_in_the_paper(game: str) -> dict[str, Any]:
    """With sticky actions and all six of them; 10,000 steps are no limit in practice."""
    return {
        "name": "gymnax",
        "id": game,
        "max_steps": 10_000,
        "sticky_actions": 0.1,
        "arguments": {"use_minimal_action_set": False},
    }


def dqn(game: str) -> dict[str, Any]:
    """An update a frame, of centred RMSprop with momentum."""
    frames = 300_000
    return {
        "environment": as_in_the_paper(game),
        "model": {"name": "QNetwork", **NETWORK},
        "task": {
            "name": "dqn",
            "discount": 0.99,
            "train_every": 1,
            "batch_size": 32,
            "capacity": 100_000,
            "learning_starts": 5_000,
            "target_every": 1_000,
            "epsilon": (1.0, 0.1),
            "exploration_fraction": 100_000 / frames,
            "loss_name": "huber",
        },
        "optimizer": {
            "name": "rmsprop",
            "learning_rate": 2.5e-4,
            "decay": 0.95,
            "momentum": 0.95,
            "centered": True,
            "eps": 0.01,
        },
        "training": {"steps": frames, "log_every": 10_000},
        "evaluation": {"batch_size": 100},
    }


def actor_critic(game: str) -> dict[str, Any]:
    """An update a frame, along eligibility traces, by RMSprop."""
    return {
        "environment": as_in_the_paper(game),
        "model": {
            "name": "ActorCritic",
            "shared": True,
            "activation": "dsilu",
            "convolution_activation": "silu",
            **NETWORK,
        },
        "task": {
            "name": "actor_critic_traces",
            "discount": 0.99,
            "trace_decay": 0.8,
            "entropy_coefficient": 0.01,
            "greedy": False,
        },
        "optimizer": {
            "name": "rmsprop",
            "learning_rate": 2.0**-11,
            "decay": 0.999,
            "eps": 1e-4,
            "eps_in_sqrt": True,
            "bias_correction": True,
        },
        "training": {"steps": 500_000, "log_every": 10_000},
        "evaluation": {"batch_size": 100},
    }


def ppo(game: str) -> dict[str, Any]:
    """Policy and value each a network of 256-256 over the flat observation."""
    return {
        "environment": {"name": "gymnax", "id": game},
        "model": {
            "name": "ActorCritic",
            "features": (256, 256),
            "activation": "relu",
            "initializer": "lecun",
        },
        "task": {
            "name": "ppo",
            "environments": 64,
            "rollout_steps": 128,
            "discount": 0.999,
            "gae_lambda": 0.95,
            "epochs": 4,
            "minibatches": 8,
            "clip": 0.2,
            "value_coefficient": 0.5,
            "entropy_coefficient": 0.01,
            "greedy": False,
        },
        "optimizer": {
            "name": "adam",
            "learning_rate": 5e-4,
            "eps": 1e-5,
            "clip_global_norm": 0.5,
        },
        "training": {"steps": 10_000_000 // (64 * 128), "log_every": 10},
        "evaluation": {"batch_size": 164},
    }


AGENTS = {"dqn": dqn, "ac": actor_critic, "ppo": ppo}
NAMES = {"dqn": "DQN", "ac": "Actor-critic (λ)", "ppo": "PPO"}
# README of gymnax 1.0, table of environments.
FIGURES = {"ppo_breakout": 28, "ppo_asterix": 15}
SECONDS = {"dqn": 400, "ac": 250, "ppo": 900}


def published() -> list[Row]:
    """Returns: while training, of the last 100 episodes; PPO's of the trained policy."""
    rows = []
    for variant in VARIANTS:
        agent, _, game = variant.partition("_")
        rows.append(
            Row(
                name=f"{NAMES[agent]}, {game.capitalize()}",
                variant=variant,
                metric="test/return" if agent == "ppo" else "test/training_return",
                published=FIGURES.get(variant),
                source="README of gymnax 1.0, table of environments"
                if agent == "ppo"
                else "Young & Tian 2019, whose figure 2 shows curves",
                seconds=SECONDS[agent],
                long=agent == "ppo",
                interval="bootstrap",
            )
        )
    return rows
