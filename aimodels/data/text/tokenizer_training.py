"""Tokenizers made from a corpus, offline, and kept for the next time.

tokenizer = train("byte_bpe", texts, vocabulary=8192)
tokenizer.decode(tokenizer.encode("To be, or not to be"))
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aimodels.data.cache import cache_folder, keep, sha256_of_files
from aimodels.data.text.tokenizers import (
    KINDS,
    UNKNOWN,
    ByteBpe,
    Bytes,
    Characters,
    SpacedWords,
    Tokenizer,
    Unigram,
    WordPiece,
    Words,
    from_json,
    library,
)
from aimodels.errors import UserError, unknown

# Of what is kept in the cache: another one where the same corpus would give another tokenizer.
VERSION = 1
WORDPIECE_UNKNOWN = "[UNK]"
# What a word is, where nothing else is said: letters and digits, or one other mark.
WORD = r"\w+|[^\w\s]"


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
        words = (text.split() for text in texts)
        made = SpacedWords(_most_frequent(words, vocabulary, special_tokens))
        return _at_most(made, kind, vocabulary)
    if kind in _TRAINERS:
        if vocabulary is None:
            raise UserError(f"tokenizer {kind}: it needs a vocabulary size, e.g. vocabulary=8192")
        made = _TRAINERS[kind](texts, vocabulary, list(special_tokens))
        return _at_most(made, kind, vocabulary)
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


def _at_most(made: Tokenizer, kind: str, vocabulary: int | None) -> Tokenizer:
    if vocabulary is not None and made.vocabulary > vocabulary:
        raise UserError(
            f"tokenizer {kind}: a vocabulary of {vocabulary} is too small, this corpus needs at "
            f"least {made.vocabulary}"
        )
    return made


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
    return [
        *special,
        *(often if vocabulary is None else often[: max(vocabulary - len(special), 0)]),
    ]


def _words(texts: Iterable[str], vocabulary: int, special: list[str]) -> Words:
    tokenizers = library()
    pattern = tokenizers.Regex(WORD)
    splitter = tokenizers.pre_tokenizers.Split(pattern, "removed", invert=True)
    found = ([word for word, _ in splitter.pre_tokenize_str(text)] for text in texts)
    ids = {word: index for index, word in enumerate(_most_frequent(found, vocabulary, special))}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, unk_token=UNKNOWN))
    inner.pre_tokenizer = splitter
    return Words(inner)


def _byte_bpe(texts: Iterable[str], vocabulary: int, special: list[str]) -> ByteBpe:
    tokenizers = library()
    inner = tokenizers.Tokenizer(tokenizers.models.BPE())
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    return ByteBpe(inner)


def _wordpiece(texts: Iterable[str], vocabulary: int, special: list[str]) -> WordPiece:
    tokenizers = library()
    texts = list(texts)
    special = list(dict.fromkeys([*special, WORDPIECE_UNKNOWN]))
    normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    splitter = tokenizers.pre_tokenizers.BertPreTokenizer()

    def tokenizer(vocabulary: dict[str, int]) -> Any:
        model = tokenizers.models.WordPiece(vocabulary, unk_token=WORDPIECE_UNKNOWN)
        inner = tokenizers.Tokenizer(model)
        inner.normalizer, inner.pre_tokenizer = normalizer, splitter
        inner.decoder = tokenizers.decoders.WordPiece()
        return inner

    # The library numbers single characters in the order of a hash table, another one in each
    # process, and settles ties by the numbers. Given as special tokens they have a fixed order.
    first, inside = set(), set()
    for text in texts:
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)):
            first.add(word[0])
            inside.update(word[1:])
    single = [*sorted(first), *(f"##{character}" for character in sorted(inside))]
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=vocabulary, special_tokens=[*special, *single], show_progress=False
    )
    trained = tokenizer({})
    trained.train_from_iterator(texts, trainer)
    made = tokenizer(trained.get_vocab())
    made.add_special_tokens(special)
    return WordPiece(made)


def _unigram(texts: Iterable[str], vocabulary: int, special: list[str]) -> Unigram:
    tokenizers = library()
    special = list(dict.fromkeys([*special, UNKNOWN]))
    inner = tokenizers.Tokenizer(tokenizers.models.Unigram())
    inner.normalizer = tokenizers.normalizers.NFKC()
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    inner.decoder = tokenizers.decoders.Metaspace()
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=vocabulary, special_tokens=special, unk_token=UNKNOWN, show_progress=False
    )
    try:
        inner.train_from_iterator(texts, trainer)
    except Exception as error:  # the library has no other kind
        raise UserError(f"tokenizer unigram, a vocabulary of {vocabulary}: {error}") from error
    # The order of equal scores, and their last digits, are those of a hash table.
    content = json.loads(inner.to_str())
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
