"""Who runs the programs of a sweep: this process, several processes, or a Ray cluster.

All of them do the same to a program: `aimodels train` in its work folder, which goes on where an
earlier attempt was stopped. So the results don't depend on who ran them.
"""

import contextlib
import dataclasses
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeAlias

from aimodels.config import to_json
from aimodels.errors import Stopped, TrainingFailed, UserError
from aimodels.files import write_atomically
from aimodels.sweeps.plan import MOST_REPLICAS, PlannedProgram
from aimodels.training.parallel import cores
from aimodels.training.replicas import Pruner
from aimodels.training.workdir import IN_USE

IN_USE_SECONDS = 2.0
# Attempts that end otherwise would end so again.
FINAL = (0, UserError.exit_code, TrainingFailed.exit_code)
SIGNALS = (signal.SIGTERM, signal.SIGINT)

PrunerOf: TypeAlias = Callable[[PlannedProgram], Pruner | None]


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a program ended.

    Attributes:
      program: which one.
      error: what went wrong; "" for nothing.
      attempts: how often it was started in this call.
    """

    program: PlannedProgram
    error: str = ""
    attempts: int = 1


# Runs programs in the folder of a sweep, and starts one again after an error that may pass, at most
# so many times; gives each as it ends.
Execute: TypeAlias = Callable[[Sequence[PlannedProgram], Path, int], Iterator[Ended]]


@dataclasses.dataclass(frozen=True)
class Executor:
    """Who runs the programs of a sweep.

    Attributes:
      run: programs, the sweep's folder and how often one is started again -> each as it ends.
      at_once: programs at the same time; None where another machine decides.
      most_replicas: runs that it takes in one program.
      watched: the same with replicas that are stopped early, as a pruner says; None if it can't.
    """

    run: Execute
    at_once: int | None = 1
    most_replicas: int = 1
    watched: Callable[[PrunerOf], "Executor"] | None = None


def folder_of(workdir: Path, program: PlannedProgram) -> Path:
    """The work folder of a program of a sweep."""
    return workdir / "programs" / program.name


def here(pruner_of: PrunerOf = lambda program: None) -> Executor:
    """One program after the other in this process, each on all devices.

    Args:
      pruner_of: which of a program's replicas are to be stopped early.
    """

    def execute(programs: Sequence[PlannedProgram], workdir: Path, retries: int) -> Iterator[Ended]:
        from aimodels.training.run import train

        for number, program in enumerate(programs, 1):
            label = f"program {number} of {len(programs)}"
            run = partial(train, program.config, folder_of(workdir, program), label=label)
            for attempt in range(1, retries + 2):
                error = ""
                try:
                    run(pruner=pruner_of(program))
                except (UserError, TrainingFailed) as failure:
                    error = str(failure)
                except Exception as failure:
                    error = "".join(traceback.format_exception_only(failure)).strip()
                    if attempt <= retries:
                        continue
                yield Ended(program, error, attempt)
                break

    return Executor(execute, 1, MOST_REPLICAS, here)


def processes(jobs: int | None = None) -> Executor:
    """Programs in processes of their own, with logs in `logs/`.

    Args:
      jobs: how many at a time; by default one a GPU, or one a core where there is none. Each has
        one GPU, the next process the next one.
    """
    gpus = visible_gpus()
    jobs = jobs or len(gpus) or cores()
    slots: SimpleQueue[dict[str, str]] = SimpleQueue()
    for index in range(jobs):
        slots.put({"CUDA_VISIBLE_DEVICES": gpus[index % len(gpus)]} if gpus else {})

    def execute(programs: Sequence[PlannedProgram], workdir: Path, retries: int) -> Iterator[Ended]:
        children = _Children()

        def run(program: PlannedProgram, workdir: Path) -> int | None:
            slot = slots.get()
            try:
                return children.run(program, workdir, slot)
            finally:
                slots.put(slot)

        with children.signals_handed_on(), ThreadPoolExecutor(jobs) as pool:
            running = {
                pool.submit(_until_done, run, program, workdir, retries) for program in programs
            }
            yield from _as_they_end(running, children.received)
        if children.received:
            raise Stopped(children.received[0])

    # What is tried on a GPU to estimate costs would take its memory from the processes.
    return Executor(execute, None if gpus else jobs)


def visible_gpus() -> list[str]:
    """The numbers of NVIDIA's GPUs here, as CUDA_VISIBLE_DEVICES has them; JAX is not started."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [gpu for gpu in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if gpu]
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
    except OSError:
        return []
    lines = listed.stdout.splitlines() if not listed.returncode else []
    return [str(index) for index, _ in enumerate(lines)]


def ray(cpus: float, gpus: float, address: str | None) -> Executor:
    """Each program is a task of a Ray cluster, whose nodes share the sweep's folder.

    Args:
      cpus: of a program.
      gpus: of a program.
      address: of the cluster; None starts one on this machine.
    """
    try:
        library: Any = importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise UserError(
            "--executor ray needs Ray: pip install 'aimodels[ray]', or take --executor processes"
        ) from error

    def execute(programs: Sequence[PlannedProgram], workdir: Path, retries: int) -> Iterator[Ended]:
        started = not library.is_initialized()
        if started:
            library.init(address=address, log_to_driver=False, include_dashboard=False)
        # A lost node is Ray's to retry, a failed process ours.
        remote = library.remote(num_cpus=cpus, num_gpus=gpus, max_retries=retries)(_run_alone)
        tasks = {
            remote.remote(program, workdir.resolve(), retries): program for program in programs
        }
        try:
            while tasks:
                (done,), _ = library.wait(list(tasks), num_returns=1)
                program = tasks.pop(done)
                try:
                    yield library.get(done)
                except library.exceptions.RayError as error:
                    yield Ended(program, f"{type(error).__name__}: {str(error).splitlines()[0]}")
        finally:
            if started:
                library.shutdown()

    return Executor(execute, None)


def _run_alone(program: PlannedProgram, workdir: Path, retries: int) -> Ended:
    return _until_done(_Children().run, program, workdir, retries)


def _until_done(
    run: Callable[[PlannedProgram, Path], int | None],
    program: PlannedProgram,
    workdir: Path,
    retries: int,
) -> Ended:
    log = workdir / "logs" / f"{program.name}.log"
    attempts = 0
    while True:
        code = run(program, workdir)
        if code == UserError.exit_code and IN_USE in _last_words(log):
            time.sleep(IN_USE_SECONDS)  # a sweep that was killed has left its process: it goes on
            continue
        attempts += 1
        if code in (None, *FINAL) or attempts > retries:
            break
    error = "" if code == 0 else _last_words(log) or f"exit code {code}"
    return Ended(program, error, attempts)


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("aimodels: ")]
    return (said or lines or [""])[-1].removeprefix("aimodels: ")


def _as_they_end(running: set[Future], received: Sequence[int]) -> Iterator[Ended]:
    while running:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            if not received:
                yield future.result()


class _Children:
    """Processes that train programs; a signal is handed on to them, and no other is started."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self._alive: set[subprocess.Popen] = set()
        self._lock = threading.Lock()

    def run(
        self, program: PlannedProgram, workdir: Path, environment: Mapping[str, str] | None = None
    ) -> int | None:
        """The exit code of one attempt; None if a signal came before it."""
        folder = folder_of(workdir, program)
        config, log = folder.with_suffix(".json"), workdir / "logs" / f"{program.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(config, to_json(program.config))
        command = [sys.executable, "-m", "aimodels.cli", "train"]
        command += [f"--config={config}", f"--workdir={folder}"]
        with log.open("a") as output:
            with self._lock:
                if self.received:
                    return None
                child = subprocess.Popen(
                    command,
                    stdout=subprocess.DEVNULL,
                    stderr=output,
                    env=os.environ | {"PYTHONUNBUFFERED": "1", **(environment or {})},
                    start_new_session=True,  # Ctrl-C reaches it through us, once
                )
                self._alive.add(child)
                if self.received:  # while it was being started
                    child.terminate()
            code = child.wait()
            with self._lock:
                self._alive.discard(child)
        return code

    @contextlib.contextmanager
    def signals_handed_on(self) -> Iterator[None]:
        """While it lasts, SIGTERM and Ctrl-C go to the processes."""

        def hand_on(number: int, _: Any) -> None:
            self.received.append(number)
            for child in list(self._alive):
                with contextlib.suppress(ProcessLookupError):
                    child.send_signal(signal.SIGTERM)

        before = {number: signal.signal(number, hand_on) for number in SIGNALS}
        try:
            yield
        finally:
            for number, previous in before.items():
                signal.signal(number, previous)
