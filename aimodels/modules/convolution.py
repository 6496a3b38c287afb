"""Convolutions with two implementations, and pooling."""

import contextlib
import contextvars
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import lax

from aimodels.errors import UserError, unknown
from aimodels.modules.direct_convolution import Pads, direct_convolution, extents
from aimodels.modules.initializers import Initializer, bias_initializer, kernel_initializer
from aimodels.modules.matmul import settled

# Paddings that repeat the inputs rather than add zeros -> numpy's name for them.
WRAPPING = {"CIRCULAR": "wrap", "REFLECT": "reflect"}

_VMAPPED: contextvars.ContextVar[bool] = contextvars.ContextVar("vmapped", default=False)


@contextlib.contextmanager
def vmapped() -> Iterator[None]:
    """Trace under this what runs with a kernel for each of several replicas, under `jax.vmap`.

    It matters only while JAX traces: `Conv` asks for it to choose its implementation. A function
    that `jax.jit` has already traced outside keeps what it chose there.
    """
    token = _VMAPPED.set(True)
    try:
        yield
    finally:
        _VMAPPED.reset(token)


# Patches of more elements than this (1 GiB of float32) are not made: memory first.
LARGEST_PATCHES = 2**28


def choose_implementation(*, kernel_shape: Sequence[int], groups: int, places: int) -> str:
    """The implementation that "auto" stands for.

    Off the CPU always "direct". On the CPU "direct" too, with the gradients of
    `aimodels.modules.direct_convolution`, but "patches", unless they would fill the memory,

    - over a single axis: MNIST-1D's CNN, batch 100, took 1.2 ms a step so and 1.6 directly;
    - under `vmapped()`: with a kernel for each replica it would be a grouped convolution, which is
      slow (that CNN with five replicas: 27 ms directly, 5.8 so);
    - for a window of one place, which is a matrix product, and for groups, whose gradients are
      slow (3x3 depthwise, 64 channels [32, 16, 16], in a compiled loop: 8,370 ms and 46).

    Args:
        kernel_shape: [*k, C / groups, F].
        groups: of the convolution.
        places: how many windows there are, B times those of S'.
    """
    *window, width, _ = kernel_shape
    if jax.default_backend() != "cpu":
        return "direct"
    if groups > 1 and width == 1:  # depthwise: shifted multiplications, no patches are made
        return "patches"
    fit = places * math.prod(window) * width * groups <= LARGEST_PATCHES
    faster = len(window) == 1 or math.prod(window) == 1 or groups > 1 or _VMAPPED.get()
    return "patches" if faster and fit else "direct"


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


def patches_convolution(
    inputs: jax.Array,
    kernel: jax.Array,
    *,
    strides: tuple[int, ...],
    pads: Pads,
    dilation: tuple[int, ...],
    groups: int = 1,
) -> jax.Array:
    """The same as `direct_convolution`: patches [B, *S', k·C] @ kernel [k·C, F].

    With groups a small matrix for each; depthwise, the inputs shifted, multiplied and added up.
    """
    *kernel_size, width, features = kernel.shape
    depthwise = groups > 1 and width == 1
    if depthwise:
        inputs = jnp.repeat(inputs, features // groups, axis=-1)
    shifted = shifted_inputs(inputs, kernel_size, strides=strides, pads=pads, dilation=dilation)
    if groups == 1:
        return jnp.dot(jnp.concatenate(shifted, -1), kernel.reshape(-1, features))
    if depthwise:
        factors = kernel.reshape(-1, features).astype(jnp.float32)  # sums in float32, as XLA's
        products = [seen * factor for seen, factor in zip(shifted, factors, strict=True)]
        return functools.reduce(jnp.add, products).astype(inputs.dtype)
    # [B, *S', k, G, C/G] with [k, C/G, G, F/G]: one small matrix for each group.
    places = len(shifted)
    patches = jnp.stack(shifted, -2).reshape(*shifted[0].shape[:-1], places, groups, width)
    matrices = kernel.reshape(places, width, groups, features // groups)
    outputs = jnp.einsum("...kgc,kcgf->...gf", patches, matrices)
    return outputs.reshape(*outputs.shape[:-2], features)


IMPLEMENTATIONS = {"direct": direct_convolution, "patches": patches_convolution}


class Conv(nn.Module):
    """A convolution over the last axes but one: inputs [B, *S, C] -> [B, *S', features].

    Parameters as `flax.linen.Conv`: kernel [*kernel_size, C / groups, features], bias [features].

    Attributes:
        features: output channels.
        kernel_size: the window, an axis each; its length says how many axes are convolved. A plain
            number is a window over one axis.
        strides: one number, or one for each axis.
        padding: "SAME" (as TensorFlow: the odd one at the end), "VALID", "CAUSAL" (one axis: only
            before), "CIRCULAR", "REFLECT", or numbers: as PyTorch's `padding=1`, `(1, 2)`, or
            ((before, after), ...).
        dilation: step between the kernel's places.
        groups: C and features are split into so many separate convolutions; groups == C is
            depthwise.
        use_bias: add the bias.
        initializer: a name of `aimodels.modules.initializers`.
        implementation: "direct" (XLA's convolution), "patches" (a matrix product of patches), or
            "auto": see `choose_implementation`. They agree to rounding.
        kernel_init: overrides the name's kernel.
        bias_init: overrides the name's bias.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: int
    kernel_size: int | tuple[int, ...]
    strides: int | tuple[int, ...] = 1
    padding: str | int | tuple[int | tuple[int, int], ...] = "SAME"
    dilation: int | tuple[int, ...] = 1
    groups: int = 1
    use_bias: bool = True
    initializer: str = "lecun"
    implementation: str = "auto"
    kernel_init: Initializer | None = None
    bias_init: Initializer | None = None
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """[..., *S, C] -> [..., *S', features]; leading axes are all batch (or none)."""
        given = self.kernel_size
        kernel_size = (given,) if isinstance(given, int) else tuple(given)
        rank = len(kernel_size)
        if inputs.ndim < rank + 1:
            raise UserError(f"kernel_size {kernel_size} needs [*S, C]; inputs are {inputs.shape}.")
        *batch, channels = inputs.shape
        batch, spatial = batch[:-rank], batch[-rank:]
        if channels % self.groups or self.features % self.groups:
            raise UserError(
                f"groups is {self.groups}; it must divide the {channels} input channels and the"
                f" {self.features} features."
            )
        strides = per_axis("strides", self.strides, rank)
        dilation = per_axis("dilation", self.dilation, rank)
        window = extents(kernel_size, dilation)
        pads = explicit_padding(self.padding, spatial, window, strides)

        shape = (*kernel_size, channels // self.groups, self.features)
        kernel_init = self.kernel_init or kernel_initializer(self.initializer)
        kernel = self.param("kernel", kernel_init, shape, self.param_dtype)
        bias = None
        if self.use_bias:
            bias_init = self.bias_init or bias_initializer(self.initializer, math.prod(shape[:-1]))
            bias = self.param("bias", bias_init, (self.features,), self.param_dtype)
        inputs, kernel, bias = promote_dtype(inputs, kernel, bias, dtype=self.dtype)

        inputs = inputs.reshape(-1, *spatial, channels)
        if isinstance(self.padding, str) and self.padding in WRAPPING:
            mode = WRAPPING[self.padding]
            inputs = jnp.pad(inputs, ((0, 0), *pads, (0, 0)), mode=mode)
            pads = ((0, 0),) * rank
        name = self.implementation
        if name == "auto":
            places = math.prod(output_sizes(inputs.shape[1:-1], window, strides, pads))
            if isinstance(inputs.shape[0], int):  # else it is exported, for batches of any size
                places *= inputs.shape[0]
            name = choose_implementation(kernel_shape=shape, groups=self.groups, places=places)
        if name not in IMPLEMENTATIONS:
            raise unknown("implementation of Conv", name, ["auto", *IMPLEMENTATIONS])
        outputs = IMPLEMENTATIONS[name](
            inputs, kernel, strides=strides, pads=pads, dilation=dilation, groups=self.groups
        )
        if bias is not None:
            outputs = outputs + bias
        return settled(outputs).reshape(*batch, *outputs.shape[1:])
