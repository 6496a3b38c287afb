"""MNIST-1D against the authors' frozen file, and its cache."""

import io
import pickle
import random
import tarfile
import time

import numpy as np
import pytest

from aimodels.data import make, mnist1d
from aimodels.data.cache import mirror_folder
from aimodels.errors import UserError


class ArraysOnly(pickle.Unpickler):
    """Reads a pickle that holds NumPy arrays and nothing that could run."""

    ADMITTED = frozenset(
        {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy.core.multiarray", "_reconstruct"),
        }
    )

    def find_class(self, module, name):
        """The three names that arrays need; an error for any other."""
        if (module, name) not in self.ADMITTED:
            raise pickle.UnpicklingError(f"{module}.{name} is not admitted")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


@pytest.fixture(scope="session")
def frozen():
    """The arrays of the authors' own file."""
    try:
        archive = mirror_folder() / "mnist1d-frozen.tar.gz"
    except FileNotFoundError as error:
        pytest.skip(str(error))
    if not archive.is_file():
        pytest.skip(f"the mirror has no {archive.name}")
    with tarfile.open(archive) as tar:
        content = tar.extractfile("mnist1d_data.pkl")
        assert content is not None
        return ArraysOnly(content).load()


def test_generated_equals_the_frozen_file(frozen):
    generated = mnist1d.generate()
    for name in ("y", "y_test"):
        np.testing.assert_array_equal(generated[name], frozen[name])
    for name in ("x", "x_test"):
        # The last bits of values up to 5.5, by NumPy's and SciPy's versions.
        np.testing.assert_allclose(generated[name], frozen[name], rtol=0, atol=4e-15)


def test_batches_equal_the_frozen_file_in_float32(frozen):
    for split, suffix in (("train", ""), ("test", "_test")):
        batch = whole(make("mnist1d").load(split))
        np.testing.assert_array_equal(batch["targets"], frozen["y" + suffix])
        # One float32 step at 5.5 is 4.8e-7: a last bit in float64 may move a rounding.
        np.testing.assert_allclose(
            batch["inputs"][:, :, 0], frozen["x" + suffix], rtol=0, atol=5e-7
        )


def test_the_fingerprint_is_the_frozen_files(frozen):
    mnist1d.check(frozen)


def test_the_restricted_unpickler_admits_nothing_else():
    class Evil:
        def __reduce__(self):
            return print, ("run",)

    with pytest.raises(pickle.UnpicklingError, match=r"builtins.print is not admitted"):
        ArraysOnly(io.BytesIO(pickle.dumps(Evil()))).load()


def test_shapes_types_and_classes():
    dataset = make("mnist1d")
    info = dataset.info()
    for split, size in info.splits.items():
        batch = whole(dataset.load(split))
        for name, feature in info.features.items():
            assert batch[name].shape == (size, *feature.shape)
            assert batch[name].dtype == feature.dtype
        # The classes are drawn equally often before the split, which is random.
        assert sorted(set(batch["targets"])) == list(range(info.num_classes))
    everything = whole(dataset.load("train+test"))["targets"]
    np.testing.assert_array_equal(np.bincount(everything), [500] * 10)


def test_shuffled_is_the_notebooks_permutation():
    plain, shuffled = (
        whole(make("mnist1d", shuffled=value).load("test")) for value in (False, True)
    )
    np.random.seed(42)
    order = np.random.permutation(40)
    assert list(order[:5]) == [19, 16, 15, 26, 4]  # what NumPy has drawn since 2006
    np.testing.assert_array_equal(shuffled["inputs"], plain["inputs"][:, order])
    np.testing.assert_array_equal(shuffled["targets"], plain["targets"])


def test_global_random_states_are_left_alone():
    random.seed(7)
    np.random.seed(7)
    expected = random.random(), np.random.rand()
    random.seed(7)
    np.random.seed(7)
    mnist1d.generate()
    make("mnist1d", shuffled=True).load("train")
    assert (random.random(), np.random.rand()) == expected


def test_it_is_generated_once(monkeypatch, tmp_path):
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path))
    make("mnist1d").load("train")
    before = mnist1d.cache_file().stat().st_mtime_ns
    time.sleep(0.01)
    make("mnist1d").load("test")
    assert mnist1d.cache_file().stat().st_mtime_ns == before
    assert [path.name for path in mnist1d.cache_file().parent.iterdir()] == ["mnist1d.npz"]


def changed_signal(arrays):
    arrays["x"][17, 3] += 1e-8


def changed_label(arrays):
    arrays["y_test"][0] = (arrays["y_test"][0] + 1) % 10


def not_a_number(arrays):
    arrays["x_test"][0, 0] = np.nan


def swapped_rows(arrays):
    arrays["x"][[0, 1]] = arrays["x"][[1, 0]]


@pytest.mark.parametrize("change", [changed_signal, changed_label, not_a_number, swapped_rows])
def test_other_data_are_refused(change):
    arrays = {name: array.copy() for name, array in cached().items()}
    mnist1d.check(arrays)
    change(arrays)
    with pytest.raises(ValueError, match="not the frozen file's"):
        mnist1d.check(arrays)


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "other arrays"])
def test_a_damaged_cache_is_named(damage, monkeypatch, tmp_path):
    good = whole_file()
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path))
    path = mnist1d.cache_file()
    path.parent.mkdir()
    if damage == "other arrays":
        np.savez(path, x=np.zeros((2, 2)))
    else:
        path.write_bytes(
            {"truncated": good[: len(good) // 2], "garbage": b"\0" * 99, "empty": b""}[damage]
        )
    with pytest.raises(UserError, match=r"damaged.*aimodels data fetch mnist1d") as error:
        make("mnist1d").load("train")
    assert str(path) in str(error.value)


def test_a_fetch_mends_a_damaged_cache(monkeypatch, tmp_path):
    good = whole(make("mnist1d").load("train"))
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path))
    mnist1d.cache_file().parent.mkdir()
    mnist1d.cache_file().write_bytes(b"damaged")
    make("mnist1d").fetch()
    mended = whole(make("mnist1d").load("train"))
    np.testing.assert_array_equal(mended["inputs"], good["inputs"])


def test_a_generator_that_makes_other_data_is_an_error(monkeypatch, tmp_path):
    from mnist1d import data

    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path))
    args = data.get_dataset_args()
    args.seed = 43
    monkeypatch.setattr(data, "get_dataset_args", lambda: args)
    with pytest.raises(UserError, match="other data than the paper's"):
        make("mnist1d").load("train")
    assert not mnist1d.cache_file().exists()


def test_a_data_folder_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path / "file"))
    with pytest.raises(UserError, match="set AIMODELS_DATA"):
        make("mnist1d").load("train")


def whole(source):
    return source.gather(np.arange(len(source)))


def whole_file():
    make("mnist1d").load("train")
    return mnist1d.cache_file().read_bytes()


def cached():
    make("mnist1d").load("train")
    with np.load(mnist1d.cache_file()) as file:
        return {name: file[name] for name in file.files}
