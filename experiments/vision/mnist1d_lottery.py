"""Lottery tickets: Greydanus & Kobak, "Scaling Down Deep Learning with MNIST-1D", ICML 2024.

aimodels reproduce experiments/vision/mnist1d_lottery.py
aimodels train --config=experiments/vision/mnist1d_lottery.py:random --workdir=runs/random_tickets

An MLP of 500 units is trained in a hundred rounds. After each, the smallest weights of each layer
are left out, the others go back to where they started (Frankle & Carbin 2019), from 0 to 100 % in
even shares. The figure of a round is its best test accuracy, as the notebook prints it. Random
tickets leave out as many weights by chance. Recipe of the notebook: Adam at 2e-2, batches of 100 in
the file's order, PyTorch's default initial weights, an evaluation every 100 steps; weights are
ranked as they were after 1,000 steps, where its last checkpoint is. Its rounds have 1,502 steps and
end with an evaluation after 1,501; ours have 1,500, and end with one.
"""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

ROUNDS, STEPS, EVERY = 100, 1500, 100
SEEDS = (0, 1, 2, 3, 4)
VARIANTS = ("magnitude", "random")
# Rounds that the table shows: 0, 80, 90, 92, 95 and 98 % of the weights left out.
SHOWN = {0: 0, 80: 79, 90: 89, 92: 91, 95: 94, 98: 97}
RANDOM_SHOWN = (90, 95, 98)
# A round of a few steps, for tests.
SHRUNK = {"task.round_steps": "2", "task.rank_after": "1"}


def sparsities(variant: str) -> tuple[float, ...]:
    """Of each round; random tickets need no rounds before their own."""
    everywhere = [number / (ROUNDS - 1) for number in range(ROUNDS)]
    if variant == "magnitude":
        return tuple(everywhere[: SHOWN[98] + 1])
    return tuple(everywhere[SHOWN[percent]] for percent in RANDOM_SHOWN)


def get_config(variant: str = "magnitude") -> ConfigDict:
    """All rounds of one network."""
    shares = sparsities(variant)
    return ConfigDict(
        {
            "model": {
                "name": "MLP",
                "features": (500, 500),
                "residual": True,
                "num_classes": 10,
                "initializer": "torch",
            },
            "task": {
                "name": "iterative_pruning",
                "sparsities": shares,
                "round_steps": STEPS,
                "rank_after": 1000,
                "criterion": variant,
            },
            "data": {"name": "mnist1d"},
            "optimizer": {"name": "adam", "learning_rate": 2e-2},
            "training": {
                "steps": len(shares) * STEPS,
                "batch_size": 100,
                "order": "cyclic",
                "log_every": EVERY,
            },
            "evaluation": {"splits": ("test",), "every": EVERY},
            "replicas": {"mode": "sequential"},
            "checkpoint": {"every": 10 * STEPS},
        }
    )


def run_rounds(variant: str, folder: Path) -> list[dict[str, float]]:
    """Trains all rounds with each seed; the best test accuracy of each round that is shown."""
    import aimodels
    from aimodels.training.writers import read_metrics

    config: Any = get_config(variant)
    config.replicas.seeds = SEEDS
    aimodels.train(config, folder, label=f"{variant} tickets")
    best: dict[tuple[int, int], float] = {}
    for line in read_metrics(folder / "metrics.jsonl"):
        if line["split"] == "test":
            key = line["replica"], (line["step"] - 1) // STEPS
            best[key] = max(best.get(key, 0.0), line["accuracy"])
    drawn = {percent: number for number, percent in enumerate(RANDOM_SHOWN)}
    rounds = SHOWN if variant == "magnitude" else drawn
    return [
        {f"test/best_accuracy_{percent}": best[replica, n] for percent, n in rounds.items()}
        for replica in range(len(SEEDS))
    ]


def published() -> list[Row]:
    """The best test accuracy of a round in percent; means of two trials and their deviation."""
    source = "Greydanus & Kobak 2024, notebook lottery-tickets, its two trials"
    #    percent left out, mean, standard deviation
    magnitude = ((0, 65.90, 0.71), (80, 72.50, 0.57), (90, 74.20, 0.14), (92, 75.25, 1.20))
    magnitude += ((95, 71.30, 0.71), (98, 64.45, 0.78))
    random = ((90, 65.15, 0.78), (95, 57.05, 1.34), (98, 31.20, 5.37))
    return [
        Row(
            name=f"{percent} % left out" + (" at random" if variant == "random" else ""),
            variant=variant,
            metric=f"test/best_accuracy_{percent}",
            published=figure,
            spread=spread,
            spread_kind="sd",
            source=source,
            units="%",
            scale=100,
            decimals=2,
            seconds=seconds,
            long=variant == "magnitude",
            run_all=lambda folder, variant=variant: run_rounds(variant, folder),
        )
        for variant, figures, seconds in (("magnitude", magnitude, 2400), ("random", random, 90))
        for percent, figure, spread in figures
    ]
