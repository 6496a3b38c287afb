"""Curves read from metrics.jsonl."""

import json
import math

import numpy as np

from aimodels.training.curves import Curve, read_curves


def test_curves_are_read_by_split_metric_and_replica(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [
        {"step": 10, "split": "train", "replica": 0, "seed": 7, "loss": 3.0},
        {"step": 10, "split": "train", "replica": 1, "seed": 8, "loss": 5.0},
        {"step": 20, "split": "train", "replica": 0, "seed": 7, "loss": "nan"},
        {"step": 20, "split": "train", "replica": 1, "seed": 8, "loss": 1.0},
        {"step": 20, "split": "train", "replica": 1, "seed": 8, "loss": 2.0},
        {"step": 20, "split": "test", "replica": 1, "seed": 8, "accuracy": 0.5},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 30, "spl')
    curves = read_curves(path)
    assert set(curves) == {("train", "loss"), ("test", "accuracy")}
    loss = curves["train", "loss"]
    np.testing.assert_array_equal(loss.steps, [10, 20])
    np.testing.assert_array_equal(loss.values, [[3.0, math.nan], [5.0, 2.0]])
    np.testing.assert_array_equal(loss.mean, [4.0, 2.0])
    np.testing.assert_array_equal(loss.band, ([3.0, 2.0], [5.0, 2.0]))
    assert loss.stopped == [(10, 3.0)]


def test_a_step_where_no_replica_is_finite_has_no_mean():
    curve = Curve(np.array([1, 2]), np.array([[1.0, math.nan], [3.0, math.inf]]))
    np.testing.assert_array_equal(curve.mean, [2.0, math.nan])
