"""Packs the runs of a sweep into programs: what changes no shape varies inside one program."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from aimodels.config import Config, plain, resolve, with_values
from aimodels.errors import UserError
from aimodels.sweeps.space import Setting
from aimodels.training.build import abstract_batch, abstract_key, task_builder

# A program's states take at most this share of the memory: gradients, updates and activations
# come to them.
STATE_SHARE = 1 / 8
# More replicas in a program make it hardly faster, and its compilation and its loss if it is
# killed larger.
MOST_REPLICAS = 64


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """A setting with a seed.

    Attributes:
      setting: field -> value.
      seed: of the run.
      trial: its number in a search, else None.
    """

    setting: Setting
    seed: int
    trial: int | None = None


@dataclasses.dataclass(frozen=True)
class PlannedProgram:
    """Runs that are trained in one program, in one work folder.

    Attributes:
      name: of the folder; the same runs of the same config always have the same one.
      config: resolved.
      runs: one a replica.
    """

    name: str
    config: Config
    runs: tuple[PlannedRun, ...]


def pack(
    base: Mapping[str, Any], runs: Sequence[PlannedRun], most: int = MOST_REPLICAS
) -> list[PlannedProgram]:
    """As few programs as possible for the runs.

    Args:
      base: the config that the settings change, as plain values.
      runs: all of them.
      most: replicas in a program at most; 1 makes a program of each run.

    Raises:
      UserError: if a setting makes no config, in the words that the config has for it.
    """
    groups: dict[str, list[tuple[PlannedRun, Config]]] = {}
    varies: dict[str, bool] = {}
    for run in runs:
        config = resolve(with_settings(base, run.setting))
        for field in run.setting:
            if field not in varies:
                varies[field] = why_not(config, field) is None
        inside = {field for field in run.setting if varies[field]} if most > 1 else set()
        others = _without(config, inside)
        key = json.dumps([sorted(inside), others], sort_keys=True)
        groups.setdefault(key, []).append((run, config))
    programs = []
    for key, members in groups.items():
        inside = json.loads(key)[0]
        size = min(most, len(members))
        if size > 1:
            size = min(size, max(fitting(members[0][1]), 1))
        parts = -(-len(members) // size)
        # Of equal sizes, and even ones where they can be, so that the devices share them.
        size = -(-len(members) // parts)
        size += size % 2 if size < min(most, len(members)) else 0
        for first in range(0, len(members), size):
            programs.append(_program(members[first : first + size], inside))
    return programs


def with_settings(base: Mapping[str, Any], setting: Setting) -> dict[str, Any]:
    """The plain config with fields replaced; another name of a section drops its other fields."""
    result = plain(base)
    for field, value in sorted(setting.items(), key=lambda item: not item[0].endswith(".name")):
        *sections, name = field.split(".")
        node = result
        for section in sections:
            if not isinstance(node.get(section), dict):
                node[section] = {"name": node[section]} if node.get(section) else {}
            node = node[section]
        if name == "name" and node.get("name") != value:
            node.clear()
        node[name] = value
    return result


def why_not(config: Config, field: str) -> str | None:
    """Why a field can't vary inside one program; None if it can."""
    node: Any = config
    for part in field.split("."):
        node = node[part]
    given = plain(config)
    seeds = config.replicas.seeds[:1]
    given["replicas"] = {**given["replicas"], "seeds": seeds, "vary": {field: (node,)}}
    try:
        resolve(given)
    except UserError as error:
        return str(error)
    if field.startswith("data."):
        return None
    build, batch = task_builder(config), abstract_batch(config)

    def step(value: Any, key: Any, batch: Any) -> Any:
        task = build({field: value})
        return task.train_step(task.init(key, batch), batch, key)

    value = jax.ShapeDtypeStruct((), "float32")
    try:
        jax.eval_shape(step, value, abstract_key(), batch)
    except (TypeError, ValueError, jax.errors.JAXTypeError) as error:
        return f"{field} decides how the step is built: {str(error).splitlines()[0]}"
    return None


def _without(config: Config, fields: set[str]) -> dict[str, Any]:
    given = with_values(config, dict.fromkeys(fields))
    return {name: section for name, section in given.items() if name != "replicas"}


def fitting(config: Config) -> int:
    """How many replicas fit into memory, by the size of their states."""
    from aimodels.data.feed import device_budget
    from aimodels.training.assembly import Assembly, bytes_of

    try:
        state, _ = Assembly(config).abstract
    except Exception:  # its program will say why, and the others go on
        return MOST_REPLICAS
    memory = 4 * device_budget(jax.devices()[0])
    return int(memory * STATE_SHARE / max(bytes_of(state), 1))


def _program(members: Sequence[tuple[PlannedRun, Config]], inside: Sequence[str]) -> PlannedProgram:
    runs = tuple(run for run, _ in members)
    given = plain(members[0][1])
    vary = {field: tuple(run.setting[field] for run in runs) for field in inside}
    vary = {field: values for field, values in vary.items() if len(set(values)) > 1}
    given["replicas"] |= {"seeds": tuple(run.seed for run in runs), "vary": vary}
    config = resolve(given)
    text = json.dumps(plain(config), sort_keys=True)
    return PlannedProgram(hashlib.sha256(text.encode()).hexdigest()[:12], config, runs)
