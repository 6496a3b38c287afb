"""Packages of the extra `rl`, which not everybody has installed."""

import importlib
from typing import Any

from aimodels.errors import UserError


def needed(package: str, what: str) -> Any:
    """The module `package`. Raises `UserError` with the command that installs it.

    Args:
      package: its name.
      what: needs it, for the message.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.partition(".")[0]:
            raise
        raise UserError(f"{what} needs {package}: pip install 'aimodels[rl]'") from error
