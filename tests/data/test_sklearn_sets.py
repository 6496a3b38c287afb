"""scikit-learn's sets and their frozen splits."""

import numpy as np
import pytest
import sklearn.datasets

from aimodels.data import make
from aimodels.data.sklearn_sets import frozen_split
from aimodels.errors import UserError

NAMES = ("digits", "iris", "wine", "breast_cancer")


def whole(source):
    return source.gather(np.arange(len(source)))


@pytest.mark.parametrize("name", NAMES)
def test_splits_share_no_example_and_keep_the_classes_shares(name):
    dataset = make(name)
    info = dataset.info()
    train, test = whole(dataset.load("train")), whole(dataset.load("test"))
    for batch, split in ((train, "train"), (test, "test")):
        assert batch["inputs"].shape == (info.splits[split], *info.features["inputs"].shape)
        assert (batch["inputs"].dtype, batch["targets"].dtype) == (np.float32, np.int32)
    rows = [
        {row.tobytes() for row in batch["inputs"].reshape(len(batch["inputs"]), -1)}
        for batch in (train, test)
    ]
    assert not rows[0] & rows[1]
    counts = np.bincount(train["targets"]) + np.bincount(test["targets"])
    np.testing.assert_allclose(np.bincount(test["targets"]), counts / 5, atol=0.5)
    assert len(counts) == info.num_classes == len(info.class_names)
    # Not sorted by class, so that a slice of the train part is a fair sample.
    assert len(set(train["targets"][:100])) == info.num_classes


@pytest.mark.parametrize("name", NAMES)
def test_the_rows_are_scikit_learns(name):
    bunch = getattr(sklearn.datasets, f"load_{name}")()
    rows = frozen_split(bunch.data, bunch.target)
    fields = {} if name == "digits" else {"standardize": False}
    batch = whole(make(name, **fields).load("test"))
    scale = 16 if name == "digits" else 1
    expected = (bunch.data[rows["test"]] / scale).astype(np.float32)
    np.testing.assert_array_equal(batch["inputs"].reshape(expected.shape), expected)
    np.testing.assert_array_equal(batch["targets"], bunch.target[rows["test"]])


def test_irises_own_duplicate_is_left_out():
    assert sum(make("iris").info().splits.values()) == 149


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer"])
def test_standardized_over_the_train_part(name):
    batch = whole(make(name).load("train"))["inputs"].astype(np.float64)
    np.testing.assert_allclose(batch.mean(axis=0), 0, atol=1e-6)  # float32 rounding
    np.testing.assert_allclose(batch.std(axis=0), 1, rtol=1e-6)


def test_other_data_than_the_frozen_ones_are_an_error(monkeypatch):
    bunch = sklearn.datasets.load_iris()
    bunch.data[3, 2] += 0.1
    monkeypatch.setattr(sklearn.datasets, "load_iris", lambda: bunch)
    with pytest.raises(UserError, match="ships other data"):
        make("iris").load("train")
