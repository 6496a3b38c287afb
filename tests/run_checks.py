"""What tests of runs share: waiting for a step, comparing ends, experiments made small, goldens."""

import json
import re
import time
from pathlib import Path

import jax
import numpy as np

from aimodels.data import make
from aimodels.training.load import load
from aimodels.training.writers import read_metrics

GOLDENS = Path(__file__).parent / "golden/experiments"


def golden_of(name, variant):
    """The golden file of an experiment's variant, by the experiment's path."""
    return GOLDENS / f"{Path(name).stem}-{variant}.txt"


def total_of(table):
    """The last number of a table of parameters."""
    return int(table.split()[-1].replace(",", ""))


def wait_for_step(processes, workdir, step):
    """Returns when metrics.jsonl has a line of that step, or one of the processes has ended.

    Returns:
      Whether they came to the step.
    """
    limit = time.monotonic() + 300
    while time.monotonic() < limit and all(process.poll() is None for process in processes):
        lines = read_metrics(workdir / "metrics.jsonl")
        if lines and lines[-1]["step"] >= step:
            return True
        time.sleep(0.005)
    return False


def assert_same_end(left, right):
    """The newest checkpoint to the bit, the same lines of metrics, the same results."""
    states = [load(workdir).all_replicas for workdir in (left, right)]
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(np.asarray(a), np.asarray(b)), *states)
    assert lines_of(left) == lines_of(right)
    results = [json.loads((workdir / "results.json").read_text()) for workdir in (left, right)]
    assert results[0]["replicas"] == results[1]["replicas"]


def lines_of(workdir):
    """The text of metrics.jsonl."""
    return (workdir / "metrics.jsonl").read_text()


def first(config, split, count):
    """The first `count` examples of what a split is a part of, or as many as it has."""
    whole = re.split(r"[+[]", split)[0]
    has = make(**config.data).info().splits.get(whole, count)
    return f"{whole}[:{min(count, has)}]"


def shrunk(experiment, config):
    """What makes the models of a file small enough to be trained here, of fields of this config."""
    overrides = getattr(experiment.module, "SHRUNK", {})
    fields = {path: path.partition(".") for path in overrides}
    return {
        path: overrides[path]
        for path, (section, _, field) in fields.items()
        if field in config[section]
    }
