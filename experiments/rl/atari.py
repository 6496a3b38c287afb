"""Atari: Mnih et al., "Human-level control through deep reinforcement learning", 2015; CleanRL.

aimodels train --config=experiments/rl/atari.py:dqn_pong --workdir=runs/pong
aimodels train --config=experiments/rl/atari.py:ppo_pong --workdir=runs/ppo_pong
aimodels train --config=experiments/rl/atari.py:dqn_pong_short --workdir=runs/pong_short

aimodels reproduce experiments/rl/atari.py --rows dqn_pong,dqn_breakout --seeds 3

The settings of CleanRL's dqn_atari.py and ppo_atari.py (Huang et al., JMLR 2022): 10 M steps, of
4 frames each. The figures are mean returns of the last games of training, here of 100,
`test/training_return`. One thing differs: two frames are made gray, by the emulator's own palette,
before the maximum of both is taken; there, after it.

The runs are for a GPU: the games alone take one to two hours on a core, and DQN keeps a million
frames, 7 GB. Other games are a field: --config.environment.id=BeamRider.

`dqn_pong_short` is for 2 cores: 500,000 steps, the smaller network of Mnih et al., "Playing Atari
with deep reinforcement learning", 2013, and double, dueling, 3-step targets. No figure is published
for it; a seed takes an hour and a half of a core. Its Adam is CleanRL's of Atari: with a learning
rate of 2.5e-4 and an epsilon of 1e-5 the filters of the first layer died. Of their answers, 6 %
were above zero after 4,000 updates, and 49 % with CleanRL's; of two whole runs one lost every game.
"""

from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

GAMES = {"pong": "Pong", "breakout": "Breakout"}
VARIANTS = ("dqn_pong", "dqn_breakout", "ppo_pong", "ppo_breakout", "dqn_pong_short")
STEPS = 10_000_000
# The hidden layers of Mnih et al. 2015, extended data table 1 and methods.
NETWORK = {
    "convolutions": ((32, 8, 4), (64, 4, 2), (64, 3, 1)),
    "features": (512,),
    "scale": 255.0,
    "activation": "relu",
}
# What makes a run small enough for a test.
SHRUNK = {
    "environment.max_frames": "200",
    "model.features": "16",
    "task.capacity": "400",
    "task.learning_starts": "20",
    "task.rollout_steps": "4",
    "evaluation.batch_size": "2",
}


def get_config(variant: str = "dqn_pong") -> ConfigDict:
    """An agent that plays a game."""
    agent, _, game = variant.removesuffix("_short").partition("_")
    fields = AGENTS[agent]() if variant in FIGURES else dqn_short()
    return ConfigDict(
        {
            "environment": {
                "name": "atari",
                "id": GAMES[game],
                "sticky_actions": 0.0,
                "life_is_episode": True,
                "fire_at_begin": True,
            },
            "evaluation": {"batch_size": 10},
            **fields,
        }
    )


def dqn() -> dict[str, Any]:
    """An update from 32 of the last million steps every 4 steps."""
    return {
        "model": {"name": "QNetwork", **NETWORK},
        "task": {
            "name": "dqn",
            "discount": 0.99,
            "train_every": 4,
            "batch_size": 32,
            "capacity": 1_000_000,
            "learning_starts": 80_000,
            "target_every": 1000,
            "epsilon": (1.0, 0.01),
            "exploration_fraction": 0.1,
            "loss_name": "squared_error",
        },
        "optimizer": {"name": "adam", "learning_rate": 1e-4},
        "training": {"steps": STEPS // 4, "log_every": 2500},
        "checkpoint": {"every": 250_000},
    }


def dqn_short() -> dict[str, Any]:
    """A twentieth of the steps, a third of the operations a step."""
    fields = dqn()
    fields["model"] |= {
        "convolutions": ((16, 8, 4), (32, 4, 2)),
        "features": (256,),
        "dueling": True,
    }
    fields["task"] |= {
        "capacity": 100_000,
        "learning_starts": 20_000,
        "target_every": 2000,
        "epsilon": (1.0, 0.02),
        "exploration_fraction": 0.2,
        "loss_name": "huber",
        "double": True,
        "n_step": 3,
    }
    fields["training"] = {"steps": 500_000 // 4, "log_every": 1250}
    fields["checkpoint"] = {"every": 25_000}
    return fields


def ppo() -> dict[str, Any]:
    """Iterations of 128 steps of 8 games."""
    return {
        "model": {"name": "ActorCritic", "shared": True, **NETWORK},
        "task": {
            "name": "ppo",
            "environments": 8,
            "rollout_steps": 128,
            "discount": 0.99,
            "gae_lambda": 0.95,
            "epochs": 4,
            "minibatches": 4,
            "clip": 0.1,
            "value_coefficient": 0.5,
            "entropy_coefficient": 0.01,
            "greedy": False,
        },
        "optimizer": {
            "name": "adam",
            "learning_rate": 2.5e-4,
            "eps": 1e-5,
            "clip_global_norm": 0.5,
            "schedule": "linear",
        },
        "training": {"steps": STEPS // (8 * 128), "log_every": 10},
        "checkpoint": {"every": 1000},
    }


AGENTS = {"dqn": dqn, "ppo": ppo}
# Figure and ±, of 3 seeds.
FIGURES = {
    "dqn_pong": (20.25, 0.41),
    "dqn_breakout": (366.928, 39.89),
    "ppo_pong": (20.59, 0.35),
    "ppo_breakout": (416.31, 43.92),
}
NATURE = "Mnih et al. 2015, extended data table 2, after 50 M steps, played with ε = 0.05"
OTHERS = {"dqn_pong": 18.9, "dqn_breakout": 401.2}
PARAMETERS = {"dqn_pong": 1_687_206, "dqn_breakout": 1_686_180}


def published() -> list[Row]:
    """Returns of whole games, unclipped, after 10 M steps, and of the short run."""
    short = Row(
        name="DQN, Pong, 500,000 steps",
        variant="dqn_pong_short",
        metric="test/training_return",
        published=None,
        source="a recipe of our own",
        seconds=5200,
        long=True,
    )
    figures = [
        Row(
            name=f"{variant.partition('_')[0].upper()}, {GAMES[variant.partition('_')[2]]}",
            variant=variant,
            metric="test/training_return",
            published=figure,
            spread=spread,
            source=f"documentation of CleanRL, experiment results of {variant[:3]}_atari.py",
            decimals=3 if variant == "dqn_breakout" else 2,
            long=True,
            parameters=PARAMETERS.get(variant),
            alternatives=((OTHERS[variant], NATURE),) if variant in OTHERS else (),
        )
        for variant, (figure, spread) in FIGURES.items()
    ]
    return [*figures, short]
