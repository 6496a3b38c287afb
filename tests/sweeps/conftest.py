"""A small experiment with a sweep."""

import pytest

EXPERIMENT = '''"""A small sweep: an MLP on Iris."""

from aimodels.sweeps.space import integers, log_uniform, when

VARIANTS = ("small",)


def get_config(variant="small"):
    return {
        "model": {"name": "MLP", "features": (8,), "num_classes": 3},
        "task": {"name": "classification"},
        "data": {"name": "iris"},
        "optimizer": {"name": "adam", "learning_rate": 1e-2},
        "training": {"steps": 20, "batch_size": 16, "log_every": 10},
        "evaluation": {"every": 10, "batch_size": 64},
    }


def sweep():
    return {
        "optimizer.learning_rate": log_uniform(1e-4, 1e-1),
        "model.features": ((8,), (4, 4)),
        "training.gradient_accumulation": integers(1, 1 + 1),
        "optimizer.name": ("adam", "sgd"),
        when("optimizer.name", "sgd"): {"optimizer.momentum": (0.5, 0.9)},
    }
'''


@pytest.fixture
def experiment(tmp_path):
    """The path of a small experiment file with a `sweep()`."""
    file = tmp_path / "small_sweep.py"
    file.write_text(EXPERIMENT)
    return str(file)
