"""Eight seeds as replicas of one `aimodels train`, against eight runs of it, one after the other.

Whole processes are timed, from their start to their end, each side with a compilation cache that
is cold when it begins: of the eight runs the later ones find what the first one compiled. Shown
apart: what is left of both without start and compilation.
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import common
from common import ratio, spread, table, verdict
from rows import MNIST1D, ROWS

SEEDS = tuple(range(8))
FILES = ("results", "plan")
TARGETS = {"mlp": 3.0, "gru": 3.0, "cnn": 1.5}


def run(row: str, seeds: tuple[int, ...], folder: Path, steps: int) -> dict[str, Any]:
    """Seconds of a process that trains some seeds of a row: all, and those of its steps."""
    workdir = folder / "-".join(map(str, seeds))
    command = [sys.executable, "-m", "aimodels.cli", "train", f"--config={MNIST1D}:{row}"]
    fields = {"replicas.seeds": ",".join(map(str, seeds)), "training.steps": steps}
    flags = [f"--config.{name}={value}" for name, value in fields.items()]
    cache = str(folder / "cache")
    _, seconds = common.child([*command, f"--workdir={workdir}", *flags], AIMODELS_CACHE=cache)
    results, plan = (json.loads((workdir / f"{name}.json").read_text()) for name in FILES)
    stepping = results["seconds"] - results["first_dispatch_seconds"]
    return {"seconds": seconds, "stepping_seconds": stepping, "plan": plan}


def sides(row: str, scratch: Path, steps: int) -> dict[str, dict[str, Any]]:
    """Both sides once."""
    found = {}
    for side, runs in (("replicas", [SEEDS]), ("runs", [(seed,) for seed in SEEDS])):
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            each = [run(row, seeds, Path(folder), steps) for seeds in runs]
        found[side] = {
            "seconds": sum(one["seconds"] for one in each),
            "stepping_seconds": sum(one["stepping_seconds"] for one in each),
            "plan": each[0]["plan"],
        }
    return found


def main() -> None:
    parser = common.arguments(__doc__, repeats=3)
    parser.add_argument("--rows", default="mlp,gru,cnn", help="separated by commas")
    options = parser.parse_args()
    steps, repeats = (200, 1) if options.quick else (6000, options.repeats)
    with common.session(options, "replicas") as record:
        record |= {"targets": TARGETS, "steps": steps, "seeds": len(SEEDS), "rows": []}
        for row in options.rows.split(","):
            print(f"{ROWS[row].title} ...", file=sys.stderr)
            found = [sides(row, record["scratch"], steps) for _ in range(repeats)]
            ratios = {
                name: ratio([f["runs"][name] for f in found], [f["replicas"][name] for f in found])
                for name in ("seconds", "stepping_seconds")
            }
            record["rows"].append({"row": row, "repeats": found, "ratios": ratios})
        report(record["rows"])


def report(rows: list[dict[str, Any]]) -> None:
    """Prints the table."""

    def median(row: dict[str, Any], side: str) -> str:
        return f"{statistics.median(found[side]['seconds'] for found in row['repeats']):.0f} s"

    table(
        ("8 seeds", "8 runs", "replicas", "times faster", "without start", "way", "target"),
        [
            (
                ROWS[row["row"]].title,
                median(row, "runs"),
                median(row, "replicas"),
                spread(row["ratios"]["seconds"], 1),
                spread(row["ratios"]["stepping_seconds"], 1),
                row["repeats"][0]["replicas"]["plan"]["replicas"],
                verdict(row["ratios"]["seconds"]["median"], TARGETS[row["row"]]),
            )
            for row in rows
        ],
    )


if __name__ == "__main__":
    main()
