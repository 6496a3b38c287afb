"""The cache folder: whole, checked files or none.

`AIMODELS_DATA` names it (default `~/.cache/aimodels/data`). `AIMODELS_DATA_MIRROR` names a folder
with copies of the archives that public repositories hold; a fetch looks there first.
"""

import errno
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from aimodels.errors import UserError
from aimodels.files import write_atomically


def cache_folder() -> Path:
    """Where data sets are kept on this machine."""
    return Path(os.environ.get("AIMODELS_DATA") or "~/.cache/aimodels/data").expanduser()


def mirror_folder() -> Path:
    """The folder with copies of public archives. Raises `FileNotFoundError` if there is none."""
    named = os.environ.get("AIMODELS_DATA_MIRROR")
    if not named:
        raise FileNotFoundError("AIMODELS_DATA_MIRROR is not set")
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"AIMODELS_DATA_MIRROR={named} is not a folder")
    return folder


def keep(path: Path, content: bytes) -> None:
    """Write a file of the cache folder; `UserError` if the folder can't be written."""
    try:
        write_atomically(path, content)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):  # the command line says it of any disk
            raise
        raise UserError(
            f"can't write to the data folder: {error}; set AIMODELS_DATA to a folder that can be "
            "written"
        ) from error


def sha256(content: bytes | memoryview) -> str:
    """The SHA-256 of some bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_files(files: Iterable[tuple[str, bytes]]) -> str:
    """One SHA-256 for a folder: over each (relative path, bytes), sorted by path."""
    digest = hashlib.sha256()
    for name, content in sorted(files):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def read_file(path: Path, dataset: str, digest: str | None = None) -> bytes:
    """A file of a data set.

    Raises:
      UserError: it is not there, or its SHA-256 is not `digest`; with the command that gets it.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise missing(dataset, path) from None
    if digest is not None and sha256(content) != digest:
        raise damaged(dataset, path, "its SHA-256 differs from that of what was published")
    return content


def missing(dataset: str, path: Path) -> UserError:
    """The error for data that are not on this machine."""
    return UserError(
        f"data set {dataset!r} is not on this machine ({path} is missing); get it with: "
        f"aimodels data fetch {dataset}"
    )


def damaged(dataset: str, path: Path, reason: str) -> UserError:
    """The error for data that differ from what they must be."""
    return UserError(
        f"data set {dataset!r}: {path} is damaged ({reason}); mend it with: "
        f"aimodels data fetch {dataset}"
    )
