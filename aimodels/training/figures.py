"""A run's picture (curves.png), and what every picture of ours is drawn with."""

import io
import math
import os
import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from aimodels.errors import UserError
from aimodels.files import write_atomically
from aimodels.training.curves import Curve, read_curves

# Okabe & Ito 2008: told apart with any kind of colour vision; their yellow is too pale for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
INK, GREY = "#222222", "#6b6b6b"
STYLE: Any = {
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
    # A value at one step alone is no curve: results.json has it.
    lasting = {name for (_, name), curve in curves.items() if len(curve.steps) > 1}
    names = [name for name in dict.fromkeys(names) if name in lasting or not lasting][:6]
    splits = list(dict.fromkeys(split for split, _ in curves))
    colours = {"train": GREY} | {
        split: COLOURS[i % len(COLOURS)]
        for i, split in enumerate(s for s in splits if s != "train")
    }
    if splits == ["train"]:
        colours = {"train": COLOURS[0]}

    columns = min(len(names), 3 if len(names) != 4 else 2)
    lines = math.ceil(len(names) / columns)
    with in_our_style():
        from matplotlib.ticker import MaxNLocator

        figure, axes = new_figure(lines, columns, (max(5.5, 4.3 * columns), 3.2 * lines + 0.4))
        for axis, name in zip(axes.flat, names, strict=False):
            drawn = [(split, curves[split, name]) for split in splits if (split, name) in curves]
            for split, curve in drawn:
                draw_curve(axis, curve, colours[split])
            if "loss" in name:
                log_if_wide(axis, [curve for _, curve in drawn])
            axis.set_title(name.replace("_", " "))
            axis.set_xlabel("step")
            axis.xaxis.set_major_formatter(thousands)
            axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        for axis in axes.flat[len(names) :]:
            axis.set_visible(False)
        replicas = max(len(curve.values) for curve in curves.values())
        runs = f"{replicas} replicas: mean, lowest and highest" if replicas > 1 else ""
        draw_title(figure, title or Path(metrics_jsonl).resolve().parent.name, runs)
        handles = [legend_mark("", split, linestyle="-", color=colours[split]) for split in splits]
        if any(curve.stopped for curve in curves.values()):
            handles.append(legend_mark("X", "no longer finite", markersize=7))
        figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))
        return save(figure, path)


def draw_curve(axis: Any, curve: Curve, colour: str, *, dash: Any = "-") -> None:
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
    for step, value in curve.stopped:
        axis.plot(step, value, "X", color=colour, markersize=7, zorder=5)


def log_if_wide(axis: Any, curves: Sequence[Curve]) -> None:
    """A logarithmic axis where the means are positive and span more than a factor of 50."""
    means = np.concatenate([curve.mean[np.isfinite(curve.mean)] for curve in curves] or [[]])
    if len(means) and means.min() > 0 and means.max() > 50 * means.min():
        axis.set_yscale("log")


def thousands(value: float, _: int) -> str:
    """Formats the ticks of an axis that counts: `12,000`."""
    return f"{value:,.0f}" if value == round(value) else ""


def legend_mark(marker: str, label: str, **given: Any) -> Any:
    """An entry of a legend: a marker, a line, or both."""
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {"linestyle": "", "color": INK} | given
    return Line2D([], [], marker=marker, label=label, **look)


def draw_title(figure: Any, title: str, small: str) -> None:
    """A title on the left, cut to three lines, with a remark behind it."""
    room = round(8 * figure.get_size_inches()[0])
    lines = textwrap.wrap(title, room, max_lines=3, placeholder=" …") or [""]
    if small:
        lines[-1] += f"  ({small})"
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=11)


def draw_file_name(axis: Any, name: str, most: int) -> None:
    """A file's name below a picture, its middle left out where it has more than `most` letters."""
    if len(name) > most:
        name = f"{name[: most // 2 - 1]}…{name[-most // 2 :]}"
    axis.text(0, -0.03, name, transform=axis.transAxes, va="top", color=GREY, fontsize=7)


def picture_path(path: str | os.PathLike) -> Path:
    """The path of a picture that is to be written.

    Raises:
      UserError: it doesn't end in .png.
    """
    if Path(path).suffix != ".png":
        raise UserError(f"{path}: the picture is a .png")
    return Path(path)


def in_our_style() -> AbstractContextManager[None]:
    """Where a figure is drawn and saved in `STYLE`; a notebook's own settings stay."""
    import matplotlib  # here, for it takes a second

    return matplotlib.rc_context(STYLE)


def new_figure(
    rows: int, columns: int, size: tuple[float, float], **ratios: Sequence[float]
) -> tuple[Any, np.ndarray]:
    """A figure of `size` inches and its axes [rows, columns]."""
    from matplotlib.figure import Figure  # not pyplot: no global state, no window

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **ratios)  # type: ignore


def save(figure: Any, path: str | Path) -> Path:
    """Writes the PNG, whole or not at all."""
    path, picture = Path(path), io.BytesIO()
    figure.savefig(picture, format="png")
    write_atomically(path, picture.getvalue())
    return path
