"""What a sweep tries: for each field its values, or a distribution of them.

An experiment's `sweep()` returns a space, `--set field=v1,v2` on the command line another:

    def sweep():
        return {
            "optimizer.learning_rate": log_uniform(1e-4, 1e-1),
            "model.features": ((100, 100), (300,)),
            "optimizer.name": ("adam", "sgd"),
            when("optimizer.name", "sgd"): {"optimizer.momentum": uniform(0.0, 0.99)},
        }
"""

import ast
import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from aimodels.errors import UserError

Setting: TypeAlias = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Numbers between `low` and `high`; by their logarithms if `log`, whole ones if `whole`."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise UserError(
                f"sweep: a range goes from a number to a larger one (above 0 on a logarithmic "
                f"scale), got {self.low} to {self.high}"
            )

    def at(self, share: float) -> float | int:
        """The number below which a share (0 to 1) of the distribution lies."""
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            number = math.exp(low + share * (high - low))
        else:
            number = self.low + share * (self.high - self.low)
        return round(number) if self.whole else min(max(number, self.low), self.high)


@dataclasses.dataclass(frozen=True)
class When:
    """A condition on another field: what stands under it is tried only where it holds."""

    field: str
    value: Any


def uniform(low: float, high: float) -> Uniform:
    """Any number between two."""
    return Uniform(low, high)


def log_uniform(low: float, high: float) -> Uniform:
    """Any number between two, each order of magnitude as often."""
    return Uniform(low, high, log=True)


def integers(low: int, high: int, *, log: bool = False) -> Uniform:
    """Any whole number from `low` to `high`."""
    return Uniform(low, high, log, whole=True)


def when(field: str, value: Any) -> When:
    """A key of a space whose value is a space for the settings in which `field` is `value`."""
    return When(field, value)


Space: TypeAlias = Mapping[Any, Any]


def check(space: Any, origin: str) -> Space:
    """The space, with every entry checked.

    Args:
      space: what `sweep()` returned.
      origin: for messages.
    """
    if not isinstance(space, Mapping) or not space:
        raise UserError(f"{origin}: a sweep is a dict of field -> values, got {space!r}")
    for key, values in space.items():
        if isinstance(key, When):
            check(values, origin)
        elif not isinstance(key, str):
            raise UserError(f"{origin}: a key is a field's dotted name or when(...), got {key!r}")
        elif not isinstance(values, Uniform) and (
            isinstance(values, str) or not isinstance(values, Sequence) or not values
        ):
            raise UserError(
                f"{origin}: {key!r} takes a tuple of values, uniform(...), log_uniform(...) or "
                f"integers(...), got {values!r}"
            )
    return space


def grid(space: Space) -> list[Setting]:
    """Every combination of the values, in the order of the fields.

    Raises:
      UserError: if a field has a distribution instead of values.
    """
    return list(_grid(space, {}))


def _grid(space: Space, chosen: Setting) -> Iterator[Setting]:
    fields = {key: values for key, values in space.items() if isinstance(key, str)}
    for field, values in fields.items():
        if isinstance(values, Uniform):
            raise UserError(
                f"sweep: {field!r} is a distribution, of which there is no grid; give values with "
                f"--set {field}=..., or --search random or tpe with --trials"
            )
    conditions = [(key, inner) for key, inner in space.items() if isinstance(key, When)]
    for combination in itertools.product(*fields.values()):
        setting = {**chosen, **dict(zip(fields, combination, strict=True))}
        inner: dict[Any, Any] = {}
        for condition, more in conditions:
            if setting.get(condition.field) == condition.value:
                inner |= more
        if inner:
            yield from _grid(inner, setting)
        else:
            yield setting


def sample(space: Space, generator: np.random.Generator) -> Setting:
    """One setting, each field drawn on its own."""
    setting: Setting = {}
    for key, values in space.items():
        if isinstance(key, str):
            uniformly = isinstance(values, Uniform)
            setting[key] = (
                values.at(generator.random())
                if uniformly
                else values[int(generator.integers(len(values)))]
            )
    for key, inner in space.items():
        if isinstance(key, When) and setting.get(key.field) == key.value:
            setting |= sample(inner, generator)
    return setting


def as_json(space: Space) -> dict[str, Any]:
    """The space as plain data, to compare it with that of a folder."""
    plain: dict[str, Any] = {}
    for key, values in space.items():
        if isinstance(key, When):
            plain[f"when {key.field} is {key.value!r}"] = as_json(values)
        else:
            distribution = isinstance(values, Uniform)
            plain[key] = dataclasses.asdict(values) if distribution else list(values)
    return plain


def from_text(texts: Sequence[str]) -> Space:
    """The space of `--set field=v1,v2` options; values are read as the config reads them.

    Commas within brackets belong to a value: `model.features=(100,),(300,300)`.
    """
    space: dict[str, Any] = {}
    for text in texts:
        field, equals, values = text.partition("=")
        if not equals or not field or not values:
            raise UserError(f"--set {text!r}: takes FIELD=VALUE,VALUE,...")
        space[field] = tuple(_split(values))
    return space


def _split(text: str) -> Iterator[Any]:
    depth, word = 0, ""
    for letter in text + ",":
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth:
            yield _value(word.strip())
            word = ""
        else:
            word += letter


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
