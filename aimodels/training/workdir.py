"""The work folder: what a run leaves, always in the same places."""

import contextlib
import fcntl
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aimodels.config import Config, differences, plain, resolve, to_json
from aimodels.errors import UserError
from aimodels.files import partials, write_atomically

IN_USE = "is in use by another process"


@contextlib.contextmanager
def opened(workdir: Path, config: Config) -> Iterator[None]:
    """Makes the folder, or checks that it belongs to the same config; locked while it is open.

    Raises:
      UserError: it can't be written, is in use by another process, or has another config.
    """
    file = workdir / "config.json"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = (workdir / ".lock").open("w")
    except OSError as error:
        raise UserError(
            f"work folder {workdir} can't be written: {error.strerror}; "
            "choose another one with --workdir"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"work folder {workdir} {IN_USE}; wait for it, or choose "
                "another folder with --workdir"
            ) from None
        except OSError:  # a file system without locks
            pass
        leftovers = partials(workdir)  # a start that was killed may have left no more than that
        if file.exists():
            _check_same(file, config)
        else:
            ours = {".lock", *(path.name for path in leftovers)}
            strangers = {path.name for path in workdir.iterdir()} - ours
            if strangers:
                raise UserError(
                    f"work folder {workdir} is not empty and has no config.json (it has "
                    f"{', '.join(sorted(strangers)[:3])}); choose another one with --workdir"
                )
            write_atomically(file, to_json(config))
        if not (workdir / "environment.json").exists():
            write_json(workdir / "environment.json", environment())
        for path in leftovers:
            path.unlink()
        yield


def _check_same(file: Path, config: Config) -> None:
    try:
        before = json.loads(file.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"{file} can't be read: {error}") from error
    with contextlib.suppress(UserError):  # fields that came since then have their defaults
        before = plain(resolve(before))
    # A checkpoint is restored onto any layout of any number of devices.
    lines = differences({**before, "parallel": config.parallel}, config)
    if lines:
        raise UserError(
            f"work folder {file.parent} belongs to another config; it differs in\n  "
            + "\n  ".join(lines)
            + "\nchoose another folder with --workdir, or give the folder's own config: "
            f"--config={file}"
        )


def read_results(workdir: Path) -> dict[str, Any] | None:
    """The results.json of a finished run; None if it isn't there."""
    try:
        return json.loads((workdir / "results.json").read_text())
    except (OSError, json.JSONDecodeError):
        return None


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON, whole or not at all."""
    write_atomically(path, json.dumps(plain(value), indent=2) + "\n")


def environment() -> dict[str, Any]:
    """Versions, devices, commit and command, so that a result can be explained later."""
    from importlib.metadata import PackageNotFoundError, version

    import jax

    versions = {}
    for name in ("aimodels", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy"):
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {
        "python": platform.python_version(),
        "versions": versions,
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "devices": [f"{device.platform}:{device.device_kind}" for device in jax.devices()],
        "commit": _commit(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def processor() -> str:
    """The processor's name, as far as the system tells."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit of the source tree, with `+changes` if files differ; None outside of one."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        status = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True)
    except OSError:
        return None
    if commit.returncode:
        return None
    return commit.stdout.strip() + ("+changes" if status.stdout.strip() else "")
