"""Trains every setting of a sweep over several seeds, in as few programs as possible."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from aimodels.config import Experiment, differences, load_experiment, plain
from aimodels.errors import UserError
from aimodels.files import write_atomically
from aimodels.sweeps import costs, executors, space
from aimodels.sweeps.executors import Executor
from aimodels.sweeps.groups import Mode
from aimodels.sweeps.plan import MOST_REPLICAS, PlannedProgram, PlannedRun, pack
from aimodels.sweeps.report import report
from aimodels.sweeps.search import Study
from aimodels.training.assembly import prepare_jax
from aimodels.training.progress import duration
from aimodels.training.workdir import read_results, write_json


@dataclass(frozen=True)
class Search:
    """How settings are drawn instead of trying all.

    Attributes:
      method: `random`, or `tpe` (needs Optuna).
      trials: how many settings.
      metric: `split/name` that is to be best; needed for `tpe`.
      mode: whether the best is the largest or the smallest.
      population: settings that `tpe` suggests at once, trained as replicas.
      pruner: `none`, `asha` or `hyperband` stop settings that fall behind, at their evaluations.
    """

    method: str
    trials: int
    metric: str | None = None
    mode: Mode = "max"
    population: int = 16
    pruner: str = "none"


def sweep(
    config: str,
    workdir: str | Path,
    *,
    overrides: Mapping[str, str] | None = None,
    settings: Mapping[str, Sequence[Any]] | None = None,
    seeds: int = 1,
    search: Search | None = None,
    executor: Executor | None = None,
    most_replicas: int = MOST_REPLICAS,
    retries: int = 2,
    dry_run: bool = False,
) -> list[PlannedProgram]:
    """Trains the settings of a sweep; a call that was stopped goes on where it was.

    Args:
      config: `FILE.py[:variant]`.
      workdir: of the sweep; made if missing, refused if it holds another sweep.
      overrides: dotted field -> text, for every run.
      settings: a space that stands instead of the file's `sweep()`.
      seeds: runs a setting, with seeds 0, 1, ...
      search: draws settings; None tries every combination.
      executor: who runs the programs; None is this process.
      most_replicas: runs in one program at most.
      retries: how often a program is started again after an error that may pass.
      dry_run: only say what would be run.

    Returns:
      The programs.

    Raises:
      UserError: nothing could be run as asked.
      Stopped: a signal came; what was done is kept.
    """
    path, _, variant = config.partition(":")
    experiment = load_experiment(path)
    base = plain(experiment.config(variant or None, overrides))
    tried = space.check(settings or _own_space(experiment), f"sweep of {path}")
    workdir = Path(workdir)
    identity = {"config": base, "space": space.as_json(tried), "seeds": seeds}
    if search is not None:
        # More trials later are the same search.
        identity["search"] = {k: value for k, value in vars(search).items() if k != "trials"}
    _say(experiment.title)
    prepare_jax()  # before anything is traced, which would start JAX with one device
    at_once = executor.at_once if executor else 1

    def packed(chosen: Sequence[PlannedRun]) -> list[PlannedProgram]:
        runs = [replace(run, seed=seed) for run in chosen for seed in range(seeds)]
        return pack(base, runs, most_replicas)

    if search is not None and search.method == "tpe":
        metric = _metric_of(search, executor)
        if dry_run:
            _say(f"{search.trials} trials, {search.population} at a time; a population, say:")
            programs = packed(_drawn(tried, search.population))
            _say_plan(programs, workdir, at_once)
            return programs
        _claim(workdir, identity)
        steps = base["training"]["steps"]
        study = Study(tried, workdir, metric, search.mode, search.pruner, steps)
        programs = []
        while (told := study.ended()) < search.trials:
            size = min(search.population, search.trials - told)
            _say(f"trials {told + 1} to {told + size} of {search.trials}")
            population = packed(study.population(size))
            execute(population, workdir, executor or executors.here(study.pruner), retries)
            study.tell(population, workdir)
            programs += population
    else:
        grid = [] if search else [PlannedRun(setting, 0) for setting in space.grid(tried)]
        programs = packed(_drawn(tried, search.trials) if search else grid)
        _say_plan(programs, workdir, at_once)
        if dry_run:
            return programs
        _claim(workdir, identity)
        execute(programs, workdir, executor or executors.here(), retries)
    _check_any(workdir)
    page = workdir / "report.html"
    if search is not None and search.metric:
        report([workdir / "programs"], metric=search.metric, mode=search.mode, out=page)
    else:
        report([workdir / "programs"], out=page)
    return programs


def execute(
    programs: Sequence[PlannedProgram], workdir: Path, executor: Executor, retries: int
) -> dict[str, str]:
    """Runs programs that aren't done; says and keeps how each ended.

    Returns:
      Name of each program that failed -> why.
    """
    file = workdir / "failed.json"
    waiting = [
        program
        for program in programs
        if read_results(executors.folder_of(workdir, program)) is None
    ]
    if len(waiting) < len(programs):
        _say(f"{len(programs) - len(waiting)} of {len(programs)} programs are done already")
    ours = {program.name for program in programs}
    before = json.loads(file.read_text()) if file.is_file() else {}
    failed = {name: error for name, error in before.items() if name not in ours}
    write_json(file, failed)
    for number, ended in enumerate(executor.run(waiting, workdir, retries), 1):
        results = read_results(executors.folder_of(workdir, ended.program)) or {}
        took = f"in {duration(results['seconds'])}" if results else f"failed: {ended.error}"
        tried = f" (attempt {ended.attempts})" if ended.attempts > 1 else ""
        _say(
            f"{number} of {len(waiting)}: {ended.program.name}, "
            f"{len(ended.program.runs)} run(s), {took}{tried}"
        )
        if ended.error:
            failed[ended.program.name] = ended.error
            write_json(file, failed)
    return failed


def _own_space(experiment: Experiment) -> Any:
    if not hasattr(experiment.module, "sweep"):
        raise UserError(
            f"{experiment.path} says not what to vary: it defines no function sweep(); give "
            "--set FIELD=VALUE,VALUE,... one or more times"
        )
    return experiment.module.sweep()


def _check_any(workdir: Path) -> None:
    if not any((workdir / "programs").glob("*/config.json")):
        errors = list(json.loads((workdir / "failed.json").read_text()).values())
        raise UserError(f"no run of the sweep could be started: {'; '.join(dict.fromkeys(errors))}")


def _metric_of(search: Search, executor: Executor | None) -> str:
    if search.metric is None:
        raise UserError("--search tpe needs --metric, e.g. --metric test/accuracy")
    if executor is not None and search.pruner != "none":
        raise UserError("--prune needs --executor replicas: only there evaluations are watched")
    return search.metric


def _drawn(tried: space.Space, count: int) -> list[PlannedRun]:
    generator = np.random.Generator(np.random.Philox(0))
    return [PlannedRun(space.sample(tried, generator), 0) for _ in range(count)]


def _claim(workdir: Path, identity: dict[str, Any]) -> None:
    """Makes the folder, or refuses one of another sweep."""
    file = workdir / "sweep.json"
    identity = json.loads(json.dumps(plain(identity)))
    if file.is_file():
        before = json.loads(file.read_text())
        if before != identity:
            lines = differences(before, identity, "sweep")
            raise UserError(
                f"{workdir} belongs to another sweep; it differs in\n  "
                + "\n  ".join(lines)
                + "\nchoose another folder with --workdir"
            )
        return
    if workdir.exists() and any(workdir.iterdir()):
        raise UserError(
            f"{workdir} is not empty and holds no sweep; choose another folder with --workdir"
        )
    write_atomically(file, json.dumps(identity, indent=2) + "\n")


def _say_plan(programs: Sequence[PlannedProgram], workdir: Path, at_once: int | None) -> None:
    """What is packed into which program, and what it will take.

    Args:
      programs: all of them.
      workdir: where the results go.
      at_once: programs at the same time; None if they are not run on this machine.
    """
    runs = sum(len(program.runs) for program in programs)
    _say(f"{runs} runs in {len(programs)} programs; results go to {workdir}")
    found = costs.estimate(programs) if at_once else None
    for index, program in enumerate(programs):
        count = len(program.runs)
        inside = ", ".join(program.config.replicas.vary) or "seeds"
        fixed = {
            field: value
            for field, value in program.runs[0].setting.items()
            if field not in program.config.replicas.vary
        }
        parts = [f"{count} runs that differ in {inside}" if count > 1 else "1 run"]
        parts += [f"{field}={value}" for field, value in fixed.items()]
        if at_once:
            parts.append(f"on {costs.devices_text(program)}")
        if found:
            parts.append(str(found[index]))
        _say(f"  {program.name}  {', '.join(parts)}")
    if found and at_once:
        seconds = sum(cost.seconds for cost in found) / min(at_once, len(programs))
        memory = sum(sorted(cost.memory for cost in found)[-at_once:])
        total = costs.Cost(seconds, memory)
        _say(f"in all {total}, {at_once} at a time; evaluations and checkpoints come to it")
    elif at_once:
        _say("no time is estimated: the states of a program would not fit here")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
