"""Steps/s of a config's compiled step under a plan, apart from the loop."""

import time
from typing import Any

import jax

from aimodels.training.assembly import Assembly
from aimodels.training.step import Plan


class Steady:
    """A program in training, warmed up.

    Args:
      assembly: of the config.
      plan: how its steps are run.
      feed: gives its batches.
    """

    def __init__(self, assembly: Assembly, plan: Plan, feed: Any) -> None:
        self._program, self._feed, target = assembly.program(plan), feed, assembly.target()
        self.compiled = self._program.compile(feed, target)
        self.state = self._program.init(feed, target)
        self._capacity, self._done = plan.steps_per_dispatch, 0
        self._dispatch(1)  # warms up
        begin = time.perf_counter()
        self._dispatch(1)
        self._step_seconds = time.perf_counter() - begin

    def _dispatch(self, steps: int, wait: bool = True) -> Any:
        self.state, report = self._program.run(self.state, self._feed, self._done, steps)
        self._done += steps
        if wait:
            jax.block_until_ready(report.metrics)
        return report.metrics

    def rate(self, seconds: float) -> float:
        """Steps/s of each replica, over about so long; the device is one dispatch behind."""
        # Slow steps in a loop on the device: fewer of them, which is the same compiled program.
        chunk = max(1, min(self._capacity, int(seconds / self._step_seconds)))
        begin, first, before = time.perf_counter(), self._done, None
        while time.perf_counter() - begin < seconds:
            metrics = self._dispatch(chunk, wait=False)
            jax.block_until_ready(before)
            before = metrics
        jax.block_until_ready(before)
        passed = time.perf_counter() - begin
        self._step_seconds = passed / (self._done - first)
        return (self._done - first) / passed
