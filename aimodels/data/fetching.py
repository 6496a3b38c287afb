"""Ways to get files: a mirror folder, a publisher's URL, a Debian package; tried in order."""

import http.client
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from aimodels.errors import UserError

# A dead network must be told in seconds; this bounds each wait of a socket, not a whole download.
SOCKET_TIMEOUT_SECONDS = 10
PACKAGE_TIMEOUT_SECONDS = 600

Files = dict[str, bytes]


class WayError(Exception):
    """One way to get the data does not work here; the message says why."""


def first_that_works(
    dataset: str, ways: Sequence[tuple[str, Callable[[], Files]]], check: Callable[[Files], None]
) -> tuple[Files, str]:
    """The files from the first way that works and passes `check`, and a line that says which.

    Args:
      dataset: name for messages.
      ways: (label, function that returns file name -> bytes or raises).
      check: raises `WayError` if the files are not the right ones.

    Raises:
      UserError: no way works; lists each with its reason.
    """
    tried = []
    for label, way in ways:
        try:
            files = way()
            check(files)
        except (WayError, OSError, EOFError, http.client.HTTPException, tarfile.TarError) as error:
            tried.append(f"{label}: {error or type(error).__name__}")
        else:
            skipped = f" (did not work: {'; '.join(tried)})" if tried else ""
            return files, f"from {label}{skipped}"
    lines = "".join(f"\n  - {line}" for line in tried)
    raise UserError(
        f"data set {dataset!r} can't be fetched. Tried:{lines}\nConnect to the network, or put the "
        "files into a folder and set AIMODELS_DATA_MIRROR to it, then: "
        f"aimodels data fetch {dataset}"
    )


def download(url: str) -> bytes:
    """The content of a URL. Fails within seconds where there is no network."""
    request = urllib.request.Request(url, headers={"User-Agent": "aimodels"})
    with urllib.request.urlopen(request, timeout=SOCKET_TIMEOUT_SECONDS) as response:
        return response.read()


def debian_package(package: str, pattern: str) -> Files:
    """Files of a Debian package, by name, without installing it or being root.

    Args:
      package: its name.
      pattern: glob of the wanted files below the root folder.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise WayError(f"there is no {tool} here")
    with tempfile.TemporaryDirectory() as folder:
        options = [f"Acquire::http::Timeout={SOCKET_TIMEOUT_SECONDS}", "Acquire::Retries=0"]
        flags = [flag for option in options for flag in ("-o", option)]
        result = _run(["apt-get", *flags, "download", package], folder)
        if result.returncode:
            if re.search("Unable to locate package|has no installation candidate", result.stderr):
                raise WayError(
                    f"apt does not know the package {package}; tell it with: sudo apt-get update"
                )
            raise WayError(_last_line(result.stderr))
        (archive,) = Path(folder).glob("*.deb")
        result = _run(["dpkg-deb", "-x", archive.name, "root"], folder)
        if result.returncode:
            raise WayError(_last_line(result.stderr))
        return {path.name: path.read_bytes() for path in sorted(Path(folder, "root").glob(pattern))}


def members(archive: Path, pattern: re.Pattern) -> Files:
    """Regular files of a tar archive whose path matches `pattern`: its group "name" -> bytes.

    Nothing is written, so a path in the archive can't lead anywhere.
    """
    files = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            match = pattern.fullmatch(member.name)
            if match and member.isfile():
                content = tar.extractfile(member)
                assert content is not None
                files[match["name"]] = content.read()
    return files


def _run(command: list[str], folder: str) -> subprocess.CompletedProcess:
    try:
        return subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=PACKAGE_TIMEOUT_SECONDS,
            env={**os.environ, "LC_ALL": "C"},  # messages that can be told apart
        )
    except subprocess.TimeoutExpired as error:
        raise WayError(f"{command[0]} took longer than {PACKAGE_TIMEOUT_SECONDS} s") from error


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if not line.startswith("W:")]
    return lines[-1] if lines else "no message"
