"""A trial: a run that is disturbed, started again until it ends, and compared with a whole one."""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import chaos_configs
import numpy as np

from aimodels.config import Config, to_json
from aimodels.training.checkpoints import UNFINISHED
from aimodels.training.plan import cache_folder
from aimodels.training.run import load
from aimodels.training.workdir import read_results
from aimodels.training.writers import read_metrics

ROOT = Path(__file__).resolve().parent.parent
DISK_BYTES = 32 * 2**20
_comparing = threading.Lock()


class Wrong(Exception):
    """What a run must never do; the text says what it did."""


@dataclasses.dataclass
class Attempt:
    """A process of `aimodels train`.

    Attributes:
      process: just started.
      workdir: of the run.
      messages: the file that has its standard error.
      expected: seconds that an undisturbed run takes.
      draw: decides all that is random.
    """

    process: subprocess.Popen
    workdir: Path
    messages: Path
    expected: float
    draw: random.Random

    def wait(self) -> int:
        """The exit code, when it has ended. Raises `Wrong` if it hangs or left a traceback."""
        try:
            code = self.process.wait(timeout=60 + 10 * self.expected)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # the fault handler says where it hangs
            self.process.wait()
            raise Wrong("hangs") from None
        text = self.messages.read_text()
        # Before `main` it is Python that is starting, whose traceback is not ours.
        starting = "in main\n" not in text and "Exception ignored" not in text
        if "Traceback" in text and not (code == -signal.SIGINT and starting):
            raise Wrong("leaves a traceback")
        return code

    def ends_with(self, *codes: int) -> int:
        """The exit code, which must be one of these, or 0 if the run is finished."""
        code = self.wait()
        if code not in codes and not (code == 0 and read_results(self.workdir)):
            raise Wrong(f"exit code {code}, not {' or '.join(map(str, codes))}")
        return code

    def newest_checkpoint(self) -> Path | None:
        """The folder of the newest step, if one was saved."""
        steps = [path for path in self.workdir.glob("checkpoints/*") if path.name.isdigit()]
        return max(steps, key=lambda path: int(path.name), default=None)


# --- what disturbs a run: each strikes an attempt, and says how it ended --------------------------


def kill(attempt: Attempt) -> str:
    """SIGKILL."""
    attempt.process.kill()
    return str(attempt.ends_with(-signal.SIGKILL))


def stop(attempt: Attempt, number: signal.Signals) -> str:
    """A signal that asks to save and end; where nothing is there to be saved, it ends at once."""
    saves = _catches(attempt.process.pid, signal.SIGTERM)  # only the loop does
    attempt.process.send_signal(number)
    code = attempt.ends_with(128 + number, *(() if saves else (-number,)))
    saved = re.search(r"stopped by \w+ at step ([\d,]+)", attempt.messages.read_text())
    if saves and code:
        if not saved:
            raise Wrong("does not say at which step it was stopped")
        if not (attempt.workdir / "checkpoints" / saved[1].replace(",", "")).is_dir():
            raise Wrong(f"did not save the step {saved[1]} at which it was stopped")
    return str(code)


def full_disk(attempt: Attempt) -> str:
    """The disk is full, or all but, until the process has ended."""
    ballast = attempt.workdir.parent / "ballast"
    left = attempt.draw.choice((0, attempt.draw.randrange(2**16), attempt.draw.randrange(2**21)))
    try:
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(2**12))
        os.truncate(ballast, max(0, ballast.stat().st_size - left))
        return f"{attempt.ends_with(2)} with {left:,} bytes left"
    finally:
        ballast.unlink()


def damage(attempt: Attempt) -> str:
    """SIGKILL; then a bit of the newest checkpoint is flipped, or a file of it is cut off."""
    code = kill(attempt)
    newest = attempt.newest_checkpoint()
    files = sorted(path for path in (newest or Path()).rglob("*") if path.stat().st_size)
    if newest is None or read_results(attempt.workdir):
        return f"{code}, no checkpoint to damage"
    file = attempt.draw.choice([path for path in files if path.is_file()])
    content = bytearray(file.read_bytes())
    at = attempt.draw.randrange(len(content))
    if attempt.draw.random() < 0.5:
        bit = attempt.draw.randrange(8)
        content[at] ^= 1 << bit
        what = f"bit {bit} of byte {at} flipped"
    else:
        content = content[:at]
        what = f"cut off at byte {at}"
    file.write_bytes(content)
    return f"{code}, {file.relative_to(newest.parent)} {what}"


DISTURBANCES: dict[str, Callable[[Attempt], str]] = {
    "kill": kill,
    "sigterm": lambda attempt: stop(attempt, signal.SIGTERM),
    "sigint": lambda attempt: stop(attempt, signal.SIGINT),
    "full_disk": full_disk,
    "damage": damage,
}


def _catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal; False if it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


# --- when -----------------------------------------------------------------------------------------


def _saving(attempt: Attempt, steps: int, every: int) -> bool:
    return any(attempt.workdir.glob(f"checkpoints/*{UNFINISHED}*"))


def _evaluating(attempt: Attempt, steps: int, every: int) -> bool:
    lines = read_metrics(attempt.workdir / "metrics.jsonl")
    return bool(lines) and lines[-1]["split"] == "train" and lines[-1]["step"] % every == 0


def _ending(attempt: Attempt, steps: int, every: int) -> bool:
    lines = read_metrics(attempt.workdir / "metrics.jsonl")
    return bool(lines) and lines[-1]["step"] == steps


# Name -> (what is waited for, seconds of the longest delay after it).
PHASES = {"saving": (_saving, 0.05), "evaluating": (_evaluating, 0.02), "ending": (_ending, 3.0)}


def wait_for_moment(attempt: Attempt, config: Config) -> str | None:
    """Waits for a random moment; returns which it was, None if the process ended before.

    Half of the moments are uniform over the expected duration. The others are in a phase that
    takes so little of it that these would seldom meet it.
    """
    begin, draw = time.monotonic(), attempt.draw
    phase = draw.choice((None, None, None, *PHASES))
    until = begin + attempt.expected * draw.random()
    if phase is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            attempt.process.wait(until - begin)
        return f"{until - begin:.2f} s" if attempt.process.poll() is None else None
    reached, longest = PHASES[phase]
    if phase == "ending":
        until = begin
    while attempt.process.poll() is None:
        if time.monotonic() >= until and reached(
            attempt, config.training.steps, config.evaluation.every
        ):
            delay = draw.random() * longest
            with contextlib.suppress(subprocess.TimeoutExpired):
                attempt.process.wait(delay)
            break
        time.sleep(0.001 if time.monotonic() >= until else 0.05)
    else:
        return None
    return f"{phase} + {delay:.3f} s" if attempt.process.poll() is None else None


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


def start(config_file: Path, workdir: Path, messages: Path) -> subprocess.Popen:
    """`aimodels train` in a process of its own."""
    command = [sys.executable, "-m", "aimodels.cli", "train", f"--config={config_file}"]
    with messages.open("w") as file:
        return subprocess.Popen(
            [*command, f"--workdir={workdir}"],
            stdout=subprocess.DEVNULL,
            stderr=file,
            cwd=ROOT,
            env=os.environ | {"PYTHONFAULTHANDLER": "1"},
        )


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

    def attempt() -> Attempt:
        messages = whole_messages / f"{next(numbers)}.txt"
        process = start(config_file, workdir, messages)
        return Attempt(process, workdir, messages, whole.seconds, draw)

    # Not on the disk that is filled up.
    whole_messages = folder.with_name(folder.name + "-messages")
    whole_messages.mkdir()
    try:
        for _ in range(draw.choice((1, 1, 2, 3))):
            one = attempt()
            trial.restarts += 1
            try:
                moment = wait_for_moment(one, whole.config)
                if moment is None:
                    one.ends_with()
                    break
                trial.strikes.append(f"{moment}: {DISTURBANCES[trial.disturbance](one)}")
                if read_results(workdir):
                    break
            finally:
                if one.process.poll() is None:
                    one.process.kill()
                    one.process.wait()
        code = None
        while code != 0:
            one = attempt()
            code = one.wait()
            lost = code == 2 and "no checkpoint in" in one.messages.read_text()
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
    if not folder.exists():
        made = folder.with_name(f".{folder.name}.{os.getpid()}")
        made.mkdir()
        (made / "asked.json").write_text(text)
        for workdir in ("first", "run"):
            begin = time.monotonic()
            process = start(made / "asked.json", made / workdir, made / "messages.txt")
            if process.wait():
                raise Wrong(f"{name}, undisturbed: {(made / 'messages.txt').read_text()}")
        (made / "seconds.json").write_text(json.dumps(time.monotonic() - begin))
        wrong = differences(Whole(config, made, 0), made / "first")
        if wrong:
            raise Wrong(f"{name}, undisturbed, differs from itself: {'; '.join(wrong)}")
        with contextlib.suppress(OSError):  # another process was faster
            made.rename(folder)
        shutil.rmtree(made, ignore_errors=True)
    return Whole(config, folder, json.loads((folder / "seconds.json").read_text()))


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


@contextlib.contextmanager
def disk(folder: Path, of_its_own: bool) -> Iterator[Path]:
    """A new folder, if asked for as a small disk of its own."""
    folder.mkdir()
    if not of_its_own:
        yield folder
        return
    options = ["-o", f"size={DISK_BYTES}"]
    subprocess.run(
        ["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)], check=True, capture_output=True
    )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def can_mount(folder: Path) -> bool:
    """Whether this user may mount a small disk."""
    try:
        with disk(folder, of_its_own=True):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False
    finally:
        folder.rmdir()
