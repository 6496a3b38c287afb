"""Texts in two languages: pairs of a source and its translation, as padded ids."""

import abc
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from aimodels.data.base import Dataset, Feature
from aimodels.data.cache import cache_folder
from aimodels.data.source import ArraySource
from aimodels.data.text import tokenizer_training, tokenizers
from aimodels.errors import UserError

# The first two ids. A decoder begins a target behind padding, as T5's does.
PAD, END = "<pad>", "</s>"
LANGUAGES = {"de": "German", "en": "English", "es": "Spanish", "fr": "French"}


class Pairs(NamedTuple):
    """Sources and the translation of each."""

    sources: list[str]
    targets: list[str]


@dataclasses.dataclass(frozen=True)
class ParallelTexts(Dataset):
    """Pairs of texts: `inputs`, `targets` [B, T], `lengths`, `target_lengths`, `number` [B], int32.

    Both sides end with `</s>`, and past their lengths have `<pad>`, the id 0. `number` tells which
    pair it is, among those of all splits one behind the other.

    Attributes:
      source: language that is translated, such as en.
      target: language that it is translated into.
      tokenizer: byte_bpe, words, wordpiece, unigram or spaced_words; one for both languages, made
        from the training pairs alone.
      vocabulary: V, with `<pad>` and `</s>`.
      length: T, `</s>` among them; what a text has beyond is not seen.
    """

    source: str = "en"
    target: str = "de"
    tokenizer: str = "byte_bpe"
    vocabulary: int | None = 8000
    length: int = 64

    # The languages that there are.
    languages: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if self.length < 2:
            raise UserError(f"data.length is {self.length}; it takes 2 or more")
        if self.tokenizer in ("characters", "bytes"):
            raise UserError(
                f"data.tokenizer is {self.tokenizer!r}, which has no token for the end of a text; "
                "takes byte_bpe, words, wordpiece, unigram or spaced_words"
            )
        for side in ("source", "target"):
            if getattr(self, side) not in self.languages:
                known = ", ".join(self.languages)
                raise UserError(f"data.{side} is {getattr(self, side)!r}; it takes {known}")
        if self.source == self.target:
            raise UserError(f"data.source and data.target are both {self.source!r}")

    @abc.abstractmethod
    def pairs(self, split: str) -> Pairs:
        """The texts of a whole split. Raises `UserError` if the files are not there or damaged."""

    @property
    def is_cut_into_words(self) -> bool:
        """Whether a space stands around every word and mark, so that nothing is left to cut."""
        return False

    def load_whole(self, split: str) -> ArraySource:
        """The examples of a whole split."""
        return ArraySource(_encode(self, split, cache_folder()))

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Texts as the model reads them: int32 [B, T] and [B], of their lengths."""
        return padded(self.made, texts, self.length)

    def targets_of(self, numbers: np.ndarray) -> list[str]:
        """The translations of the pairs with such numbers [B]."""
        ends = np.cumsum(list(self.info().splits.values()))
        found = []
        for number in numbers.tolist():
            place = int(np.searchsorted(ends, number, side="right"))
            split = list(self.info().splits)[place]
            found.append(self.pairs(split).targets[number - (ends[place - 1] if place else 0)])
        return found

    def files(self) -> Mapping[str, str]:
        """tokenizer.json, which a run keeps."""
        return {"tokenizer.json": self.made.to_json()}

    @property
    def made(self) -> tokenizers.Tokenizer:
        """The tokenizer."""
        return _tokenizer(self, cache_folder())

    def features(self) -> dict[str, Feature]:
        """The fields of a batch."""
        ids, one = Feature((self.length,), "int32"), Feature((), "int32")
        fields = {"inputs": ids, "lengths": one, "targets": ids, "target_lengths": one}
        return fields | {"number": one}


def padded(
    tokenizer: tokenizers.Tokenizer, texts: Sequence[str], length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Texts with `</s>` behind each: ids int32 [B, T], and how many of each count, int32 [B].

    Args:
      tokenizer: one with `</s>`.
      texts: B of them.
      length: T; what is longer is cut, and has no `</s>`.
    """
    end = tokenizer.id_of(END)
    ids = np.zeros((len(texts), length), np.int32)
    lengths = np.zeros(len(texts), np.int32)
    for row, found in enumerate(tokenizer.encode_all(list(texts))):
        whole = [*found.tolist(), end][:length]
        ids[row, : len(whole)] = whole
        lengths[row] = len(whole)
    return ids, lengths


def text_of(tokenizer: tokenizers.Tokenizer, ids: np.ndarray) -> str:
    """The text of ids [T] up to the first `</s>`."""
    (ends,) = np.nonzero(ids == tokenizer.id_of(END))
    whole = ids[: ends[0]] if len(ends) else ids
    return " ".join(tokenizer.decode(whole[whole != tokenizer.id_of(PAD)]).split())


@functools.lru_cache(maxsize=4)  # a run makes its data set anew for each of its parts
def _tokenizer(dataset: ParallelTexts, folder: Path) -> tokenizers.Tokenizer:
    del folder
    corpus = [text for texts in dataset.pairs("train") for text in texts]
    return tokenizer_training.kept(dataset.tokenizer, corpus, dataset.vocabulary, (PAD, END))


@functools.lru_cache(maxsize=8)
def _encode(dataset: ParallelTexts, split: str, folder: Path) -> dict[str, np.ndarray]:
    """The arrays of a split, once in a process for each folder that data are kept in."""
    del folder
    sizes = dataset.info().splits
    before = sum(sizes[name] for name in list(sizes)[: list(sizes).index(split)])
    sources, targets = dataset.pairs(split)
    inputs, lengths = dataset.encode(sources)
    wanted, target_lengths = dataset.encode(targets)
    return {
        "inputs": inputs,
        "lengths": lengths,
        "targets": wanted,
        "target_lengths": target_lengths,
        "number": np.arange(before, before + len(sources), dtype=np.int32),
    }
