"""Batches of sequences of like lengths: functions of (seed, step), each example once an epoch."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimodels.config import load_experiment
from aimodels.data.feed import HostFeed, batch_indices
from aimodels.data.source import ArraySource
from aimodels.errors import UserError

ROOT = Path(__file__).parents[2]


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


def of_experiments():
    """Configs of texts with a class, in batches of like lengths; one for each data set."""
    found = {}
    for name in ("kim2014", "bbc_news", "reviews"):
        experiment = load_experiment(ROOT / f"experiments/language/{name}.py")
        for variant in experiment.variants:
            config = experiment.config(variant)
            if config.training.order == "by_length":
                # IMDB's 17,431 long reviews take a minute to be made into words.
                marks = [pytest.mark.slow] if "imdb" in variant else []
                case = pytest.param(config, id=f"{name}:{variant}", marks=marks)
                found.setdefault(str(config.data), case)
    return list(found.values())


@pytest.mark.parametrize("config", of_experiments())
def test_little_of_a_batch_of_an_experiment_is_padding(fetched, config):
    source = fetched(**config.data).load(config.training.split)
    lengths = source.gather(np.arange(len(source)))["lengths"]
    size = config.training.batch_size
    epoch = batch_indices(
        len(lengths), size, "by_length", 0, 0, -(-len(lengths) // size), lengths.tobytes()
    )
    sizes = np.array([*sorted(config.task.bucket_lengths), config.data.length])
    computed = sizes[np.searchsorted(sizes, lengths[epoch].max(axis=1))] * size
    assert 1 - lengths[epoch].sum() / computed.sum() < 0.1


def test_data_without_lengths_are_told():
    source = ArraySource({"inputs": np.zeros((5, 2))})
    with pytest.raises(UserError, match=r"config\.training\.order is 'by_length'"):
        HostFeed([source], [0], 2, "by_length", lambda shape, gather: {})
