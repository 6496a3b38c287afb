"""Batches of sequences of like lengths: functions of (seed, step), each example once an epoch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimodels.data.feed import HostFeed, batch_indices
from aimodels.data.source import ArraySource
from aimodels.errors import UserError


def drawn(size, seed=0):
    lengths = np.random.default_rng(seed).integers(1, 60, size)
    return lengths, lengths.astype(np.int32).tobytes()


@given(
    size=st.integers(1, 60),
    batch_size=st.integers(1, 70),
    seed=st.integers(0, 2**32 - 1),
    start=st.integers(0, 30),
    steps=st.integers(0, 12),
)
def test_any_cut_gives_the_same_batches(size, batch_size, seed, start, steps):
    _, lengths = drawn(size)
    given = (size, batch_size, "by_length", seed)
    whole = batch_indices(*given, 0, start + steps, lengths)
    np.testing.assert_array_equal(batch_indices(*given, start, steps, lengths), whole[start:])
    epochs = batch_indices(*given, 0, 3 * size, lengths).reshape(-1)[: 3 * size].reshape(3, size)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(size))


def test_a_batch_has_like_lengths_and_batches_come_in_any_order():
    lengths, given = drawn(20_005)
    found = lengths[batch_indices(20_005, 50, "by_length", 3, 0, 800, given)]
    spread = found.max(axis=1) - found.min(axis=1)
    # But for the one that two epochs share, and what is left over at the end of the pools.
    assert np.mean(spread > 2) < 0.01
    longest = found.max(axis=1)
    assert np.mean(np.abs(np.diff(longest)) > 5) > 0.5
    other = batch_indices(20_005, 50, "by_length", 4, 0, 1, given)
    assert (other != batch_indices(20_005, 50, "by_length", 3, 0, 1, given)).any()


def test_little_of_a_batch_of_kims_sentences_is_padding(fetched):
    """Sentences of 1 to 56 words, 20 in the mean, at lengths of 4, 8, ..., 56."""
    lengths = fetched("sentence_classification", dataset="MR", length=56).load("train")
    lengths = lengths.gather(np.arange(len(lengths)))["lengths"]
    indices = batch_indices(len(lengths), 50, "by_length", 0, 0, 173, lengths.tobytes())
    computed = -(-lengths[indices].max(axis=1) // 4) * 4 * 50
    assert 1 - lengths[indices].sum() / computed.sum() < 0.1
    shuffled = batch_indices(len(lengths), 50, "shuffled", 0, 0, 173)
    assert 1 - lengths[shuffled].mean() / 56 > 0.6


def test_data_without_lengths_are_told():
    source = ArraySource({"inputs": np.zeros((5, 2))})
    with pytest.raises(UserError, match=r"config\.training\.order is 'by_length'"):
        HostFeed([source], [0], 2, "by_length", lambda shape, gather: {})
