"""A row trained by `aimodels.train`, with what a normal run has: logs, evaluations, checkpoints."""

import time
from pathlib import Path
from typing import Any

from common import forget
from rows import ROWS, make_config

import aimodels


class Ours:
    """Runs of one row, each in a new work folder.

    Args:
      row: a name of ROWS.
      scratch: a folder for data and work folders.
      steps: of a run.
    """

    def __init__(self, row: str, scratch: Path, steps: int) -> None:
        self._row, self._scratch, self.steps = row, scratch, steps
        chunk = ROWS[row].chunk
        if steps % chunk:
            raise ValueError(f"{steps} steps are not a multiple of {chunk}")

    def config(self, steps: int) -> Any:
        """A line of metrics every 100 steps; evaluations and checkpoints as the row says."""
        row = ROWS[self._row]
        return make_config(
            self._row,
            self._scratch,
            training={"steps": steps, "log_every": 100},
            evaluation={"splits": ("test",), "every": self.steps // row.evaluations},
            checkpoint={"every": self.steps // row.checkpoints},
        )

    def run(self) -> dict[str, float]:
        """Trains once.

        Returns:
          `steps_per_second`: as results.json has it: all steps over the seconds from the first
            dispatch's end to the last evaluation; the evaluation's own compilation is in there.
          `wall_steps_per_second`: the steps over the wall time of the whole call, both less
            those of a short call, which starts up, compiles, evaluates, saves and plots too.
          `seconds`, `start_seconds`: of the two calls.
        """
        start_steps = ROWS[self._row].start_steps
        start_seconds, _ = self.train(start_steps)
        seconds, results = self.train(self.steps)
        return {
            "steps_per_second": results["steps_per_second"],
            "wall_steps_per_second": (self.steps - start_steps) / (seconds - start_seconds),
            "seconds": seconds,
            "start_seconds": start_seconds,
        }

    def train(self, steps: int) -> tuple[float, dict[str, Any]]:
        """Seconds of a call of `aimodels.train`, and its results.json."""
        workdir = self._scratch / "run"
        forget(workdir)
        config = self.config(steps)
        begin = time.perf_counter()
        result = aimodels.train(config, workdir, verbose=False)
        return time.perf_counter() - begin, result.results


def steps_for(row: str, rate: float, seconds: float) -> int:
    """How many steps take about so long, in whole chunks, and not too few."""
    chunk, least = ROWS[row].chunk, ROWS[row].least_steps
    return max(least, round(rate * seconds / chunk) * chunk)
