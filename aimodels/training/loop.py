"""The life of a run: restore, then chunks of steps up to the next event, until the last step."""

import dataclasses
import signal
import time
from collections.abc import Callable, Iterator
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
from aimodels.training.progress import Progress
from aimodels.training.step import Program, StepReport
from aimodels.training.writers import MetricsWriter


@dataclasses.dataclass
class Outcome:
    """What the loop gives back.

    Attributes:
      state: after the last step.
      metrics: of the last evaluation, split -> name -> [R].
      seconds: in this process, from the first step to the last evaluation.
      first_seconds: of them, until the first dispatch was done (it compiles).
      first_steps: steps of that dispatch.
      steps: done in this process.
    """

    state: State
    metrics: dict[str, dict[str, np.ndarray]]
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
    writer: MetricsWriter,
    progress: Progress,
) -> Outcome:
    """Trains `state` up to `config.training.steps`.

    Raises:
      TrainingFailed: a metric is not finite; the checkpoints before it are kept.
      Stopped: after a signal, when the state is saved.
    """
    steps, log_every = config.training.steps, config.training.log_every
    next_event = _events(config)
    evaluation_every, checkpoint_every = config.evaluation.every, config.checkpoint.every
    best = config.checkpoint.best
    profiler = Profiler(config, checkpoints.folder.parent / "profile")
    step = start = int(state.step[0])
    begin = time.perf_counter()
    first_seconds, first_steps = 0.0, 0
    pending: tuple[int, StepReport] | None = None
    metrics: dict[str, dict[str, np.ndarray]] = {}

    def settle() -> None:
        """Reads the report of the last dispatch but one, so that the device never waits."""
        nonlocal pending
        if pending is not None:
            at, report = pending
            pending = None
            _raise_if_failed(at, report, checkpoints)
            if at % log_every == 0 or at == steps:
                numbers = jax.device_get(report.metrics)
                writer.write(at, "train", numbers)
                progress.update(at, float(np.mean(numbers["loss"])) if "loss" in numbers else None)
            else:
                progress.update(at)

    with _signals() as received:
        while step < steps:
            chunk = min(next_event(step), step + program.plan.steps_per_dispatch) - step
            profiler.before(step)
            state, report = program.run(state, feed, step, chunk)
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
            stop = bool(received) and not last  # asked once: a signal may come at any line
            evaluate = last or _is_due(step, evaluation_every)
            save = last or _is_due(step, checkpoint_every) or bool(best and evaluate)
            if evaluate or save or stop:
                settle()
            if evaluate:
                metrics = evaluator(program, state, step)[0]
                for split, numbers in metrics.items():
                    writer.write(step, split, numbers)
            if save or stop:
                writer.sync()
                summary = mean_over_replicas(metrics) if evaluate else {}
                checkpoints.save(step, state, summary)
            checkpoints.check()
            if stop:
                checkpoints.wait()
                raise Stopped(received[0], step)
        if not metrics:  # resumed at the last step
            metrics = evaluator(program, state, step)[0]
        jax.block_until_ready(state.step)
        seconds = time.perf_counter() - begin
        checkpoints.wait()
    return Outcome(state, metrics, seconds, first_seconds, first_steps, step - start)


def mean_over_replicas(metrics: dict[str, dict[str, np.ndarray]]) -> dict[str, float]:
    """`split/name` -> mean over replicas."""
    return {
        f"{split}/{name}": float(np.mean(values))
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


def _raise_if_failed(step: int, report: StepReport, checkpoints: Checkpoints) -> None:
    failed_step = np.asarray(report.failed_step)
    if (failed_step < 0).all():
        return
    replica = int(np.flatnonzero(failed_step >= 0)[0])
    names = [name for name, failed in report.failed.items() if np.asarray(failed)[replica]]
    many = f" (replica {replica})" if len(failed_step) > 1 else ""
    checkpoints.wait()
    kept = checkpoints.steps()
    go_on = (
        f"The checkpoint of step {kept[-1]} is kept; the same command goes on from there, and "
        "`--workdir` of a new folder with a changed config starts anew"
        if kept
        else "Nothing had been saved yet; start in a new folder with a changed config"
    )
    raise TrainingFailed(
        f"not finite at step {failed_step[replica]}{many}: {', '.join(names)}. {go_on} "
        "(a smaller --config.optimizer.learning_rate, or --config.optimizer.clip_global_norm=1)."
    )


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGTERM and Ctrl-C; a second one has its usual effect."""
    received: list[int] = []
    before: dict[int, Any] = {}

    def handler(number: int, _: Any) -> None:
        received.append(number)
        signal.signal(number, before[number])

    try:
        for number in (signal.SIGTERM, signal.SIGINT):
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
        if self._profile.steps and step == self._profile.start:
            jax.profiler.start_trace(str(self._folder))
            self._active = True

    def after(self, step: int, metrics: Any) -> None:
        """Ends `profile.steps` steps later."""
        if self._active and step >= self._profile.start + self._profile.steps:
            jax.block_until_ready(metrics)
            jax.profiler.stop_trace()
            self._active = False
