"""A report over runs: one HTML page that needs no network, sweep.csv and sweep.parquet."""

import html
import json
import math
import sys
from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from aimodels.files import write_atomically
from aimodels.sweeps import best
from aimodels.sweeps.groups import Group, Mode, pick_metric, pick_mode, ranked, short_names
from aimodels.sweeps.importance import FEWEST_SETTINGS, permutation_importance
from aimodels.sweeps.runs import Runs, read_runs, text_of, write_csv, write_parquet
from aimodels.sweeps.statistics import (
    estimate,
    interquartile_mean,
    mean,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
)
from aimodels.training.curves import NOT_METRICS
from aimodels.training.figures import NOT_CURVES
from aimodels.training.writers import read_metrics

# How much of it a page can show and still be read: settings compared, curves to choose from,
# points a curve, thresholds of a profile.
COMPARED, CURVES, POINTS, THRESHOLDS = 8, 8, 100, 300
SHOWN_IN_TEXT = 10
SCRIPTS = ("charts.js", "report.js")


def report(
    folders: Sequence[str | Path],
    *,
    metric: str | None = None,
    mode: Mode | None = None,
    out: str | Path | None = None,
    title: str | None = None,
) -> Path:
    """Writes the page, with sweep.csv and sweep.parquet beside it, and prints the best settings.

    Args:
      folders: work folders, or folders that hold such at any depth.
      metric: `split/name` that ranks; by default accuracy or the like, see `groups.pick_metric`.
      mode: whether the largest or the smallest is the best; by default by the metric's name.
      out: the page; by default report.html in the folder if there is one, else in the current one.
      title: of the page; by default the folders' names.

    Returns:
      The page's path.

    Raises:
      UserError: no work folder there, or none that has the metric.
    """
    runs = read_runs(folders)
    metric = pick_metric(runs, metric)
    mode = mode or pick_mode(metric)
    groups = ranked(runs, metric, mode)
    page = Path(out) if out else Path(folders[0] if len(folders) == 1 else ".") / "report.html"
    title = title or ", ".join(Path(folder).resolve().name for folder in folders)
    write_atomically(page, html_page(contents(runs, groups, metric, mode), title))
    write_csv(runs, page.with_name("sweep.csv"))
    write_parquet(runs, page.with_name("sweep.parquet"))
    print(text_table(groups, metric, mode))
    print(f"{page}, sweep.csv and sweep.parquet beside it hold the report", file=sys.stderr)
    return page


def text_table(groups: Sequence[Group], metric: str, mode: Mode) -> str:
    """The best groups as lines of text."""
    order = "highest first" if mode == "max" else "lowest first"
    lines = [f"{metric}, {order}: interquartile mean over seeds [95 % interval]"]
    for place, group in enumerate(groups[:SHOWN_IN_TEXT], 1):
        score = score_text(group)
        note = "" if group.final else f"  ({group.status})"
        lines.append(f"{place:3}  {score:26} n={len(group.scored):<3} {group.label}{note}")
    if len(groups) > SHOWN_IN_TEXT:
        lines.append(f"     and {len(groups) - SHOWN_IN_TEXT} more settings")
    return "\n".join(lines)


def score_text(group: Group) -> str:
    """`0.935 [0.932, 0.938]`; a single run has no interval."""
    if group.score is None:
        return "-"
    value, low, high = (float(x) for x in (group.score.value, group.score.low, group.score.high))
    return f"{value:.4g}" + (f" [{low:.4g}, {high:.4g}]" if len(group.scored) > 1 else "")


def html_page(content: dict[str, Any], title: str) -> str:
    """The template with its script and the data in it: one file that asks for no other."""
    folder = files("aimodels.sweeps")
    # In a script element nothing but `</script` and `<!--` means anything: no `<`, no danger.
    data = json.dumps(_finite(content), separators=(",", ":"), allow_nan=False)
    parts = {
        "TITLE": html.escape(title),
        "STYLE": (folder / "report.css").read_text(),
        "DATA": data.replace("<", "\\u003c"),
        "SCRIPT": "".join((folder / name).read_text() for name in SCRIPTS),
    }
    page = (folder / "report.html").read_text()
    head, *rest = page.split("@@")  # text, name, text, name, text
    return head + "".join(parts.get(part, part) for part in rest)


def contents(runs: Runs, groups: Sequence[Group], metric: str, mode: Mode) -> dict[str, Any]:
    """All that the page shows, as JSON: groups are named by their place, 0 is the best."""
    places = {id(run): place for place, group in enumerate(groups) for run in group.runs}
    seconds = [run.seconds for run in runs.runs if run.seconds is not None]
    names = [metric, *(m for m in runs.metrics if m != metric)]
    short = short_names(runs.fields)
    return {
        "metric": metric,
        "mode": mode,
        "fields": [{"name": name, "short": short[name]} for name in runs.fields],
        "metrics": names,
        "seconds": sum(seconds) if seconds else None,
        "groups": [_group(group, runs.fields, names) for group in groups],
        "runs": [
            {
                "group": places[id(run)],
                "folder": str(run.folder),
                "replica": run.replica,
                "seed": run.seed,
                "values": [_value(run.settings, name) for name in runs.fields],
                "metrics": [run.metrics.get(name) for name in names],
                "steps": run.steps,
                "seconds": run.seconds,
                "status": run.status,
            }
            for run in sorted(runs.runs, key=lambda run: places[id(run)])
        ],
        "curves": _curves(groups, metric),
        "axes": _axes(groups, runs.fields),
        "importance": _importance(groups, runs.fields),
        "statistics": _statistics(groups, mode),
        "best": {"command": best.command(groups[0]), "config": best.config_text(groups[0])},
    }


def _group(group: Group, fields: Sequence[str], metrics: Sequence[str]) -> dict[str, Any]:
    counted = group.scored or group.runs
    several = len(group.scored) > 1
    seconds = [run.seconds for run in counted if run.seconds is not None]
    averages = []
    for name in metrics:
        values = [run.metrics[name] for run in counted if name in run.metrics]
        averages.append(float(np.mean(values)) if values else None)
    score = group.score
    return {
        "label": group.label,
        "values": [_value(group.values, name) for name in fields],
        "score": None if score is None else float(score.value),
        "low": float(score.low) if score and several else None,
        "high": float(score.high) if score and several else None,
        "n": len(group.scored),
        "runs": len(group.runs),
        "final": group.final,
        "metrics": averages,
        "seconds": float(np.mean(seconds)) if seconds else None,
        "status": group.status,
    }


def _value(settings: Any, name: str) -> Any:
    """A number, a text, or None where there is no such field."""
    if name not in settings:
        return None
    value = settings[name]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if number else text_of(value)


def _curves(groups: Sequence[Group], metric: str) -> list[dict[str, Any]]:
    """Metrics over steps: for each group the mean, lowest and highest of its runs."""
    points: dict[str, dict[int, dict[int, list[float]]]] = {}  # metric -> group -> step -> values
    members = {
        (run.folder, run.replica): place for place, group in enumerate(groups) for run in group.runs
    }
    for folder in dict.fromkeys(folder for folder, _ in members):
        # A step that was logged twice counts once.
        lines = {
            (line["step"], line["split"], line.get("replica", 0)): line
            for line in read_metrics(folder / "metrics.jsonl")
        }
        for (step, split, replica), line in lines.items():
            place = members.get((folder, replica))
            if place is None:
                continue
            for name, value in line.items():
                if name in NOT_METRICS or any(word in name for word in NOT_CURVES):
                    continue
                if isinstance(value, int | float) and math.isfinite(value):
                    of_group = points.setdefault(f"{split}/{name}", {}).setdefault(place, {})
                    of_group.setdefault(step, []).append(value)
    name = metric.partition("/")[2]
    first = [metric, f"train/{name}", "train/loss"]
    wanted = [m for m in dict.fromkeys([*first, *points]) if m in points]
    return [
        {"name": m, "lines": [_line(g, steps) for g, steps in sorted(points[m].items())]}
        for m in wanted[:CURVES]
    ]


def _line(place: int, by_step: dict[int, list[float]]) -> dict[str, Any]:
    steps = sorted(by_step)
    if len(steps) > POINTS:
        steps = [steps[i] for i in np.linspace(0, len(steps) - 1, POINTS).round().astype(int)]
    values = [by_step[step] for step in steps]
    line = {"group": place, "steps": steps, "mean": [_short(float(np.mean(v))) for v in values]}
    if max(map(len, values)) > 1:
        line |= {"low": [_short(min(v)) for v in values], "high": [_short(max(v)) for v in values]}
    return line


def _short(value: float) -> float:
    """Five digits are more than a picture shows."""
    return float(f"{value:.5g}")


def _axes(groups: Sequence[Group], fields: Sequence[str]) -> list[int]:
    """The fields that say something of their own (their indices): what to draw.

    A field that another one decides is left out: what only one of the models has, once the model's
    name is there; of fields that vary together, all but one. A number that each setting has another
    value of (a random search) decides nothing, and is decided by nothing but a name.
    """
    columns = [[_value(group.values, field) for group in groups] for field in fields]
    distinct = [len(set(column)) for column in columns]

    def rank(i: int) -> tuple[bool, bool]:
        return not fields[i].endswith(".name"), None in columns[i]

    def random(i: int) -> bool:
        numbers = all(isinstance(value, int | float) for value in columns[i])
        return numbers and distinct[i] == len(groups)

    chosen: list[int] = []
    for i in sorted(range(len(fields)), key=rank):
        decided = (
            len(set(zip(columns[j], columns[i], strict=True))) == distinct[j]
            for j in chosen
            if fields[j].endswith(".name") or not (random(i) or random(j))
        )
        if not any(decided):
            chosen.append(i)
    return sorted(chosen)


def _importance(groups: Sequence[Group], fields: Sequence[str]) -> dict[str, Any] | None:
    """The shares of the drawn fields, or why there are none."""
    axes = _axes(groups, fields)
    if len(axes) < 2:
        return None
    counted = [group for group in groups if group.score is not None and group.final]
    if len(counted) < FEWEST_SETTINGS:
        return {"why_not": f"It takes at least {FEWEST_SETTINGS} settings with a final score."}
    scores = np.array([float(group.score.value) for group in counted if group.score])
    columns = [[_value(group.values, fields[axis]) for group in counted] for axis in axes]
    found = permutation_importance(columns, scores)
    shares = sorted(zip(axes, found.shares.tolist(), strict=True), key=lambda pair: -pair[1])
    return {"settings": len(counted), "explained": found.explained, "shares": shares}


def _statistics(groups: Sequence[Group], mode: Mode) -> dict[str, Any] | None:
    """Aggregates, probabilities of improvement and profiles of the best groups of several runs."""
    several = [(p, g) for p, g in enumerate(groups) if len(g.scored) > 1][:COMPARED]
    if not several:
        return None
    # Statistics take higher as better.
    sign = 1.0 if mode == "max" else -1.0
    scores = {place: sign * group.scores[:, None] for place, group in several}
    pooled = np.concatenate(list(scores.values()))
    target = float(pooled.max())
    low, high = float(pooled.min()), target
    margin = 0.02 * (high - low) or 0.01 * abs(high) or 1.0
    thresholds = np.linspace(low - margin, high + margin, THRESHOLDS)
    rows, lines = [], []
    first = scores[several[0][0]]
    for place, _ in several:
        of_group = scores[place]
        row: dict[str, Any] = {"group": place, "n": len(of_group)}
        for name, statistic, back in (
            ("interquartile_mean", interquartile_mean, sign),
            ("mean", mean, sign),
            ("gap", partial(optimality_gap, target=target), 1.0),
        ):
            found = estimate(statistic, of_group)
            ends = sorted((back * float(found.low), back * float(found.high)))
            row[name] = [back * float(found.value), *ends]
        if place != several[0][0]:
            found = estimate(probability_of_improvement, first, of_group)
            row["beaten"] = [float(found.value), float(found.low), float(found.high)]
        rows.append(row)
        profile = estimate(partial(performance_profile, thresholds=thresholds), of_group)
        lines.append(
            {
                "group": place,
                "mean": [_short(x) for x in profile.value.tolist()],
                "low": [_short(x) for x in profile.low.tolist()],
                "high": [_short(x) for x in profile.high.tolist()],
            }
        )
    return {"rows": rows, "thresholds": (sign * thresholds).tolist(), "profiles": lines}


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: None."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
