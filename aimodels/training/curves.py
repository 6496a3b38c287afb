"""What metrics.jsonl says of a run: each metric over steps, for every replica."""

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aimodels.training.writers import read_metrics

NOT_METRICS = ("step", "split", "replica", "seed")


@dataclass(frozen=True)
class Curve:
    """One metric over training: `steps` [S], `values` [replicas, S] (NaN: not logged)."""

    steps: np.ndarray
    values: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """[S], over the replicas that have a finite value."""
        return _over_replicas(np.nanmean, self.values)

    @property
    def band(self) -> tuple[np.ndarray, np.ndarray]:
        """The lowest and highest replica at each step, [S] each."""
        return _over_replicas(np.nanmin, self.values), _over_replicas(np.nanmax, self.values)

    @property
    def stopped(self) -> list[tuple[float, float]]:
        """The last finite (step, value) of each replica that has none at the end."""
        points = []
        for values in self.values:
            finite = np.flatnonzero(np.isfinite(values))
            if len(finite) and finite[-1] + 1 < len(values):
                points.append((self.steps[finite[-1]], values[finite[-1]]))
        return points


def _over_replicas(reduce: Any, values: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():  # a step where every replica is NaN gives NaN, as it should
        warnings.simplefilter("ignore", RuntimeWarning)
        return reduce(np.where(np.isfinite(values), values, np.nan), axis=0)


def read_curves(metrics_jsonl: str | Path) -> dict[tuple[str, str], Curve]:
    """The curves of a run, by (split, metric), from the lines of its metrics.jsonl.

    Of a step that was logged twice the later line counts.
    """
    points: dict[tuple[str, str], dict[tuple[int, int], float]] = {}
    for line in read_metrics(Path(metrics_jsonl)):
        replica, step = line.get("replica", 0), line["step"]
        for name, value in line.items():
            if name in NOT_METRICS or not isinstance(value, int | float | None):
                continue
            number = math.nan if value is None else float(value)
            points.setdefault((line["split"], name), {})[replica, step] = number
    curves = {}
    for key, values in points.items():
        replicas = sorted({replica for replica, _ in values})
        steps = sorted({step for _, step in values})
        grid = [[values.get((replica, step), math.nan) for step in steps] for replica in replicas]
        curves[key] = Curve(np.array(steps), np.array(grid, dtype=float))
    return curves
