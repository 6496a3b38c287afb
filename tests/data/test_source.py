"""Sources: gathering, subsets, sums."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimodels.data.source import ArraySource, Concatenated, Source, Subset


def numbered(start, stop):
    values = np.arange(start, stop)
    return ArraySource({"inputs": values[:, None] * 10.0, "targets": values})


def test_gather_keeps_the_order_and_all_fields():
    batch = numbered(0, 8).gather(np.array([5, 0, 5]))
    np.testing.assert_array_equal(batch["targets"], [5, 0, 5])
    np.testing.assert_array_equal(batch["inputs"], [[50.0], [0.0], [50.0]])


@given(st.data(), st.integers(1, 30))
def test_a_subset_of_a_subset_is_the_composition(data, length):
    indices = st.lists(st.integers(0, length - 1), min_size=1, max_size=20)
    outer = np.array(data.draw(indices))
    inner = np.array(data.draw(st.lists(st.integers(0, len(outer) - 1), min_size=1)))
    subset = Subset(Subset(numbered(0, length), outer), inner)
    batch = subset.gather(np.arange(len(subset)))
    np.testing.assert_array_equal(batch["targets"], outer[inner])


@given(st.lists(st.integers(0, 7), min_size=1, max_size=5), st.randoms())
def test_concatenated_equals_the_arrays_put_together(sizes, random):
    if sum(sizes) == 0:
        sizes = [*sizes, 1]
    ends = np.cumsum(sizes)
    source = Concatenated(
        [numbered(end - size, end) for size, end in zip(sizes, ends, strict=True)]
    )
    order = [random.randrange(sum(sizes)) for _ in range(12)]
    assert len(source) == sum(sizes)
    np.testing.assert_array_equal(source.gather(np.array(order))["targets"], order)


@pytest.mark.parametrize("index", [-1, 3])
@pytest.mark.parametrize(
    "source",
    [
        numbered(0, 3),
        Subset(numbered(0, 9), range(3, 6)),
        Concatenated([numbered(0, 1), numbered(1, 3)]),
    ],
    ids=["arrays", "subset", "concatenated"],
)
def test_an_index_outside_is_an_error(source, index):
    with pytest.raises(IndexError, match=r"outside 0 \.\.\. 2"):
        source.gather(np.array([0, index]))


def test_a_subset_cannot_reach_outside_its_source():
    with pytest.raises(IndexError):
        Subset(numbered(0, 3), range(2, 4))


def test_boolean_indices_are_refused():
    with pytest.raises(IndexError, match="integers"):
        numbered(0, 3).gather(np.array([True, False, True]))


def test_fields_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="'b': 2"):
        ArraySource({"a": np.zeros(3), "b": np.zeros(2)})


def test_no_indices_give_an_empty_batch_with_the_right_shape():
    for source in (
        numbered(0, 3),
        Subset(numbered(0, 3), range(2)),
        Concatenated([numbered(0, 3)]),
    ):
        assert source.gather(np.array([], np.int64))["inputs"].shape == (0, 1)


def test_they_are_sources():
    assert isinstance(numbered(0, 3), Source)
    assert isinstance(Subset(numbered(0, 3), range(2)), Source)
