"""Trains, evaluates and loads a config: what the commands call, and what a program may call."""

import contextlib
import ctypes
import dataclasses
import functools
import io
import json
import os
import resource
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aimodels.config import Config, load_config, plain, resolve
from aimodels.data.feed import DeviceFeed, EmptyFeed, Feed, HostFeed, device_budget, size_in_bytes
from aimodels.errors import UserError, unknown
from aimodels.tasks.base import Batch, State, Task
from aimodels.training.build import abstract_batch, load_split, task_builder, varied_in_program
from aimodels.training.checkpoints import Checkpoints
from aimodels.training.evaluation import Evaluator
from aimodels.training.figures import curves_png
from aimodels.training.loop import Outcome, by_split, train_loop
from aimodels.training.parallel import Layout, make_layout
from aimodels.training.plan import cache_folder, choose_plan
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


# What serves where no steps are run.
UNPLANNED = Plan(1, "sequential")


class Assembly:
    """The parts of a resolved config, made when they are first asked for.

    Args:
      config: the resolved config.
      warn: where messages for people go.
    """

    def __init__(self, config: Config, warn: Callable[[str], None] = lambda text: None) -> None:
        use_compilation_cache()
        self.config, self.warn = config, warn
        self._build = task_builder(config)

    @functools.cached_property
    def layout(self) -> Layout:
        """Where arrays live; `UserError` if there are too few devices."""
        return make_layout(self.config)

    def program(self, plan: Plan = UNPLANNED) -> Program:
        """The compiled functions under a plan; without one they can initialise and evaluate."""
        return Program(
            self._build,
            self.config.replicas.seeds,
            varied_in_program(self.config),
            self.layout,
            plan,
        )

    def task(self, replica: int = 0) -> Task:
        """The task with the values of one replica."""
        varied = varied_in_program(self.config)
        return self._build({name: values[replica] for name, values in varied.items()})

    def feeds(self) -> Callable[[], Feed]:
        """A function that makes feeds, all from one copy of the training set."""
        config = self.config
        seeds = config.replicas.seeds
        if config.data is None:
            return lambda: EmptyFeed(len(seeds))
        sources = load_split(config, config.training.split)
        size = size_in_bytes(sources[0]) * len(sources)
        budget = device_budget(jax.devices()[0])
        where = config.execution.feed
        if where == "auto":
            where = "device" if size <= budget else "host"
        batching = (config.training.batch_size, config.training.order)
        if where == "host":
            return lambda: HostFeed(sources, seeds, *batching)
        put = partial(self.layout.put, per_replica=len(sources) > 1)
        feed = DeviceFeed(sources, seeds, *batching, put)
        return lambda: feed

    def abstract(self) -> tuple[State, Batch]:
        """The state of one replica and a training batch, in shapes alone."""
        batch = abstract_batch(self.config)
        return jax.eval_shape(self.task().init, _abstract_key(), batch), batch

    def target(self) -> State:
        """The state of all replicas in shapes, dtypes and shardings alone."""
        return self.program().abstract_state(abstract_batch(self.config))

    def step_flops(self) -> float:
        """Floating-point operations of a training step of one replica, as XLA estimates them."""
        state, batch = self.abstract()
        step = jax.jit(self.task().train_step)
        analysis = step.lower(state, batch, _abstract_key()).cost_analysis()
        return float((analysis or {}).get("flops", 0.0))


def _abstract_key() -> Any:
    return jax.eval_shape(lambda: jax.random.key(0))


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
      label: stands before the progress bar.
      verbose: whether messages and progress go to standard error.
      pruner: says after each evaluation which replicas are to be stopped.

    Raises:
      UserError: the config, the data or the folder can't be used; nothing was changed.
      TrainingFailed: a metric was not finite, in every replica.
      Stopped: SIGTERM or Ctrl-C; the state was saved.
    """
    if isinstance(config, str):
        path, _, variant = config.partition(":")
        origin = origin or {"experiment": path, "variant": variant or None, "overrides": {}}
        config = load_config(config)
    config = resolve(config)
    workdir = Path(workdir)
    stream = sys.stderr if verbose else io.StringIO()
    progress = Progress(config.training.steps, label=label, stream=stream)
    assembly = Assembly(config, progress.message)
    feeds = assembly.feeds()
    evaluator = Evaluator(config, assembly.layout)
    with opened(workdir, config):
        done = read_results(workdir)
        if done is not None:
            progress.message(f"{workdir} is finished; its results are in results.json")
            return Result(workdir, done)
        outcome = _train(assembly, workdir, feeds, evaluator, progress, pruner)
        results = _results(config, outcome, origin)
        curves_png(workdir / "metrics.jsonl", workdir / "curves.png")
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

    def first_state() -> State:
        restored = checkpoints.restore_latest(target, progress.message)
        return assembly.program().init(feed, target) if restored is None else restored

    # Compilations take most of the time to the first step, so two of them run at once.
    with ThreadPoolExecutor(1) as beside:
        waiting = beside.submit(first_state)
        plan = _plan_of(assembly, workdir, feeds, target)
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
    replicas = Replicas(workdir, np.asarray(state.step))
    step = replicas.step
    if step:
        progress.message(f"goes on from step {step:,} of {config.training.steps:,}")
    _give_back_memory()
    evaluator.prepare(program, target)
    progress.begin(step)
    writer = MetricsWriter(workdir, config.replicas.seeds, step)
    parts = (feed, evaluator, checkpoints, writer, progress, replicas, pruner)
    try:
        return train_loop(config, program, state, *parts)
    finally:
        progress.close()
        writer.close()


def _plan_of(assembly: Assembly, workdir: Path, feeds: Callable[[], Feed], target: State) -> Plan:
    """The plan that the folder's run began with, else the one to begin with."""
    file = workdir / "plan.json"
    try:
        return Plan(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        pass
    plan = choose_plan(assembly.config, assembly.program, feeds, target, assembly.step_flops)
    write_json(file, dataclasses.asdict(plan))
    return plan


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


def count(params: Any) -> int:
    """How many numbers a tree of arrays holds."""
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))


def peak_memory_bytes() -> int:
    """The most memory that was in use: the device's if it tells, else that of the process."""
    statistics = jax.devices()[0].memory_stats() or {}
    unit = 1 if sys.platform == "darwin" else 1024
    process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return int(statistics.get("peak_bytes_in_use", process))


def use_compilation_cache() -> None:
    """Keeps compiled programs in the cache folder, unless JAX was told another one."""
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


class Loaded:
    """A trained run, read from its work folder.

    Attributes:
      config: the resolved config.
      task: the task, with the values of the replica.
      step: of the checkpoint.
      state: of the replica.
    """

    def __init__(self, workdir: str | os.PathLike, step: int | str, replica: int) -> None:
        workdir = Path(workdir)
        file = workdir / "config.json"
        if not file.is_file():
            raise UserError(f"{workdir} is not a work folder: it has no config.json")
        self.config = load_config(str(file))
        replicas = len(self.config.replicas.seeds)
        if not 0 <= replica < replicas:
            raise UserError(f"replica {replica} does not exist: {workdir} has 0 to {replicas - 1}")
        self._assembly = Assembly(self.config)
        self.task = self._assembly.task(replica)
        self.checkpoints = Checkpoints(workdir, self.config)
        self.step = _pick_step(self.checkpoints, step)
        self.program = self._assembly.program()
        self.layout = self._assembly.layout
        self.all_replicas = self.checkpoints.restore(self.step, self._assembly.target())
        self.state: State = jax.tree.map(lambda leaf: leaf[replica], self.all_replicas)
        self._predict = jax.jit(self.task.predict)

    @property
    def params(self) -> Any:
        """The weights to use: the moving average if there is one."""
        return self.state.variables["params"]

    def predict(self, inputs: Any, **fields: Any) -> np.ndarray:
        """The model's outputs for raw inputs [B, ...], as the data set gives them.

        Args:
          inputs: [B, ...].
          fields: others that a batch has, e.g. `lengths` [B].
        """
        batch = {name: jnp.asarray(value) for name, value in {"inputs": inputs, **fields}.items()}
        return np.asarray(self._predict(self.state, batch))


def _pick_step(checkpoints: Checkpoints, step: int | str) -> int:
    steps = checkpoints.steps()
    if not steps:
        raise UserError(f"{checkpoints.folder} has no checkpoint; train the run first")
    if step == "latest":
        return steps[-1]
    if step == "best":
        best = checkpoints.best_step()
        if best is None:
            raise UserError(
                f"{checkpoints.folder} has no best checkpoint: the run's config.checkpoint.best "
                "names no metric; take step latest"
            )
        return best
    if not str(step).isdigit() or int(step) not in steps:
        raise UserError(f"step {step!r}: {checkpoints.folder} has latest, best and {steps}")
    return int(step)


def load(workdir: str | os.PathLike, *, step: int | str = "latest", replica: int = 0) -> Loaded:
    """Reads a run: its config, task, weights and a predict function.

    Args:
      workdir: where it was trained.
      step: `latest`, `best` or a number.
      replica: which one, counted from 0.
    """
    return Loaded(workdir, step, replica)


def evaluate(
    workdir: str | os.PathLike,
    *,
    splits: tuple[str, ...] | None = None,
    step: int | str = "latest",
) -> dict[str, Any]:
    """Evaluates a checkpoint of a run: `{"step", "replicas": [{"seed", "metrics", "arrays"}]}`."""
    loaded = load(workdir, step=step)
    evaluator = Evaluator(loaded.config, loaded.layout, splits)
    scalars, arrays = evaluator(loaded.program, loaded.all_replicas, loaded.step)

    def of(results: Mapping[str, Mapping[str, np.ndarray]], replica: int) -> dict[str, Any]:
        return {name: values[replica].tolist() for name, values in by_split(results).items()}

    return {
        "workdir": str(workdir),
        "step": loaded.step,
        "replicas": [
            {"seed": seed, "metrics": of(scalars, index), "arrays": of(arrays, index)}
            for index, seed in enumerate(plain(loaded.config.replicas.seeds))
        ],
    }
