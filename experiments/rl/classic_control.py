"""Classic control: CleanRL (Huang et al., JMLR 2022), tables of its documentation.

aimodels train --config=experiments/rl/classic_control.py:dqn_cartpole --workdir=runs/cartpole
"""

from ml_collections import ConfigDict

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
