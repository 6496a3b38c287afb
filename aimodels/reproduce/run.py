"""Runs the rows of a published table, and sets ours beside it."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aimodels.config import Experiment, load_experiment
from aimodels.errors import TrainingFailed, UserError
from aimodels.reproduce import published, table
from aimodels.reproduce.plots import table_png
from aimodels.reproduce.published import Row
from aimodels.reproduce.table import Measurement, measure
from aimodels.training.progress import duration


def reproduce(
    file: str | Path,
    *,
    workdir: str | Path | None = None,
    seeds: int = 5,
    rows: Sequence[str] | None = None,
    dry_run: bool = False,
) -> dict[str, Any] | None:
    """Runs rows of an experiment's table; writes table.json, table.md and table.png; prints it.

    A call that was stopped goes on where it was, and what is done is not done again.

    Args:
      file: an experiment file that defines `published()`.
      workdir: where the table and the runs go; by default `runs/<name of the file>`.
      seeds: runs a row, with seeds 0, 1, ...; rows that bring their own runs do not take them.
      rows: names of rows to run; None runs all but the long ones, `all` every one.
      dry_run: only say what would be run and what it would cost.

    Returns:
      The table (what table.json holds), None for a dry run.

    Raises:
      UserError: nothing could be run as asked.
      Stopped: a signal came; what was done is kept.
    """
    experiment = load_experiment(file)
    if not hasattr(experiment.module, "published"):
        raise UserError(f"{file} has no published table: it defines no function published()")
    all_rows = published.check(experiment.module.published())
    chosen = published.select(all_rows, rows or ())
    folder = Path(workdir) if workdir else Path("runs") / Path(file).stem
    _say_cost(experiment, all_rows, chosen, seeds, folder)
    if dry_run:
        return None

    from aimodels.training.workdir import environment

    folder.mkdir(parents=True, exist_ok=True)
    about = environment()
    measured: dict[tuple[str, str], Measurement] = {}
    curves: dict[str, Path] = {}
    result: dict[str, Any] = {}
    done: dict[str, Measurement | list[Mapping[str, float]]] = {}
    for row in chosen:
        measured[row.key] = _run(experiment, row, folder / row.variant, seeds, done)
        metrics = _row_folder(folder / row.variant, seeds) / "metrics.jsonl"
        if metrics.exists():
            curves[row.name] = metrics
        # Written after each row, so that a table that was stopped shows what there is.
        result = table.make(
            experiment.title,
            all_rows,
            [measured.get(other.key) for other in all_rows],
            command=about["command"],
            environment=about,
        )
        table.write(result, folder)
    table_png(result, folder / "table.png", curves=curves)
    table.show(result)
    print(f"{folder}/table.md, table.json and table.png hold this table", file=sys.stderr)
    return result


def _say_cost(
    experiment: Experiment, rows: Sequence[Row], chosen: Sequence[Row], seeds: int, folder: Path
) -> None:
    """What will be run and about how long it takes, on standard error."""
    costs = {row.variant: _cost(row, seeds) for row in chosen}
    known = sum(cost or 0 for cost in costs.values())
    unknown = "" if all(costs.values()) else " for those whose cost is known"
    left_out = [row.variant for row in rows if row not in chosen]
    lines = [
        experiment.title,
        f"{len(chosen)} of {len(rows)} rows, about {duration(known)} on 2 CPU cores{unknown}; "
        f"results go to {folder}",
    ]
    if left_out:
        names = ", ".join(dict.fromkeys(left_out))
        lines.append(f"left out: {names}; --rows all runs every row")
    print("\n".join(lines), file=sys.stderr)


def _cost(row: Row, seeds: int) -> float | None:
    once = row.deterministic or row.run_all is not None
    return None if row.seconds is None else row.seconds * (1 if once else seeds)


def _row_folder(folder: Path, seeds: int) -> Path:
    return folder / f"seeds{seeds}"


def _run(
    experiment: Experiment,
    row: Row,
    folder: Path,
    seeds: int,
    done: dict[str, Any],
) -> Measurement:
    """One row; rows of several metrics that share a variant share its run."""
    if row.variant not in done:
        print(f"{row.name} ...", file=sys.stderr)
        try:
            if row.run_all is not None:
                done[row.variant] = _kept(folder / "results.json", lambda: row.run_all(folder))  # type: ignore[misc]
            elif row.run is not None:
                done[row.variant] = _run_seeds(row, folder, 1 if row.deterministic else seeds)
            else:
                done[row.variant] = _train(experiment, row, folder, seeds)
        except TrainingFailed as error:
            done[row.variant] = Measurement(error=str(error))
    found = done[row.variant]
    if isinstance(found, Measurement):
        return found
    results, seconds, parameters = found
    return measure(row, results, tuple(range(len(results))), seconds, parameters)


def _train(experiment: Experiment, row: Row, folder: Path, seeds: int) -> tuple:
    from aimodels.training.run import train

    overrides = {"replicas.seeds": ",".join(map(str, range(seeds))) + ","}
    config = experiment.config(row.variant, overrides)
    origin = {"experiment": str(experiment.path), "variant": row.variant, "overrides": overrides}
    result = train(config, _row_folder(folder, seeds), origin=origin, label=row.name).results
    metrics = [replica["metrics"] for replica in result["replicas"]]
    return metrics, result["seconds"], result["parameters"]


def _run_seeds(row: Row, folder: Path, seeds: int) -> tuple:
    assert row.run is not None
    results, total = [], 0.0
    for seed in range(seeds):
        one, seconds, _ = _kept(folder / f"seed{seed}.json", lambda s=seed: [row.run(s)])  # type: ignore[misc]
        results += one
        total += seconds
    return results, total, results[0].get("parameters")


def _kept(file: Path, compute: Any) -> tuple[list[Mapping[str, float]], float, None]:
    """What `compute` returned, from the file if an earlier call has finished."""
    from aimodels.training.workdir import write_json

    if file.exists():
        stored = json.loads(file.read_text())
        return stored["results"], stored["seconds"], None
    begin = time.perf_counter()
    results = [dict(one) for one in compute()]
    seconds = time.perf_counter() - begin
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {"results": results, "seconds": seconds})
    return results, seconds, None
