"""The temporal convolutional network, TCN: dilated causal convolutions over a sequence."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.models.inputs import with_channels
from aimodels.modules import Conv, Dense, Dropout
from aimodels.modules.initializers import torch_uniform

SMALL_NORMAL = nn.initializers.normal(0.01)


class TemporalBlock(nn.Module):
    """Two convolutions that see the past alone, each with ReLU and dropout, added to the inputs.

    Attributes:
        features: F, of each convolution.
        kernel_size: places of a window.
        dilation: steps between them.
        dropout_rate: of whole features; may be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: int
    kernel_size: int
    dilation: int
    dropout_rate: float | jax.Array
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """[B, T, C] -> [B, T, F]."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        hidden = inputs
        for index in range(2):
            hidden = Conv(
                self.features,
                self.kernel_size,
                padding="CAUSAL",
                dilation=self.dilation,
                weight_norm=True,
                initializer="torch",
                name=f"conv_{index}",
                **dtypes,
            )(hidden)
            whole_features = Dropout(self.dropout_rate, broadcast_dims=(1,))
            hidden = whole_features(nn.relu(hidden), deterministic=not train)
        if inputs.shape[-1] != self.features:
            inputs = Dense(
                self.features,
                kernel_init=SMALL_NORMAL,
                bias_init=torch_uniform(inputs.shape[-1]),
                name="shortcut",
                **dtypes,
            )(inputs)
        return nn.relu(inputs + hidden)


class TemporalConvNet(nn.Module):
    """Residual blocks of causal convolutions, each of twice the dilation of the one before.

    Bai, Kolter & Koltun, "An empirical evaluation of generic convolutional and recurrent networks
    for sequence modeling", 2018, section 3. An output sees the last 1 + 2 (k - 1) (2^L - 1) steps.
    Initial values are those that the authors' code has in effect: PyTorch's of a convolution, since
    weight normalisation has taken its norm before N(0, 0.01²) is written over it; N(0, 0.01²) in
    shortcuts and in the last layer (but in their model of music). Dropout is the paper's, of whole
    features; their code drops each number alone.

    Inputs are numbers [B, T, C], or [B, T] for one channel. Padding behind a row's length changes
    nothing before it.

    Attributes:
        features: F, of each convolution.
        num_classes: outputs; 1 for the regression of a number.
        num_levels: L, blocks.
        kernel_size: k.
        readout: "last": the Dense layer sees the last valid step; "each": every step.
        dropout_rate: behind each convolution; may be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: int
    num_classes: int
    num_levels: int = 8
    kernel_size: int = 7
    readout: Literal["last", "each"] = "last"
    dropout_rate: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, T, C] or [B, T] -> [B, num_classes]; `lengths` [B] of valid steps, one or more.

        With readout="each", [B, T, num_classes].
        """
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        hidden = with_channels(inputs, axes=1).astype(self.dtype)
        for level in range(self.num_levels):
            hidden = TemporalBlock(
                self.features,
                self.kernel_size,
                dilation=2**level,
                dropout_rate=self.dropout_rate,
                name=f"block_{level}",
                **dtypes,
            )(hidden, train=train)
        if self.readout == "last":
            rows = jnp.arange(len(hidden))
            hidden = hidden[:, -1] if lengths is None else hidden[rows, lengths - 1]
        return Dense(
            self.num_classes,
            kernel_init=SMALL_NORMAL,
            bias_init=torch_uniform(self.features),
            name="head",
            **dtypes,
        )(hidden)
