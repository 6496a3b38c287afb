"""Pictures: a run's curves (curves.png), and a table with its learning curves (table.png)."""

import math
import os
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aimodels.errors import UserError
from aimodels.reproduce.curves import Curve, read_curves
from aimodels.reproduce.table import metric_text, ours_text, published_text

# Okabe & Ito 2008: told apart with any kind of colour vision; their yellow is too pale for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
INK, GREY = "#222222", "#6b6b6b"
STYLE = {
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9a9a9a",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
}
# Logged beside the metrics, and not what a reader of curves.png looks for.
NOT_CURVES = ("_norm", "learning_rate", "per_second", "seconds", "epoch", "memory_bytes")


def curves_png(metrics_jsonl: str | Path, path: str | Path, *, title: str = "") -> Path:
    """Draws a run's loss and metrics over steps, one panel each, with a band over replicas.

    The line is the mean over replicas, the band goes from the lowest to the highest, and a cross
    marks where a replica stopped being finite.

    Raises:
      UserError: for a file without a metric to draw.
    """
    curves = {
        key: curve
        for key, curve in read_curves(metrics_jsonl).items()
        if not any(word in key[1] for word in NOT_CURVES)
    }
    if not curves:
        raise UserError(f"{metrics_jsonl} holds no metrics yet: there is nothing to draw.")
    # Loss first, then what is evaluated, in the order logged; six panels are enough.
    evaluated = [name for split, name in curves if split != "train"]
    names = [name for _, name in curves]
    names = [*("loss",) * ("loss" in names), *(evaluated or names)]
    names = list(dict.fromkeys(names))[:6]
    splits = list(dict.fromkeys(split for split, _ in curves))
    colours = {"train": GREY} | {
        split: COLOURS[i % len(COLOURS)]
        for i, split in enumerate(s for s in splits if s != "train")
    }
    if splits == ["train"]:
        colours = {"train": COLOURS[0]}

    pyplot = _pyplot()
    columns = min(len(names), 3 if len(names) != 4 else 2)
    lines = math.ceil(len(names) / columns)
    with pyplot.rc_context(STYLE):
        figure, axes = pyplot.subplots(
            lines,
            columns,
            figsize=(max(5.5, 4.3 * columns), 3.2 * lines + 0.4),
            squeeze=False,
            layout="constrained",
        )
        for axis, name in zip(axes.flat, names, strict=False):
            drawn = [(split, curves[split, name]) for split in splits if (split, name) in curves]
            for split, curve in drawn:
                _draw_curve(axis, curve, colours[split])
            if "loss" in name:
                _log_if_wide(axis, [curve for _, curve in drawn])
            axis.set_title(name.replace("_", " "))
            axis.set_xlabel("step")
            axis.xaxis.set_major_formatter(_thousands)
        for axis in axes.flat[len(names) :]:
            axis.set_visible(False)
        replicas = max(len(curve.values) for curve in curves.values())
        runs = f"{replicas} replicas: mean, lowest and highest" if replicas > 1 else ""
        _title(figure, title or Path(metrics_jsonl).resolve().parent.name, runs)
        handles = [_mark("", split, linestyle="-", color=colours[split]) for split in splits]
        if any(_stopped(curve) for curve in curves.values()):
            handles.append(_mark("X", "no longer finite", markersize=7))
        figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))
        return _save(figure, path)


def table_png(
    table: Mapping[str, Any], path: str | Path, *, curves: Mapping[str, str | Path] | None = None
) -> Path:
    """Draws a table: published figures beside ours, and on the right how ours were learned.

    Each row has the published figure (grey diamond, its spread as a bar) above ours (each seed a
    dot, the mean a line with its 95 % interval). Rows of one metric share an axis.

    Args:
      table: what `table.make` returned.
      path: where the PNG goes.
      curves: for a row's name the metrics.jsonl of its run, where it has one.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for cell in table["rows"]:
        groups.setdefault(metric_text(cell), []).append(cell)
    panels = []
    for metric, cells in groups.items():
        lines = {cell["row"]: _row_curve(cell, (curves or {}).get(cell["row"])) for cell in cells}
        panels.append((metric, cells, {k: v for k, v in lines.items() if v is not None}))
    looks = {}  # colour and dash of a row, the same in both panels and for all its metrics
    for cell in table["rows"]:
        number = len(looks)
        look = COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS) % len(DASHES)]
        looks.setdefault(cell["row"], look)

    pyplot = _pyplot()
    with pyplot.rc_context(STYLE):
        learned = any(lines for _, _, lines in panels)
        heights = [max(2.8 if learned else 1.4, 0.42 * len(c) + 0.9) for _, c, _ in panels]
        figure, axes = pyplot.subplots(
            len(panels),
            2 if learned else 1,
            figsize=(13.5 if learned else 8.5, sum(heights) + 0.9),
            height_ratios=heights,
            width_ratios=[1.25, 1] if learned else [1],
            squeeze=False,
            layout="constrained",
        )
        for line, (metric, cells, learning) in enumerate(panels):
            _draw_figures(axes[line, 0], metric, cells, looks)
            if not learned:
                continue
            if learning:
                _draw_learning(axes[line, 1], metric, learning, looks)
            else:
                axes[line, 1].set_visible(False)
        counts = sorted({cell["n"] for cell in table["rows"] if cell["n"]})
        seeds = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else "".join(map(str, counts))
        plural = "s" * (counts[-1:] != [1])
        _title(figure, table["experiment"], f"{seeds} seed{plural} a row" if counts else "not run")
        _legend(figure)
        return _save(figure, path)


def _row_curve(cell: Mapping[str, Any], metrics_jsonl: str | Path | None) -> Curve | None:
    """The curve of a row's metric in the table's units, or None where its run has logged none."""
    if metrics_jsonl is None or not Path(metrics_jsonl).exists():
        return None
    split, name = cell["metric"].split("/", 1)
    curve = read_curves(metrics_jsonl).get((split, name))
    if curve is None or len(curve.steps) < 2:
        return None
    return Curve(curve.steps, cell["scale"] * curve.values)


def _draw_figures(
    axis: Any, metric: str, cells: Sequence[Mapping[str, Any]], looks: Mapping[str, Any]
) -> None:
    """One line a row: published above, ours below, and both as text on the right."""
    figures = []
    for line, cell in enumerate(cells):
        colour, _ = looks[cell["row"]]
        up, down = line - 0.16, line + 0.16
        published = cell["published"]
        if line % 2:
            axis.axhspan(line - 0.5, line + 0.5, color="#f6f6f6", zorder=0, linewidth=0)
        if published is not None:
            spread = cell["spread"]
            axis.errorbar(
                published,
                up,
                xerr=spread,
                fmt="D",
                markersize=5.5,
                color=GREY,
                markerfacecolor="white",
                markeredgewidth=1.4,
                capsize=2.5,
                zorder=3,
            )
            figures.append(published)
        if cell["mean"] is not None:
            values = [value for value in cell["values"] if value is not None]
            if len(values) > 1:
                axis.plot(
                    values,
                    [down + 0.17] * len(values),
                    "o",
                    markersize=3.2,
                    color=colour,
                    alpha=0.55,
                    markeredgewidth=0,
                    zorder=3,
                )
            low, high = (cell[k] if cell[k] is not None else cell["mean"] for k in ("low", "high"))
            axis.plot([low, high], [down, down], color=colour, linewidth=2.2, zorder=4)
            axis.plot(cell["mean"], down, "s", markersize=5.5, color=colour, zorder=5)
            figures += values
        words = cell["status"] if cell["mean"] is None else ours_text(cell)
        place: dict[str, Any] = {
            "transform": axis.get_yaxis_transform(),
            "va": "center",
            "fontsize": 8,
        }
        if published is not None:
            axis.text(1.02, up - 0.04, _minus(published_text(cell)), color=GREY, **place)
        ink = GREY if cell["mean"] is None else INK
        weight = "bold" if cell["agrees"] is False else "normal"
        axis.text(1.02, down + 0.06, _minus(words), color=ink, fontweight=weight, **place)
    # An interval may still reach below 0: a logarithmic axis cuts it at its end.
    if figures and min(figures) > 0 and max(figures) > 100 * min(figures):
        axis.set_xscale("log")
    axis.margins(x=0.06)
    axis.set_ylim(len(cells) - 0.5, -0.5)
    axis.set_yticks(range(len(cells)), ["\n".join(textwrap.wrap(c["row"], 28)) for c in cells])
    axis.tick_params(axis="y", length=0, labelcolor="#111111", labelsize=9)
    axis.grid(visible=False, axis="y")
    axis.spines["left"].set_visible(False)
    better = "higher is better" if cells[0]["higher_is_better"] else "lower is better"
    axis.set_title(metric)
    axis.set_xlabel(better, color=GREY, fontsize=8)


def _draw_learning(
    axis: Any, metric: str, learning: Mapping[str, Curve], looks: Mapping[str, Any]
) -> None:
    """Learning curves, each named at its end in its colour."""
    for row, curve in learning.items():
        colour, dash = looks[row]
        _draw_curve(axis, curve, colour, dash=dash)
    _log_if_wide(axis, list(learning.values()))
    axis.set_title(f"{metric.split(',')[0]} while training")
    axis.set_xlabel("step")
    axis.xaxis.set_major_formatter(_thousands)
    # Names stand at their curves' ends, pushed apart until none lies on another.
    ends = {row: curve.mean[np.isfinite(curve.mean)][-1:] for row, curve in learning.items()}
    ends = {row: float(end[0]) for row, end in ends.items() if len(end)}
    axis.set_ylim(*axis.get_ylim())  # the places below hold for these limits
    axis.set_xlim(right=max(curve.steps[-1] for curve in learning.values()))
    to_axis = axis.transData + axis.transAxes.inverted()
    heights = {row: float(to_axis.transform((1.0, end))[1]) for row, end in ends.items()}
    inches = axis.figure.get_size_inches()[1] * axis.get_position().height
    for row, height in _spread_out(heights, gap=0.155 / inches).items():
        axis.annotate(
            textwrap.shorten(row, 30, placeholder="…"),
            xy=(1.0, heights[row]),
            xytext=(1.045, height),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            fontsize=8,
            color=INK,
            arrowprops={
                "arrowstyle": "-",
                "color": looks[row][0],
                "linestyle": looks[row][1],
                "linewidth": 1.6,
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 0,
            },
        )


def _spread_out(heights: Mapping[str, float], gap: float) -> dict[str, float]:
    """The heights in order, moved as little as it takes to keep them `gap` apart."""
    # Neighbours that are too close become one block around their common mean (isotonic regression).
    blocks: list[tuple[list[str], float]] = []  # names from low to high, and the block's middle
    for name in sorted(heights, key=heights.__getitem__):
        names, middle = [name], heights[name]
        while blocks:
            below, centre = blocks[-1]
            room = gap * (len(below) + len(names)) / 2
            if middle - centre >= room:
                break
            blocks.pop()
            names = below + names
            shifts = [heights[n] - gap * i for i, n in enumerate(names)]
            middle = sum(shifts) / len(shifts) + gap * (len(names) - 1) / 2
        blocks.append((names, middle))
    return {
        name: middle + gap * (i - (len(names) - 1) / 2)
        for names, middle in blocks
        for i, name in enumerate(names)
    }


def _draw_curve(axis: Any, curve: Curve, colour: str, *, dash: Any = "-") -> None:
    """A mean with its band, and crosses where a replica stopped being finite."""
    mean = curve.mean
    few = np.isfinite(mean).sum() <= 12
    axis.plot(
        curve.steps,
        mean,
        color=colour,
        linestyle=dash,
        linewidth=1.6,
        marker="o" if few else None,
        markersize=3,
        zorder=3,
    )
    if len(curve.values) > 1:
        low, high = curve.band
        axis.fill_between(curve.steps, low, high, color=colour, alpha=0.18, linewidth=0, zorder=2)
    for step, value in _stopped(curve):
        axis.plot(step, value, "X", color=colour, markersize=7, zorder=5)


def _stopped(curve: Curve) -> list[tuple[float, float]]:
    """The last finite (step, value) of each replica that has none at the end."""
    points = []
    for values in curve.values:
        finite = np.flatnonzero(np.isfinite(values))
        if len(finite) and finite[-1] + 1 < len(values):
            points.append((curve.steps[finite[-1]], values[finite[-1]]))
    return points


def _log_if_wide(axis: Any, curves: Sequence[Curve]) -> None:
    """A logarithmic axis where the means are positive and span more than a factor of 50."""
    means = np.concatenate([curve.mean[np.isfinite(curve.mean)] for curve in curves] or [[]])
    if len(means) and means.min() > 0 and means.max() > 50 * means.min():
        axis.set_yscale("log")


def _minus(words: str) -> str:
    """Figures with a minus sign as wide as a plus; words keep their hyphens."""
    return re.sub(r"(?<![a-z])-(?=\d)", "\N{MINUS SIGN}", words)


def _thousands(value: float, _: int) -> str:
    return f"{value:,.0f}" if value == round(value) else ""


def _legend(figure: Any) -> None:
    """What the marks mean, in one line at the foot."""
    handles = [
        _mark("D", "published ± its spread", markerfacecolor="white", markersize=5.5),
        _mark("s", "our mean", markersize=5.5),
        _mark("", "its 95 % interval", linestyle="-", linewidth=2.2),
        _mark("o", "one seed", markersize=3.2),
        _mark("", "bold: they differ"),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=5, handletextpad=0.5)


def _mark(marker: str, label: str, **given: Any) -> Any:
    """An entry of a legend."""
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {"linestyle": "", "color": INK} | given
    return Line2D([], [], marker=marker, label=label, **look)


def _title(figure: Any, title: str, small: str) -> None:
    room = round(8 * figure.get_size_inches()[0])
    lines = textwrap.wrap(title, room, max_lines=3, placeholder=" …") or [""]
    if small:
        lines[-1] += f"  ({small})"
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=11)


def _pyplot() -> Any:
    """Pyplot on the Agg backend, which needs no display; imported here, for it takes a second."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _save(figure: Any, path: str | Path) -> Path:
    """Writes the PNG whole (another file, then renamed) and frees the figure."""
    from matplotlib import pyplot

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        figure.savefig(temporary, format="png")
        os.replace(temporary, path)
    finally:
        pyplot.close(figure)
        temporary.unlink(missing_ok=True)
    return path
