"""How long a checkpoint stops the training loop, at a million parameters with Adam.

Inside a real run: the seconds of each call of `Checkpoints.save`, and the gap between dispatches:
from the moment that the steps before are done and their metrics read (the loop then brings
metrics.jsonl to the disk and saves) until the next steps are dispatched. Beside it what a
checkpoint costs in all, writing in the background included: the seconds of a run with checkpoints
less those of one without, taking turns.
"""

import time
from pathlib import Path
from typing import Any

import common
from common import spread, summary, table, verdict
from rows import make_config

import aimodels
from aimodels.tasks.base import State
from aimodels.training.checkpoints import Checkpoints
from aimodels.training.step import Program
from aimodels.training.writers import MetricsWriter

TARGET_MS = 50
MODEL = {"features": (1000, 950), "residual": False}  # 1.0 million parameters
EVERY = 200


class Watch:
    """Times saves and the gaps around them while it is entered."""

    def __init__(self) -> None:
        self.save_ms: list[float] = []
        self.gap_ms: list[float] = []
        self._idle_since: float | None = None

    def __enter__(self) -> "Watch":
        self._originals = save, run, sync = Checkpoints.save, Program.run, MetricsWriter.sync
        watch = self

        def marked_sync(self: MetricsWriter) -> None:
            watch._idle_since = time.perf_counter()  # the loop calls it before each save only
            sync(self)

        def timed_save(self: Checkpoints, step: int, state: State, metrics: dict) -> None:
            begin = time.perf_counter()
            save(self, step, state, metrics)
            watch.save_ms.append(1e3 * (time.perf_counter() - begin))

        def timed_run(self: Program, *arguments: Any) -> Any:
            result = run(self, *arguments)
            if watch._idle_since is not None:
                watch.gap_ms.append(1e3 * (time.perf_counter() - watch._idle_since))
                watch._idle_since = None
            return result

        Checkpoints.save, Program.run = timed_save, timed_run
        MetricsWriter.sync = marked_sync
        return self

    def __exit__(self, *_: object) -> None:
        Checkpoints.save, Program.run, MetricsWriter.sync = self._originals


def train(scratch: Path, steps: int, every: int) -> dict[str, Any]:
    """Trains once, with a checkpoint every so many steps (0: only at the end)."""
    common.forget(scratch / "run")
    config = make_config(
        "mlp",
        scratch,
        model=MODEL,
        training={"steps": steps},
        evaluation={"every": 0},
        checkpoint={"every": every, "keep": 2},
    )
    return aimodels.train(config, scratch / "run", verbose=False).results


def main() -> None:
    parser = common.arguments(__doc__, repeats=5)
    parser.add_argument("--checkpoints", type=int, default=8, help="of a run")
    options = parser.parse_args()
    repeats, count = (1, 3) if options.quick else (options.repeats, options.checkpoints)
    steps = EVERY * count + EVERY // 2
    with common.session(options, "checkpoint") as record:
        scratch = record["scratch"]
        parameters = train(scratch, EVERY, 0)["parameters"]
        saves: list[float] = []
        gaps: list[float] = []
        with_saves: list[float] = []
        without: list[float] = []
        for _ in range(repeats):
            with Watch() as watch:
                train(scratch, steps, EVERY)
            saves += watch.save_ms[:-1]  # the last one comes after the last step
            gaps += watch.gap_ms
            for seconds, every in ((with_saves, EVERY), (without, 0)):
                results = train(scratch, steps, every)
                seconds.append(results["seconds"] - results["first_dispatch_seconds"])
        pairs = zip(with_saves, without, strict=True)
        record |= {
            "target_ms": TARGET_MS,
            "parameters": parameters,
            "state_megabytes": 3 * 4 * parameters / 1e6,
            "save_ms": saves,
            "gap_ms": gaps,
            "run_seconds": {"with": with_saves, "without": without, "checkpoints": count},
            "cost_ms": [1e3 * (some - none) / count for some, none in pairs],
        }
        rows = [
            ("call of save", spread(summary(saves), 1)),
            ("gap between dispatches", spread(summary(gaps), 1)),
            ("cost in all, writing included", spread(summary(record["cost_ms"]), 1)),
        ]
        worst = [verdict(summary(values)["median"], TARGET_MS, True) for values in (saves, gaps)]
        header = (f"{parameters / 1e6:.2f} million parameters, ms", "a checkpoint", "target")
        table(header, [(*row, met) for row, met in zip(rows, [*worst, "none"], strict=True)])


if __name__ == "__main__":
    main()
