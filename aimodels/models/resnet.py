"""Residual networks of He et al. 2016, as torchvision has them, with Wide ResNet and ResNeXt.

He, Zhang, Ren & Sun, "Deep residual learning for image recognition", CVPR 2016, table 1. As in
torchvision the bottleneck's stride is in its 3x3 convolution ("v1.5", Goyal et al. 2017), not in
its first 1x1. Convolutions start from N(0, 2 / fan_out), the head as PyTorch's Linear.

The networks for 32x32 images are in `cifar_resnet`, those with the activation before the
convolution in `preactivation_resnet`.
"""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import UserError, unknown
from aimodels.models.inputs import as_images
from aimodels.modules import ConvNormActivation, Dense, Dropout, max_pool
from aimodels.modules.blocks import divided

# Depth -> (whether its blocks are bottlenecks, how many blocks each stage has).
STAGES: dict[int, tuple[bool, tuple[int, int, int, int]]] = {
    18: (False, (2, 2, 2, 2)),
    34: (False, (3, 4, 6, 3)),
    50: (True, (3, 4, 6, 3)),
    101: (True, (3, 4, 23, 3)),
    152: (True, (3, 8, 36, 3)),
}
# How much smaller the last feature map is -> which stages trade their stride for dilation.
DILATED = {
    32: (False, False, False, False),
    16: (False, False, False, True),
    8: (False, False, True, True),
}


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, or the bottleneck of 1x1, 3x3 and 1x1, added to the inputs.

    Each convolution has a norm, and a ReLU but for the last, whose ReLU comes after the addition.
    Where size or channels change, the shortcut is a 1x1 convolution with a norm ("option B").

    Attributes:
        features: output channels; a bottleneck works on `inner_features`.
        strides: of the (first) 3x3 convolution.
        inner_features: channels of the bottleneck's 3x3 convolution; None for the block of two.
        dilation: of the 3x3 convolution that has the stride. The second one of two keeps it too.
        groups: of the bottleneck's 3x3 convolution.
        zero_init: the last norm starts from 0, so that the block starts as its shortcut.
        frozen_norm: the norms stay as they are, without parameters.
        drop_rate: the probability that an example skips what the block adds; may be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: int
    strides: int = 1
    inner_features: int | None = None
    dilation: int = 1
    groups: int = 1
    zero_init: bool = False
    frozen_norm: bool = False
    drop_rate: float | jax.Array = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """[B, H, W, C] -> [B, H / strides, W / strides, features]."""

        def conv(
            hidden: jax.Array, name: str, features: int, size: int, **fields: Any
        ) -> jax.Array:
            dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
            fields |= {"name": name, "frozen_norm": self.frozen_norm}
            return ConvNormActivation(features, size, **fields, **dtypes)(hidden, train=train)

        start = nn.initializers.zeros_init() if self.zero_init else nn.initializers.ones_init()
        last: dict[str, Any] = {"activation": "identity", "scale_init": start}
        strided = {"strides": self.strides, "dilation": self.dilation}
        if self.inner_features is None:
            hidden = conv(inputs, "conv_1", self.features, 3, **strided)
            hidden = conv(hidden, "conv_2", self.features, 3, dilation=self.dilation, **last)
        else:
            inner = self.inner_features
            hidden = conv(inputs, "conv_1", inner, 1)
            hidden = conv(hidden, "conv_2", inner, 3, groups=self.groups, **strided)
            hidden = conv(hidden, "conv_3", self.features, 1, **last)
        hidden = Dropout(self.drop_rate, broadcast_dims=(1, 2, 3))(hidden, deterministic=not train)
        shortcut = inputs
        if self.strides != 1 or inputs.shape[-1] != self.features:
            shortcut = conv(
                inputs, "shortcut", self.features, 1, strides=self.strides, activation="identity"
            )
        return nn.relu(hidden + shortcut)


class ResNetBackbone(nn.Module):
    """A ResNet without its head: feature maps for a classifier, a detector or a segmenter.

    Parameters: `stem`, then `stage_1_block_0` ... Attributes are those of `ResNet`, and

    Attributes:
        width: channels of the stem and of the first stage; each stage has twice as many.
        frozen_norm: the norms stay as they are, without parameters (for detectors).
    """

    depth: int = 50
    groups: int = 1
    width_per_group: int = 64
    stem: Literal["imagenet", "cifar"] = "imagenet"
    output_stride: int = 32
    zero_init_residual: bool = False
    stochastic_depth_rate: float = 0.0
    width: int = 64
    frozen_norm: bool = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """[B, H, W, C] -> {"c2": [B, H/4, W/4, C2], "c3": H/8, "c4": H/16, "c5": H/32}.

        C2 to C5 are 64, 128, 256 and 512, or 4 times as many with bottlenecks; the sizes are
        rounded up. They are sown as intermediates of the same names.
        """
        bottleneck, counts, dilated = self._layout()
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        given: dict[str, Any] = {"frozen_norm": self.frozen_norm, **dtypes}
        if self.stem == "cifar":
            hidden = ConvNormActivation(self.width, 3, name="stem", **given)(inputs, train=train)
        else:
            stem = ConvNormActivation(self.width, 7, strides=2, name="stem", **given)
            hidden = max_pool(stem(inputs, train=train), (3, 3), strides=2, padding=1)

        maps, number, dilation = {}, 0, 1
        for stage, count in enumerate(counts, start=1):
            width = self.width * 2 ** (stage - 1)
            inner = width * self.width_per_group // 64 * self.groups if bottleneck else None
            strides = 1 if stage == 1 else 2
            # The first block of a dilated stage still has the dilation of the stage before.
            first_dilation = dilation
            if dilated[stage - 1]:
                dilation, strides = dilation * strides, 1
            for block in range(count):
                number += 1
                hidden = ResidualBlock(
                    width * 4 if bottleneck else width,
                    strides=strides if block == 0 else 1,
                    inner_features=inner,
                    dilation=first_dilation if block == 0 else dilation,
                    groups=self.groups,
                    zero_init=self.zero_init_residual,
                    drop_rate=self.stochastic_depth_rate * number / sum(counts),
                    name=f"stage_{stage}_block_{block}",
                    **given,
                )(hidden, train=train)
                hidden = divided(hidden)
            maps[f"c{stage + 1}"] = hidden
            self.sow("intermediates", f"c{stage + 1}", hidden)
        return maps

    @nn.nowrap
    def _layout(self) -> tuple[bool, tuple[int, ...], tuple[bool, ...]]:
        """Whether blocks are bottlenecks, the blocks of each stage, and which are dilated."""
        if self.depth not in STAGES:
            raise unknown("depth of ResNet", str(self.depth), [str(depth) for depth in STAGES])
        if self.output_stride not in DILATED:
            raise UserError(f"output_stride is {self.output_stride}; it takes 8, 16 or 32.")
        bottleneck, counts = STAGES[self.depth]
        if not bottleneck and (self.groups, self.width_per_group) != (1, 64):
            raise UserError(
                "groups and width_per_group are for bottlenecks, and a ResNet of depth"
                f" {self.depth} has none; take depth 50, 101 or 152."
            )
        return bottleneck, counts, DILATED[self.output_stride]


class ResNet(nn.Module):
    """A residual network for images (He et al. 2016).

    >>> ResNet(depth=50)                                        # 25,557,032 parameters
    >>> ResNet(depth=50, width_per_group=128)                   # Wide ResNet-50-2: 68,883,240
    >>> ResNet(depth=50, groups=32, width_per_group=4)          # ResNeXt-50 32x4d: 25,028,904
    >>> ResNet(depth=18, num_classes=10, stem="cifar")          # for images of 32x32

    Parameters: `backbone`, a `ResNetBackbone`, and `head`, a Dense. Sown as intermediates: the
    feature maps "c2" to "c5" of the backbone, and "pooled" [B, C], what the head reads.

    Attributes:
        depth: 18, 34 (blocks of two 3x3 convolutions), 50, 101 or 152 (bottlenecks).
        num_classes: outputs.
        groups: of the bottleneck's 3x3 convolution (ResNeXt, Xie et al. 2017).
        width_per_group: channels of each group in the first stage; 64 is the paper's, 128 makes
            the Wide ResNets of Zagoruyko & Komodakis 2016 for ImageNet.
        stem: "imagenet", 7x7 with stride 2 and max pooling; "cifar", 3x3 with neither.
        output_stride: how much smaller than the image the last feature map is: 32; 16 or 8 give up
            the last strides and dilate the kernels instead (DeepLab, Chen et al. 2017). The stem
            "cifar" makes all maps 4 times larger.
        zero_init_residual: the last norm of each block starts from 0 (Goyal et al. 2017).
        stochastic_depth_rate: the probability that an example skips the last block; it grows
            linearly over the blocks from nearly 0 (Huang et al. 2016). May be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    depth: int = 50
    num_classes: int = 1000
    groups: int = 1
    width_per_group: int = 64
    stem: Literal["imagenet", "cifar"] = "imagenet"
    output_stride: int = 32
    zero_init_residual: bool = False
    stochastic_depth_rate: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, H, W, C] -> [B, num_classes]."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        backbone = ResNetBackbone(
            depth=self.depth,
            groups=self.groups,
            width_per_group=self.width_per_group,
            stem=self.stem,
            output_stride=self.output_stride,
            zero_init_residual=self.zero_init_residual,
            stochastic_depth_rate=self.stochastic_depth_rate,
            name="backbone",
            **dtypes,
        )
        maps = backbone(as_images("ResNet", inputs, lengths, self.dtype), train=train)
        pooled = maps["c5"].mean(axis=(1, 2))
        self.sow("intermediates", "pooled", pooled)
        return Dense(self.num_classes, initializer="torch", name="head", **dtypes)(pooled)
