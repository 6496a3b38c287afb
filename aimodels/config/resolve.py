"""Turns what an experiment states into the whole config, every field checked."""

import dataclasses
import inspect
import json
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal

from ml_collections import ConfigDict

from aimodels.config.names import KINDS, find, table
from aimodels.config.schema import FIXED, PRECISIONS, SOMETIMES, Config
from aimodels.config.values import CommandLineText, coerce, plain, takes
from aimodels.errors import UserError, unknown

# The sections that are a call each; see the package.
NAMED = ("model", "task", "data", "environment", "optimizer")
# Sections that a task may do without: an agent makes its own data, a model-free task its own model.
OPTIONAL = ("model", "data", "environment", "optimizer")
# What the framework, not the config, gives to a class.
PROVIDED = frozenset(
    {"dtype", "param_dtype", "parent", "name", "num_actions"}  # Linen modules
    | {"model", "optimizer", "transforms", "environment"}  # tasks
    | {
        "gradient_accumulation",
        "remat",
        "ema_decay",
        "total_steps",
        "frozen_parameters",
        "data_set",
    }
)


def fields_of(
    target: Callable, provided: frozenset[str] = frozenset()
) -> dict[str, tuple[Any, Any]]:
    """Field -> (annotation, default) of a class or function, without what is `provided`."""
    hints = typing.get_type_hints(
        target.__init__ if inspect.isclass(target) else target, include_extras=True
    )
    fields = {}
    for name, parameter in inspect.signature(target).parameters.items():
        if name in provided or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        default = parameter.default
        if dataclasses.is_dataclass(target):
            field = target.__dataclass_fields__[name]
            if field.default_factory is not dataclasses.MISSING:
                default = field.default_factory()
        fields[name] = (hints.get(name, Any), default)
    return fields


def check_fields(given: Mapping, fields: Mapping, path: str, owner: str) -> dict[str, Any]:
    """`given` with every field checked and the defaults filled in."""
    for name in given:
        if name not in fields:
            error = unknown("field", name, fields)
            raise UserError(f"config.{path}.{name}: {owner} has no such field; {error}")
    result = {}
    for name, (annotation, default) in fields.items():
        value = given.get(name, default)
        if value is inspect.Parameter.empty:
            raise UserError(
                f"config.{path}.{name} is missing: {owner} takes {takes(annotation)} there"
            )
        is_default = name not in given and default is None
        result[name] = None if is_default else coerce(value, annotation, f"{path}.{name}")
    return result


def named_section(section: str, given: Any, path: str) -> dict[str, Any]:
    """A named section with its fields checked against the signature of what it names."""
    if isinstance(given, str):
        given = {"name": given}
    if "name" not in given:
        known = ", ".join(sorted(table(section)))
        raise UserError(f"config.{path}.name is missing; known: {known}")
    name = str(given["name"])
    target = find(section, name)
    fields = fields_of(target, PROVIDED)
    if section == "optimizer":
        from aimodels.training.optimizers import Common

        fields |= fields_of(Common, PROVIDED)
    rest = {key: value for key, value in given.items() if key != "name"}
    if section == "optimizer":
        schedule = rest.pop("schedule", "constant")
        rest["schedule"] = named_section("schedule", schedule, f"{path}.schedule")
    owner = f"{KINDS.get(section, section)} {name}"
    return {"name": name} | check_fields(rest, fields, path, owner)


def resolve(config: ConfigDict | Mapping, overrides: Mapping[str, str] | None = None) -> Config:
    """The whole config: every field checked, defaults filled in, locked.

    Args:
      config: what the experiment states.
      overrides: dotted field -> text from the command line.

    Raises:
      UserError: on the first field that is unknown, missing or of a wrong type.
    """
    given = plain(config)
    for path, text in (overrides or {}).items():
        _set(given, path, text)
    top = {*FIXED, *SOMETIMES, *NAMED, "precision"}
    for name in given:
        if name not in top:
            error = unknown("section", name, top)
            raise UserError(f"config.{name}: there is no such section; {error}")
    resolved: dict[str, Any] = {}
    for section in NAMED:
        if section in given and given[section] is not None:
            resolved[section] = named_section(section, given[section], section)
        elif section in OPTIONAL:
            resolved[section] = None
        else:
            raise UserError(f"config.{section} is missing; known: {', '.join(table(section))}")
    precision = given.get("precision", "float32")
    resolved["precision"] = coerce(precision, Literal[PRECISIONS], "precision")
    sometimes = {name: s for name, s in SOMETIMES.items() if given.get(name) is not None}
    for section, schema in {**FIXED, **sometimes}.items():
        values = given.get(section, {})
        if not isinstance(values, Mapping):
            raise UserError(f"config.{section}: got {values!r}, takes a section (a dict)")
        resolved[section] = check_fields(values, fields_of(schema), section, section)
    resolved["training"]["transforms"] = tuple(
        named_section("transform", transform, f"training.transforms[{index}]")
        for index, transform in enumerate(resolved["training"]["transforms"])
    )
    resolved["replicas"]["vary"] = _check_vary(resolved)
    _check_together(resolved)
    result = ConfigDict(resolved, allow_dotted_keys=True)
    return result.lock()


def _set(config: dict, path: str, text: str) -> None:
    *sections, field = path.split(".")
    for section in sections:
        if isinstance(config.get(section), str):
            config[section] = {"name": config[section]}
        if not isinstance(config.setdefault(section, {}), dict):
            raise UserError(f"config.{path}: {section!r} is a value, not a section")
        config = config[section]
    config[field] = CommandLineText(text)


def _check_vary(config: dict) -> dict[str, tuple]:
    """`replicas.vary` as dotted field -> one value a replica, of the field's own type."""
    flat: dict[str, Any] = {}

    def flatten(prefix: str, node: Mapping) -> None:
        for key, value in node.items():
            path = f"{prefix}.{key}" if prefix else key
            flatten(path, value) if isinstance(value, Mapping) else flat.update({path: value})

    flatten("", config["replicas"]["vary"])
    result = {}
    for path, values in flat.items():
        node: Any = config
        for part in path.split("."):
            if not isinstance(node, Mapping) or part not in node:
                raise UserError(f"config.replicas.vary: there is no field {path!r}")
            node = node[part]
        kinds = (int, str) if path.startswith("data.") else (float,)
        if not isinstance(node, kinds) or isinstance(node, bool):
            raise UserError(
                f"config.replicas.vary: {path!r} can't vary inside one program (it is "
                f"{type(node).__name__}; numbers that change no shape can, and fields of data)"
            )
        count = len(config["replicas"]["seeds"])
        result[path] = coerce(values, tuple[type(node), ...], f"replicas.vary.{path}")
        if len(result[path]) != count:
            raise UserError(
                f"config.replicas.vary: {path!r} has {len(result[path])} values for {count} "
                "replicas; give one for each of replicas.seeds"
            )
    return result


def _check_together(config: dict) -> None:
    name = config["task"]["name"]
    acts = "environment" in inspect.signature(find("task", name)).parameters
    if acts and config["environment"] is None:
        known = ", ".join(sorted(table("environment")))
        raise UserError(f"config.environment is missing: task {name} acts in one; known: {known}")
    if not acts and config["environment"] is not None:
        raise UserError(f"config.environment: task {name} does not act in one; it takes None")
    training, parallel = config["training"], config["parallel"]
    batch_size = training["batch_size"]
    if config["data"] is not None and batch_size is None:
        raise UserError("config.training.batch_size is missing: it takes a whole number >= 1")
    if not config["replicas"]["seeds"]:
        raise UserError("config.replicas.seeds is empty: give at least one seed, e.g. (0,)")
    replicas = len(config["replicas"]["seeds"])
    if parallel["replica"] and replicas % parallel["replica"]:
        raise UserError(
            f"config.parallel.replica: {replicas} replicas can't be divided over "
            f"{parallel['replica']} devices; take a divisor of {replicas}, or 0 for the largest"
        )
    parts = parallel["data"] * training["gradient_accumulation"]
    if batch_size is not None and batch_size % parts:
        raise UserError(
            f"config.training.batch_size: {batch_size} is not divisible by parallel.data "
            f"({parallel['data']} devices) x training.gradient_accumulation "
            f"({training['gradient_accumulation']}); the nearest that is: "
            f"--config.training.batch_size={max(parts, batch_size // parts * parts)}"
        )


def to_json(config: ConfigDict | Mapping) -> str:
    """The config as JSON text."""
    return json.dumps(plain(config), indent=2) + "\n"


def differences(left: Any, right: Any, path: str = "config") -> list[str]:
    """Lines `field: left -> right`, one for each field in which two configs differ."""
    left, right = plain(left), plain(right)
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        keys = list(dict.fromkeys([*left, *right]))
        missing = "(absent)"
        return [
            line
            for key in keys
            for line in differences(
                left.get(key, missing), right.get(key, missing), f"{path}.{key}"
            )
        ]
    return [] if left == right else [f"{path}: {left!r} -> {right!r}"]
