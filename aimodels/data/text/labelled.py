"""Texts with a class each: as padded ids for networks, as they are for classical methods."""

import abc
import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np

from aimodels.data import splits
from aimodels.data.base import Dataset, Feature
from aimodels.data.cache import cache_folder
from aimodels.data.pretrained import WEIGHTS, fetch_weights, is_fetched, pretrained
from aimodels.data.source import ArraySource
from aimodels.data.text import tokenizer_training, tokenizers
from aimodels.data.text.huggingface_tokenizers import encoder_inputs, from_huggingface
from aimodels.errors import UserError

PAD = "<pad>"


class Texts(NamedTuple):
    """Texts and the class of each, int32 [B]."""

    texts: list[str]
    targets: np.ndarray

    def at(self, rows: np.ndarray) -> "Texts":
        """Those of such numbers."""
        return Texts([self.texts[row] for row in rows], self.targets[rows])


class Encoded(NamedTuple):
    """All texts of a set: `inputs` [B, T] int32, `lengths` [B] int32, and what made them."""

    inputs: np.ndarray
    lengths: np.ndarray
    tokenizer: tokenizers.Tokenizer


@dataclasses.dataclass(frozen=True)
class LabelledTexts(Dataset):
    """Texts with a class each: `inputs` [B, T] int32, `lengths` [B] int32, `targets` [B] int32.

    Past its length a row has the id 0, which is `<pad>` where the tokenizer has special tokens. A
    text without a token has length 1.

    Attributes:
      tokenizer: characters, bytes, spaced_words, words, byte_bpe, wordpiece or unigram; or the name
        of trained weights, such as minilm_l6_v2, whose own tokenizer is taken, and which puts its
        special tokens around each text.
      vocabulary: V with `<pad>` and `<unk>`, for the kinds that don't find it out by themselves;
        of trained weights their V.
      length: T; what a text has beyond is not seen.
    """

    tokenizer: str = "words"
    vocabulary: int | None = 20_000
    length: int = 256

    # Where a tokenizer's vocabulary comes from.
    vocabulary_from: ClassVar[str] = "train"

    def __post_init__(self) -> None:
        if self.length < 1:
            raise UserError(f"data.length is {self.length}; it takes 1 or more")

    @property
    def has_tokenizer(self) -> bool:
        """Whether the tokenizer is here, or can be made."""
        return self.tokenizer not in WEIGHTS or is_fetched(self.tokenizer)

    def fetch_tokenizer(self) -> str:
        """Get the tokenizer if it belongs to trained weights; what to say of it behind the data."""
        return "" if self.has_tokenizer else f"; {self.tokenizer}: {fetch_weights(self.tokenizer)}"

    @abc.abstractmethod
    def whole(self) -> Texts:
        """All texts of all splits. Raises `UserError` if the files are not there or damaged."""

    @abc.abstractmethod
    def rows(self) -> Mapping[str, np.ndarray]:
        """Split -> the numbers of its texts in `whole()`."""

    def words(self, text: str) -> list[str]:
        """The words of a text, as classical methods count them: in lower case."""
        return re.findall(tokenizer_training.WORD, text.lower())

    def texts(self, split: str) -> Texts:
        """The texts of a split such as `train`, `train[:3200]` or `train+validation`."""
        rows = self.rows()
        sizes = {name: len(of_split) for name, of_split in rows.items()}
        parts = splits.select(split, sizes, self.info().name)
        return self.whole().at(np.concatenate([rows[name][part] for name, part in parts]))

    def load_whole(self, split: str) -> ArraySource:
        """The examples of a whole split."""
        rows, encoded = self.rows()[split], self._encoded
        arrays = {"inputs": encoded.inputs[rows], "lengths": encoded.lengths[rows]}
        return ArraySource(arrays | {"targets": self.whole().targets[rows]})

    def files(self) -> Mapping[str, str]:
        """tokenizer.json, which a run keeps."""
        return {"tokenizer.json": self.made.to_json()}

    @property
    def made(self) -> tokenizers.Tokenizer:
        """The tokenizer."""
        return self._encoded.tokenizer

    def features(self) -> dict[str, Feature]:
        """The fields of a batch."""
        return {
            "inputs": Feature((self.length,), "int32"),
            "lengths": Feature((), "int32"),
            "targets": Feature((), "int32"),
        }

    def alike(self) -> Self:
        """One data set for all that have the same ids, such as the folds of one set."""
        return self

    @property
    def _encoded(self) -> Encoded:
        return _encode(self.alike(), cache_folder())


@functools.lru_cache(maxsize=4)
def _encode(dataset: LabelledTexts, folder: Path) -> Encoded:
    """The ids of all texts, once in a process for each folder that data are kept in."""
    del folder
    everything = dataset.whole()
    if dataset.tokenizer in WEIGHTS:
        return _encode_by_theirs(dataset, everything.texts)
    seen = everything if dataset.vocabulary_from == "all" else dataset.texts("train")
    special = () if dataset.tokenizer in ("characters", "bytes") else (PAD,)
    corpus = everything.texts if dataset.tokenizer == "characters" else seen.texts
    tokenizer = tokenizer_training.kept(dataset.tokenizer, corpus, dataset.vocabulary, special)
    inputs = np.zeros((len(everything.texts), dataset.length), np.int32)
    lengths = np.ones(len(everything.texts), np.int32)
    for row, ids in enumerate(tokenizer.encode_all(everything.texts)):
        ids = ids[: dataset.length]
        inputs[row, : len(ids)] = ids
        lengths[row] = max(len(ids), 1)
    return Encoded(inputs, lengths, tokenizer)


def _encode_by_theirs(dataset: LabelledTexts, texts: Sequence[str]) -> Encoded:
    """Ids by the tokenizer of trained weights; what is cut still ends with its last token."""
    if dataset.vocabulary is None:
        raise UserError(
            f"data.vocabulary is None; with the tokenizer of {dataset.tokenizer} it takes the "
            "model's number of tokens"
        )
    file = pretrained(dataset.tokenizer).with_name("tokenizer.json")
    tokenizer = from_huggingface(file.read_text(), dataset.vocabulary)
    made = encoder_inputs(tokenizer, texts, max_length=dataset.length)
    inputs = np.zeros((len(texts), dataset.length), np.int32)
    inputs[:, : made["inputs"].shape[1]] = made["inputs"]
    return Encoded(inputs, made["lengths"], tokenizer)


def distinct(texts: Sequence[str]) -> np.ndarray:
    """The numbers of the texts that are the first of their kind, int64 [B].

    Texts are of one kind if they have the same letters and digits, whatever else and in whatever
    case they are written.
    """
    first: dict[str, int] = {}
    for number, text in enumerate(texts):
        first.setdefault(re.sub(r"\W+", " ", text.lower()).strip(), number)
    return np.fromiter(first.values(), np.int64)


def frozen_split(rows: np.ndarray, shares: Mapping[str, float], seed: int) -> dict[str, np.ndarray]:
    """Rows in an order drawn by the seed, cut into splits by their shares; the last has the rest.

    The order is NumPy's Philox permutation, the same on every machine.
    """
    order = rows[np.random.Generator(np.random.Philox(key=[seed, 0])).permutation(len(rows))]
    ends = np.round(np.cumsum(list(shares.values())) * len(rows)).astype(int)
    ends[-1] = len(rows)
    return dict(zip(shares, np.split(order, ends[:-1]), strict=True))
