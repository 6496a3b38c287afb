"""Pairs of stretches of text: what follows what, where they are cut, what is refused."""

from pathlib import Path

import numpy as np
import pytest

from aimodels.data import make
from aimodels.data.text.sentence_pairs import CLS, FOLLOWS, RANDOM, SEP, as_arrays, pairs
from aimodels.errors import UserError


def generator(seed=0):
    return np.random.Generator(np.random.Philox(key=[seed, 0]))


# Document d has sentences of 1 to 7 tokens; a token tells its document and its place.
SIZES = np.random.default_rng(0).integers(1, 8, size=(6, 40))


def document(number):
    places = np.split(np.arange(SIZES[number].sum()), np.cumsum(SIZES[number])[:-1])
    return [1000 * (number + 1) + place for place in places]


DOCUMENTS = [document(number) for number in range(6)]


def test_the_second_follows_the_first_or_is_from_another_document():
    made = pairs(DOCUMENTS, 40, generator())
    ends = {int(sentence[-1]) for lines in DOCUMENTS for sentence in lines}
    for first, second, target in made:
        assert 2 <= len(first) + len(second) <= 37
        for side in (first, second):
            np.testing.assert_array_equal(np.diff(side), 1)
        same = first[0] // 1000 == second[0] // 1000
        assert same == (target == FOLLOWS)
        if target == FOLLOWS and second[0] == first[-1] + 1:
            assert first[-1] in ends
    targets = [target for *_, target in made]
    # A coin for each of about 40 pairs.
    assert 0.25 < np.mean(targets) < 0.75
    untouched = [second[0] == first[-1] + 1 for first, second, target in made if target == FOLLOWS]
    assert np.mean(untouched) > 0.2
    assert RANDOM in targets


def test_every_sentence_is_in_a_pair_or_was_cut_from_one():
    made = pairs(DOCUMENTS, 400, generator())
    # Nothing is longer than there is room for, but for pairs that are to be short.
    seen = {int(token) for pair in made for side in pair[:2] for token in side}
    everything = {int(token) for lines in DOCUMENTS for line in lines for token in line}
    assert len(seen) > 0.9 * len(everything)


def test_pairs_are_decided_by_their_seed():
    first, again, other = (pairs(DOCUMENTS, 40, generator(seed)) for seed in (1, 1, 2))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one[0], two[0])
        np.testing.assert_array_equal(one[1], two[1])
    assert any(len(one[0]) != len(two[0]) for one, two in zip(first, other, strict=False))


def test_arrays_by_hand():
    made = [(np.array([7, 8]), np.array([9]), FOLLOWS), (np.array([5]), np.array([6]), RANDOM)]
    arrays = as_arrays(made, 8)
    np.testing.assert_array_equal(
        arrays["inputs"], [[CLS, 7, 8, SEP, 9, SEP, 0, 0], [CLS, 5, SEP, 6, SEP, 0, 0, 0]]
    )
    np.testing.assert_array_equal(
        arrays["token_types"], [[0, 0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 0, 0, 0]]
    )
    assert arrays["lengths"].tolist() == [6, 5]
    assert arrays["next_sentence"].tolist() == [0, 1]


@pytest.fixture
def file(tmp_path):
    pytest.importorskip("tokenizers")
    lines = ["the cat sat", "it slept", "then it ran off"]
    file = tmp_path / "tales.txt"
    file.write_text("\n\n".join("\n".join(lines) for _ in range(20)) + "\n")
    return str(file)


def test_a_file_of_ones_own(file):
    data = make("sentence_pairs", corpus=file, vocabulary=60, length=16)
    assert len(data.load("train")) > len(data.load("validation")) > 0
    assert len(data.load("train[:3]")) == 3
    batch = data.load("train").gather(np.arange(5))
    assert batch["inputs"].shape == (5, 16)
    assert (batch["inputs"][:, 0] == CLS).all()
    assert (batch["inputs"][np.arange(5), batch["lengths"] - 1] == SEP).all()
    row = batch["inputs"][0][: batch["lengths"][0]]
    # A tale may be cut at either end, but what is left of it is words as they stand there.
    told = "the cat sat it slept then it ran off"
    first, second = data.made.decode(row).removeprefix("[CLS]").split("[SEP]")[:2]
    assert first.strip()
    assert first.strip() in told
    assert second.strip() in told
    assert "tokenizer.json" in data.files()


def test_lines_may_end_as_windows_has_them(file, tmp_path):
    other = tmp_path / "windows.txt"
    other.write_bytes(Path(file).read_bytes().replace(b"\n", b"\r\n"))
    fields = {"vocabulary": 60, "length": 16}
    expected = make("sentence_pairs", corpus=file, **fields).load("train")
    found = make("sentence_pairs", corpus=str(other), **fields).load("train")
    rows = np.arange(len(expected))
    for name, values in expected.gather(rows).items():
        np.testing.assert_array_equal(found.gather(rows)[name], values)


def test_what_can_not_be_is_told(file, tmp_path):
    with pytest.raises(UserError, match=r"data\.length is 4; it takes 5 or more"):
        make("sentence_pairs", corpus=file, length=4)
    with pytest.raises(UserError, match=r"data\.validation is 1\.0"):
        make("sentence_pairs", corpus=file, validation=1.0)
    with pytest.raises(UserError, match="corpus"):
        make("sentence_pairs", corpus="brwn")
    short = tmp_path / "short.txt"
    short.write_text("one\n\ntwo\n")
    with pytest.raises(UserError, match="has 2 documents, parted by empty lines"):
        make("sentence_pairs", corpus=str(short)).load("train")
