"""LibreOffice's help pages, written in English and translated by people.

A page has the same numbered headings and paragraphs in every language, which pairs them.
"""

import dataclasses
import functools
import html
import json
import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from aimodels.data.base import Info
from aimodels.data.cache import cache_folder, keep, read_file, sha256
from aimodels.data.fetching import WayError, debian_package, first_that_works
from aimodels.data.text.labelled import distinct, frozen_split
from aimodels.data.text.parallel import LANGUAGES, Pairs, ParallelTexts
from aimodels.errors import UserError

PACKAGES = {language: f"libreoffice-help-{language}" for language in ("de", "fr", "es")}
ENGLISH = "libreoffice-help-en-us"
FOLDER = "usr/share/libreoffice/help"
SHARES = {"train": 0.9, "validation": 0.05, "test": 0.05}
SEED = 2023
# Words of a text that is taken: shorter ones are names of buttons.
SHORTEST, LONGEST = 4, 40
# Of the files that are made of the packages' version 4:7.4.7, and how many pairs each split has.
SHA256 = {
    "de": "01af1f9a3ff6b880a4a7ffb05069c56dffa18ca4393032f77be34383b5a9de56",
    "fr": "ff1dfa86e87b5cf0019776627259eaa0e6f8783716e5612a4eb31eb743082713",
    "es": "626b81cd383e32257a5bf7a876000419735a11b8bdd8997010a91a72ae26cf16",
}
SIZES = {
    "de": {"train": 20382, "validation": 993, "test": 1014},
    "fr": {"train": 19532, "validation": 1120, "test": 900},
    "es": {"train": 17530, "validation": 897, "test": 919},
}
_ELEMENT = re.compile(r"<(p|h[1-6])\b([^>]*)>(.*?)</\1>", re.DOTALL)
_ID = re.compile(r'\bid="([^"]+)"')


@dataclasses.dataclass(frozen=True)
class LibreOfficeHelp(ParallelTexts):
    """Headings and paragraphs of help pages, in English and another language.

    The splits are our own: of pages, in an order drawn by a fixed seed, 90, 5 and 5 %. A pair
    of which either text has been there before is left out, so that none is in two splits. Texts
    have 4 to 40 words on both sides, and are not the same on both.
    """

    languages: ClassVar[tuple[str, ...]] = ("en", *PACKAGES)

    def __post_init__(self) -> None:
        super().__post_init__()
        if "en" not in (self.source, self.target):
            raise UserError(
                f"data.source is {self.source!r} and data.target {self.target!r}; one must be 'en'"
            )

    @classmethod
    def presets(cls) -> tuple[dict[str, Any], ...]:
        """English into each other language."""
        return tuple({"target": language} for language in PACKAGES)

    @property
    def other(self) -> str:
        """The language beside English."""
        return self.target if self.source == "en" else self.source

    def info(self) -> Info:
        """The facts."""
        return Info(
            name=f"libreoffice_help:{self.other}",
            title=f"LibreOffice help, {LANGUAGES[self.source]} to {LANGUAGES[self.target]}",
            task="translation",
            features=self.features(),
            splits=SIZES[self.other],
            num_classes=self.vocabulary,
            licence="MPL-2.0 and others, as the packages state",
            citation="The Document Foundation, LibreOffice 7.4 help",
            source=f"Debian, {ENGLISH} and {PACKAGES[self.other]}",
            how="fetched from the packages (2 to 3 MB each)",
            notes="splits of our own, by page, without duplicates",
        )

    def is_ready(self) -> bool:
        """Whether the file is there."""
        return _file(self.other).is_file()

    def fetch(self) -> str:
        """Get the pages from the two packages."""
        file, package = _file(self.other), PACKAGES[self.other]

        def way() -> dict[str, bytes]:
            english = debian_package(ENGLISH, f"{FOLDER}/en-US/text/**/*.html", paths=True)
            other = debian_package(package, f"{FOLDER}/{self.other}/text/**/*.html", paths=True)
            return {file.name: _joined(english, other, self.other)}

        def check(files: dict[str, bytes]) -> None:
            if sha256(files[file.name]) != SHA256[self.other]:
                raise WayError("the packages are of another version than 4:7.4.7")

        label = f"{ENGLISH} and {package}"
        files, line = first_that_works(f"libreoffice_help:{self.other}", [(label, way)], check)
        keep(file, files[file.name])
        return line

    def pairs(self, split: str) -> Pairs:
        """The texts of the pages of a split."""
        english, other = _read(_file(self.other))[split]
        return Pairs(english, other) if self.source == "en" else Pairs(other, english)


def texts_of(page: str) -> dict[str, str]:
    """The headings and paragraphs of a page of HTML: id -> text, the first of its id."""
    found: dict[str, str] = {}
    for _, attributes, content in _ELEMENT.findall(page):
        name = _ID.search(attributes)
        # What is hidden is said for one system or the other: both together are no sentence.
        if name is None or 'hidden="true"' in content:
            continue
        text = " ".join(html.unescape(re.sub(r"<[^>]*>", "", content)).split())
        if text:
            found.setdefault(name[1], text)
    return found


def _joined(english: dict[str, bytes], other: dict[str, bytes], language: str) -> bytes:
    """All pairs as JSON, [page, English, other] each, page by page."""
    pairs = []
    for path, content in sorted(english.items()):
        page = path.removeprefix(f"{FOLDER}/en-US/")
        theirs = texts_of(other.get(f"{FOLDER}/{language}/{page}", b"").decode())
        for name, text in texts_of(content.decode()).items():
            if _is_taken(text) and _is_taken(theirs.get(name, "")) and text != theirs[name]:
                pairs.append([page, text, theirs[name]])
    return json.dumps(pairs, ensure_ascii=False).encode()


def _is_taken(text: str) -> bool:
    return SHORTEST <= len(text.split()) <= LONGEST


@functools.lru_cache(maxsize=4)
def _read(file: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Split -> its texts in English and in the other language."""
    language = file.stem
    content = read_file(file, f"libreoffice_help:{language}", SHA256[language])
    return split_by_page(json.loads(content))


def split_by_page(pairs: list[list[str]]) -> dict[str, tuple[list[str], list[str]]]:
    """[page, English, other] each -> split -> English texts and the other ones."""
    pages = sorted({page for page, _, _ in pairs})
    split_of = {
        pages[row]: split
        for split, rows in frozen_split(np.arange(len(pages)), SHARES, SEED).items()
        for row in rows.tolist()
    }
    splits = list(SHARES)
    ordered = sorted(pairs, key=lambda pair: splits.index(split_of[pair[0]]))
    found: dict[str, tuple[list[str], list[str]]] = {split: ([], []) for split in splits}
    # Many a phrase of one language stands for several of the other: neither may come again.
    for side in (1, 2):
        ordered = [ordered[n] for n in distinct([pair[side] for pair in ordered]).tolist()]
    for page, english, other in ordered:
        found[split_of[page]][0].append(english)
        found[split_of[page]][1].append(other)
    return found


def _file(language: str) -> Path:
    return cache_folder() / "libreoffice_help" / f"{language}.json"
