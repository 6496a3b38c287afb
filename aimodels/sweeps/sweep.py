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
from aimodels.sweeps.groups import Mode, pick_mode
from aimodels.sweeps.plan import PlannedProgram, PlannedRun, pack
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
      population: settings that `tpe` suggests at once, trained as replicas.
      pruner: `none`, `asha` or `hyperband` stop settings that fall behind, at their evaluations.
    """

    method: str
    trials: int
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
    metric: str | None = None,
    mode: Mode | None = None,
    executor: Executor | None = None,
    most_replicas: int | None = None,
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
      metric: `split/name` that ranks settings in the report, by default what fits; `tpe`, which
        searches for the best of it, needs it.
      mode: whether the largest or the smallest is the best; by default by the metric's name.
      executor: who runs the programs; None is this process.
      most_replicas: runs in one program at most; by default that of the folder's sweep, else as
        many as the executor takes.
      retries: how often a program is started again after an error that may pass.
      dry_run: only say what would be run.

    Returns:
      The programs.

    Raises:
      UserError: nothing could be run as asked.
      Stopped: a signal came; what was done is kept.
    """
    prepare_jax()  # before a file of the user's, or a trace, may start it
    path, _, variant = config.partition(":")
    experiment = load_experiment(path)
    base = plain(experiment.config(variant or None, overrides))
    tried = space.check(settings or _own_space(experiment), f"sweep of {path}")
    workdir = Path(workdir)
    executor = executor or executors.here()
    most = most_replicas or _packed_before(workdir) or executor.most_replicas
    identity = {"config": base, "space": space.as_json(tried), "seeds": seeds, "pack": most}
    if search is not None:
        identity["search"] = dict(vars(search))
    _say(experiment.title)

    def packed(chosen: Sequence[PlannedRun]) -> list[PlannedProgram]:
        runs = [replace(run, seed=seed) for run in chosen for seed in range(seeds)]
        return pack(base, runs, most)

    if search is not None and search.method == "tpe":
        if metric is None:
            raise UserError("--search tpe needs --metric, e.g. --metric test/accuracy")
        if executor.watched is None and search.pruner != "none":
            raise UserError("--prune needs --executor replicas: only there evaluations are watched")
        mode = mode or pick_mode(metric)
        identity["search"] |= {"metric": metric, "mode": mode}
        identity["search"].pop("trials")  # more of them later are the same search
        if dry_run:
            _say(f"{search.trials} trials, {search.population} at a time; a population, say:")
            programs = packed(_drawn(tried, search.population))
            _say_plan(programs, workdir, executor.at_once)
            return programs
        _claim(workdir, identity)
        steps = base["training"]["steps"]
        study = Study(tried, workdir, metric, mode, search.pruner, steps)
        programs = []
        while (told := study.ended()) < search.trials:
            size = min(search.population, search.trials - told)
            _say(f"trials {told + 1} to {told + size} of {search.trials}")
            population = packed(study.population(size))
            watched = executor.watched and executor.watched(study.pruner)
            execute(population, workdir, watched or executor, retries)
            study.tell(population, workdir)
            programs += population
    else:
        grid = [] if search else [PlannedRun(setting, 0) for setting in space.grid(tried)]
        programs = packed(_drawn(tried, search.trials) if search else grid)
        _say_plan(programs, workdir, executor.at_once)
        if dry_run:
            return programs
        _claim(workdir, identity)
        execute(programs, workdir, executor, retries)
    _check_any(workdir)
    page = workdir / "report.html"
    report([workdir / "programs"], metric=metric, mode=mode, out=page, title=experiment.title)
    return programs


def execute(
    programs: Sequence[PlannedProgram], workdir: Path, executor: Executor, retries: int
) -> dict[str, str]:
    """Runs programs that aren't done; says and keeps how each ended.

    Returns:
      Name of each program that failed -> why.
    """
    file = workdir / "failed.json"
    waiting = _waiting(programs, workdir)
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


def _waiting(programs: Sequence[PlannedProgram], workdir: Path) -> list[PlannedProgram]:
    """Those that are not done yet."""
    folders = ((program, executors.folder_of(workdir, program)) for program in programs)
    return [program for program, folder in folders if read_results(folder) is None]


def _packed_before(workdir: Path) -> int | None:
    """Runs a program in the sweep that the folder holds: packed otherwise, none would be done."""
    file = workdir / "sweep.json"
    return json.loads(file.read_text()).get("pack") if file.is_file() else None


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


def _drawn(tried: space.Space, count: int) -> list[PlannedRun]:
    generator = np.random.Generator(np.random.Philox(0))
    return [PlannedRun(space.sample(tried, generator), 0) for _ in range(count)]


def _claim(workdir: Path, identity: dict[str, Any]) -> None:
    """Makes the folder, or refuses one of another sweep."""
    file = workdir / "sweep.json"
    identity = json.loads(json.dumps(plain(identity)))
    if file.is_file():
        before = {"pack": identity["pack"], **json.loads(file.read_text())}
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
    waiting = _waiting(programs, workdir)
    taken = costs.estimate(waiting) if at_once else {}
    for program in programs:
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
        if program.name in taken:
            parts.append(str(taken[program.name]))
        _say(f"  {program.name}  {', '.join(parts)}")
    if taken and at_once:
        seconds = sum(cost.seconds for cost in taken.values()) / min(at_once, len(taken))
        memory = sum(sorted(cost.memory for cost in taken.values())[-at_once:])
        total = costs.Cost(seconds, memory)
        _say(f"in all {total}, {at_once} at a time; evaluations and checkpoints come to it")
    elif at_once and waiting:
        _say("no time is estimated: the programs are too large to be tried here, or can't be built")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
