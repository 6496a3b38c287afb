"""The table that `reproduce` leaves: table.json, table.md and lines for the terminal.

`make` builds one dictionary from rows and measurements; everything else is drawn from it alone, so
that a table in the docs can be made again from a table.json.
"""

import json
import math
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from aimodels.files import write_atomically
from aimodels.reproduce import comparison, statistics
from aimodels.reproduce import systems as translating
from aimodels.reproduce.published import SPREAD_KINDS, Row, decimals
from aimodels.training.progress import duration

WIDTH = 120


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What was measured for one row: a value a seed, in the metric's own units (0.94, not 94 %).

    `seconds` is the time of all seeds together. A row that failed has its `error`, no values.
    """

    values: tuple[float, ...] = ()
    seeds: tuple[int, ...] = ()
    seconds: float | None = None
    parameters: int | None = None
    error: str = ""


def measure(
    row: Row,
    results: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    seconds: float | None = None,
    parameters: int | None = None,
) -> Measurement:
    """The row's metric out of each seed's metrics; where one lacks it, an error that says so."""
    for seed, metrics in zip(seeds, results, strict=True):
        if row.metric not in metrics:
            known = ", ".join(sorted(metrics)) or "none"
            error = f"seed {seed} has no metric {row.metric!r}; it has {known}"
            return Measurement(error=error, seconds=seconds)
    values = tuple(float(metrics[row.metric]) for metrics in results)
    if parameters is None and results and "parameters" in results[0]:
        parameters = int(results[0]["parameters"])
    return Measurement(
        values=values, seeds=tuple(seeds), seconds=seconds, parameters=parameters, error=""
    )


def make(
    experiment: str,
    rows: Sequence[Row],
    measurements: Sequence[Measurement | None],
    *,
    command: str = "",
    environment: Mapping[str, Any] | None = None,
    compared: Mapping[str, Any] | None = None,
    systems: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The table as plain data (table.json).

    Args:
      experiment: its title, such as the first line of the experiment file's docstring.
      rows: every row of the published table, in its order.
      measurements: one for each row, None for a row that was not run.
      command: what the user typed.
      environment: versions and hardware, as in a run's environment.json.
      compared: what `comparison.measure` returned.
      systems: what `systems.measure` returned.
    """
    cells = [_cell(row, ours) for row, ours in zip(rows, measurements, strict=True)]
    return {
        "experiment": experiment,
        "command": command,
        "rows": cells,
        "comparison": compared,
        "systems": list(systems),
        "verdict_rule": statistics.VERDICT_RULE,
        "environment": dict(environment or {}),
    }


def _cell(row: Row, ours: Measurement | None) -> dict[str, Any]:
    """One row of table.json: all figures in the table's units, None for what there is not."""
    cell: dict[str, Any] = {
        "row": row.name,
        "variant": row.variant,
        "metric": row.metric,
        "units": row.units,
        "scale": row.scale,
        "higher_is_better": row.higher_is_better,
        "published": row.published,
        "decimals": row.digits,
        "spread": row.spread,
        "spread_kind": row.spread_kind,
        "alternatives": [{"published": f, "source": where} for f, where in row.alternatives],
        "published_parameters": row.parameters,
        "source": row.source,
        "note": row.note,
        "status": "not run",
        "mean": None,
        "low": None,
        "high": None,
        "interval": None,
        "n": 0,
        "values": [],
        "seeds": [],
        "parameters": None,
        "seconds": None,
        "agrees": None,
        "error": "",
    }
    if ours is None:
        each = "" if row.deterministic or row.run_all else " a seed"
        cost = f"about {duration(row.seconds)}{each}; " if row.seconds else ""
        cell["verdict"] = f"not run ({cost}--rows {row.variant})"
        return cell
    values = [row.scale * v if math.isfinite(v) else None for v in ours.values]
    seeds = ours.seeds or tuple(range(len(values)))
    cell |= {"seconds": ours.seconds, "parameters": ours.parameters}
    cell |= {"n": len(values), "values": values, "seeds": list(seeds)}
    error = ours.error
    if not error and not values:
        error = "no values were measured"
    lost = [str(seed) for seed, value in zip(seeds, values, strict=True) if value is None]
    if not error and lost:
        error = (
            f"{row.metric} is not finite in {len(lost)} of {len(values)} seeds: {', '.join(lost)}"
        )
    summary = None
    if not error:
        try:
            summary = statistics.summarize(row, ours.values)
        except ValueError as problem:  # a row with test_examples whose metric is no proportion
            error = str(problem)
    if summary is None:
        first = error.strip().splitlines()[0]
        return cell | {"status": "failed", "error": error, "verdict": f"failed: {first}"}
    words = statistics.verdict(row, summary)
    kind = None
    if summary.low is not None:
        kind = "binomial" if summary.n == 1 else row.interval
    return cell | {
        "status": "measured",
        "mean": summary.mean,
        "low": summary.low,
        "high": summary.high,
        "interval": kind,
        "agrees": None if row.published is None else statistics.agrees(words),
        "verdict": words,
    }


def published_text(cell: Mapping[str, Any]) -> str:
    """The published figure of a row with its spread: "94", "489 ± 16", "-" where there is none."""
    if cell["published"] is None:
        return "-"
    text = statistics.printed(cell["published"], cell["decimals"])
    if cell["spread"] is not None:
        digits = max(cell["decimals"], decimals(cell["spread"]))
        text += f" ± {statistics.printed(cell['spread'], digits)}"
    return text


def ours_text(cell: Mapping[str, Any]) -> str:
    """Our mean and interval: "93.3 [92.7, 94.0]"; without an interval the mean alone."""
    if cell["mean"] is None:
        return "-"
    half = (cell["high"] - cell["low"]) / 2 if cell["low"] is not None else None
    mean, low, high = (
        "" if value is None else statistics.figure(value, cell["published"], cell["decimals"], half)
        for value in (cell["mean"], cell["low"], cell["high"])
    )
    return f"{mean} [{low}, {high}]" if low else mean


def metric_text(cell: Mapping[str, Any]) -> str:
    """The metric with its units: "test/accuracy, %"."""
    return ", ".join(filter(None, (cell["metric"], cell["units"])))


def summary_line(table: Mapping[str, Any]) -> str:
    """One sentence on the whole table: how many rows agree, differ, failed or were not run."""
    rows = table["rows"]
    compared = [cell for cell in rows if cell["agrees"] is not None]
    agree = sum(cell["agrees"] for cell in compared)
    text = f"{agree} of {len(compared)} measured rows agree with the published figure"
    if not compared:
        measured = sum(cell["status"] == "measured" for cell in rows)
        text = f"{measured} row{'s' * (measured != 1)} measured, none beside a published figure"
    parts = [
        (sum("(better)" in cell["verdict"] for cell in compared), "better"),
        (sum("(worse)" in cell["verdict"] for cell in compared), "worse"),
        (sum(cell["status"] == "failed" for cell in rows), "failed"),
        (sum(cell["status"] == "not run" for cell in rows), "not run"),
    ]
    return "; ".join([text, *(f"{count} {word}" for count, word in parts if count)]) + "."


def hardware_line(environment: Mapping[str, Any]) -> str:
    """What the figures were measured on, in one line, from a run's environment.json."""
    parts = [environment.get("processor", "")]
    if environment.get("cores"):
        parts.append(f"{environment['cores']} cores")
    devices = [str(device) for device in environment.get("devices", ())]
    kinds = {kind: devices.count(kind) for kind in devices if not kind.startswith("cpu")}
    parts += [f"{count} x {kind}" for kind, count in kinds.items()]
    if environment.get("python"):
        parts.append(f"Python {environment['python']}")
    versions = environment.get("versions", {})
    parts += [f"{k} {versions[k]}" for k in ("jax", "flax", "scikit-learn") if k in versions]
    if environment.get("commit"):
        commit, _, changes = environment["commit"].partition("+")
        parts.append(f"commit {commit[:10]}" + (" with changes" if changes else ""))
    return ", ".join(filter(None, parts))


def _footnotes(table: Mapping[str, Any]) -> tuple[list[str], list[list[int]]]:
    """The texts under the table, and for each row the numbers (from 1) of those it carries."""
    texts: dict[str, int] = {}
    marks = []
    for cell in table["rows"]:
        notes = []
        if cell["note"]:
            notes.append(cell["note"])
        for other in cell["alternatives"]:
            notes.append(f"Also published: {other['published']:g} ({other['source']}).")
        if cell["spread"] is not None:
            notes.append(f"± is the {SPREAD_KINDS[cell['spread_kind']]}.")
        if cell["interval"] == "binomial":
            notes.append(
                "Measured once: the interval is the binomial one (Wilson) of the test set."
            )
        if cell["interval"] == "student" and cell["n"] == 2:
            notes.append("Two seeds give a very wide interval (t = 12.7).")
        if _other_size(cell):
            notes.append(f"The source counts {cell['published_parameters']:,} parameters.")
        marks.append([texts.setdefault(note, len(texts) + 1) for note in notes])
    return list(texts), marks


def _other_size(cell: Mapping[str, Any]) -> bool:
    ours, theirs = cell["parameters"], cell["published_parameters"]
    return ours is not None and theirs is not None and ours != theirs


def _columns(
    table: Mapping[str, Any], parameters: bool = True
) -> tuple[list[str], list[list[str]]]:
    """Headings and texts of the columns that this table needs; the verdict is the last."""
    rows = table["rows"]
    columns: list[tuple[str, list[str]]] = [("row", [cell["row"] for cell in rows])]
    if len({metric_text(cell) for cell in rows}) > 1:
        columns.append(("metric", [metric_text(cell) for cell in rows]))
    if parameters and any(cell["parameters"] for cell in rows):
        sizes = [cell["parameters"] or cell["published_parameters"] for cell in rows]
        columns.append(("parameters", [f"{size:,}" if size else "-" for size in sizes]))
    columns.append(("published", [published_text(cell) for cell in rows]))
    columns.append(("ours [95 %]", [ours_text(cell) for cell in rows]))
    columns.append(("n", [str(cell["n"] or "-") for cell in rows]))
    times = [cell["seconds"] for cell in rows]
    columns.append(("time", ["-" if time is None else duration(time) for time in times]))
    columns.append(("verdict", [cell["verdict"] for cell in rows]))
    texts = zip(*(column for _, column in columns), strict=True)
    return [head for head, _ in columns], [list(line) for line in texts]


def markdown(table: Mapping[str, Any]) -> str:
    """The table as Markdown (table.md): footnotes, sources, the verdict's rule, the machine."""
    heads, lines = _columns(table)
    notes, marks = _footnotes(table)
    aligned = {"row", "metric", "verdict"}

    def line(cells: Sequence[str]) -> str:
        return (
            "| " + " | ".join(re.sub(r"([|])", r"\\\1", c).replace("\n", " ") for c in cells) + " |"
        )

    out = [f"# {table['experiment']}", ""]
    metrics = list(dict.fromkeys(metric_text(cell) for cell in table["rows"]))
    if len(metrics) == 1:
        out += [f"Metric: {metrics[0]}.", ""]
    out += [line(heads), line([":---" if head in aligned else "---:" for head in heads])]
    for cell, texts, numbers in zip(table["rows"], lines, marks, strict=True):
        texts = list(texts)
        if numbers:
            texts[0] += f" <sup>{', '.join(map(str, numbers))}</sup>"
        if cell["agrees"] is False:
            texts[-1] = f"**{texts[-1]}**"
        out.append(line(texts))
    out += ["", summary_line(table), ""]
    out += [f"{number}. {note}" for number, note in enumerate(notes, 1)] + [""] * bool(notes)
    for below, said in _below(table):
        head, *rest = below
        out += [line(head), line([":---", *["---:"] * (len(head) - 1)]), *map(line, rest), ""]
        out += ["\n\n".join(said), ""]
    sources = dict.fromkeys(cell["source"] for cell in table["rows"])
    out.append(f"Source{'s' * (len(sources) > 1)}: {'; '.join(sources)}.")
    out += ["", f"How to read the verdict: {table['verdict_rule']}"]
    out += [
        "",
        f"Ours is the mean over n seeds with {_interval_text(table)}; time is for all n seeds.",
    ]
    machine = hardware_line(table["environment"])
    if machine:
        out += ["", f"Measured on: {machine}."]
    if table["command"]:
        out += ["", f"Command: `{table['command']}`"]
    return "\n".join(out) + "\n"


def _below(table: Mapping[str, Any]) -> list[tuple[list[list[str]], list[str]]]:
    """What stands under the table: lines of cells, the first the heading, and sentences on them."""
    found = []
    if table.get("comparison"):
        measured = table["comparison"]
        found.append((comparison.columns(measured), comparison.notes(measured)))
    if table.get("systems"):
        found.append((translating.columns(table["systems"]), translating.notes(table["systems"])))
    return found


def _interval_text(table: Mapping[str, Any]) -> str:
    """Which 95 % intervals the rows have."""
    kinds = {cell["interval"] for cell in table["rows"]}
    bootstrap = "the bootstrap's 95 % interval (percentiles; of few seeds it is too narrow)"
    if "bootstrap" not in kinds:
        return "Student's 95 % interval"
    return bootstrap if "student" not in kinds else f"Student's 95 % interval or {bootstrap}"


def text(table: Mapping[str, Any], *, width: int = WIDTH, colour: bool = False) -> str:
    """The table for a terminal: aligned columns, no line longer than `width` (at least 72)."""
    width = max(width, 72)
    heads, lines = _columns(table, parameters=width >= 100)
    columns = list(zip(heads, *lines, strict=True))
    sizes = [max(map(len, column)) for column in columns]
    # The verdict wraps and the label is cut, so that the figures between them always stand.
    spare = width - sum(sizes[1:-1]) - 2 * (len(sizes) - 1)
    sizes[0] = max(10, min(sizes[0], spare - min(sizes[-1], 24)))
    sizes[-1] = max(10, spare - sizes[0])

    out = [*textwrap.wrap(table["experiment"], width), ""]
    metrics = {metric_text(cell) for cell in table["rows"]}
    if len(metrics) == 1:
        out = [*out[:-1], *textwrap.wrap(f"metric: {metrics.pop()}", width), ""]
    left = {"row", "metric"}
    paints = ["", *(_paint(cell) for cell in table["rows"])]
    failed = [False, *(cell["status"] == "failed" for cell in table["rows"])]
    for paint, error, texts in zip(paints, failed, [heads, *lines], strict=True):
        cells = [
            _cut(cell, size).ljust(size) if head in left else cell.rjust(size)
            for head, cell, size in zip(heads[:-1], texts[:-1], sizes[:-1], strict=True)
        ]
        wrapped = textwrap.wrap(texts[-1], sizes[-1])
        # An error's text may be a page: the first two lines here, the whole of it in table.json.
        if error and len(wrapped) > 2:
            wrapped = [wrapped[0], _cut(wrapped[1] + "…", sizes[-1])]
        indent = sum(sizes[:-1]) + 2 * (len(sizes) - 1)
        for number, piece in enumerate(wrapped):
            start = "  ".join(cells) + "  " if number == 0 else " " * indent
            out.append(start + (f"{paint}{piece}\033[0m" if colour and paint else piece))
        if texts is heads:
            out.append("  ".join("-" * size for size in sizes))
    out += ["", *textwrap.wrap(summary_line(table), width)]
    for compared, _ in _below(table):
        spans = [max(map(len, column)) for column in zip(*compared, strict=True)]
        for cells in compared if sum(spans) + 2 * len(spans) <= width else ():
            padded = [c.rjust(span) for c, span in zip(cells[1:], spans[1:], strict=True)]
            out += [""] * (cells is compared[0])
            out.append("  ".join([cells[0].ljust(spans[0]), *padded]))
    return "\n".join(line.rstrip() for line in out) + "\n"


def _cut(words: str, size: int) -> str:
    return words if len(words) <= size else words[: size - 1].rstrip("…") + "…"


def _paint(cell: Mapping[str, Any]) -> str:
    """The terminal's colour for a verdict: green agrees, yellow better, red worse or failed."""
    if cell["agrees"]:
        return "\033[32m"
    if cell["status"] == "failed" or "(worse)" in cell["verdict"]:
        return "\033[31m"
    return "\033[33m" if "(better)" in cell["verdict"] else "\033[2m"


def show(table: Mapping[str, Any], stream: TextIO | None = None) -> None:
    """Prints the table on a stream (standard output), in colour only where that is a terminal."""
    out: TextIO = sys.stdout if stream is None else stream
    width, terminal = WIDTH, out.isatty()
    if terminal:
        width = min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)
    out.write(text(table, width=width, colour=terminal and "NO_COLOR" not in os.environ))


def write(table: Mapping[str, Any], folder: str | Path) -> None:
    """Writes table.json and table.md into the folder; each is whole at any moment, old or new."""
    folder = Path(folder)
    # allow_nan=False: a table that another language can read. Not-a-number is None by now.
    written = json.dumps(table, indent=1, ensure_ascii=False, allow_nan=False, default=str) + "\n"
    for name, words in (("table.json", written), ("table.md", markdown(table))):
        write_atomically(folder / name, words)
