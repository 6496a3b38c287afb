"""Checkpoints: Orbax behind five methods, with checksums of our own.

`checkpoints/<step>/` holds the state, the config and the metrics of a step. Files are written by
a thread while training goes on; Orbax writes into a temporary folder and renames it, so a save
that was killed is never picked up. Orbax does not notice a flipped bit: a checksum of every array
is stored beside them and compared when they are read. Which steps are kept is decided here and not
by Orbax, whose manager reads every step's metrics when it is opened, forgets those of an earlier
process, and removes a step file by file where it stands.
"""

import errno
import json
import os
import shutil
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding

from aimodels.config import Config, plain
from aimodels.errors import UserError
from aimodels.tasks.base import State
from aimodels.training.parallel import path_of
from aimodels.training.processes import fetch, is_first, several, share, share_state

# A state of more bytes, as that of an agent that remembers pictures, isn't copied: there may be no
# room for it. Training waits until it is written.
LARGEST_COPY = 2**32
# JAX arrays of so many bytes are written in a third of the time that NumPy's take; where there are
# few, it is the other way round (Orbax 0.12: 350 MB in 1.2 s and 5; 300 of 16 kB in 0.9 s and 0.4).
LARGE = 2**24
# In the names of folders that are being written, which no reader takes for a step.
UNFINISHED = ".orbax-checkpoint-tmp"


class Checkpoints:
    """The checkpoints of a work folder.

    Args:
      workdir: the work folder; the checkpoints are in `checkpoints/<step>/` under it.
      config: the resolved config; its section `checkpoint` says what is kept.
    """

    def __init__(self, workdir: Path, config: Config) -> None:
        self.folder = Path(workdir).absolute() / "checkpoints"
        self._config = config
        self._manager: Any = None
        # One thread: saves happen in their order, and Orbax is imported where nobody waits.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: list[Future] = []
        self._metrics: dict[int, dict[str, float]] = {}  # of steps that were looked at

    # --- saving ----------------------------------------------------------------------------------

    def save(self, step: int, state: State, metrics: dict[str, float]) -> None:
        """Takes a copy of the state and writes it in the background, unless it is very large.

        Args:
          step: must be larger than that of every earlier save.
          state: of all replicas; it may be donated as soon as this returns. All processes give
            theirs, and the first one, which then holds a copy of all of it, writes.
          metrics: mean over replicas, by which the best is kept.

        Raises:
          UserError: if an earlier save failed, e.g. because the disk is full.
        """
        self.check()
        leaves, copy = _flatten(state), {}
        copied = sum(leaf.nbytes for leaf in leaves.values()) <= LARGEST_COPY
        for name, leaf in leaves.items():
            array = fetch(leaf)  # all processes take part in it, and one keeps it
            if is_first():
                copy[name] = np.array(array, copy=True) if copied else np.asarray(array)
        if not is_first():
            return
        self._pending.append(self._writer.submit(self._write, step, copy, dict(metrics)))
        if not copied:
            self.wait()

    def check(self) -> None:
        """Raises the error of a save that failed since the last call."""
        done = [future for future in self._pending if future.done()]
        self._pending = [future for future in self._pending if not future.done()]
        for future in done:
            future.result()

    def wait(self) -> None:
        """Returns when everything is on disk; raises what `check` raises."""
        pending, self._pending = self._pending, []
        for future in pending:
            future.result()

    def _write(self, step: int, arrays: dict[str, np.ndarray], metrics: dict[str, float]) -> None:
        import orbax.checkpoint as ocp

        about = {
            "config": plain(self._config),
            "metrics": metrics,
            "checksums": {name: checksum(array) for name, array in arrays.items()},
        }
        about["checksum"] = _checksum_of_text(about)
        try:
            manager = self._open()
            # Asked first: a disk that fills up under Orbax's threads leaves tracebacks of theirs.
            needed = sum(array.nbytes for array in arrays.values()) + 2**20
            if shutil.disk_usage(self.folder).free < needed:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            here = jax.local_devices(backend="cpu")[0]
            state = {
                name: array if array.nbytes < LARGE else jax.device_put(array, here)
                for name, array in arrays.items()
            }
            manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state), about=ocp.args.JsonSave(about)
                ),
                force=True,
            )
            self._metrics[step] = metrics
            self._prune()
        except Exception as error:
            for partial in self.folder.glob(f"{step}{UNFINISHED}*"):
                shutil.rmtree(partial, ignore_errors=True)
            kept = self.steps()
            again = f"it goes on from step {kept[-1]}" if kept else "it starts from step 0"
            raise UserError(
                f"the checkpoint of step {step} could not be written to {self.folder}: "
                f"{_short(error)}. Older checkpoints are whole. Free some space and give the "
                f"same command again: {again}."
            ) from error

    def _prune(self) -> None:
        """Keeps the newest and the best; removes the others and what killed processes left.

        A step is renamed before it is removed, so that half of one is never taken for a whole one.
        """
        for leftover in self.folder.glob(f"*{UNFINISHED}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        steps = self.steps()
        kept = {*steps[-self._config.checkpoint.keep :], self.best_step()}
        for step in set(steps) - kept:
            aside = self.folder / f"{step}{UNFINISHED}-removed"
            (self.folder / str(step)).rename(aside)
            shutil.rmtree(aside, ignore_errors=True)

    def _open(self) -> Any:
        if self._manager is None:
            import orbax.checkpoint as ocp

            self.folder.mkdir(exist_ok=True)
            self._manager = ocp.CheckpointManager(
                self.folder,
                options=ocp.CheckpointManagerOptions(
                    enable_async_checkpointing=False,
                    create=False,
                    lightweight_initialize=True,  # a damaged step does not stop the others
                    multiprocessing_options=ocp.options.MultiprocessingOptions(
                        active_processes={0}, barrier_sync_key_prefix="work_folder"
                    )
                    if several()
                    else ocp.options.MultiprocessingOptions(),
                ),
            )
        return self._manager

    # --- restoring -------------------------------------------------------------------------------

    def steps(self) -> list[int]:
        """The steps that have a finished checkpoint, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(int(entry.name) for entry in self.folder.iterdir() if entry.name.isdigit())

    def best_step(self) -> int | None:
        """The step with the best value of `config.checkpoint.best`; None without one."""
        checkpoint = self._config.checkpoint
        scores = {}
        for step in self.steps() if checkpoint.best else ():
            try:
                if step not in self._metrics:
                    self._metrics[step] = self.about(step)["metrics"]
                scores[step] = self._metrics[step][checkpoint.best]
            except Exception:  # damaged, or saved between two evaluations
                continue
        pick = max if checkpoint.best_mode == "max" else min
        return pick(scores, key=lambda step: scores[step]) if scores else None

    def about(self, step: int) -> dict[str, Any]:
        """The config, metrics and checksums stored with a step.

        Raises:
          Exception: of whatever kind, if it can't be read; `ValueError` if it was changed.
        """
        import orbax.checkpoint as ocp

        args = ocp.args.Composite(about=ocp.args.JsonRestore())
        return _unchanged(self._open().restore(step, args=args)["about"])

    def restore(self, step: int, target: State) -> State:
        """The state of a step. Raises `UserError` if it is damaged.

        Args:
          step: one of `steps()`.
          target: shapes, dtypes and shardings, as `Program.abstract_state` gives them; the number
            of devices may differ from that of the run which saved it.
        """
        if not several():
            return self._read(step, target)
        return share_state(self._read(step, target) if is_first() else None, target)

    def _read(self, step: int, target: State) -> State:
        """`restore` in the first process; of several, the arrays are all on its first device."""
        if step not in self.steps():
            raise UserError(
                f"{self.folder} has no checkpoint of step {step}; it has {self.steps()}"
            )
        here = SingleDeviceSharding(jax.local_devices()[0])
        abstract = {
            name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here) if several() else leaf
            for name, leaf in _flatten(target).items()
        }
        return _unflatten(target, self._restored(step, abstract))

    def arrays(self, step: int) -> dict[str, np.ndarray]:
        """All that a step holds, by its names ("params.head.kernel"), whatever it was made by.

        Raises:
          UserError: if it is damaged.
        """
        try:
            stored = self.about(step)["checksums"]
        except Exception as error:
            raise self._damaged(step, _short(error)) from error
        here = SingleDeviceSharding(jax.local_devices(backend="cpu")[0])
        abstract = {}
        for name, text in stored.items():
            shape, dtype = described(text)
            abstract[name] = jax.ShapeDtypeStruct(shape, dtype, sharding=here)
        restored = self._restored(step, abstract)
        return {name: np.asarray(array) for name, array in restored.items()}

    def _restored(self, step: int, abstract: dict[str, Any]) -> dict[str, jax.Array]:
        """The arrays of a step, compared with their checksums."""
        import orbax.checkpoint as ocp

        try:
            args = ocp.args.Composite(
                state=ocp.args.StandardRestore(abstract), about=ocp.args.JsonRestore()
            )
            restored = self._open().restore(step, args=args)
            stored = _unchanged(restored["about"])["checksums"]
        except Exception as error:
            raise self._damaged(step, _short(error)) from error
        for name, array in restored["state"].items():
            if stored.get(name) != checksum(np.asarray(array)):
                raise self._damaged(
                    step, f"{name} does not have the checksum that was stored with it"
                )
        return restored["state"]

    def _damaged(self, step: int, reason: str) -> UserError:
        return UserError(f"checkpoint {self.folder / str(step)} is damaged: {reason}")

    def restore_latest(self, target: State, warn: Callable[[str], None]) -> State | None:
        """The newest state that is whole, or None if nothing was saved.

        Damaged steps are named through `warn` and moved to `damaged/` in the work folder.

        Raises:
          UserError: if there are checkpoints and all of them are damaged.
        """
        state = self._read_latest(target, warn) if is_first() else None
        if not several():
            return state
        return share_state(state, target) if share(state is not None) else None

    def _read_latest(self, target: State, warn: Callable[[str], None]) -> State | None:
        steps = self.steps()
        for step in reversed(steps):
            try:
                return self._read(step, target)
            except UserError as error:
                warn(str(error))
                aside = self.folder.parent / "damaged" / str(step)
                aside.parent.mkdir(exist_ok=True)
                shutil.rmtree(aside, ignore_errors=True)
                (self.folder / str(step)).rename(aside)
                self._manager = None
        if steps:
            raise UserError(
                f"no checkpoint in {self.folder} is whole; the damaged ones are in "
                f"{self.folder.parent / 'damaged'}. The same command again starts from step 0."
            )
        return None


def checksum(array: np.ndarray) -> str:
    """CRC-32 of an array's bytes, with its shape and type: any single flipped bit changes it."""
    array = np.ascontiguousarray(array)
    return f"{zlib.crc32(array.view(np.uint8).reshape(-1).data):08x} {array.dtype} {array.shape}"


def described(text: str) -> tuple[tuple[int, ...], Any]:
    """The shape and type of an array, from its `checksum`."""
    _, dtype, shape = text.split(" ", 2)
    return tuple(int(size) for size in shape.strip("(,)").split(",") if size), jnp.dtype(dtype)


def _checksum_of_text(about: dict[str, Any]) -> str:
    """CRC-32 of a description as JSON, without its own checksum."""
    rest = {name: value for name, value in about.items() if name != "checksum"}
    return f"{zlib.crc32(json.dumps(rest, sort_keys=True).encode()):08x}"


def _unchanged(about: dict[str, Any]) -> dict[str, Any]:
    if about.get("checksum") != _checksum_of_text(about):
        raise ValueError("its description does not have the checksum that was stored with it")
    return about


def _flatten(state: State) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {path_of(path).replace("/", "."): leaf for path, leaf in leaves}


def _unflatten(target: State, arrays: dict[str, Any]) -> State:
    return jax.tree.unflatten(jax.tree.structure(target), [arrays[n] for n in _flatten(target)])


def _short(error: BaseException) -> str:
    text = str(error)
    if os.strerror(errno.ENOSPC) in text:
        return "the disk is full (no space left on device)"
    lines = [line for line in text.splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
