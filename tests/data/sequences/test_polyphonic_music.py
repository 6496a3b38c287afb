"""Piano rolls: the published pieces, and a frame's target is the next."""

import numpy as np
import pytest

from aimodels.data import make
from aimodels.data.sequences.polyphonic_music import SIZES, _file
from aimodels.errors import UserError


@pytest.mark.parametrize("name", ["JSB_Chorales", "Piano_midi"])
def test_pieces_are_the_published_ones(name, fetched):
    dataset = fetched("polyphonic_music", dataset=name)
    for split, size in zip(("train", "validation", "test"), SIZES[name], strict=True):
        batch = dataset.load(split).gather(np.arange(size))
        assert len(dataset.load(split)) == size
        assert set(np.unique(batch["inputs"])) == {0, 1}
        if split == "train":
            assert batch["inputs"].shape[1:] == dataset.info().features["inputs"].shape
        for inputs, targets, length in zip(*batch.values(), strict=True):
            np.testing.assert_array_equal(inputs[1:length], targets[: length - 1])
            assert not targets[length:].any()
    assert batch["inputs"].dtype == np.uint8


def test_the_chorales_have_their_frames_and_voices(fetched):
    source = fetched("polyphonic_music").load("train")
    batch = source.gather(np.arange(229))
    assert batch["lengths"].sum() == 13_807 - 229
    assert batch["inputs"].shape == (229, 128, 88)
    first = batch["inputs"][0, : batch["lengths"][0]]
    assert 3.5 < first.sum(1).mean() <= 4  # of four voices, of which two may sing one key


def test_a_damaged_file_is_told(fetched, tmp_path, monkeypatch):
    fetched("polyphonic_music")
    content = _file("Piano_midi").read_bytes()
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path))
    dataset = make("polyphonic_music", dataset="Piano_midi")
    with pytest.raises(UserError, match="aimodels data fetch polyphonic_music"):
        dataset.load("test")
    _file("Piano_midi").parent.mkdir()
    _file("Piano_midi").write_bytes(content[:-1])
    with pytest.raises(UserError, match="damaged"):
        dataset.load("test")
