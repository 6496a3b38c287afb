"""Metrics where another was best, read off a run's file."""

import json

import pytest

from aimodels.errors import UserError
from aimodels.reproduce.early_stopping import at_best


def write(folder, rows):
    """Rows of (step, replica, validation accuracy, test accuracy), with training lines between."""
    lines = []
    for step, replica, validation, test in rows:
        common = {"step": step, "replica": replica, "seed": 7}
        lines.append(common | {"split": "train", "accuracy": 1.0})
        lines.append(common | {"split": "validation", "accuracy": validation})
        lines.append(common | {"split": "test", "accuracy": test, "loss": 0.5})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_each_replica_has_its_own_best_and_the_first_of_equal_ones(tmp_path):
    rows = [(10, 0, 0.5, 0.1), (10, 1, 0.9, 0.2), (20, 0, 0.8, 0.3), (20, 1, 0.7, 0.4)]
    write(tmp_path, [*rows, (30, 0, 0.8, 0.5), (30, 1, 0.6, 0.6)])
    assert at_best(tmp_path, "validation/accuracy") == [
        {"test/accuracy": 0.3, "test/loss": 0.5, "step": 20.0},
        {"test/accuracy": 0.2, "test/loss": 0.5, "step": 10.0},
    ]


def test_what_was_not_measured_is_told(tmp_path):
    write(tmp_path, [(10, 0, 0.5, 0.1)])
    for metric, split in (("validation/f1", "test"), ("validation/accuracy", "other")):
        with pytest.raises(UserError, match=r"has not measured.*evaluation\.every"):
            at_best(tmp_path, metric, split)
