"""Running text: windows, splits, files of one's own, and what is refused."""

import numpy as np
import pytest

from aimodels.data import make
from aimodels.data.feed import DeviceFeed, HostFeed
from aimodels.data.source import ArraySource, Windows
from aimodels.data.text import corpora
from aimodels.errors import UserError


def test_windows_are_the_text_and_the_token_after_each():
    source = Windows(np.arange(10), 4, 2)
    assert len(source) == 3
    batch = source.gather(np.array([2, 0]))
    np.testing.assert_array_equal(batch["inputs"], [[4, 5, 6, 7], [0, 1, 2, 3]])
    np.testing.assert_array_equal(batch["targets"], batch["inputs"] + 1)
    with pytest.raises(IndexError):
        source.gather(np.array([3]))


@pytest.mark.parametrize(("tokens", "expected"), [(5, 1), (6, 1), (7, 2), (9, 3)])
def test_no_window_is_left_out(tokens, expected):
    source = Windows(np.arange(tokens), 4, 2)
    assert len(source) == expected
    last = source.gather(np.array([expected - 1]))["targets"]
    assert tokens - 2 <= last.max() < tokens


def test_a_device_holds_overlapping_windows_once_and_gives_the_hosts_batches():
    source = Windows(np.arange(1000, dtype=np.int32), 64)
    device = DeviceFeed([source], [3], 8, "shuffled", lambda tree: tree)
    assert sum(array.nbytes for array in device.arrays.values()) == 4000
    host = HostFeed([source], [3], 8, "shuffled", lambda shape, gather: gather((slice(0, 1),)))
    indices = device.chunk(0, 2, 2)
    for step in range(2):
        batch = device.gather(device.arrays, indices[0, step])
        expected = host.chunk(step, 1, 1)
        for name in ("inputs", "targets"):
            np.testing.assert_array_equal(batch[name], expected[name][0, 0])


def test_sources_in_memory_are_held_as_they_are():
    source = ArraySource({"inputs": np.arange(6)})
    feed = DeviceFeed([source], [0], 2, "cyclic", lambda tree: tree)
    assert feed.arrays["inputs"] is source.arrays["inputs"]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_the_byte_that_is_no_utf_8_is_named_by_its_place_in_the_file(mark):
    content = mark + b"caf\xe9 au lait"
    with pytest.raises(UserError, match=rf"byte {len(mark) + 3} is 0xe9"):
        corpora.decoded(content, "this")


def test_the_parts_of_a_file_share_no_character(tmp_path):
    file = tmp_path / "own.txt"
    file.write_text("abcdefghij" * 10)
    dataset = make("text", corpus=str(file), length=5, validation=0.2)
    train, validation = dataset.load("train"), dataset.load("validation")
    assert (len(train), len(validation)) == (75, 3)
    assert dataset.info().num_classes == 10
    text = dataset.made.decode(train.gather(np.array([0]))["inputs"][0])
    assert text == "abcde"
    assert "tokenizer.json" in dataset.files()


def test_tiny_shakespeare_is_split_as_in_nanogpt(fetched):
    dataset = fetched("text", corpus="tiny_shakespeare")
    assert dataset.made.vocabulary == 65
    assert len(dataset.load("train")) == 1_003_854 - 64
    assert len(dataset.load("validation")) == (111_540 - 1) // 64
    first = dataset.load("train").gather(np.array([0]))["inputs"][0]
    # The ids that nanoGPT's data/shakespeare_char/prepare.py gives "First Citizen".
    assert first[:13].tolist() == [18, 47, 56, 57, 58, 1, 15, 47, 58, 47, 64, 43, 52]


@pytest.mark.parametrize(
    ("corpus", "first", "last"),
    [
        ("shakespeare", "ALL'S WELL THAT ENDS WELL", "hastily lead away!\n\n[Exeunt.]"),
        ("brown", "The Fulton County Grand Jury said Friday", "dress was stupefying ."),
    ],
)
def test_corpora_of_packages_end_in_texts_that_training_never_sees(corpus, first, last, fetched):
    dataset = fetched("text", corpus=corpus)
    text = "".join(dataset._parts.values())
    assert text.startswith(first)
    assert text.strip().endswith(last)
    assert len(text) == corpora.CORPORA[corpus].characters
    windows = dataset.load("validation").gather(np.array([0]))
    assert dataset.made.decode(windows["inputs"][0]) == dataset._parts["validation"][:64]


def test_bad_files_are_named(tmp_path):
    file = tmp_path / "bad.txt"
    cases = [
        (b"caf\xe9 au lait", "byte 3 is 0xe9"),
        (b" \n", "is empty"),
        (b"short", "data.length is 64"),
    ]
    for content, message in cases:
        file.write_bytes(content)
        with pytest.raises(UserError, match=message):
            make("text", corpus=str(file)).load("train")
    with pytest.raises(UserError, match="can't be read"):
        make("text", corpus=str(tmp_path / "none.txt")).load("train")
    with pytest.raises(UserError, match="tiny_shakespeare"):
        make("text", corpus="tiny_shakespear")
