"""Data: sources, splits, data sets, transforms, feeds. Imports nothing above it.

Data sets are made by name from the table below, or are a user's own as `package.module:Name`.
"""

import importlib
import inspect
from typing import Any

from aimodels.errors import UserError, unknown

DATASETS: dict[str, str] = {
    # Generated, or shipped inside a package: no fetch.
    "mnist1d": "aimodels.data.mnist1d:Mnist1d",
    "digits": "aimodels.data.sklearn_sets:Digits",
    "iris": "aimodels.data.sklearn_sets:Iris",
    "wine": "aimodels.data.sklearn_sets:Wine",
    "breast_cancer": "aimodels.data.sklearn_sets:BreastCancer",
    # Fetched once: aimodels data fetch NAME.
    "fashion_mnist": "aimodels.data.fashion_mnist:FashionMnist",
    "uci_regression": "aimodels.data.uci_regression:UciRegression",
    # Any TensorFlow data set, any NumPy file.
    "tfds": "aimodels.data.tfds:Tfds",
    "arrays": "aimodels.data.arrays:Arrays",
}


def find(name: str) -> tuple[type, dict[str, Any]]:
    """The class behind a data set's name, and the fields that the name itself gives.

    `name` is in `DATASETS`, or `package.module:Name`, or joins a name in the table with its field
    `dataset`, as on the command line: `tfds:cifar10`, `uci_regression:yacht`.

    Raises:
      UserError: an unknown name (with near ones), a module that can't be imported.
    """
    place, _, rest = name.partition(":")
    if name in DATASETS:
        return _load(DATASETS[name]), {}
    if place in DATASETS:
        cls = _load(DATASETS[place])
        if "dataset" in inspect.signature(cls).parameters:
            return cls, {"dataset": rest}
        raise UserError(f"data set {place!r} has no variants; write {place}, not {name}")
    if not rest:
        raise unknown("data set", name, DATASETS)
    try:
        return _load(name), {}
    except (ImportError, AttributeError) as error:
        raise UserError(f"data set {name!r} can't be imported: {error}") from error


def make(name: str, **fields: Any) -> Any:
    """The data set of that name (see `find`) with these fields.

    Raises:
      UserError: an unknown name or field, a field that is missing or has no meaning.
    """
    cls, given = find(name)
    fields = {**given, **fields}
    parameters = inspect.signature(cls).parameters
    for field in fields:
        if field not in parameters:
            raise unknown(f"field of data set {name!r}", field, parameters)
    for field, parameter in parameters.items():
        if parameter.default is parameter.empty and field not in fields:
            raise UserError(f"data set {name!r} needs the field {field!r}")
    return cls(**fields)


def _load(target: str) -> type:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
