"""Texts with classes: the splits that are frozen, what is padded, what is refused."""

import numpy as np
import pytest

from aimodels.data import make
from aimodels.data.text import bbc_news, reviews
from aimodels.data.text import sentence_classification as sentences
from aimodels.data.text.labelled import distinct, frozen_split
from aimodels.errors import UserError

# Vocabulary sizes of Kim 2014, table 1, and the longest sentence. Ours differ by the words that
# the publishers' copies spell otherwise.
TABLE = {
    "MR": (18_765, 56),
    "SST-1": (17_836, 53),
    "SST-2": (16_185, 53),
    "Subj": (21_323, 120),
    "TREC": (9_592, 37),
    "CR": (5_340, 105),
    "MPQA": (6_246, 36),
}

FROZEN = {"reviews": [2163, 3581, 321, 7188], "bbc_news": [305, 118, 2106, 1056]}


@pytest.fixture
def whole_sentences(fetched):
    """Makes one set of the seven, all fetched."""
    fetched("sentence_classification")
    return lambda **fields: make("sentence_classification", **fields)


@pytest.mark.parametrize("name", TABLE)
def test_sets_of_sentences_are_those_of_the_paper(name, whole_sentences):
    vocabulary, longest = TABLE[name]
    dataset = whole_sentences(dataset=name, length=longest)
    assert abs(dataset.made.vocabulary - 2 - vocabulary) <= 3
    splits = [dataset.load(split) for split in ("train", "validation", "test")]
    assert [len(split) for split in splits] == list(dataset.info().splits.values())
    assert max(len(text.split()) for text in dataset.whole().texts) == longest
    batch = splits[0].gather(np.arange(20))
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int32)}
    text = dataset.texts("train").texts[7]
    row, length = batch["inputs"][7], batch["lengths"][7]
    assert dataset.made.decode(row[:length]) == text
    assert not row[length:].any()
    assert set(dataset.whole().targets) == set(range(dataset.info().num_classes))


@pytest.mark.parametrize("name", ["MR", "CR", "MPQA"])
def test_folds_test_every_sentence_once_and_train_on_as_many(name, whole_sentences):
    folds = [whole_sentences(dataset=name, fold=fold) for fold in range(10)]
    tested = np.concatenate([fold.rows()["test"] for fold in folds])
    np.testing.assert_array_equal(np.sort(tested), np.arange(len(folds[0].whole().texts)))
    for fold in folds:
        np.testing.assert_array_equal(
            np.sort(np.concatenate(list(fold.rows().values()))), np.sort(tested)
        )
    assert len({len(fold.rows()["train"]) for fold in folds}) == 1
    assert folds[3].made is folds[0].made  # the ids are made once


def test_the_folds_are_frozen(whole_sentences):
    assert whole_sentences(dataset="MR", fold=2).rows()["test"][:5].tolist() == [0, 46, 47, 57, 62]
    assert whole_sentences(dataset="TREC").rows()["validation"][:5].tolist() == [15, 20, 49, 56, 71]


def test_words_of_sentences_are_cut_as_by_the_authors():
    words = sentences.words_of("It's (not) a film I can't - won't! - like, \x96 you'd say?")
    expected = "it 's ( not ) a film i ca n't wo n't ! like , you 'd say ?"
    assert " ".join(words) == expected
    assert sentences.words_of("What", lower=False) == ["What"]


@pytest.mark.parametrize(
    ("name", "module"), [("reviews", reviews), ("bbc_news", bbc_news)], ids=["reviews", "bbc_news"]
)
def test_splits_of_our_own_share_no_text(name, module, fetched):
    fields = {"dataset": "rotten_tomatoes"} if name == "reviews" else {}
    dataset = fetched(name, **fields, tokenizer="spaced_words", vocabulary=2000, length=40)
    rows = dataset.rows()
    assert {split: len(numbers) for split, numbers in rows.items()} == dataset.info().splits
    texts = [dataset.texts(split).texts for split in rows]
    every = [text for part in texts for text in part]
    assert len(distinct(every)) == len(every)
    assert len(every) < len(dataset.whole().texts)  # there are duplicates
    for split in rows:
        shares = np.bincount(dataset.texts(split).targets) / len(rows[split])
        assert 0.5 / len(shares) < shares.min() < shares.max() < 1.5 / len(shares)
    assert dataset.made.vocabulary == 2000
    batch = dataset.load("test").gather(np.arange(30))
    assert batch["inputs"].shape == (30, 40)
    assert batch["lengths"].max() <= 40
    assert rows["test"][:4].tolist() == FROZEN[name]


def test_equal_texts_are_found_whatever_their_marks():
    assert distinct(["A  film.", "a film", "a film 2", "A film!"]).tolist() == [0, 2]


def test_a_frozen_split_has_every_row_once():
    rows = np.array([3, 5, 8, 9, 12, 20, 21])
    split = frozen_split(rows, {"train": 0.5, "validation": 0.2, "test": 0.3}, 1)
    assert [len(part) for part in split.values()] == [4, 1, 2]
    assert sorted(np.concatenate(list(split.values()))) == rows.tolist()


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("sentence_classification", {"dataset": "SST2"}, "Did you mean 'SST-2'"),
        ("sentence_classification", {"fold": 10}, "MR has the folds 0 to 9"),
        ("sentence_classification", {"dataset": "TREC", "fold": 1}, "splits of its own"),
        ("reviews", {"dataset": "imbd"}, "imdb"),
        ("bbc_news", {"length": 0}, "it takes 1 or more"),
    ],
)
def test_mistakes_in_fields(name, fields, message):
    with pytest.raises(UserError, match=message):
        make(name, **fields)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("sentence_classification", "sentence_classification/rt-polarity.all"),
        ("reviews", f"reviews/{reviews.FILE}"),
        ("bbc_news", "bbc_news/documents.json"),
    ],
)
def test_missing_and_damaged_files(name, file, monkeypatch, tmp_path):
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path))
    dataset = make(name)
    assert not dataset.is_ready()
    with pytest.raises(UserError, match=f"not on this machine.*aimodels data fetch {name}"):
        dataset.load("train")
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_bytes(b"0 nothing")
    with pytest.raises(UserError, match=f"damaged.*aimodels data fetch {name}"):
        dataset.load("train")


def test_texts_by_the_tokenizer_of_trained_weights(fetched, fetched_weights):
    fetched_weights("minilm_l6_v2")
    fields = {"tokenizer": "minilm_l6_v2", "length": 16}
    fetched("bbc_news", **fields, vocabulary=30_522)
    data = make("bbc_news", **fields, vocabulary=30_522)
    batch = data.load("train").gather(np.arange(3))
    assert batch["inputs"].shape == (3, 16)
    assert batch["lengths"].tolist() == [16, 16, 16]  # all documents are longer
    assert batch["inputs"][:, 0].tolist() == [101] * 3  # [CLS]
    assert batch["inputs"][:, -1].tolist() == [102] * 3  # [SEP]
    begins = data.texts("train").texts[0].lower().split()[0]
    assert data.made.decode(batch["inputs"][0][1:2]) in begins
    with pytest.raises(UserError, match="vocabulary of 100"):
        make("bbc_news", **fields, vocabulary=100).load("train")
    with pytest.raises(UserError, match=r"data\.vocabulary is None"):
        make("bbc_news", **fields, vocabulary=None).load("train")


def test_a_tokenizer_that_is_not_here_is_fetched_with_its_texts(monkeypatch, tmp_path):
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path))
    for name in ("bbc_news", "reviews"):
        data = make(name, tokenizer="minilm_l6_v2", vocabulary=30_522)
        assert not data.has_tokenizer
        assert make(name).has_tokenizer
        assert not data.is_ready()
