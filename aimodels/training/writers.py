"""Metrics to files: metrics.jsonl for programs, TensorBoard for eyes."""

import contextlib
import importlib
import json
import math
import os
import struct
import time
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
        self._boards: list[_Board] | None = None
        self._tensorboard, self._resume_step = workdir / "tensorboard", resume_step
        # Its import takes 0.2 s, which the first write would have to wait for.
        self._importing = Thread(
            target=importlib.import_module, args=("tensorboardX",), daemon=True
        )
        self._importing.start()

    def write(
        self, step: int, split: str, metrics: Mapping[str, np.ndarray], active: np.ndarray
    ) -> None:
        """Writes the metrics of a step: name -> [R], of the replicas that are `active` [R].

        Raises:
          OSError: the disk is full.
        """
        if self._boards is None:
            self._importing.join()  # two threads can't import parts of it at the same time
            many = len(self._seeds) > 1
            folders = [
                self._tensorboard / f"replica{index}" if many else self._tensorboard
                for index in range(len(self._seeds))
            ]
            self._boards = [_Board(folder, self._resume_step) for folder in folders]
        for replica in np.flatnonzero(active).tolist():
            seed = self._seeds[replica]
            line = {"step": step, "split": split, "replica": replica, "seed": seed}
            numbers = {name: float(values[replica]) for name, values in metrics.items()}
            self._file.write(_dumps(line | numbers) + "\n")
            self._boards[replica].write(step, split, numbers)
        self._file.flush()

    def sync(self) -> None:
        """Returns when every line is on disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes all files."""
        with contextlib.ExitStack() as files:  # each of them, even if the disk is full
            for file in (self._file, *(self._boards or ())):
                files.callback(file.close)


class _Board:
    """A file of TensorBoard's.

    Written here rather than by tensorboardX's `SummaryWriter`: its thread keeps two minutes of
    points in memory, which a killed run loses, and once it has died of a full disk, the next points
    block the loop for ever.

    Args:
      folder: made if it isn't there.
      resume_step: TensorBoard drops what earlier files have of later steps.
    """

    def __init__(self, folder: Path, resume_step: int) -> None:
        from tensorboardX.proto.event_pb2 import Event, SessionLog  # type: ignore

        folder.mkdir(parents=True, exist_ok=True)
        # Files are read in the order of their names.
        self._file = (folder / f"events.out.tfevents.{time.time():.0f}.{resume_step}").open("ab")
        self._add(Event(file_version="brain.Event:2"))
        start = SessionLog(status=SessionLog.START)
        self._add(Event(step=resume_step + 1, session_log=start))

    def write(self, step: int, split: str, numbers: Mapping[str, float]) -> None:
        """Adds the points `split/name` of a step; when it returns, a killed process keeps them."""
        from tensorboardX.proto.event_pb2 import Event  # type: ignore
        from tensorboardX.summary import scalar

        event = Event(step=step)
        for name, number in numbers.items():
            event.summary.value.extend(scalar(f"{split}/{name}", number).value)
        self._add(event)
        self._file.flush()

    def _add(self, event: Any) -> None:
        """Appends a record: length, its checksum, the event, its checksum."""
        from tensorboardX.record_writer import masked_crc32c

        event.wall_time = time.time()
        data = event.SerializeToString()
        length = struct.pack("<Q", len(data))
        for part in (length, data):
            self._file.write(part + struct.pack("<I", masked_crc32c(part)))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


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
