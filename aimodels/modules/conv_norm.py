"""The block that most convolutional networks are made of: convolution, norm, activation."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.modules.convolution import Conv
from aimodels.modules.dense import activation
from aimodels.modules.initializers import Initializer
from aimodels.modules.norms import BatchNorm, FrozenBatchNorm
from aimodels.modules.windows import extents, per_axis


class ConvNormActivation(nn.Module):
    """Convolution, then batch normalisation, then an activation; parameters: `conv`, `norm`.

    Attributes:
        features: output channels.
        kernel_size: a plain number is a square over H and W; a tuple gives each axis its own.
        strides: one number, or one for each axis.
        padding: as `Conv`'s; None pads both sides of each axis by half of what the window spans,
            which keeps the size at stride 1 (and differs from "SAME" at stride 2).
        dilation: of the kernel.
        groups: of the convolution.
        batch_norm: normalise.
        frozen_norm: by `FrozenBatchNorm`, which has no parameters (detectors on a trained trunk).
        conv_bias: the convolution has a bias; None leaves it out where a norm follows.
        activation: a name of `aimodels.modules.dense.ACTIVATIONS`; "identity" for none.
        epsilon: of the norm.
        momentum: of the norm's running statistics; 0.9 is PyTorch's 0.1.
        initializer: a name of `aimodels.modules.initializers`.
        kernel_init: overrides the name's kernel.
        scale_init: of the norm.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: int
    kernel_size: int | tuple[int, ...] = 3
    strides: int | tuple[int, ...] = 1
    padding: str | int | tuple[int | tuple[int, int], ...] | None = None
    dilation: int | tuple[int, ...] = 1
    groups: int = 1
    batch_norm: bool = True
    frozen_norm: bool = False
    conv_bias: bool | None = None
    activation: str = "relu"
    epsilon: float = 1e-5
    momentum: float = 0.9
    initializer: str = "he_fan_out"
    kernel_init: Initializer | None = None
    scale_init: Initializer = nn.initializers.ones_init()
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """[B, *S, C] -> [B, *S', features]."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        size = self.kernel_size
        kernel_size = (size, size) if isinstance(size, int) else tuple(size)
        padding = self.padding
        if padding is None:
            spans = extents(kernel_size, per_axis("dilation", self.dilation, len(kernel_size)))
            padding = tuple((span - 1) // 2 for span in spans)
        hidden = Conv(
            self.features,
            kernel_size=kernel_size,
            strides=self.strides,
            padding=padding,
            dilation=self.dilation,
            groups=self.groups,
            use_bias=not self.batch_norm if self.conv_bias is None else self.conv_bias,
            initializer=self.initializer,
            kernel_init=self.kernel_init,
            name="conv",
            **dtypes,
        )(inputs)
        if self.batch_norm and self.frozen_norm:
            hidden = FrozenBatchNorm(self.epsilon, name="norm", **dtypes)(hidden)
        elif self.batch_norm:
            hidden = BatchNorm(
                epsilon=self.epsilon,
                momentum=self.momentum,
                scale_init=self.scale_init,
                name="norm",
                **dtypes,
            )(hidden, use_running_average=not train)
        return activation(self.activation)(hidden)
