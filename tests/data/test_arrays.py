"""A user's own .npz file."""

import numpy as np
import pytest

from aimodels.data import make
from aimodels.errors import UserError

GOOD = {
    "train_inputs": np.arange(12.0).reshape(6, 2),
    "train_targets": np.array([0, 1, 2, 0, 1, 2]),
    "test_inputs": np.ones((2, 2)),
    "test_targets": np.array([0, 1]),
}


def saved(tmp_path, arrays):
    path = tmp_path / "my.npz"
    np.savez(path, **arrays)
    return str(path)


def test_classes(tmp_path):
    dataset = make("arrays", path=saved(tmp_path, GOOD))
    info = dataset.info()
    assert (info.task, info.num_classes) == ("classification", 3)
    assert dict(info.splits) == {"train": 6, "test": 2}
    batch = dataset.load("train[50%:]").gather(np.array([0, 2]))
    np.testing.assert_array_equal(batch["inputs"], [[6, 7], [10, 11]])
    assert (batch["inputs"].dtype, batch["targets"].dtype) == (np.float32, np.int32)


def test_regression_and_other_fields(tmp_path):
    arrays = {
        "train_inputs": np.zeros((3, 4, 1), np.uint8),
        "train_targets": np.ones((3, 2)),
        "train_lengths": np.array([1, 2, 4]),
    }
    dataset = make("arrays", path=saved(tmp_path, arrays))
    assert dataset.info().task == "regression"
    assert dataset.info().num_classes is None
    batch = dataset.load("train").gather(np.array([1]))
    assert batch["inputs"].dtype == np.uint8
    assert batch["lengths"].tolist() == [2]


def without(name):
    return {key: value for key, value in GOOD.items() if key != name}


@pytest.mark.parametrize(
    ("arrays", "fields", "message"),
    [
        (without("train_inputs"), {}, "needs an array train_inputs"),
        (GOOD | {"test_targets": np.array([0])}, {}, "as many examples in every array"),
        (GOOD | {"inputs": np.zeros(3)}, {}, "<split>_<field>"),
        (GOOD | {"train_rate": np.array(0.1)}, {}, "has an axis of examples"),
        (GOOD | {"train_names": np.array(["a", None], object)}, {}, "plain arrays"),
        (GOOD | {"test_targets": np.array([0, -1])}, {}, "targets go from -1"),
        (GOOD, {"num_classes": 2}, "2 classes are 0 to 1"),
        ({}, {}, "holds no arrays"),
    ],
)
def test_mistakes_in_the_file(tmp_path, arrays, fields, message):
    with pytest.raises(UserError) as error:
        make("arrays", path=saved(tmp_path, arrays), **fields).info()
    assert message in str(error.value)
    assert "my.npz" in str(error.value)


def test_a_missing_or_damaged_file(tmp_path):
    dataset = make("arrays", path=str(tmp_path / "none.npz"))
    assert not dataset.is_ready()
    for act in (dataset.info, dataset.fetch, lambda: dataset.load("train")):
        with pytest.raises(UserError, match="there is no file"):
            act()
    for content in (b"", b"text", np.arange(3.0).tobytes()):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(UserError, match="can't be read"):
            make("arrays", path=str(tmp_path / "bad.npz")).info()
    np.save(tmp_path / "one.npy", np.arange(3))
    with pytest.raises(UserError, match="can't be read"):
        make("arrays", path=str(tmp_path / "one.npy")).info()
