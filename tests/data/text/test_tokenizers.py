"""Tokenizers: what comes back, what is refused, that the same corpus gives the same one."""

import numpy as np
import pytest

from aimodels.data.text import tokenizer_training, tokenizers
from aimodels.errors import UserError

LINES = [
    "First Citizen:\n",
    "Before we proceed any further, hear me speak.\n",
    "Speak, speak! Naïve façades — 10 € each.\n",
] * 20
SIZES = {"characters": None, "bytes": None, "words": 25, "byte_bpe": 300, "wordpiece": 120}
SIZES |= {"unigram": 60, "spaced_words": None}


def make(kind, **fields):
    return tokenizer_training.train(kind, LINES, SIZES[kind], **fields)


@pytest.mark.parametrize("kind", SIZES)
def test_each_kind_is_the_same_again_and_from_its_file(kind):
    tokenizer = make(kind)
    text = "".join(LINES[:3])
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int32
    assert 0 <= ids.min() <= ids.max() < tokenizer.vocabulary
    assert len(tokenizer.characters()) == tokenizer.vocabulary
    for other in (make(kind), tokenizers.from_json(tokenizer.to_json())):
        assert type(other) is type(tokenizer)
        np.testing.assert_array_equal(other.encode(text), ids)
        assert other.decode(ids) == tokenizer.decode(ids)
    for one, of_all in zip(LINES[:3], tokenizer.encode_all(LINES[:3]), strict=True):
        np.testing.assert_array_equal(tokenizer.encode(one), of_all)


@pytest.mark.parametrize("kind", ["characters", "bytes", "byte_bpe"])
def test_text_comes_back_as_it_was(kind):
    text = "".join(LINES[:3])
    assert make(kind).decode(make(kind).encode(text)) == text


def test_bytes_and_byte_bpe_take_any_text():
    for kind in ("bytes", "byte_bpe"):
        assert make(kind).decode(make(kind).encode("Ελλάδα 🙂")) == "Ελλάδα 🙂"


def test_characters_are_numbered_by_code_point():
    tokenizer = tokenizer_training.train("characters", ["banana"])
    np.testing.assert_array_equal(tokenizer.encode("nab"), [2, 0, 1])
    assert tokenizer.id_of("b") == 1


def test_an_unknown_character_is_named_with_its_place():
    with pytest.raises(UserError, match="'z', the 3th of the text"):
        tokenizer_training.train("characters", ["banana"]).encode("baz")


def test_rare_words_are_one_token():
    tokenizer = tokenizer_training.train("words", ["a a a b b c"], 3)
    assert tokenizer.encode("a b c d").tolist() == [1, 2, 0, 0]
    assert tokenizer.id_of(tokenizers.UNKNOWN) == 0


def test_spaced_words_are_all_that_there_are_unless_a_size_is_given():
    tokenizer = tokenizer_training.train("spaced_words", ["it 's <unk> it"])
    assert tokenizer.words == ["<unk>", "it", "'s"]
    assert tokenizer.encode("'s it new").tolist() == [2, 1, 0]
    assert tokenizer.decode([1, 2, 0]) == "it 's <unk>"
    assert tokenizer_training.train("spaced_words", ["a b b"], 2, ["<pad>"]).words == [
        "<pad>",
        "<unk>",
    ]
    with pytest.raises(UserError, match="token"):
        tokenizer.id_of("new")


@pytest.mark.parametrize("kind", ["words", "spaced_words", "unigram"])
def test_sizes_that_are_too_small_are_refused(kind):
    with pytest.raises(UserError, match="a vocabulary of 2"):
        tokenizer_training.train(kind, ["to be or not"], 2, ("<pad>", "</s>"))


def test_special_tokens_are_first():
    tokenizer = make("byte_bpe", special_tokens=("<pad>", "<end>"))
    assert [tokenizer.id_of(token) for token in ("<pad>", "<end>")] == [0, 1]


@pytest.mark.parametrize(
    ("kind", "vocabulary", "message"),
    [
        ("byte_pair", 300, "byte_bpe"),
        ("byte_bpe", None, "needs a vocabulary size"),
        ("byte_bpe", 100, "at least 256"),
        ("characters", 10, "a vocabulary of 3[0-9], got 10"),
    ],
)
def test_what_can_not_be_made_is_refused(kind, vocabulary, message):
    with pytest.raises(UserError, match=message):
        tokenizer_training.train(kind, LINES, vocabulary)


def test_a_file_that_is_no_tokenizer_is_refused():
    for content in ("{", "[]", '{"kind": "morse", "content": null}'):
        with pytest.raises(UserError, match="tokenizer"):
            tokenizers.from_json(content)
