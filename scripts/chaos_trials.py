"""A trial: a run that is disturbed, started again until it ends, and compared with a whole one."""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import logging
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import chaos_configs
import numpy as np
from chaos_disturbances import DISTURBANCES, Attempt, Wrong, wait_for_moment

from aimodels.config import Config, to_json
from aimodels.training.load import load
from aimodels.training.plan import cache_folder
from aimodels.training.workdir import read_results
from aimodels.training.writers import read_metrics

ROOT = Path(__file__).resolve().parent.parent
_comparing, _making = threading.Lock(), threading.Lock()


# --- a trial --------------------------------------------------------------------------------------


@dataclasses.dataclass
class Trial:
    """What became of a run.

    Attributes:
      seed: decides everything random in it.
      config: its name.
      disturbance: its name.
      strikes: for each that met the run, when and how the process ended.
      restarts: how often it was started again.
      wrong: what was not as it must be; empty if the run ended as the whole one.
    """

    seed: int
    config: str
    disturbance: str
    strikes: list[str] = dataclasses.field(default_factory=list)
    restarts: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)


def start(
    config_file: Path, workdir: Path, messages: Path, processes: int
) -> list[subprocess.Popen]:
    """`aimodels train` in a process of its own, or in several, which share `messages`."""
    command = [sys.executable, "-m", "aimodels.cli", "train", f"--config={config_file}"]
    command.append(f"--workdir={workdir}")
    environment = os.environ | {"PYTHONFAULTHANDLER": "1"}
    flags: list[list[str]] = [[]]
    if processes > 1:
        environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=1"
        with socket.socket() as free:
            free.bind(("localhost", 0))
            address = f"localhost:{free.getsockname()[1]}"
        together = [f"--coordinator={address}", f"--processes={processes}"]
        flags = [[*together, f"--process={index}"] for index in range(processes)]
    with messages.open("w") as file:
        return [
            subprocess.Popen(
                [*command, *each],
                stdout=subprocess.DEVNULL,
                stderr=file,
                cwd=ROOT,
                env=environment,
            )
            for each in flags
        ]


def run_trial(trial: Trial, folder: Path, whole: "Whole") -> None:
    """Disturbs a run one to three times, starts it until it ends, and fills in the trial.

    Args:
      trial: what to do.
      folder: an empty one, on a disk of its own if that is to be filled.
      whole: the undisturbed run.
    """
    draw = random.Random(f"{trial.seed} {trial.disturbance}")
    config_file = whole.folder / "asked.json"
    workdir = folder / "run"
    numbers = itertools.count()
    processes = chaos_configs.PROCESSES.get(trial.config, 1)

    def attempt() -> Attempt:
        messages = whole_messages / f"{next(numbers)}.txt"
        started = start(config_file, workdir, messages, processes)
        draw.shuffle(started)
        return Attempt(started[0], workdir, messages, whole.seconds, draw, started[1:])

    # Not on the disk that is filled up.
    whole_messages = folder.with_name(folder.name + "-messages")
    whole_messages.mkdir()
    try:
        for _ in range(draw.choice((1, 1, 2, 3))):
            one = attempt()
            trial.restarts += 1
            try:
                moment = wait_for_moment(one, whole.config)
                if moment is None and trial.disturbance == "damage" and one.has_lost_all:
                    continue
                if moment is None:
                    one.ends_with()
                    break
                trial.strikes.append(moment)
                trial.strikes[-1] += f": {DISTURBANCES[trial.disturbance](one)}"
                if read_results(workdir):
                    break
            finally:
                one.end()
        code = None
        while code != 0:
            one = attempt()
            code = one.wait()
            lost = one.has_lost_all
            if code and not (trial.disturbance == "damage" and lost):
                raise Wrong(f"exit code {code} when it was started again")
            trial.restarts += lost
        with _comparing:
            trial.wrong += differences(whole, workdir)
    except Wrong as wrong:
        trial.wrong.append(str(wrong))


# --- the undisturbed run, and what is compared ----------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Whole:
    """An undisturbed run.

    Attributes:
      config: resolved.
      folder: has its work folder `run`, and the config as it was asked for.
      seconds: of the whole process, everything compiled before.
    """

    config: Config
    folder: Path
    seconds: float

    @property
    def workdir(self) -> Path:
        """Its work folder."""
        return self.folder / "run"


def whole_run(name: str) -> Whole:
    """The undisturbed run of a config, trained once for each state of the sources.

    It is trained twice, the second time with everything compiled: that one tells how long it takes.

    Raises:
      Wrong: the two differ.
    """
    base = cache_folder() / "chaos" / _fingerprint()
    base.mkdir(parents=True, exist_ok=True)
    config = chaos_configs.make(name, base)
    text = to_json(config)
    folder = base / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    with _making:
        if not folder.exists():
            _make_whole_run(name, config, text, folder)
    return Whole(config, folder, json.loads((folder / "seconds.json").read_text()))


def _make_whole_run(name: str, config: Config, text: str, folder: Path) -> None:
    made = folder.with_name(f".{folder.name}.{os.getpid()}")
    made.mkdir()
    try:
        (made / "asked.json").write_text(text)
        for workdir in ("first", "run"):
            begin = time.monotonic()
            started = start(
                made / "asked.json",
                made / workdir,
                made / "messages.txt",
                chaos_configs.PROCESSES.get(name, 1),
            )
            if any([process.wait() for process in started]):
                raise Wrong(f"{name}, undisturbed: {(made / 'messages.txt').read_text()}")
        (made / "seconds.json").write_text(json.dumps(time.monotonic() - begin))
        wrong = differences(Whole(config, made, 0), made / "first")
        if wrong:
            raise Wrong(f"{name}, undisturbed, differs from itself: {'; '.join(wrong)}")
        with contextlib.suppress(OSError):  # another process was faster
            made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _fingerprint() -> str:
    """Of all that may change the bits: our sources, other packages, the machine."""
    import importlib.metadata

    from aimodels.training.workdir import processor

    digest = hashlib.sha256()
    for file in sorted((ROOT / "aimodels").rglob("*.py")):
        digest.update(file.read_bytes())
    packages = [importlib.metadata.version(p) for p in ("jax", "jaxlib", "flax", "optax", "numpy")]
    flags = os.environ.get("XLA_FLAGS", "")
    digest.update(repr((packages, processor(), os.cpu_count(), flags)).encode())
    return digest.hexdigest()[:16]


def differences(whole: Whole, workdir: Path) -> list[str]:
    """What a finished run has otherwise than the undisturbed one; empty if it ended as that."""
    found = []
    for name in ("config.json", "environment.json", "results.json", "curves.png", "metrics.jsonl"):
        if not (workdir / name).is_file():
            return [f"{name} is missing"]
    seen = [(x["step"], x["split"], x["replica"]) for x in read_metrics(workdir / "metrics.jsonl")]
    if len(seen) != len(set(seen)) or set(seen) != lines_of(whole.config):
        found.append("metrics.jsonl does not have every step exactly once")
    texts = [(folder / "metrics.jsonl").read_text() for folder in (whole.workdir, workdir)]
    if texts[0] != texts[1]:
        found.append("metrics.jsonl differs")
    board, lines = points_of_tensorboard(workdir), read_metrics(workdir / "metrics.jsonl")
    if board != points_of_lines(lines):
        found.append("TensorBoard does not have the points of metrics.jsonl")
    results = [json.loads((f / "results.json").read_text()) for f in (whole.workdir, workdir)]
    if results[0]["replicas"] != results[1]["replicas"]:
        found.append("results.json has other metrics")
    for step in ("latest", "best") if whole.config.checkpoint.best else ("latest",):
        left, right = (load(folder, step=step) for folder in (whole.workdir, workdir))
        if left.step != right.step:
            found.append(f"the {step} checkpoint is of step {right.step}, not {left.step}")
        elif _bytes(left.all_replicas) != _bytes(right.all_replicas):
            found.append(f"the {step} checkpoint differs")
    strange = [p.name for p in (workdir / "checkpoints").iterdir() if not p.name.isdigit()]
    strange += [p.name for p in workdir.glob(".*") if p.name != ".lock"]
    if strange:
        found.append(f"left behind: {', '.join(sorted(strange))}")
    return found


def lines_of(config: Config) -> set[tuple[int, str, int]]:
    """The (step, split, replica) that metrics.jsonl must have."""
    steps = config.training.steps
    everies = {"train": config.training.log_every}
    everies |= dict.fromkeys(config.evaluation.splits, config.evaluation.every)
    return {
        (step, split, replica)
        for split, every in everies.items()
        for step in {*(range(every, steps + 1, every) if every else ()), steps}
        for replica in range(len(config.replicas.seeds))
    }


def points_of_tensorboard(workdir: Path) -> dict[tuple[int, str], list[tuple[int, float]]]:
    """(replica, split/name) -> (step, value) of each point, as TensorBoard shows them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it tells of every restart
    points = {}
    folders = sorted((workdir / "tensorboard").glob("replica*")) or [workdir / "tensorboard"]
    for replica, folder in enumerate(folders):
        board = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
        for tag in board.Tags()["scalars"]:
            points[replica, tag] = [(point.step, point.value) for point in board.Scalars(tag)]
    return points


def points_of_lines(lines: list[dict]) -> dict[tuple[int, str], list[tuple[int, float]]]:
    """The same of metrics.jsonl, in TensorBoard's single precision."""
    points: dict[tuple[int, str], list[tuple[int, float]]] = {}
    for line in lines:
        for name in line.keys() - {"step", "split", "replica", "seed"}:
            key = line["replica"], f"{line['split']}/{name}"
            points.setdefault(key, []).append((line["step"], float(np.float32(line[name]))))
    return points


def _bytes(state: object) -> list[bytes]:
    import jax

    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)]
