"""Words of a text, their co-occurrences, and the questions by which vectors are judged."""

import numpy as np
import pytest

from aimodels.data import make
from aimodels.data.text import word_questions
from aimodels.data.text.cooccurrences import cooccurrences
from aimodels.data.text.words import Stretches, count
from aimodels.errors import UserError

TEXT = "The cat's cat sat.\nThe dog sat, 12 times\n\nA cat"


def test_words_are_counted_and_rare_ones_left_out():
    counted = count(TEXT, min_count=2)
    assert counted.words == ("cat", "sat", "the")
    assert counted.counts.tolist() == [2, 2, 2]
    assert counted.tokens.tolist() == [2, 0, 1, 2, 1, 0]
    assert counted.segments.tolist() == [0, 0, 0, 1, 1, 3]
    paragraphs = count(TEXT, min_count=2, unit="paragraph")
    assert paragraphs.segments.tolist() == [0, 0, 0, 0, 0, 1]
    assert count(TEXT, min_count=1, lowercase=False, vocabulary=2).words == ("The", "cat")
    with pytest.raises(UserError, match="min_count"):
        count(TEXT, min_count=9)


def test_stretches_have_each_token_once():
    counted = count(TEXT, min_count=2)
    batch = Stretches(counted, 4).gather(np.arange(2))
    assert batch["inputs"].tolist() == [[2, 0, 1, 2], [1, 0, -1, -1]]
    assert batch["segments"].tolist() == [[0, 0, 0, 1], [1, 3, -1, -1]]


@pytest.mark.parametrize("chunk", [1 << 20, 2])
def test_cooccurrences_by_hand(chunk, monkeypatch):
    monkeypatch.setattr("aimodels.data.text.cooccurrences.CHUNK", chunk)
    # Sentences 0 1 0 2 and 2 1, window 2.
    tokens, segments = np.array([0, 1, 0, 2, 2, 1], np.int32), np.array([0, 0, 0, 0, 1, 1])
    pairs, values = cooccurrences(tokens, segments, 3, 2)
    found = {(int(i), int(j)): float(x) for (i, j), x in zip(pairs, values, strict=True)}
    assert found == {
        (0, 0): 1.0,  # at distance 2, in both orders
        (0, 1): 2.0,
        (1, 0): 2.0,
        (0, 2): 1.0,
        (2, 0): 1.0,
        (1, 2): 1.5,  # at distance 2 in the first sentence, 1 in the second
        (2, 1): 1.5,
    }


def test_questions_of_unknown_words_are_left_out():
    text = ": capital\na b c d\na b c x\n: gram1\nb a d c\n"
    words = ("a", "b", "c", "d")
    every = word_questions.analogies(text, words)
    assert every.arrays["inputs"].tolist() == [[0, 1, 2], [1, 0, 3]]
    assert every.arrays["targets"].tolist() == [3, 2]
    assert len(word_questions.analogies(text, words, "semantic")) == 1
    assert word_questions.analogies(text, words, "syntactic").arrays["targets"].tolist() == [2]
    pairs = word_questions.pairs("# title\na\tb\t6.5\na\tx\t1\n", words)
    assert pairs.arrays["inputs"].tolist() == [[0, 1]]
    assert pairs.arrays["targets"].tolist() == [6.5]


def test_a_file_of_ones_own_is_a_corpus(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text(TEXT)
    dataset = make("words", corpus=str(file), min_count=1, length=3)
    assert len(dataset.load("train")) == 4
    assert len(dataset.load("train[:2]")) == 2
    assert dataset.info().features["inputs"].shape == (3,)
    with pytest.raises(UserError, match="unknown split 'wordsim'"):
        dataset.load("wordsim")
    with pytest.raises(UserError, match="min_count"):
        make("words", corpus=str(file), min_count=0)
    with pytest.raises(UserError, match="window"):
        make("cooccurrences", corpus=str(file), window=0)


def test_the_published_questions(fetched):
    dataset = fetched("words", corpus="brown")
    text = word_questions._read("questions-words.txt").lower()
    every = set(text.split())
    sizes = [
        len(word_questions.analogies(text, sorted(every), part))
        for part in word_questions.ANALOGIES
    ]
    assert sizes == [19_544, 8_869, 10_675]  # the paper's table 1
    assert len(dataset.load("wordsim353[:50]")) == 50
