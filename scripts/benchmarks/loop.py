"""Our loop, with logs, evaluations and checkpoints, against the best hand-written JAX loop.

The fastest of the hand-written variants (handwritten.py) is the reference. Then both sides take
turns; a repeat is one run of each. Memory: each side once in a process of its own, compiling.
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import common
from common import ratio, spread, table, verdict
from rows import ROWS, make_config

TARGET, MEMORY_TARGET = 0.95, 1.3
SIDES = ("ours", "reference", "jax")
DEFAULT = ("mlp", "cnn", "gru", "gpt")


def time_row(row: str, scratch: Path, repeats: int, seconds: float) -> dict[str, Any]:
    """The figures of a row; repeats of some `seconds` a side."""
    from handwritten import fastest
    from ours import Ours, steps_for

    reference, loop, rates = fastest(make_config(row, scratch), min(seconds, 3))
    steps = steps_for(row, rates[reference], seconds) if seconds >= 1 else ROWS[row].chunk
    ours, theirs = Ours(row, scratch, steps), []
    ours.run()  # compiles and picks the plan; what it leaves in the caches, users have too
    runs = []
    for _ in range(repeats):
        runs.append(ours.run())
        theirs.append(loop.run(steps))
    plan = json.loads((scratch / "run" / "plan.json").read_text())
    return {
        "row": row,
        "steps": steps,
        "plan": plan,
        "reference": reference,
        "reference_trials": rates,
        "ours": runs,
        "reference_steps_per_second": theirs,
        "ratio": ratio([run["steps_per_second"] for run in runs], theirs),
        "wall_ratio": ratio([run["wall_steps_per_second"] for run in runs], theirs),
    }


def one_side(side: str, row: str, reference: str, scratch: Path) -> None:
    """In a process of its own: trains `row` for a while, compiling everything itself."""
    import jax

    jax.numpy.zeros(1).block_until_ready()
    if side != "jax":
        if side == "ours":
            from ours import Ours

            Ours(row, scratch, ROWS[row].chunk).train(ROWS[row].chunk)
        else:
            from handwritten import candidates

            candidates(make_config(row, scratch))[reference]().run(ROWS[row].chunk)
    print(json.dumps({"peak_bytes": common.peak_bytes()}))


def memory_of(row: str, reference: str, scratch: Path) -> dict[str, Any]:
    """Peak resident bytes of a process of each side, and of one that only starts JAX."""
    me = [sys.executable, __file__, "--row", row, "--reference", reference, "--side"]
    peaks = {}
    for side in SIDES:
        with tempfile.TemporaryDirectory(dir=scratch) as cold:
            peaks[side] = common.child([*me, side], AIMODELS_CACHE=cold)[0]["peak_bytes"]
    added = {side: peaks[side] - peaks["jax"] for side in ("ours", "reference")}
    return {
        "peak_bytes": peaks,
        "ratio": peaks["ours"] / peaks["reference"],
        "ratio_of_added": added["ours"] / added["reference"],
    }


def main() -> None:
    parser = common.arguments(__doc__, repeats=5)
    parser.add_argument("--rows", default=",".join(DEFAULT), help="separated by commas")
    parser.add_argument("--seconds", type=float, default=30, help="of each side in a repeat")
    parser.add_argument("--side", choices=SIDES, help="a part, used by itself")
    parser.add_argument("--row", help="of --side")
    parser.add_argument("--reference", help="of --side")
    options = parser.parse_args()
    if options.side:
        with tempfile.TemporaryDirectory() as scratch:
            one_side(options.side, options.row, options.reference, Path(scratch))
        return
    seconds, repeats = (0.2, 2) if options.quick else (options.seconds, options.repeats)
    with common.session(options, "loop") as record:
        record["targets"] = {"ratio": TARGET, "memory_ratio": MEMORY_TARGET}
        record["rows"] = []
        for row in options.rows.split(","):
            print(f"{ROWS[row].title} ...", file=sys.stderr)
            timed = time_row(row, record["scratch"], repeats, seconds)
            timed["memory"] = memory_of(row, timed["reference"], record["scratch"])
            record["rows"].append(timed)
        report(record["rows"])


def report(rows: list[dict[str, Any]]) -> None:
    """Prints both tables."""
    table(
        ("steps/s", "ours", "by hand", "variant", "ratio", "ratio by wall time", "target"),
        [
            (
                ROWS[row["row"]].title,
                f"{statistics.median(run['steps_per_second'] for run in row['ours']):,.0f}",
                f"{statistics.median(row['reference_steps_per_second']):,.0f}",
                row["reference"],
                spread(row["ratio"]),
                spread(row["wall_ratio"]),
                verdict(row["ratio"]["median"], TARGET),
            )
            for row in rows
        ],
    )
    print()
    megabytes = lambda size: f"{size / 1e6:,.0f}"  # noqa: E731
    table(
        ("peak memory, MB", "ours", "by hand", "import jax", "ratio", "of what is added", "target"),
        [
            (
                ROWS[row["row"]].title,
                *(megabytes(row["memory"]["peak_bytes"][side]) for side in SIDES),
                f"{row['memory']['ratio']:.2f}",
                f"{row['memory']['ratio_of_added']:.2f}",
                verdict(row["memory"]["ratio"], MEMORY_TARGET, smaller_is_better=True),
            )
            for row in rows
        ],
    )


if __name__ == "__main__":
    main()
