"""The life of a run: restore, then chunks of steps up to the next event, until the last step."""

import dataclasses
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from aimodels.config import Config
from aimodels.data.feed import Feed
from aimodels.errors import Stopped, TrainingFailed
from aimodels.tasks.base import State
from aimodels.training.checkpoints import Checkpoints
from aimodels.training.evaluation import Evaluator
from aimodels.training.processes import fetch, is_first, several, stops
from aimodels.training.progress import Progress
from aimodels.training.replicas import Pruner, Replicas
from aimodels.training.step import Program, StepReport
from aimodels.training.writers import MetricsWriter


@dataclasses.dataclass
class Outcome:
    """What the loop gives back.

    Attributes:
      state: after the last step.
      metrics: of the last evaluation, split -> name -> [R].
      statuses: of each replica: `done`, or when and why it was stopped.
      seconds: in this process, from the first step to the last evaluation.
      first_seconds: of them, until the first dispatch was done (it compiles).
      first_steps: steps of that dispatch.
      steps: done in this process.
    """

    state: State
    metrics: dict[str, dict[str, np.ndarray]]
    statuses: list[str]
    seconds: float
    first_seconds: float
    first_steps: int
    steps: int


def train_loop(
    config: Config,
    program: Program,
    state: State,
    feed: Feed,
    evaluator: Evaluator,
    checkpoints: Checkpoints,
    writer: MetricsWriter | None,
    progress: Progress,
    replicas: Replicas,
    pruner: Pruner | None = None,
) -> Outcome:
    """Trains `state` up to `config.training.steps`, or until every replica was stopped.

    Raises:
      TrainingFailed: a metric of every replica was not finite; the checkpoints before are kept.
      Stopped: after a signal, when the state is saved.
    """
    steps, log_every = config.training.steps, config.training.log_every
    next_event = _events(config)
    evaluation_every, checkpoint_every = config.evaluation.every, config.checkpoint.every
    best = config.checkpoint.best
    profiler = Profiler(config, checkpoints.folder.parent / "profile")
    step = start = replicas.step
    begin = time.perf_counter()
    first_seconds, first_steps, rounds = 0.0, 0, 0
    pending: tuple[int, StepReport] | None = None
    metrics: dict[str, dict[str, np.ndarray]] = {}

    def write(at: int, split: str, numbers: dict[str, np.ndarray]) -> None:
        if writer is not None:
            writer.write(at, split, numbers, replicas.active)

    def settle() -> None:
        """Reads the report of the last dispatch but one, so that the device never waits."""
        nonlocal pending
        if pending is not None:
            at, report = pending
            pending = None
            _note_failures(report, replicas, progress, checkpoints)
            if at % log_every == 0 or at == steps:
                numbers = fetch(report.metrics)
                write(at, "train", numbers)
                progress.update(at, replicas.mean(numbers["loss"]) if "loss" in numbers else None)
            else:
                progress.update(at)

    with _signals() as received:
        while step < steps and replicas.active.any():
            chunk = min(next_event(step), step + program.plan.steps_per_dispatch) - step
            profiler.before(step)
            state, report = program.run(state, feed, step, chunk, replicas.active)
            step += chunk
            settle()
            pending = (step, report)
            if not first_steps:
                jax.block_until_ready(report.metrics)
                first_seconds, first_steps = time.perf_counter() - begin, chunk
            profiler.after(step, report.metrics)

            # The order of events after a step: its metrics are written, it is evaluated, it is
            # saved, the run stops. So a checkpoint never holds a state that isn't finite, and
            # everything up to it is in metrics.jsonl.
            last = step == steps
            rounds += 1
            stop = stops(bool(received), rounds) and not last  # asked once: it may come at any line
            evaluate = last or _is_due(step, evaluation_every)
            save = last or _is_due(step, checkpoint_every) or bool(best and evaluate)
            if evaluate or save or stop:
                settle()
            if evaluate:
                metrics = evaluator(program, state, step)[0]
                for split, numbers in metrics.items():
                    write(step, split, numbers)
                if pruner is not None and not last:
                    for replica in pruner(step, by_split(metrics), replicas.active):
                        replicas.stop(replica, step, f"pruned at step {step}")
            if save or stop:
                if writer is not None:
                    writer.sync()
                summary = by_split(metrics) if evaluate else {}
                means = {name: replicas.mean(values) for name, values in summary.items()}
                checkpoints.save(step, state, means)
            checkpoints.check()
            if stop:
                checkpoints.wait()
                raise Stopped(received[0] if received else signal.SIGTERM, step)
        if not metrics:  # resumed at the last step
            metrics = evaluator(program, state, step)[0]
        jax.block_until_ready(state.step)
        seconds = time.perf_counter() - begin
        checkpoints.wait()
    return Outcome(
        state, metrics, replicas.statuses, seconds, first_seconds, first_steps, step - start
    )


def by_split(metrics: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """`split/name` -> [R]."""
    return {
        f"{split}/{name}": values
        for split, numbers in metrics.items()
        for name, values in numbers.items()
    }


def _is_due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _events(config: Config) -> Callable[[int], int]:
    """A function of a step: the next one at which something other than training happens."""
    everies = (config.training.log_every, config.evaluation.every, config.checkpoint.every)
    everies = tuple(every for every in everies if every)
    fixed = [config.training.steps]
    if config.profile.steps:
        fixed += [config.profile.start, config.profile.start + config.profile.steps]

    def following(step: int) -> int:
        events = [at for at in fixed if at > step]
        return min(events + [(step // every + 1) * every for every in everies])

    return following


def _note_failures(
    report: StepReport, replicas: Replicas, progress: Progress, checkpoints: Checkpoints
) -> None:
    """Stops replicas with a metric that isn't finite; raises when no other is left."""
    failed_steps = fetch(report.failed_step)
    if (failed_steps < 0).all():
        return
    failed = fetch(report.failed)
    for replica in np.flatnonzero(failed_steps >= 0).tolist():
        names = ", ".join(name for name, which in failed.items() if which[replica])
        at = int(failed_steps[replica])
        replicas.stop(replica, at, f"failed at step {at}: {names}")
        if replicas.active.any():
            progress.message(
                f"replica {replica} stands still: not finite at step {at}: {names}; "
                f"{replicas.active.sum()} go on"
            )
    if replicas.active.any():
        return
    many = f" (replica {replica})" if len(failed_steps) > 1 else ""
    checkpoints.wait()
    kept = checkpoints.steps()
    go_on = (
        f"The checkpoint of step {kept[-1]} is kept; the same command goes on from there, and "
        "`--workdir` of a new folder with a changed config starts anew"
        if kept
        else "Nothing had been saved yet; start in a new folder with a changed config"
    )
    raise TrainingFailed(
        f"not finite at step {at}{many}: {names}. {go_on} "
        "(a smaller --config.optimizer.learning_rate, or --config.optimizer.clip_global_norm=1)."
    )


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGTERM and Ctrl-C; a second one has its usual effect.

    In several processes JAX listens for SIGTERM, and tells all of them; so a Ctrl-C becomes one.
    """
    received: list[int] = []
    before: dict[int, Any] = {}

    def handler(number: int, _: Any) -> None:
        received.append(number)
        signal.signal(number, before[number])
        if several():
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        for number in (signal.SIGINT,) if several() else (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, handler)
    except ValueError:  # not in the main thread: signals are somebody else's
        pass
    try:
        yield received
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


class Profiler:
    """Traces the steps that `config.profile` names, for TensorBoard or Perfetto."""

    def __init__(self, config: Config, folder: Any) -> None:
        self._profile, self._folder, self._active = config.profile, folder, False

    def before(self, step: int) -> None:
        """Starts at step `profile.start`."""
        if is_first() and self._profile.steps and step == self._profile.start:
            jax.profiler.start_trace(str(self._folder))
            self._active = True

    def after(self, step: int, metrics: Any) -> None:
        """Ends `profile.steps` steps later."""
        if self._active and step >= self._profile.start + self._profile.steps:
            jax.block_until_ready(metrics)
            jax.profiler.stop_trace()
            self._active = False
