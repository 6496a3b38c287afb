"""Questions on texts that hold their answers, as an encoder reads them: in windows of a length.

Devlin et al. 2019, "BERT", section 4.2 and appendix: [CLS] question [SEP] a window of the text
[SEP]; a long text has several windows, each a stride behind the one before.

Shapes: Q questions, W windows, T tokens of a window, N tokens of a text.
"""

import abc
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aimodels.data import splits
from aimodels.data.base import Dataset, Feature, select_parts
from aimodels.data.cache import cache_folder
from aimodels.data.pretrained import WEIGHTS, fetch_weights, pretrained
from aimodels.data.source import ArraySource, Source
from aimodels.data.text import tokenizer_training, tokenizers
from aimodels.data.text.huggingface_tokenizers import as_ours
from aimodels.errors import UserError, near

SPECIAL = PAD, CLS, SEP = "[PAD]", "[CLS]", "[SEP]"
# `number` of a question is its place in its split, and the split in the bits above.
BITS = 24


class Reading(NamedTuple):
    """A question on a text.

    Attributes:
      question: as it is asked.
      text: that is read.
      answers: all that count as right, one or more; none if the text has no answer.
      start: the character of the text where the first answer begins; -1 without one.
    """

    question: str
    text: str
    answers: tuple[str, ...]
    start: int


class Cut(NamedTuple):
    """Questions and texts, cut into windows.

    Attributes:
      inputs: ids [W, T].
      lengths: valid ones, [W].
      token_types: [W, T], 1 in the text and the last [SEP].
      text_starts: the place of the window's first token of the text, [W].
      firsts: that token's number in the whole text, [W].
      rows: which question it is, [W].
      offsets: for each question, the characters of the text's tokens, [N, 2].
    """

    inputs: np.ndarray
    lengths: np.ndarray
    token_types: np.ndarray
    text_starts: np.ndarray
    firsts: np.ndarray
    rows: np.ndarray
    offsets: list[np.ndarray]


def cut(
    tokenizer: tokenizers.Tokenizer,
    questions: Sequence[str],
    texts: Sequence[str],
    *,
    length: int = 384,
    stride: int = 128,
    question_length: int = 64,
) -> Cut:
    """Windows of texts, each with its question in front.

    Args:
      tokenizer: of subwords, with [PAD], [CLS] and [SEP].
      questions: Q of them.
      texts: one for each.
      length: T.
      stride: tokens from the beginning of a window to that of the next.
      question_length: what a question has beyond is not seen.

    Raises:
      UserError: the tokenizer is of another kind, or a question leaves no room for the text.
    """
    if not isinstance(tokenizer, tokenizers.Subwords):
        raise UserError(f"tokenizer {tokenizer.kind}: a reader needs subwords, such as wordpiece")
    pad, begin, end = (tokenizer.id_of(token) for token in SPECIAL)
    asked = [ids[:question_length].tolist() for ids in tokenizer.encode_all(list(questions))]
    read = _with_offsets(tokenizer, texts)
    windows, rows, firsts, starts = [], [], [], []
    for row, (question, (ids, _)) in enumerate(zip(asked, read, strict=True)):
        room = length - len(question) - 3
        if room < 1:
            raise UserError(
                f"a question of {len(question)} tokens leaves no room for a text in "
                f"{length} tokens; raise data.length or lower data.question_length"
            )
        first = 0
        while True:
            windows.append([begin, *question, end, *ids[first : first + room], end])
            rows.append(row)
            firsts.append(first)
            starts.append(len(question) + 2)
            if first + room >= len(ids):
                break
            first += min(stride, room)
    inputs = np.full((len(windows), length), pad, np.int32)
    types = np.zeros_like(inputs)
    for window, (ids, start) in enumerate(zip(windows, starts, strict=True)):
        inputs[window, : len(ids)] = ids
        types[window, start : len(ids)] = 1
    lengths = [len(ids) for ids in windows]
    return Cut(
        inputs=inputs,
        lengths=np.array(lengths, np.int32),
        token_types=types,
        text_starts=np.array(starts, np.int32),
        firsts=np.array(firsts, np.int32),
        rows=np.array(rows, np.int32),
        offsets=[at for _, at in read],
    )


def _with_offsets(
    tokenizer: tokenizers.Subwords, texts: Sequence[str]
) -> list[tuple[list[int], np.ndarray]]:
    """The ids of each text, and the characters [N, 2] that they stand for."""
    known: dict[str, tuple[list[int], np.ndarray]] = {}
    distinct = list(dict.fromkeys(texts))  # a text has many questions
    for text, found in zip(
        distinct, tokenizer.inner.encode_batch(distinct, add_special_tokens=False), strict=True
    ):
        known[text] = (found.ids, np.array(found.offsets, np.int32).reshape(-1, 2))
    return [known[text] for text in texts]


def tokens_of(offsets: np.ndarray, start: int, length: int) -> tuple[int, int] | None:
    """The first and the last token that have some of these characters; None if none has.

    Args:
      offsets: the characters of a text's tokens, [N, 2].
      start: the first character.
      length: how many there are.
    """
    (inside,) = np.nonzero((offsets[:, 1] > start) & (offsets[:, 0] < start + length))
    return (int(inside[0]), int(inside[-1])) if len(inside) and start >= 0 else None


def text_between(text: str, offsets: np.ndarray, first: int, last: int) -> str:
    """The text from one of its tokens to another; nothing if there are no such tokens."""
    if not 0 <= first <= last < len(offsets):
        return ""
    return text[offsets[first, 0] : offsets[last, 1]]


def reader_tokenizer(
    name: str, corpus: Sequence[str] | None = None, vocabulary: int | None = None
) -> tokenizers.Tokenizer:
    """A tokenizer by what a config calls it.

    Args:
      name: `wordpiece`, made from the corpus; weights known by name, such as minilm_l6_v2; or a
        tokenizer.json, ours or Hugging Face's, or its folder.
      corpus: texts.
      vocabulary: V of one that is made.

    Raises:
      UserError: there is none, or it can't be read.
    """
    if name == "wordpiece":
        return tokenizer_training.kept(name, list(corpus or ()), vocabulary, SPECIAL)
    if name in WEIGHTS and not Path(name).exists():
        file = pretrained(name).with_name("tokenizer.json")
    else:
        file = Path(name) / "tokenizer.json" if Path(name).is_dir() else Path(name)
    try:
        text = file.read_text()
    except OSError as error:
        close = near(name, ("wordpiece", *WEIGHTS))
        hint = f"; near ones: {', '.join(close)}" if close else ""
        raise UserError(
            f"data.tokenizer is {name!r}: {file} can't be read ({error.strerror}); it takes "
            f"wordpiece, weights by name, or a tokenizer.json or its folder{hint}"
        ) from error
    ours = text.startswith('{"kind"')
    return tokenizers.from_json(text if ours else as_ours(text, 1 << 30))


@dataclasses.dataclass(frozen=True)
class ReadingTexts(Dataset):
    """Questions on texts, in windows: int32 `inputs`, `token_types` [B, T], `lengths` [B].

    `targets` [B, 2] are the places in the window of the answer's first and last token, or those of
    [CLS], 0 and 0, where the window has not all of it. `text_starts` [B] is where the text begins
    in the window, `firsts` [B] which of the text's tokens that is, and `number` [B] tells whose
    window it is. A split has as many examples as windows, those of one question side by side.

    Attributes:
      tokenizer: see `reader_tokenizer`.
      vocabulary: V of a tokenizer that is made; others have their own.
      length: T.
      stride: tokens between the beginnings of a text's windows.
      question_length: most tokens of a question.
    """

    tokenizer: str = "wordpiece"
    vocabulary: int | None = 8000
    length: int = 384
    stride: int = 128
    question_length: int = 64

    def __post_init__(self) -> None:
        for field, least in (("length", 8), ("stride", 1), ("question_length", 1)):
            if getattr(self, field) < least:
                raise UserError(f"data.{field} is {getattr(self, field)}; it takes {least} or more")

    @abc.abstractmethod
    def readings(self, split: str) -> Sequence[Reading]:
        """The questions of a whole split. Raises `UserError` if the files are not there."""

    @property
    @abc.abstractmethod
    def split_names(self) -> tuple[str, ...]:
        """The splits, in an order that stays."""

    def corpus(self) -> list[str]:
        """The texts that a tokenizer is made from."""
        readings = self.readings("train")
        return [*dict.fromkeys(one.text for one in readings), *(one.question for one in readings)]

    def is_ready(self) -> bool:
        """Whether the tokenizer's files are here."""
        if self.tokenizer not in WEIGHTS or Path(self.tokenizer).exists():
            return True
        try:
            pretrained(self.tokenizer)
        except UserError:
            return False
        return True

    def fetch(self) -> str:
        """Brings a tokenizer that belongs to weights."""
        if self.tokenizer in WEIGHTS and not Path(self.tokenizer).exists():
            return fetch_weights(self.tokenizer)
        return super().fetch()

    @property
    def made(self) -> tokenizers.Tokenizer:
        """The tokenizer."""
        return _tokenizer(self, cache_folder())

    def files(self) -> Mapping[str, str]:
        """tokenizer.json, which a run keeps."""
        return {"tokenizer.json": self.made.to_json()}

    def load(self, split: str) -> Source:
        """The windows of a split such as `train` or `test[:50]`; see `Dataset`."""
        names = {piece.name for piece in splits.parse(split)}
        splits.select(split, dict.fromkeys(self.split_names, 1 << 30), self.info().name)
        sizes = {name: len(self.load_whole(name)) for name in names}
        return select_parts(split, dataclasses.replace(self.info(), splits=sizes), self.load_whole)

    def load_whole(self, split: str) -> ArraySource:
        """The windows of a whole split."""
        return ArraySource(_encoded(self, split, cache_folder())[0])

    def answers(self, number: int) -> tuple[str, ...]:
        """The right answers to a question; none where there is none."""
        return self._reading(number).answers

    def answer(self, number: int, first: int, last: int) -> str:
        """The text of a question from one of its tokens to another."""
        offsets = _encoded(self, self._split(number), cache_folder())[1][number & (1 << BITS) - 1]
        return text_between(self._reading(number).text, offsets, first, last)

    def _split(self, number: int) -> str:
        return self.split_names[number >> BITS]

    def _reading(self, number: int) -> Reading:
        return self.readings(self._split(number))[number & (1 << BITS) - 1]

    def features(self) -> dict[str, Feature]:
        """The fields of a batch."""
        ids, one = Feature((self.length,), "int32"), Feature((), "int32")
        return {
            "inputs": ids,
            "token_types": ids,
            "lengths": one,
            "targets": Feature((2,), "int32"),
            **dict.fromkeys(("text_starts", "firsts", "number"), one),
        }


@functools.lru_cache(maxsize=4)  # a run makes its data set anew for each of its parts
def _tokenizer(dataset: ReadingTexts, folder: Path) -> tokenizers.Tokenizer:
    del folder
    corpus = dataset.corpus() if dataset.tokenizer == "wordpiece" else None
    return reader_tokenizer(dataset.tokenizer, corpus, dataset.vocabulary)


@functools.lru_cache(maxsize=8)
def _encoded(
    dataset: ReadingTexts, split: str, folder: Path
) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """The arrays of a split and its texts' offsets, once for each folder that data are kept in."""
    del folder
    readings = dataset.readings(split)
    sizes: dict[str, Any] = {
        name: getattr(dataset, name) for name in ("length", "stride", "question_length")
    }
    found = cut(dataset.made, [r.question for r in readings], [r.text for r in readings], **sizes)
    wanted = [
        tokens_of(at, reading.start, len(reading.answers[0]) if reading.answers else 0)
        for reading, at in zip(readings, found.offsets, strict=True)
    ]
    targets = np.zeros((len(found.rows), 2), np.int32)
    for window, row in enumerate(found.rows):
        if wanted[row] is None:
            continue
        places = np.array(wanted[row]) - found.firsts[window] + found.text_starts[window]
        if places[0] >= found.text_starts[window] and places[1] < found.lengths[window] - 1:
            targets[window] = places
    arrays = found._asdict()
    del arrays["offsets"]
    number = (dataset.split_names.index(split) << BITS) + arrays.pop("rows")
    return arrays | {"targets": targets, "number": number.astype(np.int32)}, found.offsets
