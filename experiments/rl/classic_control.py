"""Classic control: CleanRL (Huang et al., JMLR 2022), tables of its documentation.

aimodels train --config=experiments/rl/classic_control.py:dqn_cartpole --workdir=runs/cartpole
aimodels reproduce experiments/rl/classic_control.py --seeds 10

The figure is the mean return of the last 100 episodes of training (`test/training_return`), with
the exploration that is left; `test/return` is that of the greedy policy. A run of 500,000 steps
takes 15 s on one core. CleanRL's figures are of 3 seeds; what their ± is, it does not say.
"""

from ml_collections import ConfigDict

from aimodels.reproduce import Row

ENVIRONMENTS = {"cartpole": "CartPole-v1", "acrobot": "Acrobot-v1", "mountaincar": "MountainCar-v0"}
VARIANTS = tuple(f"dqn_{name}" for name in ENVIRONMENTS)


def get_config(variant: str = "dqn_cartpole") -> ConfigDict:
    """500,000 steps of CleanRL's dqn.py with its defaults."""
    _, _, name = variant.partition("_")
    return ConfigDict(
        {
            "environment": {"name": "gymnax", "id": ENVIRONMENTS[name]},
            "model": {"name": "QNetwork", "features": (120, 84)},
            "task": {
                "name": "dqn",
                "discount": 0.99,
                "train_every": 10,
                "batch_size": 128,
                "capacity": 10_000,
                "learning_starts": 10_000,
                "target_every": 500,
                "epsilon": (1.0, 0.05),
                "exploration_fraction": 0.5,
                "loss_name": "squared_error",
            },
            "optimizer": {"name": "adam", "learning_rate": 2.5e-4},
            "training": {"steps": 50_000, "log_every": 500},
            "evaluation": {"batch_size": 100},
            "execution": {"threads": 1},
        }
    )


def published() -> list[Row]:
    """Returns after 500,000 steps."""
    dqn = "CleanRL's documentation, DQN: experiment results of dqn.py"
    #      row                   variant            figure  spread seconds a seed
    rows = (
        ("DQN, CartPole-v1", "dqn_cartpole", 488.69, 16.11, 15),
        ("DQN, Acrobot-v1", "dqn_acrobot", -91.54, 7.20, 25),
        ("DQN, MountainCar-v0", "dqn_mountaincar", -194.95, 8.48, 15),
    )
    return [
        Row(
            name=name,
            variant=variant,
            metric="test/training_return",
            published=figure,
            spread=spread,
            source=dqn,
            decimals=2,
            seconds=seconds,
        )
        for name, variant, figure, spread, seconds in rows
    ]
