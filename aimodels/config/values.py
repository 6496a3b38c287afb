"""Checks a value against the type of its field, and reads values from the command line."""

import ast
import contextlib
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from ml_collections import ConfigDict

from aimodels.config.schema import AtLeast, AtMost
from aimodels.errors import UserError


class CommandLineText(str):
    """A value as typed on the command line, to be read as its field's type."""


def coerce(value: Any, annotation: Any, path: str) -> Any:
    """`value` as the type that `annotation` names; `UserError` says what the field takes."""
    options: tuple[Any, ...] = (annotation,)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        # None first: on the command line it is a word, which text would take too.
        options = tuple(sorted(typing.get_args(annotation), key=lambda a: a is not type(None)))
    for option in options:
        try:
            return _coerce(value, option, path)
        except (TypeError, ValueError, SyntaxError):
            continue
        except UserError:  # of an item inside; another option may take the whole
            if len(options) == 1:
                raise
    got = f"{value!r} ({type(value).__name__})" if not isinstance(value, str) else repr(str(value))
    near = ""
    words = [str(a) for o in options if typing.get_origin(o) is Literal for a in typing.get_args(o)]
    if isinstance(value, str):
        match = difflib.get_close_matches(value, words, 1)
        near = f" Did you mean {match[0]!r}?" if match else ""
    raise UserError(f"config.{path}: got {got}, takes {takes(annotation)}.{near}")


def _coerce(value: Any, annotation: Any, path: str) -> Any:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        result = _coerce(value, arguments[0], path)
        if not all(limit.allows(result) for limit in _limits(arguments)):
            raise ValueError
        return result
    if annotation is None or annotation is type(None):
        if value is None or (isinstance(value, CommandLineText) and value.lower() == "none"):
            return None
        raise TypeError
    if annotation is str:
        if isinstance(value, str):
            return str(value)
        raise TypeError
    if origin is Literal:
        choices = {str(choice): choice for choice in arguments}
        if isinstance(value, str | int) and str(value) in choices:
            return choices[str(value)]
        raise TypeError
    if origin is tuple:
        return _coerce_tuple(value, arguments, path)
    if isinstance(value, CommandLineText):
        value = _parse(value)
    if annotation is bool:
        if isinstance(value, bool):
            return value
        raise TypeError
    if annotation in (int, float):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError
        if annotation is int and value != int(value):
            raise TypeError
        return annotation(value)
    if annotation is dict or origin in (dict, Mapping):
        if isinstance(value, Mapping | ConfigDict):
            return plain(value)
        raise TypeError
    return value  # Any, or a type that a config can't state: the class checks it itself


def _coerce_tuple(value: Any, arguments: tuple, path: str) -> tuple:
    if isinstance(value, CommandLineText):
        value = _parse_tuple(value)
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(coerce(item, arguments[0], path) for item in value)
    if arguments and len(arguments) != len(value):
        raise TypeError
    kinds = arguments or (Any,) * len(value)
    return tuple(coerce(item, kind, path) for item, kind in zip(value, kinds, strict=True))


def _parse_tuple(text: str) -> Any:
    """`(1, 2)`, `1,2`, `1,` or `test,train[:10%]`: Python's spelling, else words and commas."""
    bare = text.strip().rstrip(",")
    for spelled in (text, f"({bare},)"):
        with contextlib.suppress(ValueError, SyntaxError):
            parsed = _parse(spelled)
            if isinstance(parsed, tuple | list):
                return parsed
    words = bare.removeprefix("(").removesuffix(")").split(",")
    return tuple(word.strip() for word in words if word.strip())


def _parse(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    return words[text.lower()] if text.lower() in words else ast.literal_eval(text.strip())


def takes(annotation: Any) -> str:
    """What a field of this type takes, in words."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return f"{takes(arguments[0])} {' and '.join(map(str, _limits(arguments)))}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(takes(argument) for argument in arguments)
    if origin is Literal:
        return "one of " + ", ".join(repr(argument) for argument in arguments)
    if origin is tuple:
        inner = [takes(a) for a in arguments if a is not Ellipsis]
        many = len(arguments) == 2 and arguments[1] is Ellipsis
        return f"a tuple, each of it {inner[0]}" if many else f"a tuple ({', '.join(inner)})"
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    words |= {type(None): "None", dict: "a dict"}
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _limits(arguments: tuple) -> list[AtLeast | AtMost]:
    """What an annotated type allows; a class of a user's own may annotate other things."""
    return [limit for limit in arguments[1:] if isinstance(limit, AtLeast | AtMost)]


def plain(value: Any) -> Any:
    """`value` with every ConfigDict made a plain dict, and every list a tuple (a deep copy)."""
    if isinstance(value, ConfigDict):
        value = dict(value.items())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(plain(item) for item in value)
    return value


def with_values(config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A plain copy of a config with dotted fields replaced (by traced values, say)."""
    result = plain(config)
    for path, value in values.items():
        *sections, field = path.split(".")
        node = result
        for section in sections:
            node = node[section]
        node[field] = value
    return result
