"""Convolutions with two implementations, and pooling."""

import contextlib
import contextvars
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
from aimodels.modules.initializers import Initializer, bias_initializer, kernel_initializer

Pads = tuple[tuple[int, int], ...]

_LOOPED: contextvars.ContextVar[bool] = contextvars.ContextVar("looped", default=False)


@contextlib.contextmanager
def looped() -> Iterator[None]:
    """Trace under this whatever runs inside a compiled loop or under vmapped replicas.

    It matters only while JAX traces: `Conv` asks for it to choose its implementation. A function
    that `jax.jit` has already traced outside keeps what it chose there.
    """
    token = _LOOPED.set(True)
    try:
        yield
    finally:
        _LOOPED.reset(token)


def choose_implementation(*, groups: int) -> str:
    """The implementation that "auto" stands for."""
    if jax.default_backend() != "cpu" or groups != 1:
        return "direct"
    return "patches" if _LOOPED.get() else "direct"


def per_axis(field: str, value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """`value` for each of `rank` axes."""
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) != rank:
        raise UserError(f"{field} is {value!r}; it takes one number or {rank} of them.")
    return values


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
        if padding in ("CIRCULAR", "REFLECT"):
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


def direct_convolution(
    inputs: jax.Array,
    kernel: jax.Array,
    *,
    strides: tuple[int, ...],
    pads: Pads,
    dilation: tuple[int, ...],
    groups: int = 1,
) -> jax.Array:
    """XLA's own convolution: inputs [B, *S, C], kernel [*k, C/groups, F] -> [B, *S', F]."""
    letters = "".join("DHW"[-len(strides) :]) if len(strides) <= 3 else "0123456789"[: len(strides)]
    return lax.conv_general_dilated(
        inputs,
        kernel,
        window_strides=strides,
        padding=pads,
        rhs_dilation=dilation,
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
        feature_group_count=groups,
    )


def shifted_inputs(
    inputs: jax.Array,
    *,
    kernel_size: Sequence[int],
    strides: Sequence[int],
    pads: Pads,
    dilation: Sequence[int],
) -> list[jax.Array]:
    """What each place of the kernel sees: a list, row-major over the window, of [B, *S', C]."""
    zero = jnp.zeros((), inputs.dtype)
    padded = lax.pad(inputs, zero, [(0, 0, 0), *((lo, hi, 0) for lo, hi in pads), (0, 0, 0)])
    extents = [(size - 1) * step + 1 for size, step in zip(kernel_size, dilation, strict=True)]
    outputs = [
        (length - extent) // stride + 1
        for length, extent, stride in zip(padded.shape[1:-1], extents, strides, strict=True)
    ]
    shifted = []
    for place in itertools.product(*map(range, kernel_size)):
        start = [at * step for at, step in zip(place, dilation, strict=True)]
        limit = [
            first + (count - 1) * stride + 1
            for first, count, stride in zip(start, outputs, strides, strict=True)
        ]
        shifted.append(
            lax.slice(
                padded,
                (0, *start, 0),
                (padded.shape[0], *limit, padded.shape[-1]),
                (1, *strides, 1),
            )
        )
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
    """The same as `direct_convolution`: patches [B, *S', k·C] @ kernel [k·C, F]."""
    *kernel_size, width, features = kernel.shape
    shifted = shifted_inputs(
        inputs, kernel_size=kernel_size, strides=strides, pads=pads, dilation=dilation
    )
    if groups == 1:
        return jnp.dot(jnp.concatenate(shifted, -1), kernel.reshape(-1, features))
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
        is_number = isinstance(self.kernel_size, int)
        kernel_size = (self.kernel_size,) if is_number else tuple(self.kernel_size)
        rank = len(kernel_size)
        batch, spatial, channels = (
            inputs.shape[: -rank - 1],
            inputs.shape[-rank - 1 : -1],
            inputs.shape[-1],
        )
        if inputs.ndim < rank + 1:
            raise UserError(f"kernel_size {kernel_size} needs [*S, C]; inputs are {inputs.shape}.")
        if channels % self.groups or self.features % self.groups:
            raise UserError(
                f"groups is {self.groups}; it must divide the {channels} input channels and the"
                f" {self.features} features."
            )
        strides = per_axis("strides", self.strides, rank)
        dilation = per_axis("dilation", self.dilation, rank)
        window = [(size - 1) * step + 1 for size, step in zip(kernel_size, dilation, strict=True)]
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
        if self.padding in ("CIRCULAR", "REFLECT"):
            mode = {"CIRCULAR": "wrap", "REFLECT": "reflect"}[str(self.padding)]
            inputs = jnp.pad(inputs, ((0, 0), *pads, (0, 0)), mode=mode)
            pads = ((0, 0),) * rank
        name = self.implementation
        if name == "auto":
            name = choose_implementation(groups=self.groups)
        if name not in IMPLEMENTATIONS:
            raise unknown("implementation of Conv", name, ["auto", *IMPLEMENTATIONS])
        outputs = IMPLEMENTATIONS[name](
            inputs, kernel, strides=strides, pads=pads, dilation=dilation, groups=self.groups
        )
        if bias is not None:
            outputs = outputs + bias
        return outputs.reshape(*batch, *outputs.shape[1:])
