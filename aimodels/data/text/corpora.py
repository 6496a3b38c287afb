"""Corpora: running text for language models, by name or from a file of your own."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

from aimodels.data.cache import cache_folder, damaged, keep, mirror_folder, read_file, sha256
from aimodels.data.fetching import Files, WayError, download, first_that_works, members
from aimodels.errors import UserError, unknown


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A text that a publisher holds in one file.

    Attributes:
      name: short name.
      title: one line that says what it is.
      url: where its file is.
      sha256: of the file.
      archive: of a mirror folder.
      member: of the archive: a pattern whose group `name` is the file.
      characters: how many there are.
      validation: the share at its end that is not trained on.
      licence: as the publisher states it.
      citation: of the split.
    """

    name: str
    title: str
    url: str
    sha256: str
    archive: str
    member: str
    characters: int
    validation: float
    licence: str
    citation: str

    @property
    def _named(self) -> str:
        """As commands name the data set."""
        return f"text:{self.name}"

    @property
    def file(self) -> Path:
        """Where it is kept."""
        return cache_folder() / "corpora" / f"{self.name}.txt"

    def read(self) -> str:
        """The whole text, checked by SHA-256."""
        content = read_file(self.file, self._named)
        if sha256(content) != self.sha256:
            raise damaged(self._named, self.file, "its SHA-256 differs from the published file's")
        return content.decode()

    def fetch(self) -> str:
        """Get the file from a mirror folder or its publisher."""
        file = self.file.name

        def check(files: Files) -> None:
            if sha256(files[file]) != self.sha256:
                raise WayError("its SHA-256 differs from the published file's")

        ways: list[tuple[str, Callable[[], Files]]] = [
            ("the mirror", lambda: {file: self._from_mirror()}),
            (self.url, lambda: {file: download(self.url)}),
        ]
        files, line = first_that_works(self._named, ways, check)
        keep(self.file, files[file])
        return line

    def _from_mirror(self) -> bytes:
        archive = mirror_folder() / self.archive
        if not archive.is_file():
            raise WayError(f"{archive} is missing")
        (content,) = members(archive, re.compile(self.member)).values()
        return content


CORPORA = {
    corpus.name: corpus
    for corpus in (
        Corpus(
            name="tiny_shakespeare",
            title="Tiny Shakespeare",
            url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
            sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            archive="tinyshakespeare.tar.gz",
            member=r"(?:.*/)?tinyshakespeare/(?P<name>input\.txt)",
            characters=1_115_394,
            validation=0.1,
            licence="public domain",
            citation="Karpathy, char-rnn, 2015; split as in nanoGPT, the last tenth",
        ),
    )
}


def named(name: str) -> Corpus:
    """The corpus of that name. Raises `UserError` if there is none."""
    if name not in CORPORA:
        raise unknown("corpus", name, CORPORA)
    return CORPORA[name]


def read_text(path: str | Path) -> str:
    """A text file of UTF-8.

    Raises:
      UserError: it isn't there, it is empty, or it is no UTF-8; then which byte.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"text file {path} can't be read: {error.strerror}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"text file {path} is not UTF-8: byte {error.start:,} is 0x{content[error.start]:02x}; "
            f"convert it with: iconv -f ISO-8859-1 -t UTF-8 {path}"
        ) from error
    if not text.strip():
        raise UserError(f"text file {path} is empty")
    return text
