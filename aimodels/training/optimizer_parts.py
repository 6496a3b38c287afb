"""What optimizers are put together from, beyond Optax: by patterns on the paths of parameters.

A path is "encoder/Dense_0/kernel"; patterns are regular expressions, found anywhere in it.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from aimodels.errors import UserError

Array = jax.Array
Transformation = optax.GradientTransformation


def parameter_paths(params: Any) -> list[str]:
    """The names of all parameters, such as "Dense_0/kernel"."""
    return [joined(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]


def matching(patterns: Iterable[str], negate: bool = False) -> Callable[[Any], Any]:
    """Tree -> tree of bools: whether a parameter's path matches one of the patterns."""
    return lambda tree: jax.tree_util.tree_map_with_path(
        lambda path, _: matches(patterns, joined(path)) != negate, tree
    )


def matches(patterns: Iterable[str], path: str) -> bool:
    """Whether one of the patterns is found in a path."""
    return any(re.search(pattern, path) for pattern in patterns)


def check_matches(field: str, patterns: Iterable[str], paths: list[str]) -> None:
    """Raises `UserError` where a pattern of a field is found in none of the paths."""
    for pattern in patterns:
        if not any(re.search(pattern, path) for path in paths):
            raise UserError(
                f"optimizer.{field}: the pattern {pattern!r} matches no parameter. There are "
                f"{len(paths)}: {', '.join(paths[:8])}{', ...' * (len(paths) > 8)}"
            )


def joined(path: tuple) -> str:
    """A path of JAX's as text."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def check_pattern(field: str, pattern: str) -> None:
    """Raises `UserError` where it is no regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise UserError(
            f"optimizer.{field}: {pattern!r} is no regular expression: {error}"
        ) from error


class CenteredRmsState(NamedTuple):
    """Running means of the gradient and of its square."""

    mean: Any
    square: Any


def scale_by_centered_rms(decay: float, eps: float, eps_in_sqrt: bool) -> Transformation:
    """Over the root of the mean square less the squared mean: RMSProp's centred form.

    Not `optax.scale_by_stddev`: rounding takes square - mean² below zero where the gradient is
    steady, and its root is then NaN.
    """

    def init(params: Any) -> CenteredRmsState:
        return CenteredRmsState(optax.tree.zeros_like(params), optax.tree.zeros_like(params))

    def update(updates: Any, state: Any, params: Any = None) -> tuple:
        del params
        mean = optax.tree.update_moment(updates, state.mean, decay, 1)
        square = optax.tree.update_moment(updates, state.square, decay, 2)

        def scale(g: Array, m: Array, s: Array) -> Array:
            variance = jnp.maximum(s - m * m, 0)
            return g / (jnp.sqrt(variance + eps) if eps_in_sqrt else jnp.sqrt(variance) + eps)

        return jax.tree.map(scale, updates, mean, square), CenteredRmsState(mean, square)

    return optax.GradientTransformation(init, update)


def decay_by(rate: Any, decays: Callable[[Any], Any]) -> Transformation:
    """Adds rate · w; nothing at all where the rate is plainly 0 (XLA keeps a product with 0)."""
    if isinstance(rate, int | float) and rate == 0:
        return optax.identity()
    return optax.add_decayed_weights(rate, mask=decays)


def multiply(multipliers: Iterable[tuple[str, Any]]) -> Transformation:
    """Times the factor of the first pattern that a parameter's path matches."""

    def factor(path: str) -> Any:
        return next((factor for pattern, factor in multipliers if re.search(pattern, path)), None)

    def update(updates: Any, state: Any, params: Any = None) -> tuple:
        del params

        def multiplied(path: tuple, leaf: Array) -> Array:
            by = factor(joined(path))
            return leaf if by is None else (leaf * by).astype(leaf.dtype)

        return jax.tree_util.tree_map_with_path(multiplied, updates), state

    return optax.GradientTransformation(optax.init_empty_state, update)


def stay_within(max_norms: Iterable[tuple[str, Any]]) -> Transformation:
    """Updates that end where the first limit that a parameter's path matches still holds."""
    limits = tuple(max_norms)
    for pattern, _ in limits:
        check_pattern("max_norms", pattern)

    def init(params: Any) -> Any:
        check_matches("max_norms", [pattern for pattern, _ in limits], parameter_paths(params))
        return optax.EmptyState()

    def update(updates: Any, state: Any, params: Any = None) -> tuple:
        def limited(path: tuple, step: Array, weight: Array) -> Array:
            name = joined(path)
            limit = next((limit for pattern, limit in limits if re.search(pattern, name)), None)
            if limit is None:
                return step
            after = weight + step
            norms = jnp.sqrt(jnp.sum(after**2, axis=tuple(range(after.ndim - 1)), keepdims=True))
            # Where the norm is 0, it isn't longer: the division is by something else.
            shorter = after * (limit / jnp.where(norms > limit, norms, 1))
            return jnp.where(norms > limit, shorter, after) - weight

        return jax.tree_util.tree_map_with_path(limited, updates, params), state

    return optax.GradientTransformation(init, update)
