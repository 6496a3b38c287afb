"""Text files of a folder as passages, and the passages that have most to do with a question."""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from aimodels.data.text.corpora import decoded
from aimodels.errors import UserError

ENDINGS = (".md", ".rst", ".text", ".txt")
# A paragraph that is longer is cut, so that one passage is not a whole book.
MOST_WORDS = 200


@dataclasses.dataclass(frozen=True)
class Passage:
    """A piece of a text.

    Attributes:
      file: where it stands.
      text: what it says.
    """

    file: Path
    text: str


def passages_of(folder: str | Path) -> list[Passage]:
    """The paragraphs of all text files in a folder and below, in the order of their names.

    Raises:
      UserError: it is no folder, has no text files, one of them is not UTF-8, or all are empty.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; takes one with text files")
    files = sorted(
        file for file in folder.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file()
    )
    if not files:
        raise UserError(f"{folder} has no text files; takes {', '.join(ENDINGS)}")
    found = []
    for file in files:
        try:
            content = file.read_bytes()
        except OSError as error:
            raise UserError(f"{file} can't be read: {error.strerror}") from error
        text = decoded(content, str(file), str(file))
        found += [Passage(file, piece) for piece in pieces(text)]
    if not found:
        raise UserError(f"the text files of {folder} are all empty")
    return found


def pieces(text: str, most_words: int = MOST_WORDS) -> list[str]:
    """What stands between empty lines, cut after so many words."""
    found = []
    for paragraph in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        words = list(re.finditer(r"\S+", paragraph))
        for start in range(0, len(words), most_words):
            chosen = words[start : start + most_words]
            found.append(paragraph[chosen[0].start() : chosen[-1].end()])
    return found


class BM25:
    """Okapi BM25: Robertson & Zaragoza, "The probabilistic relevance framework", 2009, section 3.

    The score of a text d is Σ_w idf(w) · f (k1 + 1) / (f + k1 (1 - b + b |d| / mean)) over the
    words of the query, f being how often d has w, and idf(w) = ln(1 + (N - n + 0.5) / (n + 0.5)),
    which is never below 0.

    Args:
      texts: N of them.
      k1: how much a word that comes again counts.
      b: how much long texts are held back.
    """

    def __init__(self, texts: Sequence[str], k1: float = 1.2, b: float = 0.75) -> None:
        self._counts = [Counter(_words(text)) for text in texts]
        self._sizes = [counts.total() for counts in self._counts]
        self._mean = sum(self._sizes) / max(len(texts), 1)
        self._having = Counter(word for counts in self._counts for word in counts)
        self._k1, self._b = k1, b

    def scores(self, query: str) -> list[float]:
        """The score of each text."""
        words = [word for word in _words(query) if word in self._having]
        return [
            sum(self._score(word, counts[word], size) for word in words if counts[word])
            for counts, size in zip(self._counts, self._sizes, strict=True)
        ]

    def _score(self, word: str, often: int, size: int) -> float:
        having = self._having[word]
        rarity = math.log(1 + (len(self._counts) - having + 0.5) / (having + 0.5))
        held_back = self._k1 * (1 - self._b + self._b * size / self._mean)
        return rarity * often * (self._k1 + 1) / (often + held_back)

    def best(self, query: str, count: int) -> list[tuple[int, float]]:
        """The numbers and scores of the best texts, the best first; of equals the first."""
        scores = self.scores(query)
        order = sorted(range(len(scores)), key=lambda number: -scores[number])
        return [(number, scores[number]) for number in order[:count]]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
