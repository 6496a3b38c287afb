"""Experiment files: where configs, published figures and sweeps of one paper stand together."""

import dataclasses
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from aimodels.config.names import import_file
from aimodels.config.resolve import resolve
from aimodels.config.schema import Config
from aimodels.errors import UserError, unknown


@dataclasses.dataclass(frozen=True)
class Experiment:
    """An experiment file that has been read.

    Attributes:
      path: the file.
      module: what it defines: `get_config(variant)`, `VARIANTS` and, where there is a published
        table, `published()`.
    """

    path: Path
    module: types.ModuleType

    @property
    def title(self) -> str:
        """The first line of the file's docstring."""
        return (self.module.__doc__ or self.path.stem).strip().splitlines()[0]

    @property
    def variants(self) -> tuple[str, ...]:
        """The names that `get_config` takes, the first one is the default."""
        return tuple(getattr(self.module, "VARIANTS", ()))

    def config(
        self, variant: str | None = None, overrides: Mapping[str, str] | None = None
    ) -> Config:
        """The resolved config of a variant (None: the file's default one)."""
        if variant is not None and self.variants and variant not in self.variants:
            raise unknown(f"variant of {self.path.name}", variant, self.variants)
        try:
            given: Any = self.module.get_config(*([] if variant is None else [variant]))
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"config file {self.path}: get_config({variant or ''}) raises "
                f"{type(error).__name__}: {error}"
            ) from error
        if not isinstance(given, Mapping | ConfigDict):
            raise UserError(
                f"config file {self.path}: get_config returned {type(given).__name__}, "
                "takes an ml_collections.ConfigDict"
            )
        return resolve(given, overrides)


def load_experiment(path: str | Path) -> Experiment:
    """The experiment in a Python file; `UserError` if it's missing or lacks `get_config`."""
    module = import_file(path)
    if not hasattr(module, "get_config"):
        raise UserError(f"config file {path} has no function get_config(variant)")
    return Experiment(Path(path), module)


def load_config(name: str, overrides: Mapping[str, str] | None = None) -> Config:
    """The resolved config of `FILE.py[:variant]`, or of the `config.json` of a work folder.

    Args:
      name: the file, and after a colon the variant.
      overrides: dotted field (`training.steps`) -> text, as typed on the command line.
    """
    if name.endswith(".json"):
        import json

        try:
            return resolve(json.loads(Path(name).read_text()), overrides)
        except OSError as error:
            raise UserError(f"config file {name} can't be read: {error.strerror}") from error
        except json.JSONDecodeError as error:
            raise UserError(f"config file {name} is not JSON: {error}") from error
    path, _, variant = name.partition(":")
    return load_experiment(path).config(variant or None, overrides)
