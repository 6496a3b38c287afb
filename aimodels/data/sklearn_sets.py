"""The small sets that scikit-learn ships, each with one frozen split of our own."""

import dataclasses
import functools
import hashlib
from typing import Any, ClassVar

import numpy as np

from aimodels.data.base import Dataset, Feature, Info
from aimodels.data.source import ArraySource
from aimodels.errors import UserError

TEST_FRACTION = 0.2
SPLIT_SEED = 0


@dataclasses.dataclass(frozen=True)
class SklearnSet(Dataset):
    """A set of scikit-learn's with our split: a fifth of each class, drawn once, is the test part.

    Examples whose inputs repeat an earlier one's are left out, so that none is in both parts.
    """

    # Class attributes that each set below gives.
    name: ClassVar[str]
    title: ClassVar[str]
    shape: ClassVar[tuple[int, ...]]
    sizes: ClassVar[dict[str, int]]
    class_names: ClassVar[tuple[str, ...]]
    citation: ClassVar[str]
    sha256: ClassVar[str]  # of inputs, targets and split, see `_read`

    def info(self) -> Info:
        """The facts."""
        return Info(
            name=self.name,
            title=self.title,
            task="classification",
            features={"inputs": Feature(self.shape, "float32"), "targets": Feature((), "int32")},
            splits=self.sizes,
            num_classes=len(self.class_names),
            class_names=self.class_names,
            licence="BSD-3-Clause (scikit-learn)",
            citation=self.citation,
            source="scikit-learn; archive.ics.uci.edu",
            how="shipped in scikit-learn, no download",
            notes="the split is our own (seeded, stratified, without duplicates): no published "
            "table uses it",
        )

    def load_whole(self, split: str) -> ArraySource:
        """The train or test part."""
        inputs, targets, rows = self._read
        scaled = self._scaled(inputs, rows["train"])[rows[split]]
        return ArraySource(
            {
                "inputs": scaled.astype(np.float32).reshape(-1, *self.shape),
                "targets": targets[rows[split]].astype(np.int32),
            }
        )

    def _scaled(self, inputs: np.ndarray, train: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    @functools.cached_property
    def _read(self) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Inputs [N, D] float64, targets [N] int64 as shipped, and each part's row numbers."""
        import sklearn
        import sklearn.datasets

        bunch: Any = getattr(sklearn.datasets, f"load_{self.name}")()
        inputs, targets = bunch.data.astype("<f8"), bunch.target.astype("<i8")
        rows = frozen_split(inputs, targets)
        digest = hashlib.sha256()
        for array in (inputs, targets, rows["train"], rows["test"]):
            digest.update(np.ascontiguousarray(array).tobytes())
        if digest.hexdigest() != self.sha256:
            raise UserError(
                f"data set {self.name!r}: scikit-learn {sklearn.__version__} ships other data, or "
                "NumPy draws another split, than this version of aimodels was made with; install "
                "the pinned versions"
            )
        return inputs, targets, rows


def frozen_split(inputs: np.ndarray, targets: np.ndarray) -> dict[str, np.ndarray]:
    """Row numbers [n] int64 of train and test: distinct examples, a fifth of each class to test."""
    _, first = np.unique(inputs, axis=0, return_index=True)
    first = np.sort(first)
    stream = np.random.RandomState(SPLIT_SEED)  # its draws are frozen by NumPy's policy
    parts: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    for label in np.unique(targets):
        rows = stream.permutation(first[targets[first] == label])
        held_out = round(TEST_FRACTION * len(rows))
        parts["test"].append(rows[:held_out])
        parts["train"].append(rows[held_out:])
    return {
        name: stream.permutation(np.concatenate(chosen)).astype("<i8")
        for name, chosen in parts.items()
    }


@dataclasses.dataclass(frozen=True)
class Digits(SklearnSet):
    """Handwritten digits, `inputs` [B, H=8, W=8, C=1] float32 in [0, 1], `targets` [B] int32."""

    name = "digits"
    title = "Optical recognition of handwritten digits, 8 x 8"
    shape = (8, 8, 1)
    sizes: ClassVar[dict[str, int]] = {"train": 1438, "test": 359}
    class_names = tuple("0123456789")
    citation = "Alpaydin & Kaynak, UCI machine learning repository, 1998 (its test part)"
    sha256 = "43e03a8f8b632f937403a82585c278c0884b0ae405dbb083294c7f3e0c97e928"

    def _scaled(self, inputs: np.ndarray, train: np.ndarray) -> np.ndarray:
        return inputs / 16  # pixels count 0 to 16


@dataclasses.dataclass(frozen=True)
class TabularSet(SklearnSet):
    """A table of measurements.

    Attributes:
      standardize: give each input mean 0 and standard deviation 1 over the train part.
    """

    standardize: bool = True

    def _scaled(self, inputs: np.ndarray, train: np.ndarray) -> np.ndarray:
        if not self.standardize:
            return inputs
        return (inputs - inputs[train].mean(axis=0)) / inputs[train].std(axis=0)


@dataclasses.dataclass(frozen=True)
class Iris(TabularSet):
    """Iris flowers, `inputs` [B, 4] float32, `targets` [B] int32."""

    name = "iris"
    title = "Iris flowers"
    shape = (4,)
    sizes: ClassVar[dict[str, int]] = {"train": 119, "test": 30}
    class_names = ("setosa", "versicolor", "virginica")
    citation = "Fisher, The use of multiple measurements in taxonomic problems, 1936"
    sha256 = "605651643161e152b661e60710a950f875237d687f43d5e18fc6718426a084f9"


@dataclasses.dataclass(frozen=True)
class Wine(TabularSet):
    """Wine by cultivar, `inputs` [B, 13] float32, `targets` [B] int32."""

    name = "wine"
    title = "Wine recognition"
    shape = (13,)
    sizes: ClassVar[dict[str, int]] = {"train": 142, "test": 36}
    class_names = ("class_0", "class_1", "class_2")
    citation = "Forina et al., UCI machine learning repository, 1991"
    sha256 = "37e4447580967a143926889e07a4d15b5254512d9d5966b023acb4b46e4cb56e"


@dataclasses.dataclass(frozen=True)
class BreastCancer(TabularSet):
    """Breast cancer (Wisconsin, diagnostic), `inputs` [B, 30] float32, `targets` [B] int32."""

    name = "breast_cancer"
    title = "Breast cancer Wisconsin (diagnostic)"
    shape = (30,)
    sizes: ClassVar[dict[str, int]] = {"train": 456, "test": 113}
    class_names = ("malignant", "benign")
    citation = "Wolberg, Street & Mangasarian, UCI machine learning repository, 1995"
    sha256 = "cafeb81f79edca8716faa1cf98a2f522f6eb34290a6419f12ae34d99cfd4840e"
