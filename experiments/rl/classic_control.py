"""Classic control: CleanRL (Huang et al., JMLR 2022), tables of its documentation.

aimodels train --config=experiments/rl/classic_control.py:dqn_cartpole --workdir=runs/cartpole
aimodels train --config=experiments/rl/classic_control.py:ppo_cartpole --workdir=runs/ppo
aimodels train --config=experiments/rl/classic_control.py:a2c_acrobot --workdir=runs/a2c

aimodels reproduce experiments/rl/classic_control.py --seeds 10

DQN and PPO have the settings of CleanRL, A2C those of RL Baselines3 Zoo (hyperparams/a2c.yml).
CleanRL's figures are the mean return of the last 100 episodes of training, `test/training_return`,
of 3 seeds; what their ± is, it does not say. The zoo's are of one run, played without chance,
`test/return`. A run of 500,000 steps takes 10 to 20 s on one core.
"""

from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Comparison, Row

ENVIRONMENTS = {"cartpole": "CartPole-v1", "acrobot": "Acrobot-v1", "mountaincar": "MountainCar-v0"}
VARIANTS = (
    *(f"{agent}_{name}" for agent in ("dqn", "ppo", "a2c", "a3c") for name in ENVIRONMENTS),
    "reinforce_cartpole",
)


def get_config(variant: str = "dqn_cartpole") -> ConfigDict:
    """An agent in an environment."""
    agent, _, name = variant.partition("_")
    return ConfigDict(
        {
            "environment": {"name": "gymnax", "id": ENVIRONMENTS[name]},
            "evaluation": {"batch_size": 100},
            "execution": {"threads": 1},
            **AGENTS[agent](name),
        }
    )


def dqn(name: str) -> dict[str, Any]:
    """500,000 steps of CleanRL's dqn.py with its defaults."""
    return {
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
    }


def ppo(name: str) -> dict[str, Any]:
    """500,000 steps of CleanRL's ppo.py with its defaults."""
    return {
        "model": {"name": "ActorCritic", "features": (64, 64)},
        "task": {
            "name": "ppo",
            "environments": 4,
            "rollout_steps": 128,
            "discount": 0.99,
            "gae_lambda": 0.95,
            "epochs": 4,
            "minibatches": 4,
            "clip": 0.2,
            "value_coefficient": 0.5,
            "entropy_coefficient": 0.01,
        },
        "optimizer": {
            "name": "adam",
            "learning_rate": 2.5e-4,
            "eps": 1e-5,
            "clip_global_norm": 0.5,
            "schedule": "linear",
        },
        "training": {"steps": 500_000 // (4 * 128), "log_every": 10},
    }


# Of RL Baselines3 Zoo, hyperparams/a2c.yml: steps in all, environments, whether normalised.
A2C = {
    "cartpole": (500_000, 8, False),
    "acrobot": (500_000, 16, True),
    "mountaincar": (1_000_000, 16, True),
}


def a2c(name: str, actor_learners: int = 1) -> dict[str, Any]:
    """Stable-Baselines3's A2C with its defaults, and the zoo's fields of the environment."""
    steps, environments, normalize = A2C[name]
    return {
        "model": {"name": "ActorCritic", "features": (64, 64)},
        "task": {
            "name": "a2c",
            "environments": environments,
            "actor_learners": actor_learners,
            "rollout_steps": 5,
            "discount": 0.99,
            "gae_lambda": 1.0,
            "value_coefficient": 0.5,
            "entropy_coefficient": 0.0,
            "normalize": normalize,
        },
        "optimizer": {
            "name": "rmsprop",
            "learning_rate": 7e-4,
            "decay": 0.99,
            "eps": 1e-5,
            "clip_global_norm": 0.5,
        },
        "training": {"steps": steps * actor_learners // (5 * environments), "log_every": 500},
    }


def a3c(name: str) -> dict[str, Any]:
    """As many steps of the environments as A2C, each of which has an actor-learner of its own."""
    return a2c(name, actor_learners=A2C[name][1])


def reinforce(name: str) -> dict[str, Any]:
    """Eight episodes an update, with a baseline; a recipe of our own."""
    return {
        "model": {"name": "ActorCritic", "features": (64, 64)},
        "task": {"name": "reinforce", "environments": 8, "discount": 0.99},
        "optimizer": {"name": "adam", "learning_rate": 1e-3, "clip_global_norm": 0.5},
        "training": {"steps": 500, "log_every": 10},
    }


AGENTS = {"dqn": dqn, "ppo": ppo, "a2c": a2c, "a3c": a3c, "reinforce": reinforce}


# Figure and ± for CartPole, Acrobot and MountainCar, from their sources.
FIGURES = {
    "dqn": ((488.69, 16.11), (-91.54, 7.20), (-194.95, 8.48)),
    "ppo": ((490.04, 6.12), (-86.36, 1.32), (-200.00, 0.00)),
    "a2c": ((500.000, 0.000), (-83.353, 17.213), (-111.263, 24.087)),
}
EARLIER = "an earlier state of that page"
IN_JAX = "documentation of CleanRL, experiment results of dqn_jax.py, ± "
OTHERS = {
    "dqn_cartpole": ((498.38, f"{IN_JAX}2.29"),),
    "dqn_acrobot": (
        (-88.89, f"{IN_JAX}1.56"),
        (-76.6, "benchmark.md of RL Baselines3 Zoo, ± 11.8, with other settings"),
    ),
    "dqn_mountaincar": ((-188.90, f"{IN_JAX}11.78"),),
    "ppo_cartpole": ((488.75, EARLIER),),
    "ppo_acrobot": ((-82.48, EARLIER),),
}
ONE_RUN = "The zoo's ± is the deviation over the evaluation episodes of its one run."


def published() -> list[Row]:
    """Returns after as many steps of the environment as the sources have; A3C's beside A2C's."""
    rows = []
    for agent, figures in FIGURES.items():
        zoo = agent == "a2c"
        page = f"documentation of CleanRL, experiment results of {agent}.py"
        for (name, environment), (figure, spread) in zip(
            ENVIRONMENTS.items(), figures, strict=True
        ):
            variant = f"{agent}_{name}"
            rows.append(
                Row(
                    name=f"{agent.upper()}, {environment}",
                    variant=variant,
                    metric="test/return" if zoo else "test/training_return",
                    published=figure,
                    spread=spread,
                    decimals=3 if zoo else 2,
                    source="benchmark.md of RL Baselines3 Zoo" if zoo else page,
                    seconds=20,
                    interval="bootstrap",
                    note=ONE_RUN if zoo else "",
                    alternatives=OTHERS.get(variant, ()),
                )
            )
    return rows + [
        Row(
            name=f"A3C, {environment}",
            variant=f"a3c_{name}",
            metric="test/return",
            published=None,
            source="Mnih et al. 2016, who have other environments",
            seconds=60,
            interval="bootstrap",
        )
        for name, environment in ENVIRONMENTS.items()
    ]


# Return of a uniformly random policy (mean of 10,000 episodes, its standard error 0.1 at the most),
# and the return at which gymnasium's registry holds the environment to be solved.
BOUNDS = {
    "CartPole-v1": (22.1, 475.0),
    "Acrobot-v1": (-498.9, -100.0),
    "MountainCar-v0": (-200.0, -110.0),
}


def comparison() -> Comparison:
    """All agents by what their greedy policies get after training."""
    methods = {
        agent.upper(): {id: f"{agent}_{name}" for name, id in ENVIRONMENTS.items()}
        for agent in (*FIGURES, "a3c")
    }
    steps = {f"{agent}_{name}": 500_000 for agent in FIGURES for name in ENVIRONMENTS}
    steps |= {f"{agent}_{name}": A2C[name][0] for agent in ("a2c", "a3c") for name in ENVIRONMENTS}
    return Comparison(
        metric="test/return",
        tasks=BOUNDS,
        bounds="0 is the return of a random policy (measured), 1 the reward_threshold of gymnasium "
        "1.3's registry. All have 500,000 steps, but A2C and A3C 1,000,000 on MountainCar.",
        methods=methods,
        curve="train/training_return",
        environment_steps=steps,
    )
