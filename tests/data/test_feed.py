"""Batches are a function of (seed, step), and the two feeds give the same ones."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimodels.data.feed import DeviceFeed, EmptyFeed, HostFeed, batch_indices
from aimodels.data.source import ArraySource


@given(
    size=st.integers(1, 40),
    batch_size=st.integers(1, 50),
    seed=st.integers(0, 2**32 - 1),
    start=st.integers(0, 30),
    steps=st.integers(0, 12),
    order=st.sampled_from(["shuffled", "cyclic"]),
)
def test_any_cut_gives_the_same_batches(size, batch_size, seed, start, steps, order):
    whole = batch_indices(size, batch_size, order, seed, 0, start + steps)
    part = batch_indices(size, batch_size, order, seed, start, steps)
    np.testing.assert_array_equal(part, whole[start:])


@given(size=st.integers(1, 40), batch_size=st.integers(1, 50), seed=st.integers(0, 1000))
def test_every_epoch_has_each_example_once(size, batch_size, seed):
    indices = batch_indices(size, batch_size, "shuffled", seed, 0, 3 * size)
    epochs = indices.reshape(-1)[: 3 * size].reshape(3, size)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(size))


def test_orders_differ_between_seeds_and_epochs():
    first = batch_indices(50, 50, "shuffled", 0, 0, 2)
    other = batch_indices(50, 50, "shuffled", 1, 0, 2)
    assert (first[0] != first[1]).any()
    assert (first[0] != other[0]).any()


def test_cyclic_is_the_files_own_order():
    np.testing.assert_array_equal(batch_indices(5, 2, "cyclic", 9, 1, 3), [[2, 3], [4, 0], [1, 2]])


@pytest.mark.parametrize("per_replica", [False, True])
def test_device_and_host_feeds_give_the_same_batches(per_replica):
    random = np.random.default_rng(0)

    def source():
        targets = random.integers(0, 9, 17)
        return ArraySource({"inputs": random.normal(size=(17, 3)), "targets": targets})

    seeds = (3, 4)
    sources = [source(), source()] if per_replica else [source()]
    put = lambda tree: {name: jnp.asarray(array) for name, array in tree.items()}  # noqa: E731
    device = DeviceFeed(sources, seeds, 5, "shuffled", put)
    whole = lambda shape, gather: gather((slice(None),) * 3)  # noqa: E731
    host = HostFeed(sources, seeds, 5, "shuffled", whole)
    for start, steps in ((0, 4), (4, 2), (6, 4), (3, 4)):  # in order, cut short, and jumping back
        on_device, on_host = device.chunk(start, steps, 4), host.chunk(start, steps, 4)
        for replica in range(2):
            arrays = device.arrays
            if per_replica:
                arrays = {name: array[replica] for name, array in arrays.items()}
            for step in range(steps):
                left = device.gather(arrays, on_device[replica, step])
                item = {name: array[replica, step] for name, array in on_host.items()}
                right = host.gather(host.arrays, item)
                for name in ("inputs", "targets"):
                    np.testing.assert_array_equal(
                        left[name], jnp.asarray(right[name]), err_msg=f"{start} {step} {name}"
                    )


def test_a_task_without_data_gets_empty_batches():
    feed = EmptyFeed(3)
    assert feed.chunk(0, 2, 8).shape == (3, 8, 0)
    assert feed.gather((), None) == {}
