"""Our loop, as in loop.py, against eager PyTorch: same model, batch and optimizer, data in memory.

PyTorch runs in an interpreter of its own (--torch-python) and with the faster of 1 and 2 threads.
A repeat is a run of ours, then a slice of PyTorch with each number of threads; the side that waits
uses no processor, and both take memory in large pages. PyTorch neither logs nor evaluates nor
saves; ours does. Memory is the most that was resident in a process that trained one row.
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import common
import numpy as np
from common import HERE, OtherPython, ratio, spread, table, verdict
from rows import ROWS, arrays_of, make_config

TARGETS = dict.fromkeys(ROWS, 1.0) | {"mlp": 2.5, "cnn": 2.5, "gru": 2.5}
MEMORY_TARGET = 1.0
THREADS = (1, 2)


def time_row(
    row: str, torch: OtherPython, scratch: Path, repeats: int, seconds: float
) -> dict[str, Any]:
    """The figures of a row; repeats of some `seconds` a side."""
    from ours import Ours, steps_for

    np.savez(scratch / f"{row}-data.npz", **arrays_of(make_config(row, scratch)))
    trial = Ours(row, scratch, ROWS[row].chunk)
    first = trial.run()
    steps = trial.steps
    if seconds >= 1:
        steps = steps_for(row, first["steps_per_second"], seconds)
    ours, runs = Ours(row, scratch, steps), []
    theirs: dict[int, list[float]] = {threads: [] for threads in THREADS}
    parameters, peak = 0, 0
    for _ in range(repeats):
        runs.append(ours.run())
        for threads, rates in theirs.items():
            done = torch.ask(row=row, threads=threads, seconds=seconds)
            rates.append(done["steps"] / done["seconds"])
            parameters, peak = int(done["parameters"]), int(done["peak_bytes"])
    best = max(THREADS, key=lambda threads: statistics.median(theirs[threads]))
    results = json.loads((scratch / "run" / "results.json").read_text())
    if results["parameters"] != parameters:
        print(f"note: {results['parameters']} parameters, PyTorch {parameters}", file=sys.stderr)
    memory = {"pytorch": peak, "ours": peak_of_ours(row, scratch)}
    return {
        "row": row,
        "steps": steps,
        "parameters": {"ours": results["parameters"], "pytorch": parameters},
        "ours": runs,
        "pytorch_steps_per_second": {str(threads): rates for threads, rates in theirs.items()},
        "pytorch_threads": best,
        "ratio": ratio([run["steps_per_second"] for run in runs], theirs[best]),
        "wall_ratio": ratio([run["wall_steps_per_second"] for run in runs], theirs[best]),
        "peak_bytes": memory,
        "memory_ratio": memory["ours"] / memory["pytorch"],
    }


def peak_of_ours(row: str, scratch: Path) -> int:
    """Peak resident bytes of a process that trains a row, compiling everything itself."""
    command = [sys.executable, str(HERE / "loop.py"), "--row", row, "--side", "ours"]
    with tempfile.TemporaryDirectory(dir=scratch) as cold:
        return common.child(command, AIMODELS_CACHE=cold)[0]["peak_bytes"]


def main() -> None:
    parser = common.arguments(__doc__, repeats=5)
    parser.add_argument("--rows", default=",".join(ROWS), help="separated by commas")
    parser.add_argument("--seconds", type=float, default=5, help="of each side in a repeat")
    parser.add_argument("--torch-python", default=sys.executable, help="a Python that has torch")
    options = parser.parse_args()
    seconds, repeats = (0.2, 2) if options.quick else (options.seconds, options.repeats)
    with common.session(options, "pytorch") as record:
        record["targets"] = {"ratio": TARGETS, "memory_ratio": MEMORY_TARGET}
        record["rows"] = []
        command = [options.torch_python, str(HERE / "torch_worker.py"), str(record["scratch"])]
        needs = "PyTorch's interpreter ended; --torch-python takes one that has torch"
        for row in options.rows.split(","):
            print(f"{ROWS[row].title} ...", file=sys.stderr)
            with OtherPython(command, needs) as torch:
                record["torch"] = torch.first["torch"]
                timed = time_row(row, torch, record["scratch"], repeats, seconds)
            record["rows"].append(timed)
        report(record["rows"])


def report(rows: list[dict[str, Any]]) -> None:
    """Prints the table."""
    header = (
        "steps/s",
        "ours",
        "1 thread",
        "2 threads",
        "ratio",
        "ratio by wall time",
        "target",
        "memory",
    )
    lines = []
    for row in rows:
        rates = (statistics.median(values) for values in row["pytorch_steps_per_second"].values())
        lines.append(
            (
                ROWS[row["row"]].title,
                f"{statistics.median(run['steps_per_second'] for run in row['ours']):,.1f}",
                *(f"{rate:,.1f}" for rate in rates),
                spread(row["ratio"]),
                spread(row["wall_ratio"]),
                verdict(row["ratio"]["median"], TARGETS[row["row"]]),
                verdict(row["memory_ratio"], MEMORY_TARGET, smaller_is_better=True),
            )
        )
    table(header, lines)


if __name__ == "__main__":
    main()
