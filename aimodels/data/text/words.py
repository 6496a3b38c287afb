"""Running text as words, for word vectors, and the questions by which such vectors are judged."""

import dataclasses
import functools
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from aimodels.data import splits
from aimodels.data.base import Dataset, Feature, Info, select_parts
from aimodels.data.source import ArraySource, Source
from aimodels.data.text import corpora, word_questions
from aimodels.data.text.tokenizers import SpacedWords
from aimodels.errors import UserError

# Letters, with apostrophes and hyphens between them; numbers and marks are no words.
WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
# Of `inputs`: there is no more text.
NOTHING = -1


@dataclasses.dataclass(frozen=True)
class Counted:
    """A corpus as ids of its words; those that are not in the vocabulary are left out of it.

    Attributes:
      words: V of them, the most frequent first.
      counts: of each, int64 [V].
      tokens: the text, int32 [N].
      segments: the number of the sentence of each token, int32 [N].
    """

    words: tuple[str, ...]
    counts: np.ndarray
    tokens: np.ndarray
    segments: np.ndarray


def count(
    text: str,
    *,
    lowercase: bool = True,
    min_count: int = 5,
    vocabulary: int | None = None,
    unit: Literal["line", "paragraph"] = "line",
) -> Counted:
    """The words of a text.

    Args:
      text: sentences.
      lowercase: whether "The" is "the".
      min_count: rarer words are left out.
      vocabulary: at most so many words, the most frequent; of equally frequent ones those that come
        first in the alphabet.
      unit: what a sentence is: a line, or what stands between empty lines.

    Raises:
      UserError: no word is left.
    """
    text = text.lower() if lowercase else text
    pieces = text.splitlines() if unit == "line" else re.split(r"\n\s*\n", text)
    sentences = [WORD.findall(piece) for piece in pieces]
    counter = Counter(word for sentence in sentences for word in sentence)
    kept = [item for item in counter.items() if item[1] >= min_count]
    kept = sorted(kept, key=lambda item: (-item[1], item[0]))[:vocabulary]
    if not kept:
        raise UserError(f"no word comes {min_count} times in the text; take a lower data.min_count")
    ids = {word: index for index, (word, _) in enumerate(kept)}
    known = [[ids[word] for word in sentence if word in ids] for sentence in sentences]
    return Counted(
        words=tuple(ids),
        counts=np.array([number for _, number in kept], np.int64),
        tokens=np.array([index for sentence in known for index in sentence], np.int32),
        segments=np.repeat(
            np.arange(len(known), dtype=np.int32), [len(sentence) for sentence in known]
        ),
    )


class Stretches(ArraySource):
    """A text cut into stretches, each token in one of them.

    Example i has `inputs` [T] int32, the tokens from i · T on, -1 behind the end of the text, and
    `segments` [T] int32, the number of the sentence of each.
    """

    def __init__(self, counted: Counted, length: int) -> None:
        rest = -len(counted.tokens) % length
        super().__init__(
            {
                "tokens": np.pad(counted.tokens, (0, rest), constant_values=NOTHING),
                "segments": np.pad(counted.segments, (0, rest), constant_values=NOTHING),
            }
        )
        self._stretch = length
        self._length = len(self.arrays["tokens"]) // length

    def pick(self, arrays: Mapping[str, Any], indices: Any) -> dict[str, Any]:
        """The stretches at `indices` [B]."""
        places = indices[..., None] * self._stretch + np.arange(self._stretch)
        return {"inputs": arrays["tokens"][places], "segments": arrays["segments"][places]}


@dataclasses.dataclass(frozen=True)
class Words(Dataset):
    """A corpus as stretches of words, `inputs` [B, T] int32 with `segments` [B, T] int32.

    `inputs` is -1 where there is no more text, and `segments` numbers the sentences. All of the
    text is in `train`. The other splits judge vectors by questions, of which those are left out
    that have a word which the vocabulary lacks:

      analogies: "a is to b as c is to what?", `inputs` [B, 3] int32 (a, b, c), `targets` [B] int32;
        `semantic` and `syntactic` are its two parts (Mikolov et al. 2013a, table 1).
      wordsim353, simlex999: pairs of words, `inputs` [B, 2] int32, and how alike people find them,
        `targets` [B] float32.

    Attributes:
      corpus: its name, such as brown, or the path of a text file in UTF-8.
      min_count: rarer words are left out of the text, before anything else is done with it.
      vocabulary: at most so many words, the most frequent; None for no limit.
      lowercase: whether "The" is "the"; in the questions too.
      unit: what a sentence is: a line, or a paragraph between empty lines.
      length: T, of a stretch.
    """

    corpus: str
    min_count: int = 5
    vocabulary: int | None = None
    lowercase: bool = True
    unit: Literal["line", "paragraph"] = "line"
    length: int = 1000

    def __post_init__(self) -> None:
        for field in ("min_count", "length"):
            if getattr(self, field) < 1:
                raise UserError(f"data.{field} is {getattr(self, field)}; it takes 1 or more")
        if self.vocabulary is not None and self.vocabulary < 1:
            raise UserError(f"data.vocabulary is {self.vocabulary}; it takes 1 or more, or None")
        corpora.of(self.corpus)

    @classmethod
    def presets(cls) -> tuple[dict[str, str], ...]:
        """Each named corpus."""
        return tuple({"corpus": name} for name in corpora.CORPORA)

    def info(self) -> Info:
        """The facts; how many examples there are is not known before the text is counted."""
        corpus = corpora.of(self.corpus)
        return Info(
            name=f"{self._kind}:{self.corpus}",
            title=f"Words of {corpus.title}",
            task="word vectors",
            features=self._features,
            splits={},
            licence=corpus.licence,
            citation="questions: Mikolov et al. 2013, Finkelstein et al. 2002, Hill et al. 2015",
            source=f"{corpus.source}; {word_questions.SOURCE}",
            how="fetched from a mirror, the publisher or a package",
            notes="splits: train, analogies, semantic, syntactic, wordsim353, simlex999",
        )

    @property
    def _kind(self) -> str:
        return "words"

    @property
    def _features(self) -> dict[str, Feature]:
        tokens = Feature((self.length,), "int32")
        return {"inputs": tokens, "segments": tokens}

    def is_ready(self) -> bool:
        """Whether the text and the questions are here."""
        return corpora.of(self.corpus).is_ready() and word_questions.are_here()

    def fetch(self) -> str:
        """Get the corpus and the questions."""
        return f"{corpora.of(self.corpus).fetch()}\n{word_questions.fetch()}"

    def load(self, split: str) -> Source:
        """The examples of a split such as `train` or `wordsim353[:50]`; see `Dataset`."""
        names = {piece.name for piece in splits.parse(split)}
        sizes = {name: len(self.load_whole(name)) for name in names}
        return select_parts(split, dataclasses.replace(self.info(), splits=sizes), self.load_whole)

    def load_whole(self, split: str) -> Source:
        """The text, or a set of questions.

        Raises:
          UserError: there is no such split, or none of its questions has known words alone.
        """
        if split == "train":
            return self._train()
        source = word_questions.load(split, self.words, lowercase=self.lowercase)
        if not len(source):
            raise UserError(
                f"split {split!r}: none of its questions has only words of {self.corpus!r}; leave "
                "it out of evaluation.splits"
            )
        return source

    def _train(self) -> Source:
        return Stretches(self.counted, self.length)

    @property
    def counted(self) -> Counted:
        """The text."""
        return _counted(self.corpus, self.lowercase, self.min_count, self.vocabulary, self.unit)

    @property
    def words(self) -> tuple[str, ...]:
        """V words, the most frequent first."""
        return self.counted.words

    @property
    def counts(self) -> np.ndarray:
        """How often each comes, int64 [V]."""
        return self.counted.counts

    def files(self) -> Mapping[str, str]:
        """tokenizer.json, which a run keeps: the words in the order of their ids."""
        return {"tokenizer.json": SpacedWords(self.words).to_json()}


@functools.lru_cache(maxsize=2)  # a run makes its data set anew for each of its parts
def _counted(
    corpus: str,
    lowercase: bool,
    min_count: int,
    vocabulary: int | None,
    unit: Literal["line", "paragraph"],
) -> Counted:
    text = corpora.of(corpus).read()
    return count(text, lowercase=lowercase, min_count=min_count, vocabulary=vocabulary, unit=unit)
