"""Evaluation batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimodels.data.padding import evaluation_batches


@given(st.integers(0, 300), st.integers(1, 70), st.sampled_from([1, 2, 3, 4, 8]))
def test_every_example_exactly_once_in_order(length, batch_size, devices):
    batches = evaluation_batches(length, batch_size, multiple_of=devices)
    valid = [index for indices, mask in batches for index in indices[mask]]
    assert valid == list(range(length))
    for indices, mask in batches:
        assert indices.shape == mask.shape == batches[0][0].shape
        assert mask.dtype == bool
        assert len(indices) % devices == 0
        assert batch_size <= len(indices) < batch_size + devices
        assert 0 <= indices.min() <= indices.max() < length
    assert all(mask.all() for _, mask in batches[:-1])
    assert all(mask.any() for _, mask in batches)


@pytest.mark.parametrize(("length", "size", "multiple"), [(-1, 1, 1), (3, 0, 1), (3, 1, 0)])
def test_sizes_without_a_meaning_are_errors(length, size, multiple):
    with pytest.raises(ValueError, match="evaluation_batches takes"):
        evaluation_batches(length, size, multiple)


def test_a_weighted_mean_over_batches_is_the_mean():
    values = np.random.default_rng(0).normal(size=103)
    total = count = 0.0
    for indices, mask in evaluation_batches(len(values), 10):
        total += (values[indices] * mask).sum()
        count += mask.sum()
    assert count == 103
    # 103 float64 additions in another order.
    np.testing.assert_allclose(total / count, values.mean(), rtol=1e-12)
