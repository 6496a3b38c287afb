"""The weights that a run begins with: of another run, or of a file (`config.init_from`)."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from aimodels.config import resolve
from aimodels.data.pretrained import WEIGHTS, pretrained
from aimodels.errors import UserError
from aimodels.models.published import published
from aimodels.models.state_dicts import OURS, fitted, from_state_dict
from aimodels.tasks.base import State, SupervisedTask
from aimodels.training.assembly import Assembly
from aimodels.training.load import read_variables
from aimodels.training.processes import is_first, share, share_state
from aimodels.weights import read_weights


def initial_weights(assembly: Assembly, target: State) -> dict[str, jax.Array]:
    """What `config.init_from` gives of the variables of all replicas, by their paths.

    Read by the first process alone.

    Args:
      assembly: of the run.
      target: the state of all replicas in shapes, dtypes and shardings.

    Returns:
      "params/head/kernel" -> [R, ...]; all replicas have the same.

    Raises:
      UserError: what is there doesn't fit; the message lists all of it.
    """
    given = taken(assembly) if is_first() else None
    names = share(None if given is None else list(given))
    leaves = flat({"params": target.params, **target.collections})
    wanted = {name: leaves[name] for name in names}
    if given is not None:
        given = {name: np.broadcast_to(a, wanted[name].shape) for name, a in given.items()}
    return share_state(given, wanted)


def taken(assembly: Assembly) -> dict[str, np.ndarray]:
    """What `config.init_from` gives of the variables of one replica, by their paths.

    Raises:
      UserError: what is there doesn't fit; the message lists all of it.
    """
    section, model = assembly.config.init_from, getattr(assembly.task(), "model", None)
    if model is None:
        name = assembly.config.task.name
        raise UserError(
            f"config.init_from: task {name!r} has no model whose weights these could be"
        )
    abstract, _ = assembly.abstract
    variables = {"params": abstract.params, **abstract.collections}
    _check_patterns(section, flat(variables))
    state, naming = source(section.path, section.naming, section.step, section.replica)
    if section.model:
        if naming == OURS:
            raise UserError(
                f"config.init_from.model is {section.model!r}, but the names in {section.path} are "
                "ours already; it is for names of torchvision or huggingface"
            )
        state, naming = _as_ours(section.model, state, naming), OURS
    for pattern, replacement in section.rename:
        state = _renamed(state, pattern, replacement)
    try:
        found = fitted(
            naming,
            model,
            state,
            variables,
            new=section.new,
            ignore=section.ignore,
            # Those of text are no grid.
            resize=fixed if getattr(model, "vocabulary", None) else resized_positions,
        )
    except UserError as error:
        raise UserError(
            f"config.init_from, {section.path}: {error}\nwhat is to start anew goes into "
            "init_from.new, e.g. ('^head/',), and what is left there into init_from.ignore"
        ) from error
    return {"/".join(path): array for path, array in found.items()}


def source(
    path: str, naming: str, step: int | str = "latest", replica: int = 0
) -> tuple[dict[str, np.ndarray], str]:
    """The arrays of a work folder, of a file or of weights known by name, and whose names they are.

    Args:
      path: one of these.
      naming: of a file.
      step: of a work folder.
      replica: of a work folder.
    """
    if path in WEIGHTS and not Path(path).exists():
        return read_weights(pretrained(path)), WEIGHTS[path].naming
    if Path(path).is_dir():
        return flat(read_variables(path, step=step, replica=replica)), OURS
    return read_weights(path), naming


def _renamed(state: Mapping[str, Any], pattern: str, replacement: str) -> dict[str, Any]:
    """The state by its new names, each of which has one old name."""
    olds: dict[str, str] = {}
    for name in state:
        try:
            new = re.sub(pattern, replacement, name)
        except (re.error, IndexError) as error:
            raise UserError(
                f"config.init_from.rename: {replacement!r} is no replacement for {pattern!r}: "
                f"{error}"
            ) from error
        if new in olds:
            raise UserError(
                f"config.init_from.rename: {pattern!r} makes one name, {new}, of {olds[new]} and "
                f"{name}"
            )
        olds[new] = name
    return {new: state[old] for new, old in olds.items()}


def _as_ours(name: str, state: Mapping[str, np.ndarray], naming: str) -> dict[str, Any]:
    """The arrays of the model that others call `name`, by our names."""
    assembly = Assembly(resolve(published(naming, name).config()))
    abstract, _ = assembly.abstract
    variables = {"params": abstract.params, **abstract.collections}
    task = assembly.task()
    assert isinstance(task, SupervisedTask)  # a classifier
    return flat(from_state_dict(naming, task.model, state, variables))


def flat(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Variables {"params": {...}, ...} -> by their paths, as "params/head/kernel"."""
    from flax.traverse_util import flatten_dict

    return flatten_dict(dict(variables), sep="/")


def resized_positions(
    path: tuple[str, ...], positions: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray | None:
    """Learned positions of a square grid of patches, [T, D], for a grid of another size.

    As in Dosovitskiy et al. 2021, section 3.2, and their code: bilinear, corner to corner. A row in
    front, that of a class token, stays. None where it is no such grid.

    Args:
      path: of the array; positions are at "params/positions/embedding".
      positions: [T, D].
      shape: (T', D).
    """
    if path[1:] != ("positions", "embedding") or positions.shape[1:] != shape[1:]:
        return None
    for tokens in (0, 1):
        old, new = (math.isqrt(rows - tokens) for rows in (len(positions), shape[0]))
        if (old**2, new**2) == (len(positions) - tokens, shape[0] - tokens):
            grid = positions[tokens:].reshape(old, old, -1).astype(np.float64)
            weights = _between(old, new)
            grid = np.einsum("ij,jkd,lk->ild", weights, grid, weights).reshape(new**2, -1)
            return np.concatenate([positions[:tokens], grid.astype(positions.dtype)])
    return None


def fixed(path: tuple[str, ...], array: np.ndarray, shape: tuple[int, ...]) -> None:
    """Nothing: an array in another shape doesn't fit."""
    del path, array, shape


def _between(old: int, new: int) -> np.ndarray:
    """[new, old]: the weights of linear interpolation of `old` points at `new` places."""
    places = np.linspace(0, old - 1, new)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(old)))


def _check_patterns(section: Any, variables: Mapping[str, Any]) -> None:
    paths = [name.partition("/")[2] for name in variables]
    renamed = [pattern for pattern, _ in section.rename]
    fields = {"new": section.new, "ignore": section.ignore, "rename": renamed}
    for field, patterns in fields.items():
        for pattern in patterns:
            try:
                matches = any(re.search(pattern, path) for path in paths)
            except re.error as error:
                raise UserError(
                    f"config.init_from.{field}: {pattern!r} is no regular expression: {error}"
                ) from error
            if field == "new" and not matches:
                raise UserError(
                    f"config.init_from.new: the pattern {pattern!r} matches no parameter. There "
                    f"are {len(paths)}: {', '.join(paths[:8])}{', ...' * (len(paths) > 8)}"
                )
