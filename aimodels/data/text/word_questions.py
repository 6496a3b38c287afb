"""Questions by which word vectors are judged: analogies, and pairs of words rated by people.

questions-words: Mikolov, Chen, Corrado & Dean, "Efficient estimation of word representations in
vector space", 2013, table 1. WordSim-353: Finkelstein et al., "Placing search in context: the
concept revisited", 2002. SimLex-999: Hill, Reichart & Korhonen, "SimLex-999: evaluating semantic
models with (genuine) similarity estimation", 2015.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aimodels.data.cache import cache_folder, keep, mirror_folder, read_file
from aimodels.data.fetching import Files, WayError, check_digests, first_that_works, python_package
from aimodels.data.source import ArraySource
from aimodels.errors import UserError, unknown

_PACKAGE = "gensim==4.4.0"
SOURCE = f"the Python package {_PACKAGE} (LGPL), its test data"
# File -> SHA-256.
FILES = {
    "questions-words.txt": "8c29b3332afc46f3fb8be04cb5297bf96f39aa7131272dff57869b4485b22a36",
    "wordsim353.tsv": "f92a022fc2537793a15bc3a8c162ebcd74990e033a228bb6388cb71e4c0b1e1d",
    "simlex999.txt": "d5e0501971478a511430ee880bd0121e94ac701ba86d90544d83e6d2ba3db05d",
}
ANALOGIES = ("analogies", "semantic", "syntactic")
PAIRS = {"wordsim353": "wordsim353.tsv", "simlex999": "simlex999.txt"}


def _folder() -> Path:
    return cache_folder() / "word_questions"


def are_here() -> bool:
    """Whether the files are on this machine."""
    return all((_folder() / file).is_file() for file in FILES)


def fetch() -> str:
    """Brings the three files here, from a mirror folder or their package; returns a line."""

    def from_mirror() -> Files:
        folder = mirror_folder() / "word_questions"
        if missing := [file for file in FILES if not (folder / file).is_file()]:
            raise WayError(f"{folder / missing[0]} is missing")
        return {file: (folder / file).read_bytes() for file in FILES}

    def from_package() -> Files:
        names = "|".join(map(re.escape, FILES))
        pattern = re.compile(rf"gensim/test/test_data/(?P<name>{names})")
        return python_package(_PACKAGE, pattern)

    def check(files: Files) -> None:
        check_digests(files, FILES)

    ways = [("the mirror", from_mirror), (SOURCE, from_package)]
    files, line = first_that_works("questions of words", ways, check)
    for file in FILES:
        keep(_folder() / file, files[file])
    return line


def load(split: str, words: Sequence[str], *, lowercase: bool = True) -> ArraySource:
    """The questions of a split all of whose words are known, see `aimodels.data.text.words`.

    Args:
      split: analogies, semantic, syntactic, wordsim353 or simlex999.
      words: that are known, in the order of their ids.
      lowercase: whether the words of the questions are made so.

    Raises:
      UserError: there is no such split, or its file isn't here.
    """
    if split not in (*ANALOGIES, *PAIRS):
        raise unknown("split", split, ("train", *ANALOGIES, *PAIRS))
    text = _read(PAIRS.get(split, "questions-words.txt"))
    text = text.lower() if lowercase else text
    return pairs(text, words) if split in PAIRS else analogies(text, words, split)


def analogies(text: str, words: Sequence[str], part: str = "analogies") -> ArraySource:
    """Lines "a b c d" in sections ": name": `inputs` [N, 3] int32 (a, b, c), `targets` [N] (d).

    Args:
      text: of the file.
      words: that are known, in the order of their ids; a question with another one is left out.
      part: analogies (all), syntactic (of sections whose names begin with "gram") or semantic.
    """
    ids = {word: index for index, word in enumerate(words)}
    section, found = "semantic", []
    for line in text.splitlines():
        if line.startswith(":"):
            grammar = line.removeprefix(":").strip().startswith("gram")
            section = "syntactic" if grammar else "semantic"
            continue
        question = [ids.get(word) for word in line.split()]
        if len(question) == 4 and None not in question and part in ("analogies", section):
            found.append(question)
    rows = np.array(found, np.int32).reshape(-1, 4)
    return ArraySource({"inputs": rows[:, :3], "targets": rows[:, 3]})


def pairs(text: str, words: Sequence[str]) -> ArraySource:
    """Lines "a b number" with tabs between: `inputs` [N, 2] int32, `targets` [N] float32.

    Args:
      text: of the file; lines that begin with # say something about it.
      words: that are known, in the order of their ids; a pair with another one is left out.
    """
    ids = {word: index for index, word in enumerate(words)}
    found, ratings = [], []
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        first, second, rating = line.split("\t")
        if first in ids and second in ids:
            found.append((ids[first], ids[second]))
            ratings.append(float(rating))
    inputs = np.array(found, np.int32).reshape(-1, 2)
    return ArraySource({"inputs": inputs, "targets": np.array(ratings, np.float32)})


def _read(file: str) -> str:
    path = _folder() / file
    if not path.is_file():
        raise UserError(
            f"questions of words are not on this machine ({path} is missing); get them with: "
            "aimodels data fetch words:brown"
        )
    return read_file(path, "words:brown", FILES[file]).decode()
