"""The depthwise convolution, a filter for each channel, with gradients that are fast on the CPU."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from aimodels.modules.windows import Numbers, Pads, extents, shifted_inputs


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def depthwise_convolution(
    inputs: jax.Array, kernel: jax.Array, strides: Numbers, pads: Pads, dilation: Numbers
) -> jax.Array:
    """Inputs [B, *S, C], kernel [*k, C] -> [B, *S', C]: shifted, multiplied and added up.

    Its own reverse-mode rule: the gradient of the inputs is a depthwise convolution with the kernel
    turned around, and all places of the kernel get theirs from one pass over the inputs; JAX
    derives a pass for each. Like every `jax.custom_vjp` it has no forward mode: see
    `aimodels.modules.matmul`.
    """
    shifted = shifted_inputs(
        inputs, kernel.shape[:-1], strides=strides, pads=pads, dilation=dilation
    )
    factors = kernel.reshape(-1, kernel.shape[-1]).astype(jnp.float32)  # sums in float32, as XLA's
    products = [seen * factor for seen, factor in zip(shifted, factors, strict=True)]
    return functools.reduce(jnp.add, products).astype(inputs.dtype)


def _forward(
    inputs: jax.Array, kernel: jax.Array, strides: Numbers, pads: Pads, dilation: Numbers
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return depthwise_convolution(inputs, kernel, strides, pads, dilation), (inputs, kernel)


def _backward(
    strides: Numbers,
    pads: Pads,
    dilation: Numbers,
    saved: tuple[jax.Array, jax.Array],
    gradient: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    inputs, kernel = saved
    space = range(len(strides))
    window = extents(kernel.shape[:-1], dilation)
    spread = extents(gradient.shape[1:-1], strides)
    low = [window[axis] - 1 - pads[axis][0] for axis in space]
    high = [inputs.shape[axis + 1] + pads[axis][0] - spread[axis] for axis in space]
    between = [stride - 1 for stride in strides]
    edges = [(0, 0, 0), *zip(low, high, between, strict=True), (0, 0, 0)]
    spread_gradient = lax.pad(gradient, jnp.zeros((), gradient.dtype), edges)
    ones, no_pads = (1,) * len(strides), ((0, 0),) * len(strides)
    turned = jnp.flip(kernel, list(space))
    of_inputs: Any = depthwise_convolution(spread_gradient, turned, ones, no_pads, dilation)

    shifted = shifted_inputs(
        inputs, kernel.shape[:-1], strides=strides, pads=pads, dilation=dilation
    )
    products = [seen.astype(jnp.float32) * gradient for seen in shifted]
    zeros = [jnp.zeros((), jnp.float32)] * len(products)
    summed = lax.reduce(
        products,
        zeros,
        lambda sums, others: [a + b for a, b in zip(sums, others, strict=True)],
        tuple(range(gradient.ndim - 1)),
    )
    of_kernel = jnp.stack(summed).reshape(kernel.shape).astype(kernel.dtype)
    return of_inputs, of_kernel


depthwise_convolution.defvjp(_forward, _backward)
