"""The config: schema, defaults, types, allowed names, and the files that hold it.

A config is an `ml_collections.ConfigDict` (or a plain dict) that states only what differs from the
defaults; `resolve` checks every field and fills in the rest. Two kinds of section exist:

- a *named* section is a call: `model = {"name": "CNN", "features": (25, 25)}` builds
  `CNN(features=(25, 25))`. Its fields, types and defaults are those of the class's signature, so
  a class that a user brings ("package.module:Name" or "path/to/file.py:Name") is not registered;
- a *fixed* section is a dataclass of `aimodels.config.schema`.
"""

from aimodels.config.experiment import Experiment, load_config, load_experiment
from aimodels.config.names import call_section, find, table
from aimodels.config.resolve import differences, named_section, resolve, to_json
from aimodels.config.schema import Config
from aimodels.config.values import plain, with_values

__all__ = [
    "Config",
    "Experiment",
    "call_section",
    "differences",
    "find",
    "load_config",
    "load_experiment",
    "named_section",
    "plain",
    "resolve",
    "table",
    "to_json",
    "with_values",
]
