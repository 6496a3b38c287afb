"""From the short names in a config to classes, functions and files."""

import importlib
import importlib.util
import inspect
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aimodels.errors import UserError, unknown

# Named section -> where its table of short names is.
TABLES: dict[str, tuple[str, str]] = {
    "model": ("aimodels.models", "MODELS"),
    "task": ("aimodels.tasks", "TASKS"),
    "data": ("aimodels.data", "DATASETS"),
    "environment": ("aimodels.environments", "ENVIRONMENTS"),
    "optimizer": ("aimodels.training.optimizers", "OPTIMIZERS"),
    "schedule": ("aimodels.training.schedules", "SCHEDULES"),
    "transform": ("aimodels.data.transforms", "TRANSFORMS"),
}
KINDS = {"data": "data set"}


def table(section: str) -> Mapping[str, Any]:
    """The short names that a named section takes."""
    module, attribute = TABLES[section]
    return getattr(importlib.import_module(module), attribute)


def find(section: str, name: str) -> Callable:
    """The class or function behind `name`: from the section's table, a module or a file."""
    known = table(section)
    target = known.get(name, name)
    if not isinstance(target, str):
        return target
    if ":" not in target:
        raise unknown(KINDS.get(section, section), name, known)
    place, _, attribute = target.rpartition(":")
    if place in known:
        raise UserError(
            f"{section}.name: got {name!r}, takes {place!r} alone, with its fields beside the name"
        )
    try:
        module = import_file(place) if place.endswith(".py") else importlib.import_module(place)
    except ModuleNotFoundError as error:
        raise UserError(f"{section}.name: {name!r} can't be imported: {error}") from error
    if not hasattr(module, attribute):
        raise UserError(f"{section}.name: {place} has no {attribute!r}")
    return getattr(module, attribute)


def call_section(section: str, fields: Mapping[str, Any], **provided: Any) -> Any:
    """Calls what a named section names with its fields, and with what it takes of `provided`."""
    target = find(section, fields["name"])
    known = inspect.signature(target).parameters
    given = {name: value for name, value in fields.items() if name != "name"}
    return target(**given, **{k: v for k, v in provided.items() if k in known})


def import_file(path: str | Path) -> types.ModuleType:
    """The module in a Python file, imported once. Raises `UserError` if it is missing or raises."""
    path = Path(path).resolve()
    name = "aimodels_file_" + "_".join(path.with_suffix("").parts[1:])
    if name in sys.modules:
        return sys.modules[name]
    if not path.is_file():
        raise UserError(f"config file {path} does not exist; `aimodels list` shows the experiments")
    if path.suffix != ".py":
        raise UserError(f"config file {path}: takes a Python file, FILE.py, or a config.json")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except UserError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        line = getattr(error, "lineno", None) or _line_in(error, path)
        where = f"{path}:{line}" if line else str(path)
        raise UserError(f"config file {where} raises {type(error).__name__}: {error}") from error
    return module


def _line_in(error: BaseException, path: Path) -> int | None:
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
