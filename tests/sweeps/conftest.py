"""Work folders as runs leave them, with results of one's own, and a small experiment."""

import json

import pytest

from aimodels.config import resolve, to_json

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
def write_run(small_config):
    """A function that writes a work folder: a resolved config, metrics.jsonl and results.json."""

    def write(folder, accuracies, *, results=True, steps=60, **changes):
        """`accuracies`: one a replica, the last of its curve; None leaves its metrics empty."""
        seeds = changes.setdefault("replicas", {}).setdefault(
            "seeds", tuple(range(len(accuracies)))
        )
        folder.mkdir(parents=True)
        config = resolve(small_config(**changes))
        (folder / "config.json").write_text(to_json(config))
        lines = []
        for step in range(20, steps + 1, 20):
            for replica, final in enumerate(accuracies):
                accuracy = 0.5 if final is None else 0.3 + (final - 0.3) * step / steps
                line = {"step": step, "replica": replica, "seed": seeds[replica]}
                lines.append(line | {"split": "train", "loss": 1 - accuracy})
                lines.append(line | {"split": "test", "loss": 1 - accuracy, "accuracy": accuracy})
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        if results is not False:
            replicas = [
                {"seed": seed, "metrics": _final(accuracy)}
                for seed, accuracy in zip(seeds, accuracies, strict=True)
            ]
            whole = {"replicas": replicas, "steps": steps, "seconds": 6.0, "overrides": {}}
            extra = results if isinstance(results, dict) else {}
            for replica, status in extra.pop("status", {}).items():
                replicas[replica]["status"] = status
            (folder / "results.json").write_text(json.dumps(whole | extra))
        return folder

    return write


def _final(accuracy):
    if accuracy is None:
        return {}
    return {"test/loss": 1 - accuracy, "test/accuracy": accuracy}


@pytest.fixture
def experiment(tmp_path):
    """The path of a small experiment file with a `sweep()`."""
    file = tmp_path / "small_sweep.py"
    file.write_text(EXPERIMENT)
    return str(file)
