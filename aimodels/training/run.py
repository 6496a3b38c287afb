"""Trains a config: what the command calls, and what a program may call."""

import contextlib
import ctypes
import dataclasses
import io
import json
import os
import resource
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

from aimodels.config import Config, load_config, resolve
from aimodels.data.feed import Feed
from aimodels.errors import UserError, raised_on_host, unknown
from aimodels.tasks.base import State
from aimodels.training import processes
from aimodels.training.assembly import Assembly, count, prepare_jax
from aimodels.training.build import check_vocabulary
from aimodels.training.checkpoints import Checkpoints
from aimodels.training.evaluation import Evaluator
from aimodels.training.figures import curves_png
from aimodels.training.initial_weights import initial_weights
from aimodels.training.loop import Outcome, by_split, train_loop
from aimodels.training.plan import choose_plan
from aimodels.training.progress import Progress
from aimodels.training.replicas import DONE, Pruner, Replicas
from aimodels.training.step import Plan, Program
from aimodels.training.workdir import opened, read_results, write_json
from aimodels.training.writers import MetricsWriter


@dataclasses.dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
      workdir: its folder.
      results: what results.json holds.
    """

    workdir: Path
    results: dict[str, Any]

    @property
    def metrics(self) -> dict[str, float]:
        """`split/metric` -> mean over the replicas that are done."""
        replicas = [replica["metrics"] for replica in self.results["replicas"]]
        done = [metrics for metrics in replicas if metrics]
        return {name: float(np.mean([r[name] for r in done])) for name in done[0]} if done else {}


def train(
    config: Config,
    workdir: str | os.PathLike,
    *,
    origin: Mapping[str, Any] | None = None,
    label: str = "",
    verbose: bool = True,
    pruner: Pruner | None = None,
) -> Result:
    """Trains a config in a work folder, or goes on where an earlier call stopped.

    Args:
      config: a config (what an experiment's `get_config` returns), or `FILE.py[:variant]`.
      workdir: made if it isn't there; one that holds another config is refused.
      origin: experiment, variant and overrides, for results.json.
      label: stands before the progress bar and over curves.png.
      verbose: whether messages and progress go to standard error.
      pruner: says after each evaluation which replicas are to be stopped.

    Raises:
      UserError: the config, the data or the folder can't be used; nothing was changed.
      TrainingFailed: a metric was not finite, in every replica.
      Stopped: SIGTERM or Ctrl-C; the state was saved.
    """
    prepare_jax()  # before a file of the user's may start it
    if isinstance(config, str):
        path, _, variant = config.partition(":")
        origin = origin or {"experiment": path, "variant": variant or None, "overrides": {}}
        config = load_config(config)
    config = resolve(config)
    prepare_jax(config)
    workdir = Path(workdir)
    first = processes.is_first()
    stream = sys.stderr if verbose and first else io.StringIO()
    progress = Progress(config.training.steps, label=label, stream=stream)
    assembly = Assembly(config, progress.message)
    check_vocabulary(config)
    feeds = assembly.feeds()
    evaluator = Evaluator(config, assembly.layout)
    with opened(workdir, config) if first else contextlib.nullcontext(), raised_on_host():
        done = processes.share(read_results(workdir) if first else None)
        if done is not None:
            progress.message(f"{workdir} is finished; its results are in results.json")
            return Result(workdir, done)
        if first:
            assembly.keep_files(workdir)
        outcome = _train(assembly, workdir, feeds, evaluator, progress, pruner)
        results = _results(config, outcome, origin)
        if first:
            curves_png(workdir / "metrics.jsonl", workdir / "curves.png", title=label)
            write_json(workdir / "results.json", results)  # the last: it says that all is there
    progress.close()
    return Result(workdir, results)


def _train(
    assembly: Assembly,
    workdir: Path,
    feeds: Callable[[], Feed],
    evaluator: Evaluator,
    progress: Progress,
    pruner: Pruner | None,
) -> Outcome:
    config = assembly.config
    feed = feeds()
    checkpoints = Checkpoints(workdir, config)
    target = assembly.target()
    # Of a run that goes on, its checkpoint has them.
    begins = "init_from" in config and not processes.share(checkpoints.steps())
    given = initial_weights(assembly, target) if begins else None

    def first_state() -> State:
        restored = checkpoints.restore_latest(target, progress.message)
        return assembly.program().init(feed, target, given) if restored is None else restored

    # Compilations take most of the time to the first step, so two of them run at once.
    with ThreadPoolExecutor(1) as beside:
        # Several processes are told of both, in an order that must be the same in all of them.
        plan = _plan_of(assembly, workdir, feeds, target) if processes.several() else None
        waiting = beside.submit(first_state)
        plan = plan or _plan_of(assembly, workdir, feeds, target)
        if plan.reason:
            progress.message(
                f"{plan.steps_per_dispatch} steps a dispatch"
                + (f", replicas {plan.replicas}" if len(config.replicas.seeds) > 1 else "")
                + f" ({plan.reason})"
            )
        program = assembly.program(plan)
        _check_best(config, evaluator, program, target)
        program.compile(feed, target)
        state = waiting.result()
    idle = jax.device_count() - assembly.layout.devices
    if idle > 0 and jax.default_backend() != "cpu":  # a CPU's devices share its cores
        progress.message(
            f"{idle} of {jax.device_count()} devices are idle; "
            f"--config.parallel.data={jax.device_count()} would use them"
        )
    replicas = Replicas(workdir, processes.fetch(state.step))
    step = replicas.step
    if step:
        progress.message(f"goes on from step {step:,} of {config.training.steps:,}")
    _give_back_memory()
    evaluator.prepare(program, target)
    progress.begin(step)
    writer = MetricsWriter(workdir, config.replicas.seeds, step) if processes.is_first() else None
    parts = (feed, evaluator, checkpoints, writer, progress, replicas, pruner)
    try:
        return train_loop(config, program, state, *parts)
    finally:
        progress.close()
        if writer is not None:
            writer.close()


def _plan_of(assembly: Assembly, workdir: Path, feeds: Callable[[], Feed], target: State) -> Plan:
    """The plan that the folder's run began with, else the one to begin with."""
    file = workdir / "plan.json"

    def found() -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError, TypeError):
            return dataclasses.asdict(Plan(**json.loads(file.read_text())))
        plan = choose_plan(assembly.config, assembly.program, feeds, target, assembly.step_flops)
        write_json(file, dataclasses.asdict(plan))
        return dataclasses.asdict(plan)

    return Plan(**processes.share(found() if processes.is_first() else None))


def _give_back_memory() -> None:
    """Compilation leaves some 150 MB of free heap, which glibc returns only when told to."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _check_best(config: Config, evaluator: Evaluator, program: Program, state: State) -> None:
    best = config.checkpoint.best
    if best:
        names = evaluator.metric_names(program, state)
        if best not in names:
            raise UserError(f"config.checkpoint.best: {unknown('metric', best, names)}")


def _results(config: Config, outcome: Outcome, origin: Mapping[str, Any] | None) -> dict[str, Any]:
    replicas = []
    final = by_split(outcome.metrics)
    for index, (seed, status) in enumerate(
        zip(config.replicas.seeds, outcome.statuses, strict=True)
    ):
        done = final if status == DONE else {}
        metrics = {name: float(values[index]) for name, values in done.items()}
        varied = {name: values[index] for name, values in config.replicas.vary.items()}
        replicas.append({"seed": seed, "varied": varied, "status": status, "metrics": metrics})
    origin = origin or {}
    later_steps = outcome.steps - outcome.first_steps
    later_seconds = outcome.seconds - outcome.first_seconds
    return {
        "experiment": origin.get("experiment"),
        "variant": origin.get("variant"),
        "overrides": dict(origin.get("overrides", {})),
        "replicas": replicas,
        "parameters": count(outcome.state.params) // len(config.replicas.seeds),
        "steps": config.training.steps,
        "seconds": outcome.seconds,
        "first_dispatch_seconds": outcome.first_seconds,
        "steps_per_second": later_steps / later_seconds if later_steps else None,
        "peak_memory_bytes": peak_memory_bytes(),
    }


def peak_memory_bytes() -> int:
    """The most memory that was in use: the device's if it tells, else that of the process."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    unit = 1 if sys.platform == "darwin" else 1024
    process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return int(statistics.get("peak_bytes_in_use", process))
