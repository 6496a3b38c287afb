"""Which replicas of a run still train: one that failed or was pruned stands still."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from aimodels.files import write_atomically

DONE = "done"


class Replicas:
    """The replicas of a work folder. `stopped.json` in it says which stand still, and why.

    Args:
      workdir: the work folder.
      steps: [R], the steps that the state of each replica has made; the largest is the run's.
    """

    def __init__(self, workdir: Path, steps: np.ndarray) -> None:
        from aimodels.training.processes import is_first, share  # JAX, which reports do without

        self._file, self._writes = workdir / "stopped.json", is_first()
        self.step = int(steps.max())
        self.active = steps == self.step
        # A replica whose state stands still failed at the step after it.
        self._stopped = {
            index: (int(at) + 1, f"failed at step {at + 1}")
            for index, at in enumerate(steps)
            if at < self.step
        }
        stopped = share(read_stopped(workdir) if self._writes else None)
        for index, (at, status) in ((int(index), entry) for index, entry in stopped.items()):
            if at <= self.step:  # what came later will come again
                self._stopped[index] = at, status
                self.active[index] = False

    def stop(self, replica: int, step: int, status: str) -> None:
        """Keeps that a replica trains no more, e.g. `pruned at step 800`."""
        self.active[replica] = False
        self._stopped[replica] = step, status
        if self._writes:
            write_atomically(self._file, json.dumps(self._stopped, indent=2) + "\n")

    @property
    def statuses(self) -> list[str]:
        """Of each replica: `done` (or still on its way), or when and why it was stopped."""
        nothing = 0, DONE
        return [self._stopped.get(index, nothing)[1] for index in range(len(self.active))]

    def mean(self, values: np.ndarray) -> float:
        """The mean of a metric [R] over the replicas that still train."""
        return float(np.mean(values[self.active])) if self.active.any() else float("nan")


# Called after each evaluation with the step, its metrics (split/name -> [R]) and which replicas
# still train [R]; returns the replicas that are to be stopped.
Pruner = Callable[[int, dict[str, np.ndarray], np.ndarray], list[int]]


def read_stopped(workdir: Path) -> dict[int, tuple[int, str]]:
    """Replica -> (step, status) of those that a work folder's run has stopped."""
    try:
        read = json.loads((workdir / "stopped.json").read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return {int(index): (at, status) for index, (at, status) in read.items()}
