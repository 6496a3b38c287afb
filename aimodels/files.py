"""Files that a reader never sees half written."""

import os
import re
import secrets
from pathlib import Path

_PARTIAL = re.compile(r"\..+\.\d+-[0-9a-f]{8}")


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file, so that whoever reads or writes it too sees the old one or the whole new one.

    Missing folders are made. When it returns, the content is on disk; when it raises, the old file
    is as it was.

    Raises:
      OSError: the folder can't be written, or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own for each writer, on this machine and on others that share the folder.
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with partial.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def partials(folder: Path) -> list[Path]:
    """What calls of `write_atomically` left half written in a folder when they were killed.

    They may also be those of a writer that still lives; whoever removes them holds a lock.
    """
    return [path for path in folder.iterdir() if _PARTIAL.fullmatch(path.name)]
