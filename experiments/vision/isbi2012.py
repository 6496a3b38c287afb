"""U-Net on the membranes of ISBI 2012: Ronneberger, Fischer & Brox, MICCAI 2015, table 1.

aimodels data fetch isbi2012
aimodels reproduce experiments/vision/isbi2012.py                        # the small one, five folds
aimodels train --config=experiments/vision/isbi2012.py:small --workdir=runs/isbi    # one fold

The paper's figures are of the challenge's test set, whose labels are hidden, after training on all
30 sections; ours are means over five folds of the 30 (24 to train, 6 to test), which is less data
to learn from. So the two stand beside each other, and are not the same measurement. Pixel error:
the share that is wrong. Rand error: 1 minus the best F-score of pairs of foreground pixels over
thresholds of the probability, which is chosen on the test sections as the challenge does. The
paper's warping error (0.000353) is not measured here.

`published` is the paper's network and recipe: 31.0 M parameters, tiles of 572x572, batches of one,
SGD with momentum 0.99, weighted borders, elastic deformations; for a GPU (10 hours in the paper).
`small` has a quarter of the channels and four levels, padding and norms, on crops of 160x160, for
two cores.
"""

from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from aimodels.reproduce import Row

VARIANTS = ("small", "published")
FOLDS = 5
# What makes the models of this file small enough for a test.
SHRUNK = {"model.base_features": "2"}
# Deviations as in the paper, section 3.1; flips and turns on top, since sections have no upside.
AUGMENTED = (
    "scale",
    "elastic_deformation",
    "horizontal_flip",
    "vertical_flip",
    "random_transpose",
)
RECIPES: dict[str, dict[str, Any]] = {
    "small": {
        "model": {
            "name": "UNet",
            "base_features": 16,
            "num_levels": 4,
            "padding": "same",
            "batch_norm": True,
            "dropout_rate": 0.2,
        },
        "optimizer": {"name": "adam", "learning_rate": 1e-3, "schedule": "cosine"},
        "training": {
            "steps": 2500,
            "batch_size": 4,
            "transforms": ({"name": "dense_crop", "size": (160, 160)}, *AUGMENTED),
        },
    },
    "published": {
        "model": {"name": "UNet"},
        "optimizer": {"name": "sgd", "learning_rate": 1e-3, "momentum": 0.99},
        "training": {
            "steps": 60_000,
            "batch_size": 1,
            # Tiles of a section that goes on beyond its border; whole sections in evaluation, where
            # 700 pixels are what the network takes to speak of 512.
            "transforms": (
                *AUGMENTED,
                {"name": "mirror_pad", "margin": 94},
                {"name": "dense_crop", "size": (572, 572)},
            ),
        },
    },
}


def get_config(variant: str = "small") -> ConfigDict:
    """The recipe, on fold 0."""
    recipe = RECIPES[variant]
    return ConfigDict(
        {
            "model": recipe["model"],
            "task": {"name": "segmentation"},
            "data": {"name": "isbi2012", "fold": 0, "folds": FOLDS, "weights": True},
            "optimizer": recipe["optimizer"],
            "training": recipe["training"],
            "evaluation": {"splits": ("test",), "batch_size": 1},
        }
    )


def run_folds(variant: str, folder: Path) -> list[dict[str, float]]:
    """Trains and tests on every fold; the errors of each."""
    import aimodels
    from aimodels.config import plain, resolve

    results = []
    for fold in range(FOLDS):
        config = resolve(plain(get_config(variant)), {"data.fold": str(fold)})
        workdir = folder / f"fold{fold}"
        trained = aimodels.train(config, workdir, label=f"{variant}, fold {fold}")
        metrics = dict(trained.results["replicas"][0]["metrics"])
        metrics["test/rand_error"] = rand_error(workdir)
        results.append(metrics)
    return results


def rand_error(workdir: Path) -> float:
    """The Rand error of a trained fold on its test sections."""
    import aimodels
    from aimodels.data import make
    from aimodels.tasks.rand_score import best_rand_score
    from aimodels.training.predict_pixels import predict_pixels

    loaded = aimodels.load(workdir)
    fields = {name: value for name, value in loaded.config.data.items() if name != "weights"}
    source = make(**fields).load("test")
    batch = source.gather(np.arange(len(source)))
    inside = predict_pixels(loaded, batch["inputs"])[..., 1]
    return 1 - best_rand_score(batch["targets"] == 1, inside)[0]


def published() -> list[Row]:
    """The paper's errors on the hidden test set, beside ours on folds."""
    source = "Ronneberger et al. 2015, table 1: hidden test set; ours are folds of the training set"
    rows = []
    for variant, name, parameters, seconds in (
        ("small", "U-Net, 16 channels", 482_466, 3000),
        ("published", "U-Net", 31_030_658, 400_000),
    ):
        for metric, figure in (("test/pixel_error", 0.0611), ("test/rand_error", 0.0382)):
            rows.append(
                Row(
                    name=name,
                    variant=variant,
                    metric=metric,
                    published=figure,
                    source=source,
                    higher_is_better=False,
                    parameters=parameters,
                    seconds=seconds,
                    long=variant == "published",
                    run_all=lambda folder, variant=variant: run_folds(variant, folder),
                )
            )
    return rows
