"""A user's own arrays: one `.npz` file."""

import dataclasses
import zipfile
from pathlib import Path

import numpy as np

from aimodels.data.base import Dataset, Feature, Info
from aimodels.data.source import ArraySource
from aimodels.errors import UserError


@dataclasses.dataclass(frozen=True)
class Arrays(Dataset):
    """The arrays of a NumPy `.npz` file, one named `<split>_<field>` for each split and field.

    For example `numpy.savez("my.npz", train_inputs=..., train_targets=..., test_inputs=...,
    test_targets=...)`. Whole-number targets [N] are classes 0, 1, ... and become int32; floats
    become float32.

    Attributes:
      path: the file.
      num_classes: number of classes; by default the largest target + 1.
    """

    path: str
    num_classes: int | None = None

    @classmethod
    def presets(cls) -> tuple[dict[str, str], ...]:
        """None: each user has other files."""
        return ()

    def is_ready(self) -> bool:
        """Whether the file is there."""
        return Path(self.path).expanduser().is_file()

    def fetch(self) -> str:
        """Nothing can be fetched: it is the user's own file."""
        self._read()
        return f"{self.path} is there"

    def info(self) -> Info:
        """The facts, read from the file."""
        parts = self._read()
        first = next(iter(parts.values()))
        classes = [fields["targets"] for fields in parts.values() if "targets" in fields]
        is_classes = bool(classes) and classes[0].ndim == 1 and classes[0].dtype == np.int32
        num_classes = self.num_classes
        if is_classes:
            largest = max(int(targets.max(initial=-1)) for targets in classes)
            smallest = min(int(targets.min(initial=0)) for targets in classes)
            num_classes = num_classes or largest + 1
            if smallest < 0 or largest >= num_classes:
                raise UserError(
                    f"{self.path}: targets go from {smallest} to {largest}, but {num_classes} "
                    f"classes are 0 to {num_classes - 1}"
                )
        return Info(
            name=f"arrays:{Path(self.path).name}",
            title=f"arrays of {self.path}",
            task="classification" if is_classes else "regression" if classes else "unknown",
            features={
                name: Feature(array.shape[1:], str(array.dtype)) for name, array in first.items()
            },
            splits={name: len(next(iter(fields.values()))) for name, fields in parts.items()},
            num_classes=num_classes if is_classes else None,
            how="a file of yours",
            target_mean=None if is_classes or not classes else 0.0,
            target_std=None if is_classes or not classes else 1.0,
        )

    def load_whole(self, split: str) -> ArraySource:
        """The arrays of a split."""
        return ArraySource(self._read()[split])

    def _read(self) -> dict[str, dict[str, np.ndarray]]:
        path = Path(self.path).expanduser()
        if not path.is_file():
            raise UserError(f"data.path: there is no file {self.path}; it takes a NumPy .npz file")
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
            raise UserError(
                f"data.path: {self.path} can't be read as a NumPy .npz file of plain arrays: "
                f"{error}"
            ) from error
        parts: dict[str, dict[str, np.ndarray]] = {}
        for name, array in arrays.items():
            split, _, field = name.rpartition("_")
            if not split or array.ndim == 0:
                raise UserError(
                    f"data.path: {self.path} has an array {name!r} of shape {array.shape}; each "
                    "is named <split>_<field>, such as train_inputs, and has an axis of examples"
                )
            parts.setdefault(split, {})[field] = _narrowed(array)
        for split, fields in parts.items():
            sizes = {field: len(array) for field, array in fields.items()}
            if "inputs" not in fields or len(set(sizes.values())) != 1:
                raise UserError(
                    f"data.path: {self.path}: split {split!r} needs an array {split}_inputs, and "
                    f"as many examples in every array; it has {sizes}"
                )
        if not parts:
            raise UserError(f"data.path: {self.path} holds no arrays")
        return parts


def _narrowed(array: np.ndarray) -> np.ndarray:
    """64-bit numbers in 32 bits, as JAX computes; others as they are."""
    if array.dtype == np.float64:
        return array.astype(np.float32)
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        return array.astype(np.int32)
    return array
