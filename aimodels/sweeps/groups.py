"""Groups: the runs of one setting, which differ only in the seed; scored, ranked and named."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from aimodels.errors import UserError, unknown
from aimodels.sweeps.runs import Run, Runs, text_of
from aimodels.sweeps.statistics import Estimate, estimate, interquartile_mean

Mode = Literal["max", "min"]
LOWER_IS_BETTER = ("loss", "error", "perplexity", "mse", "mae", "nll", "brier")
# Which metric ranks, unless one is named: the first that has one of these words, in this order.
RANKED_BY = ("accuracy", "return", "rmse", "perplexity")


@dataclass(frozen=True)
class Group:
    """The runs of one setting.

    Attributes:
      values: field -> value, of the fields in which the settings differ and that this one has.
      label: the values that tell it from the other groups.
      runs: all its runs.
      scored: those that count: with a finite score, and done if any is.
      score: the interquartile mean of their scores with its bootstrap interval, None without any.
    """

    values: Mapping[str, Any]
    label: str
    runs: tuple[Run, ...]
    scored: tuple[Run, ...]
    scores: np.ndarray
    score: Estimate | None

    @property
    def final(self) -> bool:
        """Whether its score is that of runs that are done."""
        return bool(self.scored) and self.scored[0].done

    @property
    def status(self) -> str:
        """`done`, or how many of its runs are what."""
        counts: dict[str, int] = {}
        for run in self.runs:
            word = run.status.partition(" ")[0]
            counts[word] = counts.get(word, 0) + 1
        if len(counts) == 1:
            return next(iter(counts))
        return ", ".join(f"{count} {word}" for word, count in counts.items())


def pick_metric(runs: Runs, metric: str | None = None) -> str:
    """The metric that ranks: the one asked for, else the first that a reader looks for.

    Of the splits the validation split comes before others, the training split last.

    Raises:
      UserError: nothing was evaluated or logged yet, or no run has the metric that was asked for.
    """
    names = runs.metrics
    if not names:
        raise UserError("no run has a metric yet: there is nothing to compare")
    if metric is not None:
        if metric not in names:
            raise unknown("metric", metric, names)
        return metric

    def rank(name: str) -> tuple[int, int]:
        split, _, rest = name.partition("/")
        words = [i for i, word in enumerate(RANKED_BY) if word in rest]
        of_split = 0 if split.startswith("val") else 2 if split == "train" else 1
        return of_split, min(words, default=len(RANKED_BY))

    return min(names, key=rank)


def pick_mode(metric: str) -> Mode:
    """Whether the largest or the smallest value of a metric is the best, by its name."""
    name = metric.partition("/")[2]
    return "min" if any(word in name for word in LOWER_IS_BETTER) else "max"


def ranked(runs: Runs, metric: str, mode: Mode) -> list[Group]:
    """The groups, best first: by score where runs are done, then those not done, then the rest."""
    members: dict[tuple, list[Run]] = {}
    for run in runs.runs:
        members.setdefault(_key(run, runs.fields), []).append(run)
    labels = label(list(members), runs.fields)
    groups = [
        _group(tuple(of_group), runs.fields, labels[key], metric)
        for key, of_group in members.items()
    ]
    sign = -1 if mode == "max" else 1

    def place(group: Group) -> tuple[int, float]:
        if group.score is None:
            return 2, 0.0
        return int(not group.final), sign * float(group.score.value)

    return sorted(groups, key=place)


def _key(run: Run, fields: Sequence[str]) -> tuple:
    """What a group has in common; None stands for a field that the run doesn't have."""
    return tuple(text_of(run.settings[f]) if f in run.settings else None for f in fields)


def _group(members: tuple[Run, ...], fields: Sequence[str], label: str, metric: str) -> Group:
    finite = [run for run in members if math.isfinite(run.metrics.get(metric, math.nan))]
    scored = tuple([run for run in finite if run.done] or finite)
    scores = np.array([run.metrics[metric] for run in scored])
    values = {name: members[0].settings[name] for name in fields if name in members[0].settings}
    score = estimate(interquartile_mean, scores[:, None]) if scored else None
    return Group(values, label, members, scored, scores, score)


def label(keys: Sequence[tuple], fields: Sequence[str]) -> dict[tuple, str]:
    """A short name for each group, from few fields that tell all apart.

    The next field is always the one that tells most groups apart; of equals that which all groups
    have, so that two models are told apart by their names, not by what only one of them has.
    """
    order = sorted(range(len(fields)), key=lambda i: any(key[i] is None for key in keys))
    chosen: list[int] = []
    while _told_apart(keys, chosen) < len(keys):
        chosen.append(max(order, key=lambda i: _told_apart(keys, [*chosen, i])))
    short = short_names([fields[i] for i in chosen])
    return {
        key: ", ".join(
            f"{short[fields[i]]}={_brief(key[i])}" for i in sorted(chosen) if key[i] is not None
        )
        or "all runs"
        for key in keys
    }


def _brief(text: str) -> str:
    """A number with a fraction gets six digits, any other text stays."""
    try:
        return text if text.isdigit() else f"{float(text):.6g}"
    except ValueError:
        return text


def _told_apart(keys: Sequence[tuple], chosen: Sequence[int]) -> int:
    return len({tuple(key[i] for i in chosen) for key in keys})


def short_names(fields: Sequence[str]) -> dict[str, str]:
    """Dotted field -> as many of its last parts as tell it from the others.

    A `name` says nothing by itself: `model.name` is `model`.
    """
    result = {}
    for field in fields:
        parts = field.removesuffix(".name").split(".")
        others = [f.removesuffix(".name").split(".") for f in fields if f != field]
        size = 1
        while size < len(parts) and any(o[-size:] == parts[-size:] for o in others):
            size += 1
        result[field] = ".".join(parts[-size:])
    return result
