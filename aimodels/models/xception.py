"""The modified aligned Xception of DeepLab v3+, as a backbone.

Chollet, "Xception: deep learning with depthwise separable convolutions", CVPR 2017; Chen et al.,
"Encoder-decoder with atrous separable convolution for semantic image segmentation", ECCV 2018,
figure 4: more layers, no max pooling, a norm behind each depthwise convolution. Where ReLUs stand
and the epsilon of norms are as in the authors' released network (xception_65).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.modules import ConvNormActivation
from aimodels.modules.blocks import divided

MIDDLE_BLOCKS = 16
EPSILON = 1e-3


class SeparableConv(nn.Module):
    """A 3x3 depthwise convolution, then a 1x1 one with a norm.

    Parameters: `depthwise` and `pointwise`, each a `ConvNormActivation`.

    Attributes:
        features: output channels.
        strides: of the depthwise convolution.
        dilation: of the depthwise convolution.
        inner_norm: a norm between the two.
        activated: "behind": a ReLU behind each norm; "before": one on the inputs alone.
        epsilon: of the norms.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: int
    strides: int = 1
    dilation: int = 1
    inner_norm: bool = True
    activated: str = "behind"
    epsilon: float = 1e-5
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """[B, H, W, C] -> [B, H / strides, W / strides, features]."""
        common: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        common |= {"initializer": "he", "epsilon": self.epsilon}
        behind = "relu" if self.activated == "behind" else "identity"
        hidden = nn.relu(inputs) if self.activated == "before" else inputs
        hidden = ConvNormActivation(
            inputs.shape[-1],
            3,
            strides=self.strides,
            dilation=self.dilation,
            groups=inputs.shape[-1],
            batch_norm=self.inner_norm,
            conv_bias=False,
            activation=behind if self.inner_norm else "identity",
            name="depthwise",
            **common,
        )(hidden, train=train)
        last = ConvNormActivation(self.features, 1, activation=behind, name="pointwise", **common)
        return last(hidden, train=train)


class XceptionBlock(nn.Module):
    """Three separable convolutions, added to a shortcut.

    Attributes:
        features: output channels of the three.
        strides: of the last of them.
        dilation: of all of them.
        shortcut: "conv", a 1x1 convolution with a norm; "sum", the inputs; "none".
        activated: see `SeparableConv`.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: tuple[int, int, int]
    strides: int = 1
    dilation: int = 1
    shortcut: str = "conv"
    activated: str = "before"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> tuple[jax.Array, jax.Array]:
        """[B, H, W, C] -> [B, H / strides, W / strides, features], and before the last of three."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        hidden, inner = inputs, inputs
        for number, features in enumerate(self.features, start=1):
            inner = hidden
            hidden = SeparableConv(
                features,
                strides=self.strides if number == len(self.features) else 1,
                dilation=self.dilation,
                activated=self.activated,
                epsilon=EPSILON,
                name=f"conv_{number}",
                **dtypes,
            )(hidden, train=train)
        if self.shortcut == "sum":
            hidden = hidden + inputs
        elif self.shortcut == "conv":
            hidden = hidden + ConvNormActivation(
                self.features[-1],
                1,
                strides=self.strides,
                activation="identity",
                epsilon=EPSILON,
                name="shortcut",
                **dtypes,
            )(inputs, train=train)
        return divided(hidden), inner


class XceptionBackbone(nn.Module):
    """Feature maps for a segmenter.

    Parameters: `stem_1`, `stem_2`, `entry_1` to `entry_3`, `middle_1` to `middle_16`, `exit_1`,
    `exit_2`.

    Attributes:
        output_stride: how much smaller than the image the last map is: 16 or 8.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    output_stride: int = 16
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """[B, H, W, C] -> {"c2": [B, H/4, W/4, 256], "c5": [B, H/stride, W/stride, 2048]}.

        Sizes are rounded up; both are sown as intermediates.
        """
        if self.output_stride not in (8, 16):
            raise UserError(f"Xception: output_stride is {self.output_stride}; it takes 8 or 16")
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        rate = 16 // self.output_stride
        stem: Any = {"epsilon": EPSILON, **dtypes}
        hidden = ConvNormActivation(32, 3, strides=2, name="stem_1", **stem)(inputs, train=train)
        hidden = ConvNormActivation(64, 3, name="stem_2", **stem)(hidden, train=train)

        def block(hidden: jax.Array, name: str, *features: int, **fields: Any) -> Any:
            three: Any = features * 3 if len(features) == 1 else features
            return XceptionBlock(three, name=name, **fields, **dtypes)(hidden, train=train)

        hidden, _ = block(hidden, "entry_1", 128, strides=2)
        hidden, fine = block(hidden, "entry_2", 256, strides=2)
        hidden, _ = block(hidden, "entry_3", 728, strides=2 if rate == 1 else 1)
        for number in range(1, MIDDLE_BLOCKS + 1):
            hidden, _ = block(hidden, f"middle_{number}", 728, dilation=rate, shortcut="sum")
        hidden, _ = block(hidden, "exit_1", 728, 1024, 1024, dilation=rate)
        last = {"dilation": 2 * rate, "shortcut": "none", "activated": "behind"}
        hidden, _ = block(hidden, "exit_2", 1536, 1536, 2048, **last)
        maps = {"c2": fine, "c5": hidden}
        for name, found in maps.items():
            self.sow("intermediates", name, found)
        return maps
