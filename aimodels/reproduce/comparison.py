"""Several methods on several tasks, compared as rliable does: all runs of all tasks together.

Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS
2021. An experiment file's `comparison()` returns a `Comparison`; `reproduce` measures it from the
runs of its rows, and shows it under the table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from aimodels.errors import UserError, unknown
from aimodels.reproduce.published import Row
from aimodels.sweeps.statistics import (
    Estimate,
    estimate,
    interquartile_mean,
    mean,
    median,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
)

STATISTICS = {
    "iqm": interquartile_mean,
    "median": median,
    "mean": mean,
    "optimality_gap": optimality_gap,
}
TITLES = {
    "iqm": "IQM",
    "median": "median",
    "mean": "mean",
    "optimality_gap": "optimality gap",
}
THRESHOLDS = 101  # of a performance profile


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What is compared. A score is (figure - worst) / (best - worst): 0 at worst, 1 at best.

    Attributes:
      metric: of every run, as "split/name".
      tasks: name -> (worst, best), in the metric's units.
      bounds: what worst and best are, and where that is from: a sentence.
      methods: name -> task -> the variant of the rows that trains it there.
      curve: what is drawn over training, as "split/name"; "" draws nothing.
      environment_steps: variant -> steps of its environments in a whole run.
    """

    metric: str
    tasks: Mapping[str, tuple[float, float]]
    bounds: str
    methods: Mapping[str, Mapping[str, str]]
    curve: str = ""
    environment_steps: Mapping[str, int] = field(default_factory=dict)


def check(comparison: Comparison, rows: Sequence[Row]) -> Comparison:
    """The comparison, once it fits the rows.

    Raises:
      UserError: with the fault in what `comparison()` of an experiment file returned.
    """
    if not isinstance(comparison, Comparison):
        raise UserError(
            f"comparison() returned {comparison!r}; it takes aimodels.reproduce.Comparison."
        )
    if not comparison.tasks or not comparison.methods:
        raise UserError("comparison(): it has no tasks or no methods.")
    for task, (worst, best) in comparison.tasks.items():
        if not np.isfinite([worst, best]).all() or worst == best:
            raise UserError(
                f"comparison(): the bounds of {task} are {worst} and {best}; they are two "
                "different numbers."
            )
    known = list(dict.fromkeys(row.variant for row in rows))
    for method, variants in comparison.methods.items():
        if set(variants) != set(comparison.tasks):
            raise UserError(
                f"comparison(): {method} has {', '.join(variants)}; it takes a variant for each "
                f"of {', '.join(comparison.tasks)}."
            )
        for variant in variants.values():
            if variant not in known:
                raise unknown("comparison(): variant", variant, known)
            if comparison.curve and variant not in comparison.environment_steps:
                raise UserError(f"comparison(): environment_steps lacks {variant}.")
    return comparison


def measure(
    comparison: Comparison, results: Mapping[str, Sequence[Mapping[str, float]]]
) -> dict[str, Any] | None:
    """The comparison as plain data, part of table.json; None if no method has all of its runs.

    All intervals are those of the stratified bootstrap (`sweeps.statistics.estimate`).

    Args:
      comparison: what is compared.
      results: variant -> the metrics of each of its runs; those that were not run are missing.
    """
    scores = {name: _scores(comparison, name, results) for name in comparison.methods}
    known = {name: each for name, each in scores.items() if each is not None}
    if not known:
        return None
    highest = max(1.0, *(each.max() for each in known.values()))
    lowest = min(0.0, *(each.min() for each in known.values()))
    thresholds = np.linspace(lowest, highest, THRESHOLDS)
    methods = []
    for name, each in known.items():
        profile = estimate(lambda s: performance_profile(s, thresholds), each)
        methods.append(
            {
                "method": name,
                "runs": len(each),
                **{key: _plain(estimate(what, each)) for key, what in STATISTICS.items()},
                "profile": _plain(profile),
            }
        )
    improvements = [
        {"method": x, "over": y} | _plain(estimate(probability_of_improvement, known[x], known[y]))
        for x, y in combinations(known, 2)
    ]
    return {
        "metric": comparison.metric,
        "tasks": {task: list(bounds) for task, bounds in comparison.tasks.items()},
        "bounds": comparison.bounds,
        "methods": methods,
        "thresholds": thresholds.round(6).tolist(),
        "improvements": improvements,
    }


def _scores(
    comparison: Comparison, method: str, results: Mapping[str, Sequence[Mapping[str, float]]]
) -> np.ndarray | None:
    """[R runs, T tasks], or None where runs or figures are missing."""
    columns = []
    for task, (worst, best) in comparison.tasks.items():
        runs = results.get(comparison.methods[method][task], ())
        figures = np.array([run.get(comparison.metric, np.nan) for run in runs], float)
        columns.append((figures - worst) / (best - worst))
    if len({len(column) for column in columns}) > 1 or not len(columns[0]):
        return None
    scores = np.stack(columns, -1)
    return scores if np.isfinite(scores).all() else None


def _plain(found: Estimate) -> dict[str, Any]:
    """`{"value", "low", "high"}` as numbers or lists."""
    return {key: np.round(getattr(found, key), 6).tolist() for key in ("value", "low", "high")}


def interval_text(found: Mapping[str, float]) -> str:
    """`0.94 [0.91, 0.97]`."""
    return f"{found['value']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"


def columns(measured: Mapping[str, Any]) -> list[list[str]]:
    """The comparison as lines of cells, the first one the heading."""
    head = ["over all tasks", "n", *TITLES.values()]
    lines = [
        [each["method"], str(each["runs"]), *(interval_text(each[key]) for key in TITLES)]
        for each in measured["methods"]
    ]
    return [head, *lines]


def notes(measured: Mapping[str, Any]) -> list[str]:
    """Sentences that say what the comparison's figures are."""
    scale = "; ".join(
        f"{task} {worst:g} to {best:g}" for task, (worst, best) in measured["tasks"].items()
    )
    found = [
        f"Scores are {measured['metric']} with 0 at worst and 1 at best ({scale}). "
        + measured["bounds"],
        "IQM is the mean of the middle half of all runs of all tasks, the optimality gap the mean "
        "of what they lack to 1; 95 % intervals of the stratified bootstrap (Agarwal et al., "
        "NeurIPS 2021).",
    ]
    better = [
        f"{x['method']} over {x['over']} {interval_text(x)}" for x in measured["improvements"]
    ]
    if better:
        found.append(f"The probability that a run is better: {'; '.join(better)}.")
    return found
