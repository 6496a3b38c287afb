"""What disturbs a run in scripts/chaos, and when."""

import contextlib
import dataclasses
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from aimodels.config import Config
from aimodels.training.checkpoints import UNFINISHED
from aimodels.training.workdir import read_results
from aimodels.training.writers import read_metrics

DISK_BYTES = 32 * 2**20
LOST_SECONDS = 30  # in which the others notice that one of several processes is lost


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
      others: further processes of the same run.
    """

    process: subprocess.Popen
    workdir: Path
    messages: Path
    expected: float
    draw: random.Random
    others: list[subprocess.Popen] = dataclasses.field(default_factory=list)

    def wait(self) -> int:
        """The exit code, when it has ended. Raises `Wrong` if it hangs or left a traceback."""
        try:
            code = self.process.wait(timeout=60 + 10 * self.expected)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # the fault handler says where it hangs
            self.process.wait()
            raise Wrong("hangs") from None
        for other in self.others:
            try:
                other.wait(timeout=LOST_SECONDS)
            except subprocess.TimeoutExpired:
                raise Wrong("another of its processes does not end") from None
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

    @property
    def has_lost_all(self) -> bool:
        """Whether it ended because every checkpoint was damaged: the next one starts anew."""
        return self.process.poll() == 2 and "no checkpoint in" in self.messages.read_text()

    def end(self) -> None:
        """Kills what is left of it."""
        for process in (self.process, *self.others):
            if process.poll() is None:
                process.kill()
                process.wait()

    def newest_checkpoint(self) -> Path | None:
        """The folder of the newest step, if one was saved."""
        steps = [path for path in self.workdir.glob("checkpoints/*") if path.name.isdigit()]
        return max(steps, key=lambda path: int(path.name), default=None)


# --- what disturbs a run: each strikes an attempt, and says how it ended --------------------------


def kill(attempt: Attempt) -> str:
    """SIGKILL."""
    attempt.process.kill()
    return str(attempt.ends_with(-signal.SIGKILL))


def lose_process(attempt: Attempt) -> str:
    """SIGKILL for one of several processes; the others must notice, and end."""
    # Before that they wait for each other: one that is late isn't lost yet.
    while not (attempt.workdir / "config.json").exists() and attempt.process.poll() is None:
        time.sleep(0.01)
    code = kill(attempt)
    codes = [other.returncode for other in attempt.others]
    if not all(other == 1 or (other == 0 and read_results(attempt.workdir)) for other in codes):
        raise Wrong(f"the processes that were left end with {codes}")
    return f"{code}, the other {codes[0]}"


def stop(attempt: Attempt, number: signal.Signals) -> str:
    """A signal that asks to save and end; where nothing is there to be saved, it ends at once."""
    catches = _catches(attempt.process.pid, signal.SIGTERM)  # from the command's first lines on
    attempt.process.send_signal(number)
    code = attempt.ends_with(128 + number, *(() if catches else (-number,)))
    said = attempt.messages.read_text()
    saved = re.search(r"stopped by \w+ at step ([\d,]+)", said)
    if catches and code:
        if "aimodels: stopped" not in said:
            raise Wrong("does not say that it was stopped")
        if saved and not (attempt.workdir / "checkpoints" / saved[1].replace(",", "")).is_dir():
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
    if attempt.newest_checkpoint() is None:  # what is damaged must be there
        while attempt.newest_checkpoint() is None and attempt.process.poll() is None:
            time.sleep(0.01)
        with contextlib.suppress(subprocess.TimeoutExpired):
            attempt.process.wait(0.2 * attempt.expected * attempt.draw.random())
    attempt.process.kill()
    attempt.process.wait()
    if attempt.has_lost_all:
        return "2, nothing whole was left"
    code = attempt.ends_with(-signal.SIGKILL)
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
    "lose_process": lose_process,
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


# --- a disk that can be filled --------------------------------------------------------------------


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
