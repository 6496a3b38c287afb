"""Runs, read from any set of work folders, and as a table: one row a run.

A run is one replica of one work folder. Only the folder's files are read (config.json,
metrics.jsonl, results.json), so that runs of any machine, or of a code that has changed since, can
be compared.
"""

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aimodels.config import plain, with_values
from aimodels.errors import UserError
from aimodels.files import write_atomically
from aimodels.training.curves import NOT_METRICS
from aimodels.training.replicas import DONE, read_stopped
from aimodels.training.workdir import read_results
from aimodels.training.writers import read_metrics

# What stands in the columns of a run that aren't fields or metrics.
BEFORE, BETWEEN, AFTER = ("folder", "replica"), ("seed",), ("steps", "seconds", "status")


@dataclass(frozen=True)
class Run:
    """One replica of one work folder.

    Attributes:
      folder: the work folder.
      replica: counted from 0.
      seed: of the replica.
      config: the resolved config with this replica's own values, and `replicas` of it alone.
      settings: dotted field -> value, all of `config` but `replicas`.
      varied: the fields that have a value for each replica of the folder.
      metrics: `split/name` -> value: the final ones, else those of the last logged evaluation.
      steps: how many were made.
      seconds: of the program over the number of its replicas (they run side by side, so none has
        seconds of its own); None before the end.
      status: "done", "failed at step 1200: loss", "pruned at step 800", "unfinished at step 300".
      origin: what results.json says of the command: experiment, variant, overrides.
    """

    folder: Path
    replica: int
    seed: int
    config: Mapping[str, Any]
    settings: Mapping[str, Any]
    varied: tuple[str, ...]
    metrics: Mapping[str, float]
    steps: int
    seconds: float | None
    status: str
    origin: Mapping[str, Any]

    @property
    def done(self) -> bool:
        """Whether it came to its end."""
        return self.status == DONE


@dataclass(frozen=True)
class Runs:
    """Runs to compare.

    Attributes:
      runs: in the order of their folders and replicas.
      fields: the config's fields, dotted, in which they differ.
    """

    runs: tuple[Run, ...]
    fields: tuple[str, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of all metrics, in the order in which they were found."""
        return tuple(dict.fromkeys(name for run in self.runs for name in run.metrics))


def read_runs(folders: Iterable[str | Path]) -> Runs:
    """The runs of work folders, or of the work folders below the given ones.

    Raises:
      UserError: a folder isn't there, holds no run, or a config.json can't be read.
    """
    found: dict[Path, Path] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder; give work folders, or folders of those")
        below = {path.resolve(): path for path in work_folders(folder)}
        if not below:
            raise UserError(
                f"{folder} holds no work folder: there is no config.json in it or below; give what "
                "`aimodels train` got as --workdir, or a folder of such folders"
            )
        found = below | found
    runs = tuple(run for folder in found.values() for run in read_folder(folder))
    seen: dict[str, set[str]] = {}
    for run in runs:
        for name, value in run.settings.items():
            seen.setdefault(name, set()).add(repr(value))
    everywhere = {name: all(name in run.settings for run in runs) for name in seen}
    fields = (name for name in seen if len(seen[name]) > 1 or not everywhere[name])
    return Runs(runs, tuple(fields))


def work_folders(folder: Path) -> Iterator[Path]:
    """The folder itself if it is a work folder, else those below it, sorted by name.

    Nothing is searched inside a work folder: its checkpoints hold configs too.
    """
    for path, below, files in os.walk(folder):
        if "config.json" in files:
            below.clear()
            yield Path(path)
        below.sort()


def read_folder(folder: Path) -> list[Run]:
    """The runs of one work folder, one a replica."""
    file = folder / "config.json"
    try:
        config = plain(json.loads(file.read_text()))
        seeds, vary = config["replicas"]["seeds"], config["replicas"]["vary"]
        varied = [{name: values[i] for name, values in vary.items()} for i in range(len(seeds))]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"{file} is not the config of a run ({type(error).__name__}: {error}); move it away, "
            "or give only the folders to compare"
        ) from error
    results = read_results(folder) or {}
    finished = {index: replica for index, replica in enumerate(results.get("replicas", ()))}
    whole = all(replica.get("metrics") for replica in finished.values())
    logged = {} if finished and whole else _last_evaluation(folder, len(seeds))
    stopped = read_stopped(folder)
    runs = []
    for index, seed in enumerate(seeds):
        step, evaluation = logged.get(index, (0, {}))
        replica = finished.get(index)
        unfinished = stopped.get(index, (step, f"unfinished at step {step}"))[1]
        status = unfinished if replica is None else replica.get("status", DONE)
        own = with_values(config, varied[index] | {"replicas.seeds": (seed,), "replicas.vary": {}})
        settings = dict(_flat({k: v for k, v in own.items() if k != "replicas"}))
        runs.append(
            Run(
                folder=folder,
                replica=index,
                seed=seed,
                config=own,
                settings=settings,
                varied=tuple(vary),
                metrics=(replica or {}).get("metrics") or evaluation,
                steps=_steps(status, results.get("steps", step)),
                seconds=results["seconds"] / len(seeds) if results.get("seconds") else None,
                status=status,
                origin={k: results.get(k) for k in ("experiment", "variant", "overrides")},
            )
        )
    return runs


def _last_evaluation(folder: Path, replicas: int) -> dict[int, tuple[int, dict[str, float]]]:
    """Replica -> its last logged step, and the last metrics of each evaluated split.

    A run that has evaluated nothing yet gives the metrics of its last training steps.
    """
    steps = dict.fromkeys(range(replicas), 0)
    lines: dict[int, dict[str, dict[str, float]]] = {index: {} for index in range(replicas)}
    for line in read_metrics(folder / "metrics.jsonl"):
        index, split = line.get("replica", 0), line["split"]
        if index not in steps:
            continue
        steps[index] = max(steps[index], line["step"])
        numbers = {k: v for k, v in line.items() if k not in NOT_METRICS}
        lines[index][split] = {
            f"{split}/{name}": value
            for name, value in numbers.items()
            if isinstance(value, int | float)
        }
    result = {}
    for index, by_split in lines.items():
        evaluated = [metrics for split, metrics in by_split.items() if split != "train"]
        metrics = {k: v for part in evaluated or by_split.values() for k, v in part.items()}
        result[index] = steps[index], metrics
    return result


def _steps(status: str, otherwise: int) -> int:
    """The step that a status names."""
    match = re.search(r"at step ([\d,]+)", status)
    return int(match[1].replace(",", "")) if match else otherwise


def _flat(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted field, value."""
    for name, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def text_of(value: Any) -> str:
    """A config's value as it is typed on the command line."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def columns_of(runs: Runs) -> dict[str, list[Any]]:
    """Column -> a value a run, None where a run has none: what sweep.csv and sweep.parquet hold."""
    return {
        **{name: [_own(run, name) for run in runs.runs] for name in BEFORE},
        **{
            name: [_cell(run.settings[name]) if name in run.settings else None for run in runs.runs]
            for name in runs.fields
        },
        **{name: [_own(run, name) for run in runs.runs] for name in BETWEEN},
        **{name: [run.metrics.get(name) for run in runs.runs] for name in runs.metrics},
        **{name: [_own(run, name) for run in runs.runs] for name in AFTER},
    }


def _own(run: Run, name: str) -> Any:
    value = getattr(run, name)
    return str(value) if isinstance(value, Path) else value


def _cell(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else text_of(value)


def write_csv(runs: Runs, path: Path) -> None:
    """Writes one row a run. An empty cell: the run has no such field or metric."""
    columns, text = columns_of(runs), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    rows = zip(*columns.values(), strict=True)
    writer.writerows([None if v is None else text_of(v) for v in row] for row in rows)
    write_atomically(path, text.getvalue())


def write_parquet(runs: Runs, path: Path) -> None:
    """Writes the same table with types: whole numbers, numbers, booleans, else text."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({name: _typed(values) for name, values in columns_of(runs).items()})
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file)
    write_atomically(path, file.getvalue())


def _typed(values: Sequence[Any]) -> Any:
    import pyarrow

    kinds = {type(value) for value in values if value is not None}
    for kind, takes in ((bool, {bool}), (int, {int}), (float, {int, float})):
        if kinds and kinds <= takes:
            typed = [None if value is None else kind(value) for value in values]
            return pyarrow.array(typed, from_pandas=False)
    return pyarrow.array([None if v is None else text_of(v) for v in values], pyarrow.string())
