"""From text to ids and back: characters, bytes, words, and subwords by the library `tokenizers`.

A tokenizer is made from a corpus by `aimodels.data.text.tokenizer_training`, offline, and kept as
one JSON file with the run that used it.
"""

import abc
import functools
import json
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from aimodels.errors import UserError, near, unknown

UNKNOWN = "<unk>"


class Tokenizer(abc.ABC):
    """Text to ids and back.

    Attributes:
      kind: its name in a config.
      vocabulary: V, how many ids there are.
    """

    kind: ClassVar[str]
    vocabulary: int

    @abc.abstractmethod
    def encode(self, text: str) -> np.ndarray:
        """The ids of a text, int32 [T].

        Raises:
          UserError: it has what the vocabulary lacks, and there is no token for the unknown.
        """

    @abc.abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids. What the tokenizer keeps of a text, it gives back as it was."""

    def encode_all(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of several texts."""
        return [self.encode(text) for text in texts]

    @abc.abstractmethod
    def id_of(self, token: str) -> int:
        """The id of a token. Raises `UserError` if there is none."""

    @abc.abstractmethod
    def characters(self) -> np.ndarray:
        """How many characters of text each id stands for, int32 [V]; of bytes, how many bytes."""

    @abc.abstractmethod
    def content(self) -> Any:
        """What `restore` needs, in JSON."""

    def to_json(self) -> str:
        """The tokenizer as a file."""
        return json.dumps({"kind": self.kind, "content": self.content()}, ensure_ascii=False)


class Characters(Tokenizer):
    """Each character is a token; the ids are in the order of their code points.

    Args:
      characters: all that there are, each once.
    """

    kind = "characters"

    def __init__(self, characters: str) -> None:
        self.alphabet = "".join(sorted(set(characters)))
        if not self.alphabet:
            raise UserError("a tokenizer of characters can't be made from an empty text")
        self.vocabulary = len(self.alphabet)
        self._points = _code_points(self.alphabet)

    def encode(self, text: str) -> np.ndarray:
        """int32 [T]."""
        points = _code_points(text)
        ids = np.minimum(np.searchsorted(self._points, points), self.vocabulary - 1)
        wrong = np.flatnonzero(self._points[ids] != points)
        if len(wrong):
            raise UserError(
                f"character {text[wrong[0]]!r}, the {wrong[0] + 1:,}th of the text, is not among "
                f"the {self.vocabulary} that the tokenizer was made from"
            )
        return ids.astype(np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        """The text."""
        return "".join(self.alphabet[index] for index in ids)

    def id_of(self, token: str) -> int:
        """The id of a character."""
        return int(self.encode(token)[0])

    def characters(self) -> np.ndarray:
        """1 each."""
        return np.ones(self.vocabulary, np.int32)

    def content(self) -> str:
        """All characters."""
        return self.alphabet


class Bytes(Tokenizer):
    """The bytes of UTF-8, 256 ids: any text has them, and nothing is learned."""

    kind = "bytes"
    vocabulary = 256

    def encode(self, text: str) -> np.ndarray:
        """int32 [T]."""
        return np.frombuffer(text.encode(), np.uint8).astype(np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        """The text; � where bytes are no UTF-8."""
        return bytes(map(int, ids)).decode(errors="replace")

    def id_of(self, token: str) -> int:
        """The id of a character of one byte."""
        (only,) = self.encode(token)
        return int(only)

    def characters(self) -> np.ndarray:
        """1 each."""
        return np.ones(self.vocabulary, np.int32)

    def content(self) -> None:
        """Nothing."""


class SpacedWords(Tokenizer):
    """What stands between spaces, for text that is cut into words already.

    Args:
      words: all that there are, each once, in the order of their ids; `<unk>` among them, or else
        no text that has others can be encoded.
    """

    kind = "spaced_words"

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)
        self.vocabulary = len(self.words)
        self._ids = {word: index for index, word in enumerate(self.words)}

    def encode(self, text: str) -> np.ndarray:
        """int32 [T]; words that aren't known are `<unk>`."""
        if UNKNOWN not in self._ids:
            return np.array([self.id_of(word) for word in text.split()], np.int32)
        unknown_id = self._ids[UNKNOWN]
        return np.array([self._ids.get(word, unknown_id) for word in text.split()], np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        """The words with a space between."""
        return " ".join(self.words[index] for index in ids)

    def id_of(self, token: str) -> int:
        """The id of a word."""
        if token not in self._ids:
            close = near(token, self._ids)
            hint = f"; near ones: {', '.join(close)}" if close else ""
            raise UserError(f"token {token!r} is not among the {self.vocabulary:,} known{hint}")
        return self._ids[token]

    def characters(self) -> np.ndarray:
        """The length of each word."""
        return np.array([len(word) for word in self.words], np.int32)

    def content(self) -> list[str]:
        """All words."""
        return self.words


class Subwords(Tokenizer):
    """What the library `tokenizers` makes: words, byte-level BPE, WordPiece or unigram.

    Args:
      inner: a `tokenizers.Tokenizer`.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.vocabulary = inner.get_vocab_size()

    @classmethod
    def restore(cls, content: Any) -> Self:
        """From `content()`: what the library writes as tokenizer.json."""
        return cls(library().Tokenizer.from_str(json.dumps(content)))

    def encode(self, text: str) -> np.ndarray:
        """int32 [T]."""
        return np.asarray(self.inner.encode(text, add_special_tokens=False).ids, np.int32)

    def encode_all(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of several texts, on all cores."""
        encoded = self.inner.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.asarray(each.ids, np.int32) for each in encoded]

    def decode(self, ids: Iterable[int]) -> str:
        """The text."""
        return self.inner.decode([int(index) for index in ids], skip_special_tokens=False)

    def id_of(self, token: str) -> int:
        """The id of a token."""
        found = self.inner.token_to_id(token)
        if found is None:
            raise unknown("token", token, self.inner.get_vocab())
        return found

    @functools.cached_property
    def _tokens(self) -> list[str]:
        return [self.inner.id_to_token(index) for index in range(self.vocabulary)]

    def characters(self) -> np.ndarray:
        """The length of each token's text, of byte-level BPE in bytes."""
        return np.array([len(token) for token in self._tokens], np.int32)

    def content(self) -> Any:
        """The library's own JSON."""
        return json.loads(self.inner.to_str())


class Words(Subwords):
    """Words and punctuation marks; rare words are one token, `<unk>`."""

    kind = "words"


class ByteBpe(Subwords):
    """Byte-level byte-pair encoding: Radford et al., "Language models are unsupervised multitask
    learners", 2019. Any text has ids and comes back as it was.
    """  # noqa: D205

    kind = "byte_bpe"


class WordPiece(Subwords):
    """WordPiece: Schuster & Nakajima 2012, as BERT (Devlin et al. 2019) has it, in lower case."""

    kind = "wordpiece"


class Unigram(Subwords):
    """The unigram model of Kudo, "Subword regularization", ACL 2018."""

    kind = "unigram"


KINDS: dict[str, type[Tokenizer]] = {
    each.kind: each for each in (Characters, Bytes, SpacedWords, Words, ByteBpe, WordPiece, Unigram)
}


def from_json(text: str) -> Tokenizer:
    """The tokenizer of a file that `to_json` made. Raises `UserError` if it is none."""
    try:
        found = json.loads(text)
        kind, content = found["kind"], found["content"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"this is no tokenizer: {error!r}") from error
    if kind == "characters":
        return Characters(content)
    if kind == "bytes":
        return Bytes()
    if kind == "spaced_words":
        return SpacedWords(content)
    if kind not in KINDS:
        raise unknown("tokenizer", kind, KINDS)
    cls: Any = KINDS[kind]
    return cls.restore(content)


def library() -> Any:
    """The library `tokenizers`, which an extra brings."""
    try:
        import tokenizers
    except ImportError as error:
        raise UserError(
            "subword tokenizers need the library tokenizers; get it with: "
            "pip install 'aimodels[text]'"
        ) from error
    return tokenizers


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)
