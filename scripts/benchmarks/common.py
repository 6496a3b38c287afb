"""What all benchmarks share: a quiet machine, alternating repeats, results with their origin.

A benchmark is a script with a `main()`. Each figure that compares two sides is a ratio of runs that
took turns in one go, since a machine's speed drifts by more than what is to be seen. Results are
kept in results/<name>.json, with all raw repeats; `--quick` runs keep nothing.
"""

import argparse
import datetime
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RESULTS = HERE / "results"
# Above this share of all cores in use by others, a figure says more about them.
QUIET_SHARE = 0.1
QUIET_LOAD = 0.5


def arguments(description: str, repeats: int) -> argparse.ArgumentParser:
    """The options that every benchmark takes; before, the process is as that of a command."""
    from aimodels.cli import take_large_pages  # which another Python's worker has not got

    take_large_pages()
    first_line = description.strip().splitlines()[0]
    parser = argparse.ArgumentParser(description=first_line)
    parser.add_argument("--repeats", type=int, default=repeats, help=f"default {repeats}")
    parser.add_argument("--quick", action="store_true", help="a short trial; keeps no results")
    parser.add_argument("--wait", type=float, default=10, help="minutes to wait for quiet")
    return parser


class OtherPython:
    """A worker script in another interpreter, asked line by line in JSON, as long as it is needed.

    Args:
      command: that starts it.
      needs: what is said where it ends: which interpreter is to be given.

    Attributes:
      first: what it said of itself.
    """

    def __init__(self, command: Sequence[str], needs: str) -> None:
        pipe, self._needs = subprocess.PIPE, needs
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.first = self._read()

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer to a request."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(self._needs)
        return json.loads(line)

    def __enter__(self) -> "OtherPython":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Clock:
    """CPU time of the machine and of this process with its finished children, since the start."""

    def __init__(self) -> None:
        self._begin = self._now()

    @staticmethod
    def _now() -> tuple[float, float, float]:
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:8]
        user, nice, system, _, _, irq, softirq = (int(f) / os.sysconf("SC_CLK_TCK") for f in fields)
        own = 0.0
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
            usage = resource.getrusage(who)
            own += usage.ru_utime + usage.ru_stime
        return time.monotonic(), user + nice + system + irq + softirq, own

    def others(self) -> float:
        """The share of all cores that other processes used."""
        wall, busy, own = (n - b for n, b in zip(self._now(), self._begin, strict=True))
        return max(0.0, busy - own) / (wall * (os.cpu_count() or 1))


def wait_until_quiet(minutes: float) -> None:
    """Returns when nothing else runs here; ends the program if that takes too long."""
    deadline = time.monotonic() + 60 * minutes
    while True:
        clock = Clock()
        time.sleep(3)
        share, load = clock.others(), os.getloadavg()[0]
        # The load average lags by a minute, also behind our own last benchmark.
        if share < QUIET_SHARE / 5 or (share < QUIET_SHARE and load < QUIET_LOAD):
            return
        if time.monotonic() > deadline:
            sys.exit(f"the machine is busy: others use {share:.0%} of it, load {load:.2f}")
        print(f"waiting for a quiet machine: {share:.0%} in use, load {load:.2f}", file=sys.stderr)
        time.sleep(12)


@contextmanager
def session(options: argparse.Namespace, name: str) -> Iterator[dict[str, Any]]:
    """A dict that the benchmark fills, on a quiet machine, with caches of its own.

    When it is filled, it is written to results/<name>.json, unless it was a quick trial.
    """
    if not options.quick:
        wait_until_quiet(options.wait)
    before = os.environ.get("AIMODELS_CACHE")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        # Plans are measured anew, and nothing compiled elsewhere is found.
        os.environ["AIMODELS_CACHE"] = str(Path(folder) / "cache")
        clock, begin, load = Clock(), time.time(), os.getloadavg()[0]
        record: dict[str, Any] = {"scratch": Path(folder)}
        try:
            yield record
        finally:
            os.environ.pop("AIMODELS_CACHE")
            if before is not None:
                os.environ["AIMODELS_CACHE"] = before
    record.pop("scratch")
    others = clock.others()
    if options.quick:
        return
    if "rows" in record:
        record["rows"] = _with_earlier(name, record["rows"], begin)
    keep(name, record, begin, {"load_before": load, "used_by_others": round(others, 4)})
    if others > QUIET_SHARE:
        print(f"warning: others used {others:.0%} of the machine meanwhile", file=sys.stderr)


def _with_earlier(name: str, rows: list[dict[str, Any]], begin: float) -> list[dict[str, Any]]:
    """These rows, and earlier ones that were not measured now; each says when it was."""
    from aimodels.training.workdir import environment

    now = {"date": _date(begin), "commit": environment()["commit"]}
    rows = [row | {"measured": now} for row in rows]
    file = RESULTS / f"{name}.json"
    earlier = json.loads(file.read_text())["rows"] if file.is_file() else []
    names = {row["row"] for row in rows}
    return rows + [row for row in earlier if row["row"] not in names]


def _date(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def keep(name: str, record: dict[str, Any], begin: float, machine: dict[str, float]) -> None:
    """Writes results/<name>.json."""
    from aimodels.training.workdir import environment

    script = Path(sys.argv[0]).name
    given = [Path(a).name if a.startswith("/") else a for a in sys.argv[1:]]
    origin = {
        "benchmark": name,
        "date": _date(begin),
        "command": " ".join(["python", f"scripts/benchmarks/{script}", *given]),
        "seconds": round(time.time() - begin, 1),
        "environment": environment() | machine,
    }
    origin["environment"].pop("command")
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.json"
    file.write_text(json.dumps(origin | record, indent=1) + "\n")
    print(f"kept in {file.relative_to(ROOT)}")


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratio(over: Sequence[float], under: Sequence[float]) -> dict[str, Any]:
    """The ratio of each pair of runs that took turns, and their summary."""
    ratios = [a / b for a, b in zip(over, under, strict=True)]
    return summary(ratios) | {"repeats": ratios}


def verdict(value: float, target: float, smaller_is_better: bool = False) -> str:
    """`met` or `MISSED`, with the target."""
    met = value <= target if smaller_is_better else value >= target
    return f"{'met' if met else 'MISSED'} ({'<=' if smaller_is_better else '>='} {target:g})"


def spread(numbers: dict[str, Any], digits: int = 2) -> str:
    """`median (min to max)`."""
    median, low, high = (f"{numbers[key]:.{digits}f}" for key in ("median", "min", "max"))
    return f"{median} ({low} to {high})"


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Prints columns: the first one to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        first, *rest = (
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *rest]).rstrip())


def child(command: Sequence[str], **environment: str) -> tuple[dict[str, Any], float]:
    """Runs a command. Returns the JSON object that it prints last, and its seconds."""
    begin = time.perf_counter()
    process = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | environment
    )
    seconds = time.perf_counter() - begin
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with exit code {process.returncode}")
    lines = [line for line in process.stdout.splitlines() if line.startswith("{")]
    return (json.loads(lines[-1]) if lines else {}), seconds


def peak_bytes() -> int:
    """The most memory that was resident in this process.

    Not `ru_maxrss`: on Linux a child starts with that of the process which started it.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM: memory is measured on Linux only")


def forget(*folders: Path) -> None:
    """Removes folders that may be there."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
