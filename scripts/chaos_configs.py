"""The small configs that scripts/chaos trains: every task, several models, each way of running."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aimodels.config import Config, resolve
from aimodels.files import write_atomically

# What each config changes; together they have every task, 1 and 3 replicas, both ways of running
# these, both feeds, moving averages, running statistics, dropout, and best checkpoints of both
# kinds, saved with evaluations and between them.
CONFIGS: dict[str, dict[str, Any]] = {
    "mlp": {
        "model": {"name": "MLP", "features": (32,), "num_classes": 3, "dropout_rate": 0.2},
        "task": "classification",
        "data": "iris",
        "training": {"ema_decay": 0.99},
        "checkpoint": {"best": "test/accuracy", "keep": 2},
        "execution": {"feed": "device"},
    },
    "mlp_vmap": {
        "model": {"name": "MLP", "features": (256, 256), "num_classes": 10},
        "task": "classification",
        "data": "digits",
        "training": {"gradient_accumulation": 2},
        "replicas": {
            "seeds": (3, 1, 4),
            "vary": {"optimizer.learning_rate": (1e-3, 3e-3, 1e-2)},
            "mode": "vmap",
        },
        "checkpoint": {"every": 35, "best": "test/loss", "best_mode": "min"},
        "execution": {"feed": "host"},
    },
    "cnn_sequential": {
        "model": {"name": "CNN", "features": (8, 8), "num_classes": 10, "batch_norm": True},
        "task": "classification",
        "data": "mnist1d",
        "replicas": {"seeds": (0, 1, 2), "mode": "sequential"},
        "execution": {"feed": "host"},
    },
    "gru": {
        "model": {"name": "RecurrentClassifier", "cell": "gru", "features": 8, "num_classes": 10},
        "task": "classification",
        "data": "mnist1d",
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9},
        "checkpoint": {"keep": 3},
        "execution": {"feed": "host"},
    },
    "transformer_vmap": {
        "model": {
            "name": "TransformerClassifier",
            "num_classes": 10,
            "width": 16,
            "patch_size": 8,
            "dropout_rate": 0.1,
        },
        "task": "classification",
        "data": "mnist1d",
        "optimizer": {"name": "adamw", "learning_rate": 1e-3},
        "replicas": {"seeds": (5, 6, 7), "mode": "vmap"},
        "checkpoint": {"every": 50, "best": "test/accuracy"},
        "execution": {"feed": "device"},
    },
    "regression_sequential": {
        "model": {"name": "MLP", "features": (64, 64), "num_classes": 1},
        "task": "regression",
        "data": "arrays",
        "replicas": {"seeds": (0, 1, 2), "mode": "sequential"},
        "checkpoint": {"best": "test/rmse", "best_mode": "min", "keep": 2},
        "execution": {"feed": "device"},
    },
    "mc_dropout": {
        "model": {"name": "MLP", "features": (32,), "num_classes": 1, "dropout_rate": 0.1},
        "task": {"name": "mc_dropout_regression", "samples": 8},
        "data": "arrays",
        "checkpoint": {"every": 35, "best": "test/log_likelihood"},
        "execution": {"feed": "host"},
    },
    "mc_dropout_vmap": {
        "model": {"name": "MLP", "features": (32,), "num_classes": 1, "dropout_rate": 0.1},
        "task": {"name": "mc_dropout_regression", "samples": 8},
        "data": "arrays",
        "replicas": {
            "seeds": (8, 9, 10),
            "vary": {"model.dropout_rate": (0.05, 0.1, 0.2)},
            "mode": "vmap",
        },
        "execution": {"feed": "device"},
    },
    "dqn_vmap": {
        "environment": {"name": "gymnax", "id": "CartPole-v1"},
        "model": {"name": "QNetwork", "features": (16,)},
        "task": {
            "name": "dqn",
            "train_every": 4,
            "batch_size": 16,
            "capacity": 400,
            "learning_starts": 200,
            "target_every": 40,
            "n_step": 2,
            "priority_exponent": 0.6,
        },
        "evaluation": {"batch_size": 4},
        "replicas": {"seeds": (0, 1), "mode": "vmap"},
        "checkpoint": {"best": "test/training_return"},
    },
    "two_processes": {
        "model": {"name": "MLP", "features": (32,), "num_classes": 3},
        "task": "classification",
        "data": "iris",
        "parallel": {"data": 2},
        "execution": {"feed": "host"},
    },
}
# Those that take more than one process, each with one device.
PROCESSES = {"two_processes": 2}
COMMON: dict[str, dict[str, Any]] = {
    "optimizer": {"name": "adam", "learning_rate": 1e-2},
    "training": {"steps": 500, "batch_size": 32, "log_every": 5},
    "evaluation": {"splits": ("test",), "every": 50, "batch_size": 100},
    "checkpoint": {"every": 25},
    "execution": {"steps_per_dispatch": 8},
}


def make(name: str, folder: Path) -> Config:
    """The resolved config of a name.

    Args:
      name: one of `CONFIGS`.
      folder: where its data are written, if it reads arrays.
    """
    changes: dict[str, Any] = dict(CONFIGS[name])
    if changes.get("data") == "arrays":
        changes["data"] = {"name": "arrays", "path": str(_arrays(folder))}
    for section, values in COMMON.items():
        both = {**values, **changes.get(section, {})}
        changes[section] = changes[section] if _named(changes.get(section)) else both
    return resolve(changes)


def _named(section: Any) -> bool:
    return isinstance(section, Mapping) and "name" in section


def _arrays(folder: Path) -> Path:
    """A NumPy file with 512 + 128 examples of a noisy function of four numbers."""
    path = folder / "arrays.npz"
    if not path.exists():
        draw = np.random.RandomState(0)
        arrays = {}
        for split, size in (("train", 512), ("test", 128)):
            inputs = draw.randn(size, 4)
            arrays[f"{split}_inputs"] = inputs
            arrays[f"{split}_targets"] = np.sin(inputs).sum(axis=1) + 0.1 * draw.randn(size)
        content = io.BytesIO()
        np.savez(content, **arrays)  # pyright: ignore[reportArgumentType]
        write_atomically(path, content.getvalue())
    return path
