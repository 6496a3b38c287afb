"""The adding and the copy problem: what the papers say of a sequence, and what decides it."""

import numpy as np
import pytest

from aimodels.data import make
from aimodels.data.sequences.generated import Generated
from aimodels.errors import UserError


def test_sequences_of_the_original_adding_problem():
    dataset = make("adding_problem", length=100, test_size=500)
    batch = dataset.load("test").gather(np.arange(500))
    lengths = batch["lengths"]
    assert set(lengths) == set(range(100, 111))
    first_marked = 0
    for pairs, target, length in zip(batch["inputs"], batch["targets"], lengths, strict=True):
        assert pairs.shape == (110, 2)
        assert not pairs[length:].any()
        marked = np.flatnonzero(pairs[:, 1] == 1)
        assert len(marked) == 2
        assert marked[0] < 10
        assert marked[1] < 49
        # The first and the last pair, but a first one that is marked.
        ends = {0, int(length) - 1} - set(marked)
        assert set(np.flatnonzero(pairs[:, 1] == -1)) == ends
        if marked[0] == 0:
            first_marked += 1
            assert pairs[0, 0] == 0
        assert target == pytest.approx(0.5 + pairs[marked, 0].sum() / 4, abs=1e-6)
    assert 30 < first_marked < 90  # a tenth by the first mark, a 48th by the second
    assert abs(batch["inputs"][:, :100, 0].mean()) < 0.02
    assert batch["inputs"][..., 0].min() < -0.99
    assert batch["inputs"][..., 0].max() > 0.99


def test_sequences_of_the_later_adding_problem():
    batch = make("adding_problem", form="later", length=20).load("train").gather(np.arange(400))
    assert set(batch) == {"inputs", "targets"}
    numbers, marks = batch["inputs"][..., 0], batch["inputs"][..., 1]
    assert set(marks.ravel()) == {0, 1}
    np.testing.assert_array_equal(marks.sum(1), 2)
    assert (marks.sum(0) > 0).all()  # anywhere
    np.testing.assert_allclose((numbers * marks).sum(1), batch["targets"], atol=1e-6)
    assert 0 <= numbers.min() < 0.01
    assert 0.99 < numbers.max() < 1


def test_a_sequence_to_copy():
    dataset = make("copy_problem", length=7, symbols=3)
    example = {k: v[0] for k, v in dataset.load("train").gather(np.array([5])).items()}
    symbols = example["inputs"][:3].tolist()
    assert all(1 <= symbol <= 8 for symbol in symbols)
    assert example["inputs"].tolist() == [*symbols, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9]
    assert example["targets"].tolist() == [0] * 10 + symbols
    everything = dataset.load("train").gather(np.arange(200))["inputs"][:, :3]
    assert set(everything.ravel()) == set(range(1, 9))


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("adding_problem", {"length": 20}),
        ("adding_problem", {"length": 20, "form": "later"}),
        ("copy_problem", {"length": 5}),
    ],
)
def test_an_example_is_a_function_of_seed_split_and_number(name, fields):
    def inputs(split="train", numbers=(3, 0, 3), **more):
        return make(name, **fields, **more).load(split).gather(np.array(numbers))["inputs"]

    there = inputs()
    np.testing.assert_array_equal(there[0], there[2])
    np.testing.assert_array_equal(there, inputs(train_size=5))
    np.testing.assert_array_equal(there[1], inputs(numbers=(0,))[0])
    others = [there[0], there[1], inputs("test")[0], inputs(seed=1)[0]]
    assert len({other.tobytes() for other in others}) == 4
    info = make(name, **fields).info()
    batch = make(name, **fields).load("test").gather(np.arange(2))
    assert {k: (v.shape[1:], str(v.dtype)) for k, v in batch.items()} == {
        k: (feature.shape, feature.dtype) for k, feature in info.features.items()
    }


def test_the_first_sequences_are_frozen():
    adding = make("adding_problem", length=20).load("train").gather(np.arange(3))
    np.testing.assert_allclose(adding["targets"], ADDING, atol=1e-6)
    copied = make("copy_problem", length=1).load("train").gather(np.arange(2))["inputs"][:, :10]
    assert copied.tolist() == COPIED


def test_a_source_of_made_examples():
    source = Generated(3, lambda index: {"inputs": np.float32(index)})
    assert source.gather(np.array([2, 0])).popitem()[1].tolist() == [2, 0]
    nothing = source.gather(np.array([], int))["inputs"]
    assert nothing.shape == (0,)
    assert nothing.dtype == np.float32
    with pytest.raises(IndexError):
        source.gather(np.array([3]))


def test_an_adding_problem_that_is_too_short():
    with pytest.raises(UserError, match=r"data.length is 19; .* takes 20 or more"):
        make("adding_problem", length=19)


ADDING = [0.743033, 0.739562, 0.2315]
COPIED = [[1, 1, 5, 2, 3, 1, 2, 5, 5, 5], [8, 7, 3, 7, 1, 6, 8, 4, 8, 6]]
