"""Windows over space, of convolutions and of pooling: extents, sizes, padding, what they see."""

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from aimodels.errors import UserError

Numbers = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]

# Paddings that repeat the inputs rather than add zeros -> numpy's name for them.
WRAPPING = {"CIRCULAR": "wrap", "REFLECT": "reflect"}


def extents(kernel_size: Sequence[int], dilation: Sequence[int]) -> Numbers:
    """How many places of the input the dilated kernel spans on each axis."""
    return tuple((size - 1) * step + 1 for size, step in zip(kernel_size, dilation, strict=True))


def per_axis(field: str, value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """`value` for each of `rank` axes."""
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) != rank:
        raise UserError(f"{field} is {value!r}; it takes one number or {rank} of them.")
    return values


def output_sizes(
    spatial: Sequence[int], window: Sequence[int], strides: Sequence[int], pads: Pads
) -> tuple[int, ...]:
    """How often a window of these extents fits on each padded axis."""
    sizes = [
        (size + low + high - extent) // stride + 1
        for size, (low, high), extent, stride in zip(spatial, pads, window, strides, strict=True)
    ]
    if min(sizes) < 1:
        raise UserError(
            f"a window of {tuple(window)} does not fit on inputs of {tuple(spatial)} padded by"
            f" {pads}; take larger inputs, a smaller window or more padding."
        )
    return tuple(sizes)


def explicit_padding(
    padding: str | int | Sequence[int | Sequence[int]],
    spatial: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
) -> Pads:
    """`padding` as (low, high) for each axis; `window` is the kernel's extent with its dilation."""
    rank = len(window)
    if isinstance(padding, str):
        if padding in ("SAME", "VALID"):
            return tuple(lax.padtype_to_pads(spatial, window, strides, padding))
        if padding in WRAPPING:
            return tuple(((size - 1) // 2, size // 2) for size in window)
        if padding == "CAUSAL" and rank == 1:
            return ((window[0] - 1, 0),)
    elif isinstance(padding, int):
        return ((padding, padding),) * rank
    else:
        pads = [(pad, pad) if isinstance(pad, int) else tuple(pad) for pad in padding]
        if len(pads) == rank and all(len(pad) == 2 for pad in pads):
            return tuple(pads)  # pyright: ignore[reportReturnType]
    raise UserError(
        f"padding is {padding!r} for a window of {rank} axes; it takes 'SAME', 'VALID', 'CIRCULAR',"
        " 'REFLECT', 'CAUSAL' (one axis only), a number, or for each axis a number or a pair."
    )


def shifted_inputs(
    inputs: jax.Array,
    kernel_size: Sequence[int],
    *,
    strides: Sequence[int],
    pads: Pads,
    dilation: Sequence[int],
) -> list[jax.Array]:
    """What each place of the window sees: a list, row by row over the window, of [B, *S', C]."""
    window = extents(kernel_size, dilation)
    sizes = output_sizes(inputs.shape[1:-1], window, strides, pads)
    padded = lax.pad(
        inputs,
        jnp.zeros((), inputs.dtype),
        [(0, 0, 0), *((low, high, 0) for low, high in pads), (0, 0, 0)],
    )
    shifted = []
    for place in itertools.product(*map(range, kernel_size)):
        first = [index * step for index, step in zip(place, dilation, strict=True)]
        last = [
            start + (size - 1) * stride
            for start, size, stride in zip(first, sizes, strides, strict=True)
        ]
        limits = (padded.shape[0], *(index + 1 for index in last), padded.shape[-1])
        shifted.append(lax.slice(padded, (0, *first, 0), limits, (1, *strides, 1)))
    return shifted
