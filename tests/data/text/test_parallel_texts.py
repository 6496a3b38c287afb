"""Pairs of texts: the published splits, those of our own, and how they are made into ids."""

import numpy as np
import pytest

from aimodels.data import make
from aimodels.data.cache import cache_folder
from aimodels.data.text import libreoffice_help, multi30k
from aimodels.data.text.labelled import distinct
from aimodels.data.text.parallel import PAD, text_of
from aimodels.errors import UserError


@pytest.fixture
def captions(fetched):
    fetched("multi30k")
    return lambda **fields: make("multi30k", **fields)


def test_captions_have_the_published_splits(captions):
    german, french = captions(), captions(target="fr", form="tokenized")
    for dataset in (german, french):
        for split, size in dataset.info().splits.items():
            assert [len(texts) for texts in dataset.pairs(split)] == [size, size]
    # As the publisher's README counts them: words of the training part.
    words = [sum(len(text.split()) for text in texts) for texts in french.pairs("train")]
    assert words == [377_534, 409_845]
    assert german.pairs("train").sources[0] == (
        "Two young, White males are outside near many bushes."
    )
    assert german.pairs("train").targets[0].startswith("Zwei junge weiße Männer")


def test_pairs_become_padded_ids_and_come_back(captions):
    dataset = captions(vocabulary=2000, length=48)
    source = dataset.load("test_2016")
    batch = source.gather(np.arange(30))
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int32)}
    assert dataset.made.id_of(PAD) == 0
    assert batch["inputs"].max() < 2000
    sources, targets = dataset.pairs("test_2016")
    for row in range(30):
        for field, lengths, texts in (
            ("inputs", "lengths", sources),
            ("targets", "target_lengths", targets),
        ):
            assert batch[field][row, batch[lengths][row] - 1] == dataset.made.id_of("</s>")
            assert not batch[field][row, batch[lengths][row] :].any()
            assert text_of(dataset.made, batch[field][row]) == " ".join(texts[row].split())
    assert dataset.targets_of(batch["number"]) == targets[:30]
    # One more than the last of a split is the first of the next.
    last = dataset.load("validation").gather(np.array([1013]))["number"]
    following = dataset.pairs("test_2016").targets[0]
    assert dataset.targets_of(np.append(last, last + 1)) == [
        dataset.pairs("validation").targets[-1],
        following,
    ]
    assert dataset.files()["tokenizer.json"] == captions(vocabulary=2000).files()["tokenizer.json"]


def test_a_text_that_is_too_long_is_cut(captions):
    dataset = captions(vocabulary=2000, length=5)
    ids, lengths = dataset.encode(["a dog runs over the green grass", "dog"])
    assert lengths[0] == 5
    assert dataset.made.id_of("</s>") not in ids[0]
    assert text_of(dataset.made, ids[1]) == "dog"


def test_help_pages_are_split_without_a_text_in_common(fetched):
    fetched("libreoffice_help")
    dataset = make("libreoffice_help", source="de", target="en")
    parts = {split: dataset.pairs(split) for split in dataset.info().splits}
    sizes = {split: len(pairs.sources) for split, pairs in parts.items()}
    assert sizes == dataset.info().splits
    english = [text for pairs in parts.values() for text in pairs.targets]
    assert len(distinct(english)) == len(english)
    assert "Klicken" in " ".join(parts["test"].sources)
    assert make("libreoffice_help").pairs("test").sources == parts["test"].targets


def test_a_page_gives_its_headings_and_paragraphs():
    page = """<h1 id="a"><a name="x"></a>Line &amp; Fill</h1><p>no id</p>
    <p id="b" class="c">Choose <span class="emph">Format\n - Area</span>.</p>
    <p id="b">the same id</p><p id="d"><span hidden="true" class="MAC">Mac</span>Else</p>"""
    assert libreoffice_help.texts_of(page) == {"a": "Line & Fill", "b": "Choose Format - Area."}


def test_pages_are_not_cut_apart():
    pairs = [[f"page {n // 5}", f"text number {n}", f"Text {n}"] for n in range(200)]
    pairs.append(["page 39", "Text number 3!", "once more"])
    parts = libreoffice_help.split_by_page(pairs)
    pages = [{int(text.split()[2]) // 5 for text in english} for english, _ in parts.values()]
    assert [len(each) for each in pages] == [36, 2, 2]
    assert sum(len(english) for english, _ in parts.values()) == 200


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"target": "cs"}, "data.target is 'cs'; it takes en, de, fr"),
        ({"target": "en"}, "both 'en'"),
        ({"length": 1}, "2 or more"),
        ({"form": "lower"}, "one of 'raw', 'tokenized'"),
        ({"tokenizer": "characters"}, "no token for the end"),
    ],
)
def test_mistakes_are_told(fields, message):
    with pytest.raises(UserError, match=message):
        make("multi30k", **fields)


def test_help_is_from_or_into_english():
    with pytest.raises(UserError, match="one must be 'en'"):
        make("libreoffice_help", source="fr", target="de")


def test_missing_and_damaged_captions_say_what_mends_them(tmp_path, monkeypatch):
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path))
    with pytest.raises(UserError, match="aimodels data fetch multi30k"):
        make("multi30k").pairs("train")
    file = cache_folder() / "multi30k" / "train.en.gz"
    file.parent.mkdir()
    file.write_bytes(b"damaged")
    with pytest.raises(UserError, match="SHA-256"):
        multi30k._read(file)
