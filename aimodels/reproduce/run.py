"""Runs the rows of a published table, and sets ours beside it."""

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aimodels.config import Experiment, load_experiment
from aimodels.errors import Stopped, TrainingFailed, UserError
from aimodels.reproduce import comparison, published, systems, table
from aimodels.reproduce.comparison_plots import comparison_png, learning_curves_png
from aimodels.reproduce.plots import table_png
from aimodels.reproduce.published import Row
from aimodels.reproduce.table import Measurement, measure
from aimodels.training.progress import duration
from aimodels.training.replicas import DONE


@dataclass(frozen=True)
class Run:
    """What a variant's runs gave: the metrics of each, or an error in its place."""

    results: Sequence[Mapping[str, float]] = ()
    seconds: float | None = None
    parameters: int | None = None
    error: str = ""

    def of_row(self, row: Row) -> Measurement:
        """The metric of a row; rows of several metrics share a run."""
        if self.error:
            return Measurement(error=self.error)
        seeds = tuple(range(len(self.results)))
        return measure(row, self.results, seeds, self.seconds, self.parameters)


def reproduce(
    file: str | Path,
    *,
    workdir: str | Path | None = None,
    seeds: int = 5,
    rows: Sequence[str] | None = None,
    jobs: int = 1,
    dry_run: bool = False,
) -> dict[str, Any] | None:
    """Runs rows of an experiment's table; writes table.json, table.md and table.png; prints it.

    A call that was stopped goes on where it was, and what is done is not done again.

    Args:
      file: an experiment file that defines `published()`.
      workdir: where the table and the runs go; by default `runs/<name of the file>`.
      seeds: runs a row, with seeds 0, 1, ...; rows that bring their own runs do not take them.
      rows: names of rows to run; None runs all but the long ones, `all` every one.
      jobs: rows that run at the same time, each in a process. A small net keeps one core busy,
        so that two at a time take half as long on two.
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
    compared = None
    if hasattr(experiment.module, "comparison"):
        compared = comparison.check(experiment.module.comparison(), all_rows)
    translating = systems.of(experiment, all_rows)
    folder = Path(workdir) if workdir else Path("runs") / Path(file).stem
    variants = {row.variant: _cost(row, seeds) or 0.0 for row in chosen}
    jobs = min(jobs, len(variants))
    _say_cost(experiment, all_rows, chosen, variants, jobs, folder)
    if dry_run:
        return None

    from aimodels.training.assembly import prepare_jax
    from aimodels.training.workdir import environment

    prepare_jax()  # before the environment asks for its devices
    folder.mkdir(parents=True, exist_ok=True)
    about = environment()
    runs: dict[str, Run] = {}
    result: dict[str, Any] = {}
    # The longest first, so that no core waits for a long row at the end.
    order = sorted(variants, key=lambda variant: -variants[variant])
    work = partial(run_variant, experiment.path, seeds=seeds, folder=folder)
    for variant, run in _in_processes(work, order, jobs) if jobs > 1 else _one_by_one(work, order):
        runs[variant] = run
        measured = {row.key: runs[row.variant].of_row(row) for row in chosen if row.variant in runs}
        # Written after each row, so that a table that was stopped shows what there is.
        result = table.make(
            experiment.title,
            all_rows,
            [measured.get(row.key) for row in all_rows],
            command=about["command"],
            environment=about,
            compared=compared and comparison.measure(compared, _results(runs)),
            systems=systems.measure(
                translating,
                {
                    row.variant: _left_in(folder, row, seeds)
                    for row in chosen
                    if row.variant in runs and not runs[row.variant].error
                },
            ),
        )
        table.write(result, folder)
    files = {row.name: _row_folder(folder, row.variant, seeds) / "metrics.jsonl" for row in chosen}
    curves = {name: path for name, path in files.items() if path.exists()}
    table_png(result, folder / "table.png", curves=curves)
    table.show(result)
    print(f"{folder}/table.md, table.json and table.png hold this table", file=sys.stderr)
    if compared:
        folders = {row.variant: _row_folder(folder, row.variant, seeds) for row in chosen}
        _draw_comparison(compared, result, folders, folder)
    return result


def _results(runs: Mapping[str, Run]) -> dict[str, Sequence[Mapping[str, float]]]:
    """The metrics of those that did not fail."""
    return {variant: run.results for variant, run in runs.items() if not run.error}


def _draw_comparison(
    compared: comparison.Comparison,
    result: Mapping[str, Any],
    folders: Mapping[str, Path],
    folder: Path,
) -> None:
    """comparison.png and learning_curves.png, as far as there are runs for them."""
    title, drawn = result["experiment"], []
    if result["comparison"]:
        drawn.append(comparison_png(title, result["comparison"], folder / "comparison.png"))
    if compared.curve:
        curves = learning_curves_png(title, compared, folders, folder / "learning_curves.png")
        drawn += [curves] if curves else []
    for picture in drawn:
        print(f"{picture} compares the methods", file=sys.stderr)


def _one_by_one(work: Callable[[str], Run], variants: Sequence[str]) -> Iterator[tuple[str, Run]]:
    for variant in variants:
        yield variant, work(variant)


def _in_processes(
    work: Callable[[str], Run], variants: Sequence[str], jobs: int
) -> Iterator[tuple[str, Run]]:
    """Each variant's run as soon as it is done; signals are handed on to the processes."""
    received: list[int] = []
    context = multiprocessing.get_context("spawn")  # a forked JAX would hang
    started, stopping = context.Value("i", 0), context.Value("i", 0)

    def hand_on(number: int, _: Any) -> None:
        received.append(number)
        stopping.value = number  # a process may have its next variant already
        for child in multiprocessing.active_children():
            child.terminate()

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, hand_on) for number in numbers}
    shared = started, stopping, jobs
    pool = ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=shared)
    try:
        futures = {pool.submit(_unless_stopping, work, variant): variant for variant in variants}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except (Stopped, BrokenProcessPool):
        if not received:
            raise
        raise Stopped(received[0]) from None
    finally:
        pool.shutdown(cancel_futures=True)
        for number, previous in before.items():
            signal.signal(number, previous)


def _begin(started: Any, stopping: Any, jobs: int) -> None:
    """What each process of the pool does first.

    Ctrl-C reaches every process of a terminal; only the first one acts on it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _stopping.append(stopping)
    if not hasattr(os, "sched_setaffinity"):
        return
    with started.get_lock():
        index, started.value = started.value, started.value + 1
    cores = sorted(os.sched_getaffinity(0))
    _own_cores.update(cores[index % len(cores) :: jobs])


def _unless_stopping(work: Callable[[str], Run], variant: str) -> Run:
    (stopping,) = _stopping
    if stopping.value:
        raise Stopped(stopping.value)
    return work(variant)


# Of a process of the pool: its cores, and the number of the signal that ends all.
_own_cores: set[int] = set()
_stopping: list[Any] = []


@contextlib.contextmanager
def _on_own_cores() -> Iterator[None]:
    """Small networks train up to a third faster where no other process shares their core."""
    before = os.sched_getaffinity(0) if _own_cores else set()
    if before:
        os.sched_setaffinity(0, _own_cores)
    try:
        yield
    finally:
        if before:
            os.sched_setaffinity(0, before)


def _say_cost(
    experiment: Experiment,
    rows: Sequence[Row],
    chosen: Sequence[Row],
    costs: Mapping[str, float],
    jobs: int,
    folder: Path,
) -> None:
    """What will be run and about how long it takes, on standard error."""
    total = max(sum(costs.values()) / max(jobs, 1), *costs.values())
    unknown = "" if all(costs.values()) else " for those whose cost is known"
    left_out = [row.variant for row in rows if row not in chosen]
    lines = [
        experiment.title,
        f"{len(chosen)} of {len(rows)} rows, {jobs} at a time, about {duration(total)} on 2 CPU "
        f"cores{unknown}; results go to {folder}",
    ]
    if left_out:
        names = ", ".join(dict.fromkeys(left_out))
        lines.append(f"left out: {names}; --rows all runs every row")
    print("\n".join(lines), file=sys.stderr)


def _cost(row: Row, seeds: int) -> float | None:
    once = row.deterministic or row.run_all is not None
    return None if row.seconds is None else row.seconds * (1 if once else seeds)


def _row_folder(folder: Path, variant: str, seeds: int) -> Path:
    return folder / variant / f"seeds{seeds}"


def _left_in(folder: Path, row: Row, seeds: int) -> Path:
    """Where the runs of a row leave their files."""
    trained = row.run is None and row.run_all is None
    return _row_folder(folder, row.variant, seeds) if trained else folder / row.variant


def run_variant(file: Path, variant: str, *, seeds: int, folder: Path) -> Run:
    """Runs what the rows of a variant need, or reads it if an earlier call has finished."""
    experiment = load_experiment(file)
    row = next(row for row in experiment.module.published() if row.variant == variant)
    print(f"{row.name} ...", file=sys.stderr, flush=True)
    try:
        if row.run_all is not None:
            return _kept(folder / variant / "results.json", row.run_all, folder / variant)
        if row.run is not None:
            return _run_seeds(row, folder / variant, 1 if row.deterministic else seeds)
        with _on_own_cores():
            return _train(experiment, row, _row_folder(folder, variant, seeds), seeds)
    except TrainingFailed as error:
        return Run(error=str(error))


def _train(experiment: Experiment, row: Row, folder: Path, seeds: int) -> Run:
    from aimodels.training.run import train

    overrides = {"replicas.seeds": ",".join(map(str, range(seeds))) + ","}
    config = experiment.config(row.variant, overrides)
    origin = {"experiment": str(experiment.path), "variant": row.variant, "overrides": overrides}
    result = train(config, folder, origin=origin, label=row.name).results
    for replica in result["replicas"]:
        if replica["status"] != DONE:
            return Run(error=f"seed {replica['seed']} {replica['status']}")
    systems.leave_translations(experiment, row.variant, folder, seeds)
    metrics = [replica["metrics"] for replica in result["replicas"]]
    return Run(metrics, result["seconds"], result["parameters"])


def _run_seeds(row: Row, folder: Path, seeds: int) -> Run:
    assert row.run is not None
    runs = [
        _kept(folder / f"seed{seed}.json", lambda s: [row.run(s)], seed)  # type: ignore[misc]
        for seed in range(seeds)
    ]
    results = [run.results[0] for run in runs]
    parameters = results[0].get("parameters")
    seconds = sum(run.seconds or 0.0 for run in runs)
    return Run(results, seconds, None if parameters is None else int(parameters))


def _kept(
    file: Path, compute: Callable[[Any], Sequence[Mapping[str, float]]], argument: Any
) -> Run:
    """What `compute(argument)` returned, from the file if an earlier call has finished."""
    from aimodels.training.workdir import write_json

    if file.exists():
        stored = json.loads(file.read_text())
        return Run(stored["results"], stored["seconds"])
    begin = time.perf_counter()
    results = [dict(one) for one in compute(argument)]
    seconds = time.perf_counter() - begin
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {"results": results, "seconds": seconds})
    return Run(results, seconds)
