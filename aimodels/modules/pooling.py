"""Pooling over the axes between the batch and the channels."""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.modules.convolution import (
    WRAPPING,
    Pads,
    explicit_padding,
    per_axis,
    shifted_inputs,
)

Padding = str | int | Sequence[int | Sequence[int]]


def placement(
    spatial: Sequence[int],
    window: Sequence[int],
    strides: int | Sequence[int] | None,
    padding: Padding,
) -> tuple[tuple[int, ...], Pads]:
    """Strides and pads of a pooling; without strides the windows lie side by side."""
    steps = tuple(window) if strides is None else per_axis("strides", strides, len(window))
    if isinstance(padding, str) and padding in WRAPPING:
        raise UserError(f"padding {padding!r} is for convolutions; pooling takes the others.")
    return steps, explicit_padding(padding, spatial, window, steps)


def max_pool(
    inputs: jax.Array,
    window: Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> jax.Array:
    """The largest value in each window: [B, *S, C] -> [B, *S', C].

    As `flax.linen.max_pool`, but made of slices and selections instead of `reduce_window`, whose
    gradient (`select_and_scatter`) is slow on the CPU. Of equal values the first, row by row,
    gets the whole gradient, as there and in PyTorch; NaN wins over everything, as in PyTorch.

    Args:
        inputs: [B, *S, C].
        window: a size for each axis of S.
        strides: the window's size when None, as PyTorch. (Flax's default is 1.)
        padding: as `Conv`'s; the padding never wins.
    """
    steps, pads = placement(inputs.shape[1:-1], window, strides, padding)
    shifted = shifted_inputs(
        inputs, window, strides=steps, pads=pads, dilation=(1,) * len(window), fill=-jnp.inf
    )
    return functools.reduce(
        lambda best, value: jnp.where((value > best) | jnp.isnan(value), value, best), shifted
    )


def avg_pool(
    inputs: jax.Array,
    window: Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
    count_include_pad: bool = True,
) -> jax.Array:
    """The mean of each window: [B, *S, C] -> [B, *S', C]. Flax's, with `Conv`'s padding.

    Args:
        inputs: [B, *S, C].
        window: a size for each axis of S.
        strides: the window's size when None, as PyTorch. (Flax's default is 1.)
        padding: as `Conv`'s.
        count_include_pad: False divides by the number of inputs in the window, without the padding
            (torchvision's Inception needs it).
    """
    steps, pads = placement(inputs.shape[1:-1], window, strides, padding)
    # Flax takes pairs, though it is annotated as a string.
    return nn.avg_pool(inputs, tuple(window), steps, pads, count_include_pad)  # pyright: ignore
