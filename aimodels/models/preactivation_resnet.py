"""Residual networks with norm and activation before each convolution, and Wide ResNets.

He, Zhang, Ren & Sun, "Identity mappings in deep residual networks", ECCV 2016; Zagoruyko &
Komodakis, "Wide residual networks", BMVC 2016. Details that the papers leave open are those of the
authors' code: shortcuts that change size or channels are 1x1 convolutions without a norm, on the
activated inputs; kernels start from N(0, 2 / fan_out).
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import UserError, unknown
from aimodels.models.inputs import as_images
from aimodels.models.resnet import STAGES
from aimodels.modules import BatchNorm, Conv, ConvNormActivation, Dense, Dropout, max_pool
from aimodels.modules.blocks import divided


class PreActivationBlock(nn.Module):
    """(norm, ReLU, convolution) twice, or three times as a bottleneck, added to the inputs.

    Attributes:
        features: output channels.
        strides: of the first 3x3 convolution.
        bottleneck: 1x1, 3x3 and 1x1 with a quarter of the channels inside, instead of two 3x3.
        is_activated: the inputs have been through norm and ReLU: the first block of a network,
            whose shortcut then is of activated inputs too (appendix of the paper).
        dropout_rate: between the 3x3 convolutions (Wide ResNet, section 2.4); may be traced.
        drop_rate: the probability that an example skips what the block adds; may be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: int
    strides: int = 1
    bottleneck: bool = False
    is_activated: bool = False
    dropout_rate: float | jax.Array = 0.0
    drop_rate: float | jax.Array = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """[B, H, W, C] -> [B, H / strides, W / strides, features]."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}

        def activated(hidden: jax.Array, name: str) -> jax.Array:
            return nn.relu(BatchNorm(name=name, **dtypes)(hidden, use_running_average=not train))

        def conv(hidden: jax.Array, name: str, features: int, size: int, strides: int) -> jax.Array:
            return Conv(
                features,
                kernel_size=(size, size),
                strides=strides,
                padding=size // 2,
                use_bias=False,
                initializer="he_fan_out",
                name=name,
                **dtypes,
            )(hidden)

        start = inputs if self.is_activated else activated(inputs, "norm_1")
        changes = self.strides != 1 or inputs.shape[-1] != self.features
        shortcut = inputs
        if changes:
            shortcut = conv(start, "shortcut", self.features, 1, self.strides)
        if self.bottleneck:
            inner = self.features // 4
            hidden = conv(start, "conv_1", inner, 1, 1)
            hidden = conv(activated(hidden, "norm_2"), "conv_2", inner, 3, self.strides)
            hidden = conv(activated(hidden, "norm_3"), "conv_3", self.features, 1, 1)
        else:
            hidden = activated(conv(start, "conv_1", self.features, 3, self.strides), "norm_2")
            hidden = Dropout(self.dropout_rate)(hidden, deterministic=not train)
            hidden = conv(hidden, "conv_2", self.features, 3, 1)
        hidden = Dropout(self.drop_rate, broadcast_dims=(1, 2, 3))(hidden, deterministic=not train)
        return hidden + shortcut


class PreActivationStages(nn.Module):
    """Stages of pre-activation blocks behind an activated stem, and the last norm and ReLU.

    Each stage is sown as an intermediate, "stage_1" ..., before the next norm.

    Attributes:
        counts: the blocks of each stage; all but the first halve H and W.
        features: the channels of each stage.
        bottleneck: see `PreActivationBlock`.
        dropout_rate: see `PreActivationBlock`.
        stochastic_depth_rate: of the last block, growing linearly over the blocks.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    counts: Sequence[int]
    features: Sequence[int]
    bottleneck: bool = False
    dropout_rate: float = 0.0
    stochastic_depth_rate: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """[B, H, W, C] -> [B, H', W', features[-1]]."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        hidden, number = inputs, 0
        stages = zip(self.counts, self.features, strict=True)
        for stage, (count, features) in enumerate(stages, start=1):
            for block in range(count):
                number += 1
                hidden = PreActivationBlock(
                    features,
                    strides=2 if stage > 1 and block == 0 else 1,
                    bottleneck=self.bottleneck,
                    is_activated=number == 1,
                    dropout_rate=self.dropout_rate,
                    drop_rate=self.stochastic_depth_rate * number / sum(self.counts),
                    name=f"stage_{stage}_block_{block}",
                    **dtypes,
                )(hidden, train=train)
                hidden = divided(hidden)
            self.sow("intermediates", f"stage_{stage}", hidden)
        norm = BatchNorm(name="norm", **dtypes)
        return nn.relu(norm(hidden, use_running_average=not train))


class PreActivationResNet(nn.Module):
    """The residual network of He et al. 2016b, for ImageNet or for images of 32x32.

    >>> PreActivationResNet(depth=50)                                      # 25,549,352 parameters
    >>> PreActivationResNet(depth=164, num_classes=10, stem="cifar")       # 1,703,258
    >>> PreActivationResNet(depth=1001, num_classes=10, stem="cifar")      # 10,327,706

    Sown as intermediates: "stages/stage_1" ..., and "pooled" [B, C], what the head reads.

    Attributes:
        depth: 18, 34, 50, 101, 152 or 200 with the stem "imagenet"; 9 n + 2 with "cifar", whose
            blocks are bottlenecks (164 and 1001 in the paper), or 6 n + 2 without (110).
        num_classes: outputs.
        stem: "imagenet", 7x7 with stride 2 and max pooling, and four stages; "cifar", 3x3, three.
        bottleneck: of the blocks with the stem "cifar"; with "imagenet" the depth says it.
        stochastic_depth_rate: the probability that an example skips the last block; it grows
            linearly over the blocks (Huang et al. 2016). May be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    depth: int = 50
    num_classes: int = 1000
    stem: str = "imagenet"
    bottleneck: bool = True
    stochastic_depth_rate: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, H, W, C] -> [B, num_classes]."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        hidden = as_images("PreActivationResNet", inputs, lengths, self.dtype)
        if self.stem == "imagenet":
            layouts = STAGES | {200: (True, (3, 24, 36, 3))}
            if self.depth not in layouts:
                known = [str(depth) for depth in layouts]
                raise unknown("depth of PreActivationResNet", str(self.depth), known)
            bottleneck, counts = layouts[self.depth]
            widths = (64, 128, 256, 512)
            hidden = ConvNormActivation(64, 7, strides=2, name="stem", **dtypes)(
                hidden, train=train
            )
            hidden = max_pool(hidden, (3, 3), strides=2, padding=1)
        elif self.stem == "cifar":
            bottleneck, widths = self.bottleneck, (16, 32, 64)
            counts = (_blocks("PreActivationResNet", self.depth, 2, 9 if bottleneck else 6),) * 3
            hidden = ConvNormActivation(16, 3, name="stem", **dtypes)(hidden, train=train)
        else:
            raise unknown("stem", self.stem, ["imagenet", "cifar"])
        stages = PreActivationStages(
            counts,
            tuple(4 * width if bottleneck else width for width in widths),
            bottleneck=bottleneck,
            stochastic_depth_rate=self.stochastic_depth_rate,
            name="stages",
            **dtypes,
        )
        pooled = stages(hidden, train=train).mean(axis=(1, 2))
        self.sow("intermediates", "pooled", pooled)
        return Dense(self.num_classes, initializer="torch", name="head", **dtypes)(pooled)


class WideResNet(nn.Module):
    """WRN-depth-k of Zagoruyko & Komodakis 2016, for images of 32x32.

    >>> WideResNet(depth=28, widen_factor=10)         # 36,479,194 parameters; "36.5M" in the paper

    Sown as intermediates: "stages/stage_1" to "stages/stage_3", and "pooled" [B, C].

    Attributes:
        depth: 6 n + 4: n blocks in each of three stages.
        num_classes: outputs.
        widen_factor: k: the stages have 16 k, 32 k and 64 k channels.
        dropout_rate: between the convolutions of a block; may be traced.
        stochastic_depth_rate: see `PreActivationResNet`.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    depth: int = 28
    num_classes: int = 10
    widen_factor: int = 10
    dropout_rate: float = 0.0
    stochastic_depth_rate: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, H, W, C] -> [B, num_classes]."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        hidden = as_images("WideResNet", inputs, lengths, self.dtype)
        hidden = ConvNormActivation(16, 3, name="stem", **dtypes)(hidden, train=train)
        stages = PreActivationStages(
            (_blocks("WideResNet", self.depth, 4, 6),) * 3,
            tuple(width * self.widen_factor for width in (16, 32, 64)),
            dropout_rate=self.dropout_rate,
            stochastic_depth_rate=self.stochastic_depth_rate,
            name="stages",
            **dtypes,
        )
        pooled = stages(hidden, train=train).mean(axis=(1, 2))
        self.sow("intermediates", "pooled", pooled)
        return Dense(self.num_classes, initializer="torch", name="head", **dtypes)(pooled)


def _blocks(model: str, depth: int, rest: int, layers: int) -> int:
    """The blocks of each stage of a network of so many layers, `rest` of them outside."""
    count, left = divmod(depth - rest, layers)
    if left or count < 1:
        raise UserError(f"depth is {depth}; this {model} takes {layers} n + {rest}.")
    return count
