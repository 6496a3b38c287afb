"""Pictures of a comparison: how good methods are over all tasks, and how they learn on each."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aimodels.reproduce.comparison import TITLES, Comparison
from aimodels.sweeps.statistics import estimate
from aimodels.training.curves import Curve, read_curves
from aimodels.training.figures import (
    COLOURS,
    GREY,
    draw_title,
    in_our_style,
    legend_mark,
    new_figure,
    save,
    thousands,
)


def comparison_png(title: str, measured: Mapping[str, Any], path: str | Path) -> Path:
    """Draws aggregates with their intervals, a panel each, and on the right performance profiles.

    Args:
      title: of the table.
      measured: what `comparison.measure` returned.
      path: where the PNG goes.
    """
    methods = measured["methods"]
    colours = _colours([each["method"] for each in methods])
    keys = list(TITLES)
    with in_our_style():
        figure, axes = new_figure(
            1,
            len(keys) + 1,
            (13.5, 2.2 + 0.32 * len(methods)),
            width_ratios=[*[1.0] * len(keys), 2.4],
        )
        for axis, key in zip(axes[0], keys, strict=False):
            for line, each in enumerate(methods):
                found, colour = each[key], colours[each["method"]]
                width = found["high"] - found["low"]
                axis.barh(line, width, 0.5, found["low"], color=colour, alpha=0.35, linewidth=0)
                axis.plot([found["value"]] * 2, [line - 0.25, line + 0.25], color=colour, lw=2.4)
            first = axis is axes[0, 0]
            axis.set_yticks(range(len(methods)), [each["method"] for each in methods] * first)
            axis.set_ylim(len(methods) - 0.5, -0.5)
            axis.tick_params(axis="y", length=0, labelleft=first, labelsize=9)
            axis.use_sticky_edges = False  # a bar's end is no end of the axis
            axis.margins(x=0.12)
            axis.locator_params(axis="x", nbins=4)
            axis.grid(visible=False, axis="y")
            axis.spines["left"].set_visible(False)
            axis.set_title(TITLES[key])
            lower = key == "optimality_gap"
            axis.set_xlabel(f"{'lower' if lower else 'higher'} is better", color=GREY, fontsize=8)
        profiles = axes[0, -1]
        for each in methods:
            colour, found = colours[each["method"]], each["profile"]
            profiles.plot(
                measured["thresholds"], found["value"], color=colour, label=each["method"]
            )
            profiles.fill_between(
                measured["thresholds"], found["low"], found["high"], color=colour, alpha=0.18, lw=0
            )
        profiles.set_ylim(-0.02, 1.02)
        profiles.margins(x=0)
        profiles.set_title("performance profile")
        profiles.set_xlabel("score")
        profiles.set_ylabel("runs above it")
        profiles.legend(loc="lower left")
        runs = sum(each["runs"] for each in methods) * len(measured["tasks"])
        tasks = len(measured["tasks"])
        draw_title(figure, title, f"{runs} runs on {tasks} tasks; bands are 95 % intervals")
        return save(figure, path)


def learning_curves_png(
    title: str, comparison: Comparison, runs: Mapping[str, Path], path: str | Path
) -> Path | None:
    """Draws how each method learns, a panel a task: mean over seeds with a 95 % band.

    The band is the bootstrap's of the mean, at each point by itself.

    Args:
      title: of the table.
      comparison: what is compared.
      runs: variant -> its work folder; those that were not run are missing.
      path: where the PNG goes.

    Returns:
      The path, or None if no run has logged the curve.
    """
    colours = _colours(list(comparison.methods))
    drawn: dict[str, dict[str, Curve]] = {}
    for task in comparison.tasks:
        for method, variants in comparison.methods.items():
            variant = variants[task]
            curve = _curve(runs.get(variant), comparison, variant)
            if curve is not None:
                drawn.setdefault(task, {})[method] = curve
    if not drawn:
        return None
    with in_our_style():
        figure, axes = new_figure(1, len(drawn), (max(5.5, 4.4 * len(drawn)), 3.7))
        for axis, (task, curves) in zip(axes[0], drawn.items(), strict=True):
            for method, curve in curves.items():
                _draw(axis, curve, colours[method])
            axis.set_title(task)
            axis.set_xlabel("steps of the environment")
            axis.xaxis.set_major_formatter(thousands)
            axis.locator_params(axis="x", nbins=4)
            axis.margins(x=0)
            axis.set_xlim(left=0)
        name = comparison.curve.partition("/")[2].replace("_", " ")
        axes[0, 0].set_ylabel(name)
        counts = sorted({len(c.values) for curves in drawn.values() for c in curves.values()})
        seeds = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
        draw_title(figure, title, f"{seeds} seeds: mean and its 95 % interval")
        shown = [method for method in colours if any(method in curves for curves in drawn.values())]
        handles = [legend_mark("", name, linestyle="-", color=colours[name]) for name in shown]
        figure.legend(handles=handles, loc="outside lower left", ncols=max(1, len(handles)))
        return save(figure, path)


def _draw(axis: Any, curve: Curve, colour: str) -> None:
    axis.plot(curve.steps, curve.values.mean(0), color=colour, linewidth=1.6, zorder=3)
    if len(curve.values) > 1:
        # Each point is a task of its own: its runs are resampled by themselves.
        band = estimate(lambda values: values.mean(-2), curve.values, repetitions=2000)
        axis.fill_between(curve.steps, band.low, band.high, color=colour, alpha=0.18, linewidth=0)


def _curve(folder: Path | None, comparison: Comparison, variant: str) -> Curve | None:
    """Over steps of the environment, where every run has a figure."""
    if folder is None or not (folder / "metrics.jsonl").is_file():
        return None
    split, name = comparison.curve.split("/", 1)
    curve = read_curves(folder / "metrics.jsonl").get((split, name))
    if curve is None:
        return None
    whole = np.isfinite(curve.values).all(0)
    total = json.loads((folder / "config.json").read_text())["training"]["steps"]
    steps = curve.steps[whole] * (comparison.environment_steps[variant] / total)
    return Curve(steps, curve.values[:, whole]) if whole.sum() > 1 else None


def _colours(names: list[str]) -> dict[str, str]:
    return {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
