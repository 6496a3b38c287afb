"""Residual networks for video: R3D, MC3 and R(2+1)D, as torchvision has them.

Tran, Wang, Torresani, Ray, LeCun & Paluri, "A closer look at spatiotemporal convolutions for action
recognition", CVPR 2018. Convolutions start from N(0, 2 / fan_out), the head from N(0, 0.01²).

Letters: B batch, T frames, H W image, C channels.
"""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import unknown
from aimodels.models.inputs import as_clips
from aimodels.modules import ConvNormActivation, Dense
from aimodels.modules.blocks import divided

# Kind -> the convolution of each of the four stages.
KINDS: dict[str, tuple[str, str, str, str]] = {
    "r3d": ("3d", "3d", "3d", "3d"),
    "mc3": ("3d", "2d", "2d", "2d"),
    "r2plus1d": ("2plus1d", "2plus1d", "2plus1d", "2plus1d"),
}


class SpaceTimeConv(nn.Module):
    """A 3x3x3 convolution with norm and ReLU, or what stands in its place.

    Parameters: `conv`; "2plus1d" has `space` and `time`; each is a `ConvNormActivation`.

    Attributes:
        features: output channels.
        kind: "3d"; "2d", over each frame alone; "2plus1d", 1x3x3 with norm and ReLU, then 3x1x1.
        inner_features: channels between the two of "2plus1d".
        strides: of all axes; "2d" keeps the time.
        activation: behind the (last) norm.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: int
    kind: str = "3d"
    inner_features: int = 0
    strides: int = 1
    activation: str = "relu"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """[B, T, H, W, C] -> [B, T', H / strides, W / strides, features]."""
        n = self.strides

        def conv(
            hidden: jax.Array, name: str, features: int, size: tuple, strides: tuple, last: bool
        ) -> jax.Array:
            return ConvNormActivation(
                features,
                size,
                strides=strides,
                activation=self.activation if last else "relu",
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=name,
            )(hidden, train=train)

        if self.kind == "3d":
            return conv(inputs, "conv", self.features, (3, 3, 3), (n, n, n), True)
        if self.kind == "2d":
            return conv(inputs, "conv", self.features, (1, 3, 3), (1, n, n), True)
        hidden = conv(inputs, "space", self.inner_features, (1, 3, 3), (1, n, n), False)
        return conv(hidden, "time", self.features, (3, 1, 1), (n, 1, 1), True)


class VideoBlock(nn.Module):
    """Two convolutions, added to the inputs, which a 1x1x1 convolution fits where they change.

    Attributes:
        features: output channels.
        kind: see `SpaceTimeConv`.
        strides: of the first convolution.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: int
    kind: str = "3d"
    strides: int = 1
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """[B, T, H, W, C] -> [B, T', H / strides, W / strides, features]."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        C, F, n = inputs.shape[-1], self.features, self.strides
        # As many parameters as a 3x3x3 convolution (section 3.5); the second one takes them too.
        inner = C * F * 27 // (C * 9 + 3 * F)
        first = SpaceTimeConv(F, self.kind, inner, n, name="conv_1", **dtypes)
        second = SpaceTimeConv(F, self.kind, inner, activation="identity", name="conv_2", **dtypes)
        hidden = second(first(inputs, train=train), train=train)
        shortcut = inputs
        if n != 1 or C != F:
            shortcut = ConvNormActivation(
                F,
                (1, 1, 1),
                strides=(1 if self.kind == "2d" else n, n, n),
                activation="identity",
                name="shortcut",
                **dtypes,
            )(inputs, train=train)
        return divided(nn.relu(hidden + shortcut))


class VideoResNet(nn.Module):
    """R3D-18, MC3-18 or R(2+1)D-18, or smaller ones.

    >>> VideoResNet(kind="r3d")               # 33,371,472 parameters
    >>> VideoResNet(kind="mc3")               # 11,695,440
    >>> VideoResNet(kind="r2plus1d")          # 31,505,325
    >>> VideoResNet(kind="r3d", features=(8, 16, 32), blocks=1, num_classes=11)    # a small one

    Parameters: `stem` (for R(2+1)D `stem_space`, `stem_time`), `stage_1_block_0` ..., `head`. Sown
    as intermediates: "stem", "stage_1" ..., and "pooled" [B, C].

    Attributes:
        num_classes: outputs.
        kind: "r3d", "mc3" or "r2plus1d".
        features: channels of each stage; the first one is the stem's too.
        blocks: of each stage.
        stem_strides: of the stem over H and W.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_classes: int = 400
    kind: Literal["r3d", "mc3", "r2plus1d"] = "r3d"
    features: tuple[int, ...] = (64, 128, 256, 512)
    blocks: int = 2
    stem_strides: int = 2
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, T, H, W, C] -> [B, num_classes]."""
        if self.kind not in KINDS:
            raise unknown("kind of VideoResNet", self.kind, KINDS)
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        hidden = as_clips("VideoResNet", inputs, lengths, self.dtype)

        def stem(hidden: jax.Array, name: str, features: int, size: tuple) -> jax.Array:
            n = self.stem_strides if size[1] > 1 else 1
            conv = ConvNormActivation(features, size, strides=(1, n, n), name=name, **dtypes)
            return conv(hidden, train=train)

        first = self.features[0]
        if self.kind == "r2plus1d":
            hidden = stem(hidden, "stem_space", 45 * first // 64, (1, 7, 7))
            hidden = stem(hidden, "stem_time", first, (3, 1, 1))
        else:
            hidden = stem(hidden, "stem", first, (3, 7, 7))
        self.sow("intermediates", "stem", hidden)
        for stage, features in enumerate(self.features, start=1):
            kind = KINDS[self.kind][min(stage, 4) - 1]
            for block in range(self.blocks):
                strides = 2 if stage > 1 and block == 0 else 1
                name = f"stage_{stage}_block_{block}"
                hidden = VideoBlock(features, kind, strides, name=name, **dtypes)(
                    hidden, train=train
                )
            self.sow("intermediates", f"stage_{stage}", hidden)
        pooled = hidden.mean((1, 2, 3))
        self.sow("intermediates", "pooled", pooled)
        normal = nn.initializers.normal(0.01)
        return Dense(self.num_classes, kernel_init=normal, name="head", **dtypes)(pooled)
