"""The membranes of the ISBI 2012 challenge, the data of the U-Net paper.

Cardona et al., "An integrated micro- and macroarchitectural analysis of the Drosophila brain by
computer-assisted serial section electron microscopy", PLoS Biology 2010; Arganda-Carreras et al.,
"Crowdsourcing the creation of image segmentation algorithms for connectomics", 2015.
"""

import dataclasses
import functools
import re
from pathlib import Path

import numpy as np

from aimodels.data.base import Dataset, Feature, Info
from aimodels.data.cache import (
    cache_folder,
    damaged,
    keep,
    read_file,
    sha256_of_files,
)
from aimodels.data.fetching import Files, WayError, archive_ways, first_that_works
from aimodels.data.image_files import read_image
from aimodels.data.pixel_weights import border_weights
from aimodels.data.source import ArraySource
from aimodels.errors import UserError

SIZE, SECTIONS = 512, 30
# Over the 60 files train/image/N.png and train/label/N.png.
SHA256 = "cda2522dc1bb73491af0bf9fc8208744b4a5f7806371d952bc3aeb91d4146cc3"
MIRROR_ARCHIVE = "isbi2012-membrane.tar.gz"
URL = "https://github.com/zhixuhao/unet/archive/refs/heads/master.tar.gz"
WANTED = re.compile(r"(?:\./)?(?:[^/]+/)?data/membrane/train/(?P<name>(?:image|label)/\d+\.png)")
FILES = tuple(f"{kind}/{number}.png" for kind in ("image", "label") for number in range(SECTIONS))


@dataclasses.dataclass(frozen=True)
class Isbi2012(Dataset):
    """Electron microscopy, `inputs` [B, 512, 512, 1] uint8, `targets` [B, 512, 512] uint8.

    Labels are 0 for membranes and 1 for the inside of cells. Splits: `train` and `test` of a fold,
    and `all`. The 30 sections lie on top of each other, and neighbours are alike: so a fold's test
    part is a block of neighbours, `test` of fold 0 the first ones.

    Attributes:
      fold: which one, from 0.
      folds: how many; they divide 30.
      weights: `weights` [B, 512, 512] float32 too, the paper's equation 2 with w0 = 10 and σ = 5.
    """

    fold: int = 0
    folds: int = 5
    weights: bool = False

    def __post_init__(self) -> None:
        if self.folds < 2 or SECTIONS % self.folds:
            raise UserError(
                f"data.folds: got {self.folds}, takes a divisor of {SECTIONS} from 2 on"
            )
        if not 0 <= self.fold < self.folds:
            raise UserError(f"data.fold: got {self.fold}, takes 0 to {self.folds - 1}")

    def info(self) -> Info:
        """The facts."""
        features = {
            "inputs": Feature((SIZE, SIZE, 1), "uint8"),
            "targets": Feature((SIZE, SIZE), "uint8"),
        }
        if self.weights:
            features["weights"] = Feature((SIZE, SIZE), "float32")
        part = SECTIONS // self.folds
        return Info(
            name="isbi2012",
            title=f"ISBI 2012 membranes, fold {self.fold} of {self.folds}",
            task="segmentation",
            features=features,
            splits={"train": SECTIONS - part, "test": part, "all": SECTIONS},
            num_classes=2,
            class_names=("membrane", "cell"),
            licence="free for the challenge and for research",
            citation="Cardona et al., PLoS Biology 8(10), 2010; Arganda-Carreras et al. 2015",
            source="ISBI 2012 challenge, by github.com/zhixuhao/unet",
            how="fetched from a mirror or GitHub (17 MB)",
            notes="folds of our own over the labelled sections; the challenge's test labels are "
            "hidden, so no figure here is one of its board",
        )

    def is_ready(self) -> bool:
        """Whether the 60 files are there."""
        return all((_folder() / name).is_file() for name in FILES)

    def load_whole(self, split: str) -> ArraySource:
        """A split of the fold, its sections in their order."""
        chosen = np.arange(SECTIONS)
        if split != "all":
            inside = chosen // (SECTIONS // self.folds) == self.fold
            chosen = chosen[inside if split == "test" else ~inside]
        images, labels = _sections()
        arrays = {"inputs": images[chosen], "targets": labels[chosen]}
        if self.weights:
            arrays["weights"] = np.stack([_weights(int(number)) for number in chosen])
        return ArraySource(arrays)

    def fetch(self) -> str:
        """Get the sections from a mirror folder or from GitHub."""
        ways = archive_ways(MIRROR_ARCHIVE, URL, WANTED)
        files, line = first_that_works("isbi2012", ways, _check)
        for name, content in files.items():
            keep(_folder() / name, content)
        _sections_in.cache_clear()
        return line


def _folder() -> Path:
    return cache_folder() / "isbi2012"


def _sections() -> tuple[np.ndarray, np.ndarray]:
    return _sections_in(_folder())


@functools.lru_cache(maxsize=1)
def _sections_in(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """All images [30, 512, 512, 1] and labels [30, 512, 512], their files checked."""
    files = {name: read_file(folder / name, "isbi2012") for name in FILES}
    if sha256_of_files(files.items()) != SHA256:
        raise damaged("isbi2012", folder, "the SHA-256 over its files differs")
    pixels = [read_image(folder / name, (SIZE, SIZE, 1)) for name in FILES]
    images, labels = np.stack(pixels[:SECTIONS]), np.stack(pixels[SECTIONS:])
    return images, (labels[..., 0] > 127).astype(np.uint8)


@functools.lru_cache(maxsize=SECTIONS)
def _weights(number: int) -> np.ndarray:
    from scipy import ndimage

    cells = np.zeros((SIZE, SIZE), np.int32)
    ndimage.label(_sections()[1][number], output=cells)
    return border_weights(cells)


def _check(files: Files) -> None:
    if missing := [name for name in FILES if name not in files]:
        raise WayError(f"{missing[0]} is missing")
    if sha256_of_files((name, files[name]) for name in FILES) != SHA256:
        raise WayError("the SHA-256 over its files differs")
