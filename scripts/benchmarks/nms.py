"""Batched non-maximum suppression against torchvision's: 1,000 boxes on each of 100 images.

torchvision runs in an interpreter of its own (--torch-python), one image after the other, with the
faster of 1 and 2 threads. A repeat is a run of ours, then one of torchvision with each number of
threads. `spread` are boxes all over the image, most of which stay (random ones: suppression's worst
case); `objects` are 50 around each of 20 objects, as a detector gives them. Every box may stay.
"""

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import common
import numpy as np
from common import HERE, OtherPython, ratio, spread, table, verdict

TARGET = 1.0
IMAGES, BOXES, THRESHOLD = 100, 1000, 0.5
THREADS = (1, 2)
ROWS = ("spread", "objects")


def make(row: str) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [100, 1000, 4] in an image of 640 x 640, and scores [100, 1000]."""
    rng, shape = np.random.default_rng(0), (IMAGES, BOXES, 2)
    center = rng.uniform(0, 640, shape)
    sides = np.exp(rng.uniform(np.log(8), np.log(256), shape))
    if row == "objects":
        objects = rng.integers(0, 20, (IMAGES, BOXES, 1))
        center = np.take_along_axis(center, objects, 1)
        sides = np.take_along_axis(sides, objects, 1)
        center = center + rng.normal(0, 0.15, shape) * sides
        sides = sides * np.exp(rng.normal(0, 0.2, shape))
    boxes = np.concatenate([center - sides / 2, center + sides / 2], -1)
    return boxes.astype(np.float32), rng.random((IMAGES, BOXES)).astype(np.float32)


def time_row(row: str, torch: OtherPython, scratch: Path, repeats: int) -> dict[str, Any]:
    """The figures of a row."""
    import jax

    from aimodels.modules.suppression import non_maximum_suppression

    boxes, scores = make(row)
    np.savez(scratch / f"{row}.npz", boxes=boxes, scores=scores)
    boxes, scores = jax.device_put((boxes, scores))
    function = jax.jit(lambda b, s: non_maximum_suppression(b, s, threshold=THRESHOLD))
    counts = np.asarray(jax.block_until_ready(function(boxes, scores)).mask.sum(1))
    ours: list[dict[str, float]] = []
    theirs: dict[int, list[dict[str, float]]] = {threads: [] for threads in THREADS}
    for _ in range(repeats):
        begin, cpu = time.perf_counter(), time.process_time()
        jax.block_until_ready(function(boxes, scores))
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        ours.append({"seconds": seconds, "cpu_seconds": cpu})
        for threads, runs in theirs.items():
            answer = torch.ask(row=row, threads=threads, threshold=THRESHOLD)
            if answer.pop("kept") != counts.tolist():
                sys.exit(f"{row}: the two sides don't keep equally many boxes")
            runs.append(answer)

    def of(runs: list[dict[str, float]], kind: str) -> list[float]:
        return [run[kind] for run in runs]

    best = min(THREADS, key=lambda threads: statistics.median(of(theirs[threads], "seconds")))
    return {
        "row": row,
        "kept_an_image": float(counts.mean()),
        "ours": ours,
        "torchvision": {str(threads): runs for threads, runs in theirs.items()},
        "torchvision_threads": best,
        "ratio": ratio(of(theirs[best], "seconds"), of(ours, "seconds")),
        "cpu_ratio": ratio(of(theirs[best], "cpu_seconds"), of(ours, "cpu_seconds")),
    }


def main() -> None:
    parser = common.arguments(__doc__, repeats=15)
    parser.add_argument("--torch-python", default=sys.executable, help="one that has torchvision")
    options = parser.parse_args()
    repeats = 3 if options.quick else options.repeats
    with common.session(options, "nms") as record:
        record["target"] = TARGET
        command = [options.torch_python, str(HERE / "torch_nms_worker.py"), str(record["scratch"])]
        needs = "the interpreter ended; --torch-python takes one that has torchvision"
        with OtherPython(command, needs) as torch:
            record |= torch.first
            record["rows"] = [time_row(row, torch, record["scratch"], repeats) for row in ROWS]
        report(record["rows"])


def report(rows: list[dict[str, Any]]) -> None:
    """Prints the table."""
    header = ("boxes", "kept", "ours, ms", "torchvision, ms", "ratio", "by CPU time", "target")
    lines = []
    for row in rows:
        runs = row["torchvision"][str(row["torchvision_threads"])]
        ours, theirs = (
            statistics.median(run["seconds"] for run in each) for each in (row["ours"], runs)
        )
        lines.append(
            (
                row["row"],
                f"{row['kept_an_image']:.0f}",
                f"{1e3 * ours:.0f}",
                f"{1e3 * theirs:.0f}",
                spread(row["ratio"]),
                spread(row["cpu_ratio"]),
                verdict(row["ratio"]["median"], TARGET),
            )
        )
    table(header, lines)


if __name__ == "__main__":
    main()
