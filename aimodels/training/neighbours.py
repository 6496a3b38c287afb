"""Word vectors of a run: the nearest words, and files that other programs read."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from aimodels.config import call_section, plain
from aimodels.data.text.tokenizers import SpacedWords
from aimodels.errors import UserError
from aimodels.files import write_atomically
from aimodels.training.generate import tokenizer_of
from aimodels.training.load import config_of, read_variables


@dataclasses.dataclass(frozen=True)
class WordVectors:
    """Words and their vectors.

    Attributes:
      words: V of them, the most frequent first.
      table: float32 [V, D].
    """

    words: tuple[str, ...]
    table: np.ndarray

    def __post_init__(self) -> None:
        lengths = np.linalg.norm(self.table, axis=1, keepdims=True)
        object.__setattr__(self, "_units", self.table / np.where(lengths == 0, 1, lengths))
        object.__setattr__(self, "_known", SpacedWords(self.words))

    def nearest(self, word: str, count: int = 10) -> list[tuple[str, float]]:
        """The words with the largest cosines, without itself, the largest first.

        Raises:
          UserError: the word isn't known; the message has near ones.
        """
        index = self._known.id_of(word)  # type: ignore[attr-defined]
        scores = self._units @ self._units[index]  # type: ignore[attr-defined]
        scores[index] = -np.inf
        order = np.argsort(-scores, kind="stable")[: min(count, len(scores) - 1)]
        return [(self.words[index], float(scores[index])) for index in order]

    def save(self, path: str | Path) -> None:
        """Writes word2vec's text format: "V D", then a word and its numbers a line."""
        lines = [f"{len(self.words)} {self.table.shape[1]}"]
        for word, vector in zip(self.words, self.table, strict=True):
            lines.append(" ".join([word, *map(str, vector)]))  # as many digits as float32 needs
        write_atomically(Path(path), "\n".join(lines) + "\n")


def word_vectors(
    workdir: str | Path, *, step: int | str = "latest", replica: int = 0
) -> WordVectors:
    """The vectors of a run; the text that it was trained on need not be here.

    Args:
      workdir: where it was trained.
      step: `latest`, `best` or a number.
      replica: which one, counted from 0.

    Raises:
      UserError: it is a run of something else.
    """
    section = plain(config_of(Path(workdir)).model)
    model: Any = call_section("model", section) if section else None
    if not hasattr(model, "table"):
        raise UserError(
            f"{workdir} has no word vectors: its model is {section and section['name']}; takes the "
            "work folder of Word2Vec or GloVe"
        )
    words = getattr(tokenizer_of(workdir), "words", ())
    variables = read_variables(workdir, step=step, replica=replica)
    table = np.asarray(model.apply(variables, method="table"), np.float32)
    return WordVectors(tuple(words), table)
