"""bsuite: Osband et al., "Behaviour Suite for Reinforcement Learning", ICLR 2020.

aimodels train --config=experiments/rl/bsuite.py:catch --workdir=runs/catch          # one setting
aimodels reproduce experiments/rl/bsuite.py --seeds 1

The DQN of the suite's baselines (baselines/jax/dqn): hidden layers of 64 and 64, batches of 32, an
update a step, the target network renewed every 4 of them, ε = 0.05. Scores are those of the suite's
analysis, 0 to 1, over all settings of each experiment's sweep; the paper shows them as a radar plot
without numbers, so none stand beside ours. What is left out: cartpole and mountain car of the suite
and their variants, which gymnax does not have; mnist and its variants, whose data would have to be
downloaded; and deep_sea_stochastic, whose score counts moves that no return tells.

Scores are computed from the mean return, which is all that is kept of the episodes: deep_sea counts
a size as solved if more than a tenth of all episodes found the treasure (0.99; a way that doesn't
costs less than 0.01), the umbrellas and rewards with noise take what is random to be 0 on average
(of 10,000 episodes of length 100 the umbrella's mean is within ± 0.2, of the largest noise the
bandit's within ± 0.2, catch's ± 0.6). A row is the mean over all settings; where rewards have noise
or a scale, the suite takes half the deviation between levels off that.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from aimodels.environments.bsuite import EXPERIMENTS
from aimodels.reproduce import Row

VARIANTS = tuple(EXPERIMENTS)


def get_config(variant: str = "bandit") -> ConfigDict:
    """DQN at the first setting of an experiment."""
    return _config(variant, EXPERIMENTS[variant].settings[0])


def _config(name: str, setting: int) -> ConfigDict:
    steps = episodes(name, setting) * EXPERIMENTS[name].length(setting)
    return ConfigDict(
        {
            "environment": {"name": "bsuite", "id": name, "setting": setting},
            "model": {"name": "QNetwork", "features": (64, 64)},
            "task": {
                "name": "dqn",
                "discount": 0.99,
                "train_every": 1,
                "batch_size": 32,
                "capacity": 10_000,
                "learning_starts": 100,
                "target_every": 4,
                "epsilon": (0.05, 0.05),
                "loss_name": "squared_error",
            },
            "optimizer": {"name": "adam", "learning_rate": 1e-3},
            "training": {"steps": steps, "log_every": max(steps // 20, 1)},
            "evaluation": {"batch_size": 100},
            "execution": {"threads": 1},
        }
    )


def episodes(name: str, setting: int) -> int:
    """Of a run: the suite's, or those in which a size of deep_sea must be solved to count."""
    most = EXPERIMENTS[name].episodes
    return min(most, 2**setting + 100) if name == "deep_sea" else most


# The score of a run from its mean return, as analysis.py of each experiment has it.
SCORES: dict[str, Callable[[float], float]] = {
    "bandit": lambda mean: _within(1 - (1 - mean) / 0.5),
    "catch": lambda mean: _within(1 - (1 - mean) / 1.6),
    "deep_sea": lambda mean: float(mean > 0.1 * 0.99),
    "discounting_chain": lambda mean: _within(1 - 10 * (1.1 - mean)),
    "memory_len": lambda mean: float(1 - mean < 0.75),
    "umbrella_length": lambda mean: float(1 - mean < 0.5),
}
SCORES |= {"memory_size": SCORES["memory_len"], "umbrella_distract": SCORES["umbrella_length"]}
SCORES |= {
    f"{name}_{of}": SCORES[name] for name in ("bandit", "catch") for of in ("noise", "scale")
}


def _within(score: float) -> float:
    return min(max(score, 0.0), 1.0)


# All settings of an experiment, one after the other on one core.
SECONDS = {
    "bandit": 520,
    "catch": 750,
    "deep_sea": 8300,
    "discounting_chain": 400,
    "memory_len": 1600,
    "umbrella_length": 3000,
    "memory_size": 400,
    "umbrella_distract": 1600,
    "bandit_noise": 360,
    "bandit_scale": 270,
    "catch_noise": 780,
    "catch_scale": 780,
}


def run_sweep(name: str, folder: Path) -> Sequence[dict[str, Any]]:
    """Trains at every setting, each with another seed; the score of each."""
    import aimodels

    results = []
    for seed, setting in enumerate(EXPERIMENTS[name].settings):
        config = _config(name, setting)
        config.replicas = {"seeds": (seed,)}
        result = aimodels.train(config, folder / str(setting))
        mean = result.metrics["test/lifetime_return"] / EXPERIMENTS[name].scale(setting)
        results.append({"test/score": SCORES[name](mean), "test/lifetime_return": mean})
    return results


def published() -> list[Row]:
    """A row an experiment; n is the number of its settings."""
    return [
        Row(
            name=f"DQN, {name}",
            variant=name,
            metric="test/score",
            published=None,
            source="Osband et al. 2020, whose figures show scores without numbers",
            seconds=SECONDS[name],
            interval="bootstrap",
            run_all=lambda folder, name=name: run_sweep(name, folder),
        )
        for name in VARIANTS
    ]
