"""Convolutions with two implementations, and pooling."""

import contextlib
import contextvars
import math
from collections.abc import Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from aimodels.errors import UserError, unknown
from aimodels.modules.depthwise_convolution import depthwise_convolution
from aimodels.modules.direct_convolution import direct_convolution
from aimodels.modules.initializers import Initializer, bias_initializer, kernel_initializer
from aimodels.modules.matmul import settled
from aimodels.modules.windows import (
    WRAPPING,
    Pads,
    explicit_padding,
    extents,
    output_sizes,
    per_axis,
    shifted_inputs,
)

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

    With groups a small matrix for each; depthwise, `depthwise_convolution`.
    """
    *kernel_size, width, features = kernel.shape
    if groups > 1 and width == 1:
        repeated = jnp.repeat(inputs, features // groups, axis=-1)
        return depthwise_convolution(repeated, kernel[..., 0, :], strides, pads, dilation)
    shifted = shifted_inputs(inputs, kernel_size, strides=strides, pads=pads, dilation=dilation)
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

    Parameters as `flax.linen.Conv`: kernel [*kernel_size, C / groups, features], bias [features];
    with `weight_norm` also scale [features].

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
        weight_norm: what goes into a feature is the kernel's direction times a scale, which begins
            as the kernel's norm (Salimans & Kingma 2016; PyTorch's `weight_norm`).
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
    weight_norm: bool = False
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
        if self.weight_norm:
            norms = jnp.sqrt(jnp.square(kernel).sum(range(rank + 1)))
            kernel = kernel * (self.param("scale", lambda _: norms) / norms)
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
