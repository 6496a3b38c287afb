"""EfficientNet-Lite0: EfficientNet-B0 for small devices.

Tan & Le, "EfficientNet", ICML 2019, table 1; the Lite form (2020) of the authors' code has no
squeeze-and-excitation, ReLU6 in place of swish. Convolutions pad as TensorFlow's "SAME". Kernels
start from N(0, 2 / fan_out), the head from U(±1/√num_classes), as in that code.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.models.inputs import as_images
from aimodels.modules import ConvNormActivation, Dense, Dropout
from aimodels.modules.blocks import divided

# Each stage's blocks, kernel, stride, expansion and output channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# The stages that are the last of their size -> the name of their feature map.
MAPS = {1: "c1", 2: "c2", 3: "c3", 5: "c4", 7: "c5"}


def _conv(owner: Any, name: str, features: int, size: int, **fields: Any) -> ConvNormActivation:
    given: dict[str, Any] = {"activation": "relu6"} | fields
    return ConvNormActivation(
        features,
        size,
        padding="SAME",
        epsilon=1e-3,
        momentum=0.99,
        dtype=owner.dtype,
        param_dtype=owner.param_dtype,
        name=name,
        **given,
    )


class InvertedResidual(nn.Module):
    """1x1 to more channels, a depthwise convolution, 1x1 back (Sandler et al. 2018, MobileNetV2).

    The inputs are added where size and channels stay.

    Attributes:
        features: output channels.
        kernel_size: of the depthwise convolution.
        strides: of the depthwise convolution.
        dilation: of the depthwise convolution.
        expansion: how many times more channels there are inside; with 1 the first 1x1 is left out.
        drop_rate: the probability that an example skips what the block adds; may be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: int
    kernel_size: int = 3
    strides: int = 1
    dilation: int = 1
    expansion: int = 6
    drop_rate: float | jax.Array = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """[B, H, W, C] -> [B, H / strides, W / strides, features]."""
        channels = inputs.shape[-1]
        inner, hidden = channels * self.expansion, inputs
        if self.expansion != 1:
            hidden = _conv(self, "expand", inner, 1)(hidden, train=train)
        depthwise = _conv(
            self,
            "depthwise",
            inner,
            self.kernel_size,
            strides=self.strides,
            dilation=self.dilation,
            groups=inner,
        )
        hidden = depthwise(hidden, train=train)
        project = _conv(self, "project", self.features, 1, activation="identity")
        hidden = project(hidden, train=train)
        if self.strides != 1 or channels != self.features:
            return hidden
        drop = Dropout(self.drop_rate, broadcast_dims=(1, 2, 3))
        return inputs + drop(hidden, deterministic=not train)


class EfficientNetBackbone(nn.Module):
    """The stem and the stages: feature maps for a classifier, a detector or a segmenter.

    Attributes:
        stochastic_depth_rate: see `EfficientNetLite0`.
        output_stride: of the last map: 32, or 16 or 8, where the stages behind that have dilated
            convolutions instead of strides (for segmentation); the weights are the same.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    stochastic_depth_rate: float = 0.2
    output_stride: int = 32
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """[B, H, W, C] -> {"c1": [B, H/2, W/2, 16], "c2": 24, "c3": 40, "c4": 112, "c5": 320}.

        Each map is half as large as the one before, rounded up, until `output_stride`; all are sown
        as intermediates.
        """
        if self.output_stride not in (8, 16, 32):
            raise UserError(f"output_stride is {self.output_stride}; it takes 8, 16 or 32.")
        hidden = _conv(self, "stem", 32, 3, strides=2)(inputs, train=train)
        total, number, maps = sum(stage[0] for stage in STAGES), 0, {}
        reached, dilation = 2, 1
        for stage, (count, size, strides, expansion, features) in enumerate(STAGES, start=1):
            # The first block of a dilated stage still has the dilation of the stage before.
            first_dilation = dilation
            if reached == self.output_stride:
                dilation, strides = dilation * strides, 1
            reached *= strides
            for block in range(count):
                hidden = InvertedResidual(
                    features,
                    kernel_size=size,
                    strides=strides if block == 0 else 1,
                    dilation=first_dilation if block == 0 else dilation,
                    expansion=expansion,
                    drop_rate=self.stochastic_depth_rate * number / total,
                    dtype=self.dtype,
                    param_dtype=self.param_dtype,
                    name=f"stage_{stage}_block_{block}",
                )(hidden, train=train)
                hidden = divided(hidden)
                number += 1
            if stage in MAPS:
                maps[MAPS[stage]] = hidden
                self.sow("intermediates", MAPS[stage], hidden)
        return maps


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0, for images of 224x224.

    >>> EfficientNetLite0()            # 4,652,008 parameters

    Parameters: `backbone`, an `EfficientNetBackbone`; `last`, a 1x1 convolution to 1,280 channels;
    `head`. Sown as intermediates: "c1" to "c5" of the backbone, and "pooled" [B, 1280].

    Attributes:
        num_classes: outputs.
        dropout_rate: before the head; may be traced.
        stochastic_depth_rate: the probability that an example skips a block grows linearly over
            the 16 blocks from 0 towards this one (the authors' code). May be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_classes: int = 1000
    dropout_rate: float = 0.2
    stochastic_depth_rate: float = 0.2
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, H, W, C] -> [B, num_classes]."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        images = as_images("EfficientNetLite0", inputs, lengths, self.dtype)
        backbone = EfficientNetBackbone(self.stochastic_depth_rate, name="backbone", **dtypes)
        hidden = backbone(images, train=train)["c5"]
        pooled = _conv(self, "last", 1280, 1)(hidden, train=train).mean(axis=(1, 2))
        self.sow("intermediates", "pooled", pooled)
        pooled = Dropout(self.dropout_rate)(pooled, deterministic=not train)
        spread = nn.initializers.variance_scaling(1 / 3, "fan_out", "uniform")
        return Dense(self.num_classes, kernel_init=spread, name="head", **dtypes)(pooled)
