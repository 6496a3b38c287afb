"""Metrics to files: metrics.jsonl for programs, TensorBoard for eyes."""

import importlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from aimodels.files import write_atomically


class MetricsWriter:
    """Appends to metrics.jsonl, one line a step, split and replica, and to TensorBoard.

    Args:
      workdir: the work folder.
      seeds: one a replica.
      resume_step: what was written for later steps is taken out, since it will come again.
    """

    def __init__(self, workdir: Path, seeds: Sequence[int], resume_step: int) -> None:
        self._seeds = tuple(seeds)
        self._path = workdir / "metrics.jsonl"
        kept = [line for line in read_metrics(self._path) if line["step"] <= resume_step]
        write_atomically(self._path, "".join(_dumps(line) + "\n" for line in kept))
        self._file = self._path.open("a")
        self._boards: list[Any] | None = None
        self._tensorboard, self._resume_step = workdir / "tensorboard", resume_step
        # Its import takes 0.2 s, which the first write would have to wait for.
        Thread(target=importlib.import_module, args=("tensorboardX",), daemon=True).start()

    def write(
        self, step: int, split: str, metrics: Mapping[str, np.ndarray], active: np.ndarray
    ) -> None:
        """Writes the metrics of a step: name -> [R], of the replicas that are `active` [R]."""
        for replica in np.flatnonzero(active).tolist():
            seed = self._seeds[replica]
            line = {"step": step, "split": split, "replica": replica, "seed": seed}
            numbers = {name: float(values[replica]) for name, values in metrics.items()}
            self._file.write(_dumps(line | numbers) + "\n")
            for name, number in numbers.items():
                self._board(replica).add_scalar(f"{split}/{name}", number, step)
        self._file.flush()

    def _board(self, replica: int) -> Any:
        if self._boards is None:
            from tensorboardX import SummaryWriter

            many = len(self._seeds) > 1
            self._boards = [
                SummaryWriter(
                    str(self._tensorboard / f"replica{index}" if many else self._tensorboard),
                    purge_step=self._resume_step + 1,
                )
                for index in range(len(self._seeds))
            ]
        return self._boards[replica]

    def sync(self) -> None:
        """Returns when every line is on disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flushes and closes both."""
        self._file.close()
        for board in self._boards or ():
            board.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl; a last line that was cut off while it was written is left out.

    Numbers that JSON lacks (NaN, infinities) come back as floats.
    """
    if not path.exists():
        return []
    lines = []
    for text in path.read_text().splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        numbers = {k: float(v) for k, v in line.items() if v in ("nan", "inf", "-inf")}
        lines.append(line | numbers)
    return lines


def _dumps(line: Mapping[str, Any]) -> str:
    def number(value: Any) -> Any:
        finite = not isinstance(value, float) or math.isfinite(value)
        return value if finite else str(value)

    return json.dumps({name: number(value) for name, value in line.items()})
