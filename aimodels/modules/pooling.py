"""Pooling over the axes between the batch and the channels.

Made of slices and elementwise operations, axis after axis, instead of XLA's `reduce_window`, which
Flax uses and whose gradients are slow on the CPU. Forward and gradient on [32, 28, 28, 32] on 2
busy cores, least ms, dispatched and inside a compiled loop:

    window 2, stride 2: max 31.6 and 38.6 -> 2.4 and 1.6; mean 2.5 and 2.3 -> 1.6 and 0.8
    window 3, stride 2: max 27.9 and 50.0 -> 5.1 and 9.4; mean 12.1 and 25.3 -> 2.5 and 1.9
"""

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from aimodels.errors import UserError
from aimodels.modules.windows import WRAPPING, Pads, explicit_padding, output_sizes, per_axis

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


def fold_windows(
    inputs: jax.Array,
    combine: Callable[[jax.Array, jax.Array], jax.Array],
    fill: float,
    window: Sequence[int],
    strides: Sequence[int],
    pads: Pads,
) -> jax.Array:
    """Combine the places of each window, one axis after the other: [B, *S, C] -> [B, *S', C].

    The last axis goes first, so that `combine` meets the places row by row.
    """
    config = [(0, 0, 0), *((low, high, 0) for low, high in pads), (0, 0, 0)]
    folded = jax.lax.pad(inputs, jnp.asarray(fill, inputs.dtype), config)
    sizes = output_sizes(inputs.shape[1:-1], window, strides, pads)
    for axis in reversed(range(1, len(window) + 1)):
        size, places, stride = sizes[axis - 1], window[axis - 1], strides[axis - 1]
        if stride == places:  # side by side: an axis of its own, cheaper than strided slices
            shape = (*folded.shape[:axis], size, places, *folded.shape[axis + 1 :])
            blocks = jax.lax.slice_in_dim(folded, 0, size * places, axis=axis).reshape(shape)
            seen = [jax.lax.index_in_dim(blocks, n, axis + 1, False) for n in range(places)]
        else:
            span = (size - 1) * stride + 1
            seen = [jax.lax.slice_in_dim(folded, n, n + span, stride, axis) for n in range(places)]
        folded = functools.reduce(combine, seen)
    return folded


def larger(first: jax.Array, second: jax.Array) -> jax.Array:
    """The larger value, the first of two equal ones (and all the gradient to it); NaN wins."""
    return jnp.where((second > first) | jnp.isnan(second), second, first)


def max_pool(
    inputs: jax.Array,
    window: Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> jax.Array:
    """The largest value in each window: [B, *S, C] -> [B, *S', C].

    Of equal values the first, row by row, gets the whole gradient, and NaN wins over everything,
    both as in PyTorch.

    Args:
        inputs: [B, *S, C].
        window: a size for each axis of S.
        strides: the window's size when None, as PyTorch. (Flax's default is 1.)
        padding: as `Conv`'s; the padding never wins.
    """
    steps, pads = placement(inputs.shape[1:-1], window, strides, padding)
    is_float = jnp.issubdtype(inputs.dtype, jnp.floating)
    lowest = -jnp.inf if is_float else jnp.iinfo(inputs.dtype).min
    return fold_windows(inputs, larger, lowest, window, steps, pads)


def avg_pool(
    inputs: jax.Array,
    window: Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
    count_include_pad: bool = True,
) -> jax.Array:
    """The mean of each window: [B, *S, C] -> [B, *S', C].

    Args:
        inputs: [B, *S, C].
        window: a size for each axis of S.
        strides: the window's size when None, as PyTorch. (Flax's default is 1.)
        padding: as `Conv`'s.
        count_include_pad: False divides by the number of inputs in the window, without the padding
            (TensorFlow's Inception; torchvision's counts it).
    """
    steps, pads = placement(inputs.shape[1:-1], window, strides, padding)
    sums = fold_windows(inputs, jnp.add, 0, window, steps, pads)
    if count_include_pad:
        return sums / math.prod(window)
    ones = jnp.ones((1, *inputs.shape[1:-1], 1), inputs.dtype)
    return sums / fold_windows(ones, jnp.add, 0, window, steps, pads)


def ceil_padding(spatial: Sequence[int], window: Sequence[int], strides: Sequence[int]) -> Pads:
    """Pads at the end so that windows cover every place: PyTorch's `ceil_mode=True`.

    "SAME" may add one window more, and begins before the inputs: [15] under a window of 3 with
    stride 2 has 7 windows here, 8 there.

    Args:
        spatial: S, without padding.
        window: a size for each axis.
        strides: a step for each axis.

    Returns:
        ((0, high), ...), an axis each.
    """
    pads = []
    for size, extent, stride in zip(spatial, window, strides, strict=True):
        count = -(-max(size - extent, 0) // stride) + 1
        pads.append((0, max((count - 1) * stride + extent - size, 0)))
    return tuple(pads)


def adaptive_avg_pool(inputs: jax.Array, sizes: Sequence[int]) -> jax.Array:
    """The means of windows that divide each axis into so many parts: [B, *S, C] -> [B, *sizes, C].

    The i-th of n windows goes from floor(i S / n) to ceil((i + 1) S / n), as PyTorch's
    `adaptive_avg_pool2d`: windows overlap where n does not divide S, and repeat places where it is
    larger.

    Args:
        inputs: [B, *S, C].
        sizes: n for each axis of S.
    """
    if tuple(sizes) == inputs.shape[1:-1]:
        return inputs
    pooled = inputs
    for axis, (size, parts) in enumerate(zip(inputs.shape[1:-1], sizes, strict=True), start=1):
        means = np.zeros((parts, size), np.float32)
        for part in range(parts):
            window = slice(part * size // parts, -(-(part + 1) * size // parts))
            means[part, window] = 1 / (window.stop - window.start)
        pooled = jnp.moveaxis(jnp.tensordot(means.astype(inputs.dtype), pooled, (1, axis)), 0, axis)
    return pooled
