"""From text to ids and back: characters, bytes, words, and subwords by the library `tokenizers`.

A tokenizer is made from a corpus, offline, and kept as one JSON file with the run that used it:
    tokenizer = train("byte_bpe", texts, vocabulary=8192)
    tokenizer.decode(tokenizer.encode("To be, or not to be"))
"""

import abc
import functools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from aimodels.data.cache import cache_folder, keep, sha256_of_files
from aimodels.errors import UserError, near, unknown

UNKNOWN = "<unk>"
# Of what is kept in the cache: another one where the same corpus would give another tokenizer.
VERSION = 1
WORDPIECE_UNKNOWN = "[UNK]"
# What a word is, where nothing else is said: letters and digits, or one other mark.
WORD = r"\w+|[^\w\s]"


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
        return cls(_library().Tokenizer.from_str(json.dumps(content)))

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


def train(
    kind: str,
    texts: Iterable[str],
    vocabulary: int | None = None,
    special_tokens: Sequence[str] = (),
) -> Tokenizer:
    """A tokenizer made from a corpus; the same corpus gives the same one.

    Args:
      kind: characters, bytes, spaced_words, words, byte_bpe, wordpiece or unigram.
      texts: the corpus.
      vocabulary: V, special tokens among them; the kinds that choose their own take none.
      special_tokens: that stand for no text, such as `<pad>`: the first ids.

    Raises:
      UserError: an unknown kind, or a size that it doesn't take.
    """
    if kind not in KINDS:
        raise unknown("tokenizer", kind, KINDS)
    if kind == "spaced_words":
        return SpacedWords(
            _most_frequent((text.split() for text in texts), vocabulary, special_tokens)
        )
    if kind in _TRAINERS:
        if vocabulary is None:
            raise UserError(f"tokenizer {kind}: it needs a vocabulary size, e.g. vocabulary=8192")
        return _TRAINERS[kind](texts, vocabulary, list(special_tokens))
    if special_tokens:
        raise UserError(f"tokenizer {kind}: it has no special tokens; got {special_tokens!r}")
    made = Bytes() if kind == "bytes" else Characters("".join(set().union(*map(set, texts))))
    if vocabulary not in (None, made.vocabulary):
        raise UserError(
            f"tokenizer {kind}: this corpus gives it a vocabulary of {made.vocabulary}, "
            f"got {vocabulary}"
        )
    return made


def kept(
    kind: str,
    texts: Sequence[str],
    vocabulary: int | None = None,
    special_tokens: Sequence[str] = (),
) -> Tokenizer:
    """As `train`, but once: it is kept in the cache folder, by what it is made of."""
    if kind not in _TRAINERS:
        return train(kind, texts, vocabulary, special_tokens)
    wanted = json.dumps([VERSION, kind, vocabulary, list(special_tokens)]).encode()
    name = sha256_of_files([("wanted", wanted), ("texts", "".join(texts).encode())])
    file = cache_folder() / "tokenizers" / f"{name}.json"
    if file.is_file():
        return from_json(file.read_text())
    made = train(kind, texts, vocabulary, special_tokens)
    keep(file, made.to_json().encode())
    return made


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


def _library() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise UserError(
            "subword tokenizers need the library tokenizers; get it with: "
            "pip install 'aimodels[text]'"
        ) from error
    return tokenizers


def _most_frequent(
    texts: Iterable[Iterable[str]], vocabulary: int | None, special: Sequence[str]
) -> list[str]:
    """The special tokens, `<unk>`, and the most frequent words; all of them if V is None."""
    counts: Counter[str] = Counter()
    for words in texts:
        counts.update(words)
    special = list(dict.fromkeys([*special, UNKNOWN]))
    for token in special:
        counts.pop(token, None)
    # Those of equal count in the order of the alphabet, so that it is the same everywhere.
    often = sorted(counts, key=lambda word: (-counts[word], word))
    return [*special, *(often if vocabulary is None else often[: vocabulary - len(special)])]


def _words(texts: Iterable[str], vocabulary: int, special: list[str]) -> Words:
    library = _library()
    pattern = library.Regex(WORD)
    splitter = library.pre_tokenizers.Split(pattern, "removed", invert=True)
    found = ([word for word, _ in splitter.pre_tokenize_str(text)] for text in texts)
    ids = {word: index for index, word in enumerate(_most_frequent(found, vocabulary, special))}
    inner = library.Tokenizer(library.models.WordLevel(ids, unk_token=UNKNOWN))
    inner.pre_tokenizer = splitter
    return Words(inner)


def _byte_bpe(texts: Iterable[str], vocabulary: int, special: list[str]) -> ByteBpe:
    library = _library()
    inner = library.Tokenizer(library.models.BPE())
    inner.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    return ByteBpe(_at_most(inner, "byte_bpe", vocabulary))


def _wordpiece(texts: Iterable[str], vocabulary: int, special: list[str]) -> WordPiece:
    library = _library()
    texts = list(texts)
    special = list(dict.fromkeys([*special, WORDPIECE_UNKNOWN]))
    normalizer = library.normalizers.BertNormalizer(lowercase=True)
    splitter = library.pre_tokenizers.BertPreTokenizer()

    def tokenizer(vocabulary: dict[str, int]) -> Any:
        model = library.models.WordPiece(vocabulary, unk_token=WORDPIECE_UNKNOWN)
        inner = library.Tokenizer(model)
        inner.normalizer, inner.pre_tokenizer = normalizer, splitter
        inner.decoder = library.decoders.WordPiece()
        return inner

    # The library numbers single characters in the order of a hash table, another one in each
    # process, and settles ties by the numbers. Given as special tokens they have a fixed order.
    first, inside = set(), set()
    for text in texts:
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)):
            first.add(word[0])
            inside.update(word[1:])
    single = [*sorted(first), *(f"##{character}" for character in sorted(inside))]
    trainer = library.trainers.WordPieceTrainer(
        vocab_size=vocabulary, special_tokens=[*special, *single], show_progress=False
    )
    trained = tokenizer({})
    trained.train_from_iterator(texts, trainer)
    made = tokenizer(_at_most(trained, "wordpiece", vocabulary).get_vocab())
    made.add_special_tokens(special)
    return WordPiece(made)


def _unigram(texts: Iterable[str], vocabulary: int, special: list[str]) -> Unigram:
    library = _library()
    special = list(dict.fromkeys([*special, UNKNOWN]))
    inner = library.Tokenizer(library.models.Unigram())
    inner.normalizer = library.normalizers.NFKC()
    inner.pre_tokenizer = library.pre_tokenizers.Metaspace()
    inner.decoder = library.decoders.Metaspace()
    trainer = library.trainers.UnigramTrainer(
        vocab_size=vocabulary, special_tokens=special, unk_token=UNKNOWN, show_progress=False
    )
    inner.train_from_iterator(texts, trainer)
    # The order of equal scores, and their last digits, are those of a hash table.
    content = json.loads(_at_most(inner, "unigram", vocabulary).to_str())
    pieces = [(piece, round(score, 5)) for piece, score in content["model"]["vocab"]]
    ordered = sorted(pieces[len(special) :], key=lambda pair: (-pair[1], pair[0]))
    content["model"]["vocab"] = [*pieces[: len(special)], *ordered]
    return Unigram.restore(content)


_TRAINERS: dict[str, Callable[[Iterable[str], int, list[str]], Tokenizer]] = {
    "words": _words,
    "byte_bpe": _byte_bpe,
    "wordpiece": _wordpiece,
    "unigram": _unigram,
}


def _at_most(inner: Any, kind: str, vocabulary: int) -> Any:
    found = inner.get_vocab_size()
    if found > vocabulary:
        raise UserError(
            f"tokenizer {kind}: a vocabulary of {vocabulary} is too small, this corpus needs at "
            f"least {found}"
        )
    return inner


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)
