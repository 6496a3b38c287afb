"""State dicts, names -> arrays, and our variables: what is called how, and how it is laid out.

    >>> shapes = jax.eval_shape(model.init, key, images)
    >>> variables = from_state_dict("torchvision", model, state, shapes)
    >>> state = to_state_dict("torchvision", model, variables)             # and back, exactly

All are pure functions on NumPy arrays; nothing here needs PyTorch. In "ours" an array is called by
its path, as "params/head/kernel". In the others' names convolutions are [F, C, H, W], and
[H, W, C, F] here, those of video [F, C, T, H, W] and [T, H, W, C, F]; matrices are transposed, and
one that reads a flattened map reads [C, H, W] there and [H, W, C] here. Tables of vectors are
[V, D] in both. A new naming is a module with `FAMILIES`, and a line in `NAMINGS`. It may also have,
by a model's class, `PREFIXES` (what names begin with but those of heads), `SURPLUS` (names that our
model has no array for) and `UNTURNED` (classes whose matrices are [in, out] there too), and
`RENAMED` (other spellings of names).
"""

import dataclasses
import importlib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from aimodels.errors import UserError, unknown

Path = tuple[str, ...]
# (a pattern on a module's whole path in our parameters, joined by "/"; the name of theirs). A
# pattern that matches an array's path gives the whole name; one of a module, what comes before the
# array's own. The first that matches counts.
Rules = list[tuple[str, str]]

# Whose names -> the module whose FAMILIES has, for a model's class, the rules made for its fields.
NAMINGS = {
    "torchvision": "aimodels.models.torchvision_names",
    "huggingface": "aimodels.models.huggingface_names",
}
OURS = "ours"
# The leaf's name here -> there.
LEAVES = {
    "kernel": "weight",
    "embedding": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
# What a state dict may hold that says nothing about the function that is computed.
IGNORED = "num_batches_tracked"
# Where others put several of our arrays into one.
QUERY_KEY_VALUE = ("query", "key", "value")
# (path, array of another shape, the shape of ours) -> an array of that shape, or None.
Resize = Callable[[Path, np.ndarray, tuple[int, ...]], np.ndarray | None]


@dataclasses.dataclass(frozen=True)
class Place:
    """Where one array of a state dict lies in our variables.

    Attributes:
        name: theirs, as "layer1.0.conv1.weight".
        paths: ours, as ("params", "head", "kernel"). More than one: theirs is ours one behind the
            other.
        shape: theirs.
        size: the side of the square map that a matrix reads flattened; 1 for any other array.
        leading: axes of 1 that theirs has in front of ours.
        turned: their axes are PyTorch's; else they are ours.
        axis: theirs, along which several of ours are one behind the other.
    """

    name: str
    paths: tuple[Path, ...]
    shape: tuple[int, ...]
    size: int = 1
    leading: int = 0
    turned: bool = True
    axis: int = 0

    def to_theirs(self, arrays: list[np.ndarray]) -> np.ndarray:
        """Our arrays, one for each path, as theirs."""
        return np.concatenate([self._turned(array) for array in arrays], self.axis)

    def to_ours(self, array: np.ndarray) -> list[np.ndarray]:
        """Their array as ours, one for each path."""
        parts = np.split(array, len(self.paths), self.axis)
        return [self._returned(part) for part in parts]

    def _turned(self, array: np.ndarray) -> np.ndarray:
        if not self.turned or self.leading:
            return array.reshape((1,) * self.leading + array.shape)
        if array.ndim >= 4:
            return np.moveaxis(array, (-1, -2), (0, 1))
        if array.ndim == 2:
            maps = array.reshape(self.size, self.size, -1, array.shape[1])
            return maps.transpose(3, 2, 0, 1).reshape(array.shape[1], -1)
        return array

    def _returned(self, array: np.ndarray) -> np.ndarray:
        if not self.turned or self.leading:
            return array.reshape(array.shape[self.leading :])
        if array.ndim >= 4:
            return np.moveaxis(array, (0, 1), (-1, -2))
        if array.ndim == 2:
            maps = array.reshape(len(array), -1, self.size, self.size)
            return maps.transpose(2, 3, 1, 0).reshape(-1, len(array))
        return array


def places(naming: str, model: nn.Module, variables: Mapping[str, Any]) -> list[Place]:
    """What each array of the model's state dict is called, and where it lies in our variables.

    Args:
        naming: "ours" or one of `NAMINGS`.
        model: for others' names one of their `FAMILIES`.
        variables: its variables {"params": ..., "batch_stats": ...}, or only their shapes.

    Raises:
        UserError: there are no such names for this model.
    """
    leaves: dict[Path, Any] = flatten_dict(dict(variables))
    if naming == OURS:
        return [
            Place("/".join(path), (path,), leaf.shape, turned=False)
            for path, leaf in leaves.items()
        ]
    module_of_names = _module(naming)
    families = module_of_names.FAMILIES
    as_here = getattr(module_of_names, "UNTURNED", ())
    family = type(model).__name__
    if family not in families:
        raise unknown(f"model with names of {naming}", family, families)
    rules = families[family](model)
    named: dict[str, list[Path]] = {}
    for path in leaves:
        named.setdefault(_name(naming, rules, path), []).append(path)
    found = []
    for name, paths in named.items():
        if len(paths) > 1:  # Flax sorts them: key, query, value
            paths.sort(key=lambda path: QUERY_KEY_VALUE.index(path[-2]))
        shape, module = leaves[paths[0]].shape, "/".join(paths[0][1:-1])
        leading = _leading(family, paths[0], shape)
        if leading:
            found.append(Place(name, tuple(paths), ((1,) * leading + shape), leading=leading))
            continue
        if paths[0][-1] == "embedding" or family in as_here:
            axis = len(shape) - 1
            whole = (*shape[:axis], shape[axis] * len(paths))
            found.append(Place(name, tuple(paths), whole, turned=False, axis=axis))
            continue
        turned = {5: (4, 3, 0, 1, 2), 4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[len(shape)]
        first, *rest = (shape[axis] for axis in turned)
        size = _flattened_size(model, module) if len(shape) == 2 else 1
        found.append(Place(name, tuple(paths), (first * len(paths), *rest), size))
    return found


def to_state_dict(
    naming: str, model: nn.Module, variables: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """The model's variables as a state dict: names -> arrays.

    Args:
        naming: as in `places`.
        model: as in `places`.
        variables: {"params": ..., "batch_stats": ...}.
    """
    leaves = flatten_dict(dict(variables))
    return {
        place.name: place.to_theirs([np.asarray(leaves[path]) for path in place.paths])
        for place in places(naming, model, variables)
    }


def from_state_dict(
    naming: str, model: nn.Module, state: Mapping[str, np.ndarray], variables: Mapping[str, Any]
) -> dict[str, Any]:
    """A whole state dict as the model's variables; see `fitted`.

    Returns:
        {"params": ..., "batch_stats": ...} of NumPy arrays.
    """
    return unflatten_dict(fitted(naming, model, state, variables))


def fitted(
    naming: str,
    model: nn.Module,
    state: Mapping[str, np.ndarray],
    variables: Mapping[str, Any],
    *,
    new: Collection[str] = (),
    ignore: Collection[str] = (),
    resize: Resize = lambda path, array, shape: None,
) -> dict[Path, np.ndarray]:
    """What a state dict has for a model, each array by its path in our variables.

    Args:
        naming: whose names `state` has, as in `places`.
        model: as in `places`.
        state: names -> arrays. Counters of batches are ignored.
        variables: the model's variables, or only their shapes and dtypes, which the result has.
        new: patterns on our paths, as "head/kernel", of what isn't wanted; found anywhere in them.
        ignore: patterns on names in `state` that may be there for nothing.
        resize: of an array in another shape; None where it can't.

    Raises:
        UserError: names are missing, unknown, or have another shape; all of them are listed.
    """
    leaves: dict[Path, Any] = flatten_dict(dict(variables))
    expected = {place.name: place for place in places(naming, model, variables)}
    state = {
        name: array
        for name, array in state.items()
        if not name.endswith(IGNORED) and not _matches(ignore, name)
    }
    state = _renamed(naming, model, state, expected)
    state, problems = _without_surplus(naming, model, state, expected)
    given = set(state)
    unwanted = {
        name
        for name, place in expected.items()
        if all(_matches(new, "/".join(path[1:])) for path in place.paths)
    }
    problems += [f"missing: {name}" for name in sorted(expected.keys() - given - unwanted)]
    problems += [f"unknown: {name}" for name in sorted(given - expected.keys())]
    found: dict[Path, np.ndarray] = {}
    for name in sorted(given & expected.keys() - unwanted):
        place, array = expected[name], np.asarray(state[name])
        if not jnp.issubdtype(array.dtype, jnp.floating):
            problems.append(f"{name}: numbers of type {array.dtype}, where a float is taken")
            continue
        arrays = place.to_ours(array) if array.shape == place.shape else []
        as_ours = place.leading or not place.turned
        if not arrays and as_ours and array.ndim == len(place.shape) and len(place.paths) == 1:
            path = place.paths[0]
            resized = resize(path, place.to_ours(array)[0], leaves[path].shape)
            arrays = [] if resized is None else [resized]
        if not arrays:
            problems.append(f"{name}: {array.shape}, where the model has {place.shape}")
        for path, ours in zip(place.paths, arrays, strict=bool(arrays)):
            found[path] = np.ascontiguousarray(ours, leaves[path].dtype)
    if problems:
        lines = "\n  ".join(problems)
        raise UserError(f"the weights don't fit {type(model).__name__}:\n  {lines}")
    return found


def _renamed(
    naming: str, model: nn.Module, state: Mapping[str, Any], expected: Collection[str]
) -> Mapping[str, Any]:
    """The state dict, its names as this model's are where they differ by where they come from.

    In ours, what is a parameter in one model may be frozen in the other, in another collection; in
    others', a file without a head leaves out what all other names begin with.
    """
    if naming == OURS:
        paths = {name.partition("/")[2]: name for name in expected}
        return {
            name if name in expected else paths.get(name.partition("/")[2], name): array
            for name, array in state.items()
        }
    module = _module(naming)
    for pattern, usual in getattr(module, "RENAMED", ()):
        state = {re.sub(pattern, usual, name): array for name, array in state.items()}
    prefix = getattr(module, "PREFIXES", {}).get(type(model).__name__, "")
    prefix = prefix(model) if callable(prefix) else prefix
    has, wants = (any(name.startswith(prefix) for name in names) for names in (state, expected))
    if has == wants:
        return state
    if has:
        return {name.removeprefix(prefix): array for name, array in state.items()}
    return {name if name in expected else prefix + name: array for name, array in state.items()}


def _without_surplus(
    naming: str, model: nn.Module, state: Mapping[str, Any], expected: Collection[str]
) -> tuple[Mapping[str, Any], list[str]]:
    """The state dict without what our model has no array for, and what is wrong with that."""
    surplus = getattr(_module(naming), "SURPLUS", {}) if naming != OURS else {}
    patterns = surplus[type(model).__name__](model) if type(model).__name__ in surplus else {}
    kept, problems = dict(state), []
    for name in state.keys() - set(expected):
        for pattern, original in patterns.items():
            if re.fullmatch(pattern, name):
                array = kept.pop(name)
                if original in state and not np.array_equal(array, state[original]):
                    problems.append(f"{name}: differs from {original}, which it is in this model")
                break
    return kept, sorted(problems)


def _module(naming: str) -> Any:
    if naming not in NAMINGS:
        raise unknown("naming of weights", naming, [OURS, *NAMINGS])
    return importlib.import_module(NAMINGS[naming])


def _matches(patterns: Collection[str], name: str) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)


def _name(naming: str, rules: Rules, path: Path) -> str:
    """What the array at a path is called."""
    module, leaf, whole = "/".join(path[1:-1]), path[-1], "/".join(path[1:])
    for pattern, theirs in rules:
        found = re.fullmatch(pattern, whole)
        if found:
            return found.expand(theirs)
        found = re.fullmatch(pattern, module)
        if found:
            prefix = found.expand(theirs)
            return prefix + ("" if prefix.endswith("_") else ".") + LEAVES[leaf]
    raise UserError(f"the parameters {whole!r} have no name in state dicts of {naming}.")


def _leading(family: str, path: Path, shape: tuple[int, ...]) -> int:
    """How many axes of 1 others put in front: ViT's class tokens and positions are of a batch."""
    if family != "VisionTransformer":
        return 0
    if path[1:] == ("class_token",):
        return 2
    return 1 if path[1:] == ("positions", "embedding") and len(shape) == 2 else 0


def _flattened_size(model: Any, module: str) -> int:
    """The side of the map that this Dense layer reads flattened; 1 if it reads none."""
    from aimodels.models import alexnet, faster_rcnn_model, vgg

    if isinstance(model, alexnet.AlexNet | vgg.VGG):
        first = "dense_0" if model.dense_features else "head"
        size = model.pooled_size if isinstance(model, vgg.VGG) else 6
        return size if module == first else 1
    if isinstance(model, faster_rcnn_model.FasterRCNN):
        return model.output_size if module == "head/dense_0" else 1
    return 4 if re.fullmatch(r"auxiliary_\d/dense", module) else 1
