"""Several processes that train one config, one a host: what they agree on, and how they end.

All of them run the same program. The work folder belongs to the first one: it alone reads and
writes there, and tells the others what it read, so that no file system has to be shared. When one
ends before its time the others, which would wait for its part of a sum for ever, end too.
"""

import contextlib
import ctypes
import functools
import itertools
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from aimodels.errors import Stopped, TrainingFailed, UserError

# A process says every second that it lives, and is taken for dead after so many without.
BEAT_SECONDS, SILENT_SECONDS = 1.0, 15.0
JOIN_SECONDS = 300
_ALIVE, _ENDED, _SHARED = "aimodels/alive/", "aimodels/ended/", "aimodels/shared/"
_DONE = "aimodels/done/"
_shares = itertools.count()
_left: list[int] = []  # the exit code, once all processes have done their part


def several() -> bool:
    """Whether this run has more than one process; asking does not start JAX for a single one."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_first() -> bool:
    """Whether this process is the one that owns the work folder."""
    return not several() or jax.process_index() == 0


# --- what they agree on ---------------------------------------------------------------------------


def share(value: Any) -> Any:
    """What the first process gives, anything that JSON holds, in every process.

    Args:
      value: is looked at in the first process only.
    """
    if not several():
        return value
    key = f"{_SHARED}{next(_shares)}"
    if is_first():
        _client().key_value_set(key, json.dumps(value))
    return json.loads(_client().blocking_key_value_get(key, 3_600_000))


def share_state(state: Any, target: Any) -> Any:
    """A state of the first process as one of all, to the bit.

    Args:
      state: a tree of arrays; in the other processes None.
      target: its shapes, dtypes and shardings.
    """

    def share_leaf(where: Any, leaf: Any = None) -> jax.Array:
        bits = np.zeros(where.size * where.dtype.itemsize, np.uint8)
        if leaf is not None:
            bits = np.ascontiguousarray(leaf).reshape(-1).view(np.uint8)
        if bits.size:
            bits = np.asarray(multihost_utils.broadcast_one_to_all(bits))
        whole = bits.view(where.dtype).reshape(where.shape)
        return jax.make_array_from_callback(where.shape, where.sharding, lambda at: whole[at])

    return jax.tree.map(share_leaf, target, *([] if state is None else [state]))


def fetch(tree: Any) -> Any:
    """Device arrays as NumPy's; also where parts of them are on devices of other processes."""

    def fetch_leaf(leaf: jax.Array) -> np.ndarray:
        if not leaf.is_fully_addressable and not leaf.is_fully_replicated:
            leaf = _replicate(leaf.sharding.mesh)(leaf)  # type: ignore[attr-defined]
        return np.asarray(leaf)

    return jax.tree.map(fetch_leaf, tree) if several() else jax.device_get(tree)


@functools.cache
def _replicate(mesh: Any) -> Any:
    return jax.jit(lambda x: x, out_shardings=NamedSharding(mesh, P()))


def stops(received: bool, round_number: int) -> bool:
    """Whether all processes stop now, since one of them was told to.

    Args:
      received: whether this one was; in several processes JAX itself listens for SIGTERM.
      round_number: of the loop, the same in all processes.
    """
    return multihost_utils.reached_preemption_sync_point(round_number) if several() else received


# --- how they begin and end -----------------------------------------------------------------------


def from_environment(
    coordinator: str | None, processes: str | None, process: int | None
) -> tuple[str | None, str | None, int | None]:
    """What was given, completed by JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES, JAX_PROCESS_ID."""
    number = os.environ.get("JAX_PROCESS_ID")
    if process is None and number is not None:
        process = int(number) if number.isdigit() else -1
    return (
        coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS"),
        processes or os.environ.get("JAX_NUM_PROCESSES"),
        process,
    )


@contextlib.contextmanager
def joined(coordinator: str | None, processes: str | None, process: int | None) -> Iterator[None]:
    """Joins the processes of a run; does nothing where nothing says that there are several.

    If the body raises in one process, or if one is killed, the others end within half a minute with
    a message that says which it was.

    Args:
      coordinator: `HOST:PORT` of the first process, which the others can reach.
      processes: how many, or `auto`: Slurm, a TPU pod or Open MPI says how many and which.
      process: which one this is, from 0 on.

    Raises:
      UserError: these don't fit together, or the others didn't come.
    """
    given = from_environment(coordinator, processes, process)
    if given == (None, None, None):
        yield
        return
    _initialize(*given)
    _keep_standard_output()
    ctypes.CDLL(None).signal(signal.SIGABRT, _aborted)
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(stop,), name="processes", daemon=True)
    watcher.start()
    try:
        yield
    except (Stopped, TrainingFailed) as error:  # all processes raise these, at the same step
        _leave(stop, watcher, error.exit_code)
        raise
    except BaseException as error:
        _end_with(error)
    else:
        _leave(stop, watcher, 0)


def _initialize(coordinator: str | None, processes: str | None, process: int | None) -> None:
    arguments: dict[str, Any] = {}
    if processes != "auto":
        flags = "--coordinator=HOST:PORT --processes=N --process=I"
        if coordinator is None or processes is None or process is None:
            raise UserError(f"several processes take all three of {flags}, or --processes=auto")
        if not (processes.isdigit() and 0 <= process < int(processes)):
            raise UserError(
                f"--process={process} --processes={processes}: processes count from 0 to N - 1"
            )
        if not coordinator.rpartition(":")[2].isdigit():
            raise UserError(f"--coordinator={coordinator!r} is no HOST:PORT")
        arguments = {"num_processes": int(processes), "process_id": process}
        arguments |= {"coordinator_address": coordinator, "cluster_detection_method": "deactivate"}
    # Else JAX ends the others by itself when one is lost, before they could say why.
    jax.config.update("jax_enable_recoverability", True)
    try:
        jax.distributed.initialize(
            initialization_timeout=JOIN_SECONDS, shutdown_timeout_seconds=30, **arguments
        )
    except Exception as error:
        where = f" at {coordinator}" if coordinator else ""
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"the processes of this run did not find each other{where}: {reason}. Each needs the "
            "same --coordinator, the address of process 0, and a --process of its own"
        ) from error


@ctypes.CFUNCTYPE(None, ctypes.c_int)
def _aborted(_: int) -> None:
    """Instead of a process's own end: JAX aborts one that has lost the coordinator."""
    if _left:  # nothing was left to do but to leave, and the coordinator was faster
        os._exit(_left[0])
    me, count = jax.process_index(), jax.process_count()
    _end(f"process 0 of {count}, the coordinator, has ended" if me else "of an internal error", 1)


def _keep_standard_output() -> None:
    """Gloo announces each of its connections there; results are for programs to read."""
    sys.stdout.flush()
    sys.stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)


def _client() -> Any:
    """The key-value store of all processes; JAX has no public name for it."""
    from jax._src import distributed

    return distributed.global_state.client


def _beat(value: str) -> None:
    _client().key_value_set(f"{_ALIVE}{jax.process_index()}", value, allow_overwrite=True)


def _watch(stop: threading.Event) -> None:
    """Says that this process lives, and ends it when another doesn't any more."""
    me, count = jax.process_index(), jax.process_count()
    others = [str(other) for other in range(count) if other != me]
    heard: dict[str, tuple[str, float]] = dict.fromkeys(others, ("", time.monotonic()))
    reached = time.monotonic()
    for beat in itertools.count():
        if stop.wait(BEAT_SECONDS):
            return
        now = time.monotonic()
        try:
            _beat(str(beat))
            ended, alive = (_read(folder) for folder in (_ENDED, _ALIVE))
        except Exception:  # the store is in process 0
            if stop.is_set():
                return
            if now - reached > SILENT_SECONDS / 2:
                _end(f"process 0 of {count} can't be reached any more", 1)
            continue
        reached = now
        for other in others:
            if other in ended:
                last = json.loads(ended[other])
                _end(f"process {other} of {count} failed: {last['message']}", last["code"])
            said, at = heard[other]
            if alive.get(other, "") != said:
                heard[other] = alive[other], now
            elif now - at > SILENT_SECONDS:
                seconds = f"{SILENT_SECONDS:.0f} s"
                _end(f"process {other} of {count} has said nothing for {seconds}", 1)


def _read(folder: str) -> dict[str, str]:
    """The entries of a folder of the store: last part of the key -> value."""
    return {key.rpartition("/")[2]: value for key, value in _client().key_value_dir_get(folder)}


def _leave(stop: threading.Event, watcher: threading.Thread, code: int) -> None:
    """The orderly end, when all have done their part; `_watch` ends it if one no longer can."""
    done = 0
    while done < jax.process_count():
        with contextlib.suppress(Exception):  # the store is in process 0
            _client().key_value_set(f"{_DONE}{jax.process_index()}", "", allow_overwrite=True)
            done = len(_read(_DONE))
        time.sleep(0.05)
    _left.append(code)
    with contextlib.suppress(Exception):  # one that ended now has nothing left to do either
        _client().wait_at_barrier("aimodels/end", int(1000 * SILENT_SECONDS))
    stop.set()
    watcher.join()
    jax.distributed.shutdown()


def _end_with(error: BaseException) -> NoReturn:
    """Ends this process with its error, and lets the others know.

    An error that isn't the user's may be what a lost process looks like from here: then `_watch`
    finds out, and says so instead.
    """
    code = getattr(error, "exit_code", 130 if isinstance(error, KeyboardInterrupt) else 1)
    if not isinstance(error, UserError | KeyboardInterrupt):
        time.sleep(SILENT_SECONDS + 5 * BEAT_SECONDS)
        traceback.print_exception(error)
    message = str(error) or type(error).__name__
    with contextlib.suppress(Exception):
        said = json.dumps({"message": message, "code": code})
        _client().key_value_set(f"{_ENDED}{jax.process_index()}", said)
    print(f"aimodels: process {jax.process_index()}: {message}", file=sys.stderr, flush=True)
    if is_first():  # the store ends with it
        time.sleep(4 * BEAT_SECONDS)
    os._exit(code)


def _end(reason: str, code: int) -> NoReturn:
    """Ends this process, whatever its main thread is waiting for."""
    print(
        f"aimodels: process {jax.process_index()} ends, because {reason}. The same commands go on "
        "from the last checkpoint",
        file=sys.stderr,
        flush=True,
    )
    os._exit(code)
