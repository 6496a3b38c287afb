"""XLA's convolution, with gradients that are fast on the CPU too."""

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

from aimodels.modules.windows import Numbers, Pads, extents

# Examples in each part of the batch when a kernel's gradient is computed on the CPU.
PART = 8


def direct_convolution(
    inputs: jax.Array,
    kernel: jax.Array,
    *,
    strides: Numbers,
    pads: Pads,
    dilation: Numbers,
    groups: int = 1,
) -> jax.Array:
    """XLA's own convolution: inputs [B, *S, C], kernel [*k, C/groups, F] -> [B, *S', F].

    On the CPU, and without groups, it has its own reverse-mode rule. The gradients that JAX derives
    are convolutions with exchanged axes, which XLA computes well only outside of compiled loops.
    These are plain convolutions, that of the kernel in parts of the batch. Forward and gradients in
    ms, on 2 cores with jax 0.10.2 and `training.parallel.compiler_options`:

                                            alone            in a fori_loop
        layer, inputs [B, S, S, C]       derived   so        derived   so
        5x5, 32-64 [128, 14, 14]            60     62        > 4,500   55
        3x3, 16-16 [128, 32, 32]            35     25          1,913   39
        3x3, 32-64 [64, 28, 28]             51     49

    Like every `jax.custom_vjp` it has no forward mode there: see `aimodels.modules.matmul`.
    """
    if groups == 1 and jax.default_backend() == "cpu":
        return _convolution(inputs, kernel, strides, pads, dilation)
    return _plain(inputs, kernel, strides, pads, dilation, groups=groups)


def _plain(
    inputs: jax.Array,
    kernel: jax.Array,
    strides: Numbers,
    pads: Pads,
    dilation: Numbers,
    input_dilation: Numbers | None = None,
    groups: int = 1,
) -> jax.Array:
    rank = len(strides)
    space = tuple(range(1, rank + 1))
    numbers = lax.ConvDimensionNumbers(
        lhs_spec=(0, rank + 1, *space),
        rhs_spec=(rank + 1, rank, *range(rank)),
        out_spec=(0, rank + 1, *space),
    )
    return lax.conv_general_dilated(
        inputs,
        kernel,
        window_strides=strides,
        padding=pads,
        lhs_dilation=input_dilation,
        rhs_dilation=dilation,
        dimension_numbers=numbers,
        feature_group_count=groups,
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _convolution(
    inputs: jax.Array, kernel: jax.Array, strides: Numbers, pads: Pads, dilation: Numbers
) -> jax.Array:
    return _plain(inputs, kernel, strides, pads, dilation)


def _forward(
    inputs: jax.Array, kernel: jax.Array, strides: Numbers, pads: Pads, dilation: Numbers
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _plain(inputs, kernel, strides, pads, dilation), (inputs, kernel)


def _backward(
    strides: Numbers,
    pads: Pads,
    dilation: Numbers,
    residuals: tuple[jax.Array, jax.Array],
    gradient: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    inputs, kernel = residuals
    rank = len(strides)
    window = extents(kernel.shape[:rank], dilation)
    # With zeros between its places for the strides, the outputs' gradient spans this much.
    spans = extents(gradient.shape[1:-1], strides)
    sizes = inputs.shape[1:-1]
    before = [low for low, _ in pads]

    # Each input gets the gradients of the windows that saw it: the kernel is turned around.
    lows = [extent - 1 - low for extent, low in zip(window, before, strict=True)]
    highs = [
        size + extent - 1 - span - low
        for size, extent, span, low in zip(sizes, window, spans, lows, strict=True)
    ]
    turned = jnp.swapaxes(jnp.flip(kernel, range(rank)), -1, -2)
    around = tuple(zip(lows, highs, strict=True))
    inputs_gradient = _plain(gradient, turned, (1,) * rank, around, dilation, strides)

    # Each place of the kernel is the inputs, shifted, times the gradient: a convolution whose
    # kernel is the gradient, whose channels are the examples, and whose batch is the channels.
    highs = [
        extent - 1 + span - size - low
        for extent, span, size, low in zip(window, spans, sizes, before, strict=True)
    ]
    within = tuple(zip(before, highs, strict=True))
    space = tuple(range(1, rank + 1))
    batch = len(inputs)
    parts = batch // next((part for part in range(PART, batch) if batch % part == 0), batch or 1)
    divided = [x.reshape(-1, parts, *x.shape[1:]) for x in (inputs, gradient)]

    def add_part(index: jax.Array | int, total: jax.Array) -> jax.Array:
        images, slopes = (lax.dynamic_index_in_dim(x, index, 1, False) for x in divided)
        images = jnp.transpose(images, (rank + 1, *space, 0))
        slopes = jnp.transpose(slopes, (*space, 0, rank + 1))
        # Else XLA takes the transpositions into the convolution, which is the slow path again.
        images, slopes = lax.optimization_barrier((images, slopes))
        return total + _plain(images, slopes, dilation, within, strides)

    width, features = kernel.shape[-2:]
    # In float32, else bfloat16 rounds at every part.
    dtype = jnp.promote_types(kernel.dtype, jnp.float32)
    total = jnp.zeros((width, *kernel.shape[:rank], features), dtype)
    total = lax.fori_loop(0, parts, add_part, total, unroll=math.gcd(parts, 4))
    return inputs_gradient, jnp.moveaxis(total, 0, -2).astype(kernel.dtype)


_convolution.defvjp(_forward, _backward)
