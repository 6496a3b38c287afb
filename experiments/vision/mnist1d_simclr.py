"""SimCLR: Greydanus & Kobak, "Scaling Down Deep Learning with MNIST-1D", ICML 2024.

aimodels reproduce experiments/vision/mnist1d_simclr.py
aimodels train --config=experiments/vision/mnist1d_simclr.py --workdir=runs/simclr

A CNN learns signals without their classes, by telling apart the two views of each (Chen et al.
2020): a view is shifted around by 0 to 9 points and has another mean and slope. Then logistic
regression on what each layer gives is trained with the classes, and nearest neighbours are looked
up in the output. Probes beyond the convolutions fall: "guillotine regularization". Network, recipe
and figures are those of the notebook self-supervised-learning (commit 059baf7), one run of 200
epochs, with its classifiers: scikit-learn's KNeighborsClassifier(10), by cosines in the output, and
LogisticRegression(tol=1e-2) on standardized features. Its loss is that of the first views alone,
ours of both, which is the same in expectation.
"""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

EPOCHS, BATCH_SIZE, EXAMPLES = 200, 100, 4000
SEEDS = (0, 1, 2, 3, 4)
VARIANTS = ("simclr",)
# Layer by layer: what comes out of each of its activation functions, and the output.
LAYERS = ("features_0", "features_1", "features_2", "dense_features_0", "head")
CLASSIFIERS = {
    "knn": ("KNeighborsClassifier", {"n_neighbors": 10}, False),
    "knn_by_cosines": ("KNeighborsClassifier", {"n_neighbors": 10, "metric": "cosine"}, False),
    "linear": ("LogisticRegression", {"tol": 1e-2, "max_iter": 1000}, True),
}


def get_config(variant: str = "simclr") -> ConfigDict:
    """The network and how it learns."""
    assert variant == "simclr"
    return ConfigDict(
        {
            "model": {
                "name": "CNN",
                "features": (25, 25, 25),
                "kernel_sizes": (5, 3, 3),
                "strides": (2, 2, 2),
                "padding": 1,
                "dense_features": (125,),
                "num_classes": 16,
                "initializer": "torch",
            },
            "task": {"name": "simclr", "temperature": 0.5, "negatives": "other_views"},
            "data": {"name": "mnist1d"},
            "optimizer": {"name": "adam", "learning_rate": 1e-2},
            "training": {
                "steps": EPOCHS * EXAMPLES // BATCH_SIZE,
                "batch_size": BATCH_SIZE,
                "transforms": (
                    {"name": "random_trend", "slope_std": 0.0, "offset_std": 0.0},
                    {"name": "random_shift", "minimum": 0, "maximum": 9, "wrap": True},
                    {"name": "random_trend", "remove": False},
                ),
            },
            "evaluation": {"splits": ("test",), "every": 1000},
            "replicas": {"mode": "vmap"},
        }
    )


def _classified(name: str, train: dict, test: dict) -> float:
    """The test accuracy of one of `CLASSIFIERS`."""
    from aimodels.reproduce.baselines import scikit_learn

    estimator, fields, standardize = CLASSIFIERS[name]
    return scikit_learn(
        estimator, fields, train, test, standardize=standardize, shuffle=False, jobs=1
    )["test/accuracy"]


def _splits() -> list[dict]:
    import numpy as np

    from aimodels.data import make

    sources = [make("mnist1d").load(split) for split in ("train", "test")]
    return [source.gather(np.arange(len(source))) for source in sources]


def run_raw(seed: int) -> dict[str, float]:
    """The classifiers on the signals themselves."""
    del seed
    train, test = _splits()
    return {f"test/{name}": _classified(name, train, test) for name in ("knn", "linear")}


def run_probes(folder: Path) -> list[dict[str, float]]:
    """Trains with each seed, then the probes of each network."""
    import aimodels

    config: Any = get_config()
    config.replicas.seeds = SEEDS
    aimodels.train(config, folder, label="SimCLR")
    splits = _splits()
    return [probed(folder, replica, splits) for replica in range(len(SEEDS))]


def probed(folder: Path, replica: int, splits: list[dict]) -> dict[str, float]:
    """`test/linear_<layer>` for each layer, and `test/knn` of the output."""
    import numpy as np

    import aimodels
    from aimodels.interpret import layer_outputs

    run: Any = aimodels.load(folder, replica=replica)
    seen = []
    for split in splits:
        found = layer_outputs(run.task.model, run.state.variables, split["inputs"], LAYERS)
        seen.append({layer: np.asarray(found[layer]) for layer in LAYERS})

    def accuracy(name: str, layer: str) -> float:
        of_layer = [
            {"inputs": features[layer], "targets": split["targets"]}
            for features, split in zip(seen, splits, strict=True)
        ]
        return _classified(name, *of_layer)

    probes = {f"test/linear_{number}": accuracy("linear", name) for number, name in _numbered()}
    return {"test/knn": accuracy("knn_by_cosines", LAYERS[-1])} | probes


def _numbered() -> list[tuple[int, str]]:
    return list(enumerate(LAYERS, start=1))


def published() -> list[Row]:
    """Test accuracy in percent, one run each."""
    source = "Greydanus & Kobak 2024, notebook self-supervised-learning"
    raw = (
        ("Raw signals, 10 nearest", "test/knn", 59.6),
        ("Raw signals, linear", "test/linear", 32.8),
    )
    learned = [("SimCLR, 10 nearest in the output", "test/knn", 75.8)]
    figures = (75.6, 83.0, 81.5, 78.6, 75.8)
    places = ("convolution 1", "convolution 2", "convolution 3", "hidden layer", "output")
    for number, (place, figure) in enumerate(zip(places, figures, strict=True), start=1):
        learned.append((f"SimCLR, linear on {place}", f"test/linear_{number}", figure))
    common = {"source": source, "units": "%", "scale": 100, "decimals": 1}
    return [
        *(
            Row(
                name=name,
                variant="raw",
                metric=metric,
                published=figure,
                seconds=10,
                run=run_raw,
                test_examples=1000,
                **common,
            )
            for name, metric, figure in raw
        ),
        *(
            Row(
                name=name,
                variant="simclr",
                metric=metric,
                published=figure,
                seconds=300,
                run_all=run_probes,
                **common,
            )
            for name, metric, figure in learned
        ),
    ]
