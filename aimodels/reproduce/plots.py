"""The picture of a table: published figures beside ours, and how ours were learned (table.png)."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aimodels.reproduce.table import metric_text, ours_text, published_text
from aimodels.training.curves import Curve, read_curves
from aimodels.training.figures import (
    COLOURS,
    GREY,
    INK,
    draw_curve,
    draw_title,
    in_our_style,
    legend_mark,
    log_if_wide,
    new_figure,
    save,
    thousands,
)

DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))


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

    with in_our_style():
        learned = any(lines for _, _, lines in panels)
        heights = [max(2.8 if learned else 1.4, 0.42 * len(c) + 0.9) for _, c, _ in panels]
        figure, axes = new_figure(
            len(panels),
            2 if learned else 1,
            (13.5 if learned else 8.5, sum(heights) + 0.9),
            height_ratios=heights,
            width_ratios=[1.25, 1] if learned else [1],
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
        draw_title(
            figure, table["experiment"], f"{seeds} seed{plural} a row" if counts else "not run"
        )
        _legend(figure)
        return save(figure, path)


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
        draw_curve(axis, curve, colour, dash=dash)
    log_if_wide(axis, list(learning.values()))
    axis.set_title(f"{metric.split(',')[0]} while training")
    axis.set_xlabel("step")
    axis.xaxis.set_major_formatter(thousands)
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


def _minus(words: str) -> str:
    """Figures with a minus sign as wide as a plus; words keep their hyphens."""
    return re.sub(r"(?<![a-z])-(?=\d)", "\N{MINUS SIGN}", words)


def _legend(figure: Any) -> None:
    """What the marks mean, in one line at the foot."""
    handles = [
        legend_mark("D", "published ± its spread", markerfacecolor="white", markersize=5.5),
        legend_mark("s", "our mean", markersize=5.5),
        legend_mark("", "its 95 % interval", linestyle="-", linewidth=2.2),
        legend_mark("o", "one seed", markersize=3.2),
        legend_mark("", "bold: they differ"),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=5, handletextpad=0.5)
