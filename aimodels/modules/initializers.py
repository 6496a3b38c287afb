"""Initial values of kernels and biases, by name.

A name gives both the kernel's and the bias's initialiser, since PyTorch's bias depends on the
kernel's fan-in. All kernels are laid out as Flax lays them out: [*window, in, out].
"""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import unknown

Initializer = Callable[..., jax.Array]


def orthogonal(scale: float = 1.0) -> Initializer:
    """Orthogonal rows or columns, times `scale` (Saxe et al. 2014).

    Under `jax.vmap`, as for replicas, keys are taken one after the other: a batch of QR
    decompositions waits in XLA's threads for more of them, and as many batches as there are threads
    wait for ever (jax 0.10.2; two threads and eight batches of three did so within seconds).
    """
    one_by_one = nn.initializers.orthogonal(scale)

    def initialize(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return jax.custom_batching.sequential_vmap(lambda key: one_by_one(key, shape, dtype))(key)

    return initialize


# name -> kernel initialiser. The sources, in order: LeCun et al. 1998 (Flax's default); Glorot &
# Bengio 2010 (Keras's default); He et al. 2015 (for ReLU), normal and uniform, and normal by the
# outputs (torchvision's ResNet and VGG); Saxe et al. 2014, with the gain √2 of PPO's ReLU and tanh
# trunks; PyTorch's default (`reset_parameters` of nn.Linear and nn.Conv: kaiming_uniform_ with
# a = √5, which is U(±1/√fan_in)).
KERNELS: dict[str, Initializer] = {
    "lecun": nn.initializers.lecun_normal(),
    "glorot": nn.initializers.glorot_uniform(),
    "he": nn.initializers.he_normal(),
    "he_uniform": nn.initializers.he_uniform(),
    "he_fan_out": nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
    "orthogonal": orthogonal(math.sqrt(2.0)),
    "torch": nn.initializers.variance_scaling(1.0 / 3.0, "fan_in", "uniform"),
    "zeros": nn.initializers.zeros_init(),
}


def divided_initializer(initializer: Initializer, divisor: float) -> Initializer:
    """Another's values, divided."""

    def initialize(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return initializer(key, shape, dtype) / divisor

    return initialize


def uniform(bound: float) -> Initializer:
    """U(-bound, bound)."""

    def initialize(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return initialize


def torch_uniform(fan_in: int) -> Initializer:
    """PyTorch's default for the kernel and the bias of a layer with `fan_in` inputs: U(±1/√fan_in).

    `fan_in` counts the kernel's window: C/groups · k₁ · k₂ ... for a convolution.
    """
    return uniform(1.0 / math.sqrt(fan_in))


def kernel_initializer(name: str) -> Initializer:
    """The kernel's initialiser called `name`; an unknown name raises UserError."""
    if name not in KERNELS:
        raise unknown("initializer", name, KERNELS)
    return KERNELS[name]


def bias_initializer(name: str, fan_in: int) -> Initializer:
    """The bias that goes with `kernel_initializer(name)`: zeros, but U(±1/√fan_in) for "torch"."""
    return torch_uniform(fan_in) if name == "torch" else nn.initializers.zeros_init()
