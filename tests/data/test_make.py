"""Data sets by name, and what every one of them keeps."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from aimodels.config import find
from aimodels.data import DATASETS, make
from aimodels.data.base import Dataset, Feature, Info
from aimodels.data.describe import named
from aimodels.data.source import ArraySource, Source
from aimodels.errors import UserError


@dataclasses.dataclass(frozen=True)
class Own(Dataset):
    """A user's own data set, named tests.data.test_make:Own."""

    size: int = 5

    def info(self):
        """One field, one split."""
        feature = Feature((), "int32")
        return Info("own", "Own", "unknown", {"inputs": feature}, {"train": self.size})

    def load_whole(self, split):
        """The numbers 0, 1, ..."""
        return ArraySource({"inputs": np.arange(self.size, dtype=np.int32)})


def test_every_name_in_the_table_is_a_data_set():
    for name in DATASETS:
        cls = find("data", name)
        assert isinstance(cls, type)
        assert issubclass(cls, Dataset)


@pytest.mark.parametrize(
    "name",
    [
        "mnist1d",
        "digits",
        "iris",
        "wine",
        "breast_cancer",
        "random_tokens",
        "random_images",
        "babi",
    ],
)
def test_sets_without_a_fetch_keep_their_promises(name):
    dataset = make(name)
    assert dataset.is_ready()
    info = dataset.info()
    for split, size in info.splits.items():
        source = dataset.load(split)
        assert isinstance(source, Source)
        assert len(source) == size
        batch = source.gather(np.arange(3))
        assert set(batch) == set(info.features)
        for field, feature in info.features.items():
            assert batch[field].shape == (3, *feature.shape)
            assert batch[field].dtype == feature.dtype
    for fact in (info.title, info.licence, info.citation, info.source, info.how):
        assert fact


def test_a_users_own_data_set():
    dataset = make(f"{__name__}:Own", size=10)
    np.testing.assert_array_equal(
        dataset.load("train[80%:]+train[:1]").gather(np.arange(3))["inputs"], [8, 9, 0]
    )


def test_a_command_names_a_set_in_short():
    assert named("uci_regression:yacht") == make("uci_regression", dataset="yacht")
    assert named("iris") == make("iris")
    assert named(f"{__name__}:Own") == Own()
    with pytest.raises(UserError, match="no such field"):
        named("mnist1d:shuffled")


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("mnist1D", {}, "Did you mean 'mnist1d'"),
        ("imagenet", {}, "unknown data set 'imagenet'"),
        ("mnist1d", {"shufled": True}, "Did you mean 'shuffled'"),
        ("arrays", {}, "config.data.path is missing: data set arrays takes text there"),
        ("uci_regression", {"fold": "two"}, "config.data.fold: got 'two', takes a whole number"),
        ("mnist1d:shuffled", {}, "takes 'mnist1d' alone, with its fields beside"),
        ("no_such_package:Name", {}, "can't be imported"),
        ("aimodels.data.mnist1d:Nothing", {}, "aimodels.data.mnist1d has no 'Nothing'"),
    ],
)
def test_mistakes(name, fields, message):
    with pytest.raises(UserError) as error:
        make(name, **fields)
    assert message in str(error.value)


def test_an_unknown_split_is_told_before_anything_is_read(monkeypatch, tmp_path):
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path))
    for name in ("mnist1d", "fashion_mnist", "uci_regression"):
        with pytest.raises(UserError, match=r"Known: test, train"):
            make(name).load("tests")
    with pytest.raises(UserError, match=r"split 'train\[:0%\]' of mnist1d is empty"):
        make("mnist1d").load("train[:0%]")
    assert list(tmp_path.iterdir()) == []


def test_the_package_imports_nothing_heavy():
    code = (
        "import sys, aimodels.data, aimodels.data.mnist1d, aimodels.data.describe\n"
        "heavy = {'jax', 'matplotlib', 'sklearn', 'scipy', 'tensorflow_datasets', 'mnist1d',"
        "'requests', 'tensorflow'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr
