"""GoogLeNet with batch normalisation, as torchvision has it.

Szegedy et al., "Going deeper with convolutions", CVPR 2015, table 1. Of that network it differs as
torchvision's does: a norm behind each convolution (Ioffe & Szegedy 2015) in place of response
normalisation, and 3x3 kernels where the third branch of a module has 5x5. Kernels start from
N(0, 0.01²). torchvision's weights were trained on images scaled to [-1, 1].
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.models.inputs import as_images
from aimodels.modules import (
    ConvNormActivation,
    Dense,
    Dropout,
    adaptive_avg_pool,
    ceil_padding,
    max_pool,
)
from aimodels.modules.blocks import divided
from aimodels.modules.initializers import torch_uniform

# Table 1: each module's 1x1, 3x3 reduced, 3x3, 5x5 reduced, 5x5 and pooled channels.
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
# The module -> the window of max pooling behind it; all have stride 2.
POOLED = {"3b": 3, "4e": 2}
# The module -> the number of the auxiliary head that reads it.
HEADS = {"4a": 1, "4d": 2}
NORMAL = nn.initializers.normal(0.01)


def _conv(owner: Any, name: str, features: int, size: int, **fields: Any) -> ConvNormActivation:
    return ConvNormActivation(
        features,
        size,
        epsilon=1e-3,
        kernel_init=NORMAL,
        dtype=owner.dtype,
        param_dtype=owner.param_dtype,
        name=name,
        **fields,
    )


def _dense(owner: Any, name: str, features: int, fan_in: int) -> Dense:
    return Dense(
        features,
        kernel_init=NORMAL,
        bias_init=torch_uniform(fan_in),
        dtype=owner.dtype,
        param_dtype=owner.param_dtype,
        name=name,
    )


def _pool(hidden: jax.Array, size: int) -> jax.Array:
    """Max pooling with stride 2 that leaves no place out."""
    pads = ceil_padding(hidden.shape[1:-1], (size, size), (2, 2))
    return max_pool(hidden, (size, size), strides=2, padding=pads)


class InceptionModule(nn.Module):
    """Four branches side by side: 1x1; 1x1 and 3x3; 1x1 and 3x3 (5x5 in the paper); pooled and 1x1.

    Attributes:
        channels: six numbers, see `MODULES`.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    channels: tuple[int, int, int, int, int, int]
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, the sum of the branches' channels]."""

        def conv(hidden: jax.Array, name: str, features: int, size: int) -> jax.Array:
            return _conv(self, name, features, size)(hidden, train=train)

        one, three_reduced, three, five_reduced, five, pooled = self.channels
        branches = (
            conv(inputs, "branch_1", one, 1),
            conv(conv(inputs, "branch_2_reduce", three_reduced, 1), "branch_2", three, 3),
            conv(conv(inputs, "branch_3_reduce", five_reduced, 1), "branch_3", five, 3),
            conv(max_pool(inputs, (3, 3), strides=1, padding=1), "branch_4", pooled, 1),
        )
        return jnp.concatenate(branches, axis=-1)


class AuxiliaryHead(nn.Module):
    """Logits from the middle of the network, for the loss in training: [B, H, W, C] -> [B, V].

    Attributes:
        num_classes: V.
        dropout_rate: before the last layer; may be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_classes: int
    dropout_rate: float = 0.7
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """[B, H, W, C] -> [B, num_classes]."""
        hidden = adaptive_avg_pool(inputs, (4, 4))
        hidden = _conv(self, "conv", 128, 1)(hidden, train=train).reshape(hidden.shape[0], -1)
        hidden = nn.relu(_dense(self, "dense", 1024, 2048)(hidden))
        hidden = Dropout(self.dropout_rate)(hidden, deterministic=not train)
        return _dense(self, "head", self.num_classes, 1024)(hidden)


class GoogLeNet(nn.Module):
    """Three convolutions and nine Inception modules.

    >>> GoogLeNet()                              # 13,004,888 parameters, auxiliary heads included
    >>> GoogLeNet(auxiliary_heads=False)         # 6,624,904

    Parameters: `conv_1` to `conv_3`, `module_3a` to `module_5b`, `auxiliary_1`, `auxiliary_2`,
    `head`. Sown as intermediates: "inception_3a" to "inception_5b", and "pooled" [B, 1024]. In
    training the logits [B, num_classes] of the auxiliary heads are sown into the collection
    "auxiliary_outputs" if it is mutable, as "logits_1" and "logits_2"; tasks add their loss.

    Attributes:
        num_classes: outputs.
        auxiliary_heads: have them.
        auxiliary_weight: how often the loss of each auxiliary head counts; 0.3 in the paper.
        dropout_rate: before the head; may be traced. 0.4 in the paper.
        auxiliary_dropout_rate: in the auxiliary heads; may be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_classes: int = 1000
    auxiliary_heads: bool = True
    auxiliary_weight: float = 0.3
    dropout_rate: float = 0.2
    auxiliary_dropout_rate: float = 0.7
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, H, W, C] -> [B, num_classes]."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        hidden = as_images("GoogLeNet", inputs, lengths, self.dtype)
        hidden = _pool(_conv(self, "conv_1", 64, 7, strides=2)(hidden, train=train), 3)
        hidden = _conv(self, "conv_2", 64, 1)(hidden, train=train)
        hidden = _pool(_conv(self, "conv_3", 192, 3)(hidden, train=train), 3)
        for module, channels in MODULES.items():
            name = f"module_{module}"
            hidden = InceptionModule(channels, name=name, **dtypes)(hidden, train=train)
            hidden = divided(hidden)
            self.sow("intermediates", f"inception_{module}", hidden)
            if module in HEADS and self.auxiliary_heads and (train or self.is_initializing()):
                number = HEADS[module]
                head = AuxiliaryHead(
                    self.num_classes,
                    self.auxiliary_dropout_rate,
                    name=f"auxiliary_{number}",
                    **dtypes,
                )
                logits = head(hidden, train=train)
                if not self.is_initializing():
                    self.sow("auxiliary_outputs", f"logits_{number}", logits)
            if module in POOLED:
                hidden = _pool(hidden, POOLED[module])
        pooled = hidden.mean(axis=(1, 2))
        self.sow("intermediates", "pooled", pooled)
        pooled = Dropout(self.dropout_rate)(pooled, deterministic=not train)
        return _dense(self, "head", self.num_classes, 1024)(pooled)
