"""MNIST-1D: Greydanus & Kobak, "Scaling Down Deep Learning with MNIST-1D", ICML 2024.

aimodels reproduce experiments/vision/mnist1d.py                                # 2 min on 2 cores
aimodels train --config=experiments/vision/mnist1d.py:cnn --workdir=runs/cnn    # 15 s, 93.5 %
aimodels sweep --config=experiments/vision/mnist1d.py:mlp --workdir=runs/sweep  # 8 settings

Four models classify 40-point signals of ten classes, 4,000 to train on and 1,000 to test, as they
are and with their points in a fixed shuffled order (which takes away what convolution and
recurrence use). Recipe of the paper's notebook "mnist1d-classification": Adam at 1e-2, batches of
100 in the file's order, 6,001 steps, PyTorch's default initial weights.
"""

from ml_collections import ConfigDict

from aimodels.reproduce import Row

MODELS = {
    "linear": {"name": "Linear", "num_classes": 10, "initializer": "torch"},
    "mlp": {
        "name": "MLP",
        "features": (100, 100),
        "residual": True,
        "num_classes": 10,
        "initializer": "torch",
    },
    "cnn": {
        "name": "CNN",
        "features": (25, 25, 25),
        "kernel_sizes": (5, 3, 3),
        "strides": (2, 2, 2),
        "padding": 1,
        "num_classes": 10,
        "initializer": "torch",
    },
    "gru": {
        "name": "RecurrentClassifier",
        "cell": "gru",
        "features": 6,
        "bidirectional": True,
        "readout": "flatten",
        "num_classes": 10,
        "initializer": "torch",
    },
}
VARIANTS = (*MODELS, *(f"{model}_shuffled" for model in MODELS))


def get_config(variant: str = "cnn") -> ConfigDict:
    """The recipe of a row: a model, on the signals as they are or `_shuffled`."""
    model, _, shuffled = variant.partition("_")
    return ConfigDict(
        {
            "model": MODELS[model],
            "task": {"name": "classification"},
            "data": {"name": "mnist1d", "shuffled": bool(shuffled)},
            "optimizer": {"name": "adam", "learning_rate": 1e-2},
            "training": {"steps": 6001, "batch_size": 100, "order": "cyclic"},
            "evaluation": {"splits": ("test",), "every": 500},
            # On a CPU both ways are within a tenth of each other; to time them, both would have to
            # be compiled, which takes as long as a quarter of a row.
            "replicas": {"mode": "vmap"},
        }
    )


def published() -> list[Row]:
    """Test accuracy in percent, from the paper's notebook (one run each, seed 42)."""
    notebook = "Greydanus & Kobak 2024, notebook mnist1d-classification"
    readme = "README of the MNIST-1D repository"
    #        row                variant           notebook README parameters seconds a seed
    rows = (
        ("Logistic regression", "linear", 31.5, 32, 410, 1),
        ("MLP", "mlp", 65.1, 68, 15210, 4),
        ("CNN", "cnn", 92.3, 94, 5210, 11),
        ("GRU", "gru", 89.1, 91, 5134, 25),
        ("Logistic regression, shuffled", "linear_shuffled", 31.5, 32, 410, 1),
        ("MLP, shuffled", "mlp_shuffled", 66.0, 68, 15210, 4),
        ("CNN, shuffled", "cnn_shuffled", 58.7, 56, 5210, 11),
        ("GRU, shuffled", "gru_shuffled", 53.3, 57, 5134, 25),
    )
    return [
        Row(
            name=name,
            variant=variant,
            metric="test/accuracy",
            published=figure,
            source=notebook,
            units="%",
            scale=100,
            decimals=1,
            parameters=parameters,
            seconds=seconds,
            alternatives=((other, readme),),
        )
        for name, variant, figure, other, parameters, seconds in rows
    ]


def sweep() -> dict[str, tuple]:
    """What the recipe leaves open: one program trains all of it."""
    return {
        "optimizer.learning_rate": (1e-3, 3e-3, 1e-2, 3e-2),
        "task.label_smoothing": (0.0, 0.1),
    }
