"""VGG as torchvision has it, with or without BatchNorm.

Simonyan & Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR
2015, table 1, columns A, B, D and E.
Convolutions start from N(0, 2 / fan_out) with biases of 0, Dense layers from N(0, 0.01²).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import unknown
from aimodels.models.inputs import as_images
from aimodels.modules import ConvNormActivation, Dense, Dropout, adaptive_avg_pool, max_pool
from aimodels.modules.blocks import divided

# Depth -> how many convolutions each of the five stages has.
STAGES: dict[int, tuple[int, int, int, int, int]] = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
WIDTHS = (64, 128, 256, 512, 512)


class VGGBackbone(nn.Module):
    """The convolutions of a VGG: feature maps for a classifier, a detector or a segmenter.

    Parameters: `conv_1_1` ... `conv_5_2`, the second number counting within a stage.

    Attributes:
        depth: 11, 13, 16 or 19.
        batch_norm: after each convolution, which keeps its bias (torchvision).
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    depth: int = 16
    batch_norm: bool = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """[B, H, W, C] -> {"stage_1": [B, H, W, 64], ... "stage_5": [B, H/16, W/16, 512]}.

        A stage's map is that before its pooling; all are sown as intermediates of the same names.
        """
        if self.depth not in STAGES:
            raise unknown("depth of VGG", str(self.depth), [str(depth) for depth in STAGES])
        maps, hidden = {}, inputs
        for stage, count in enumerate(STAGES[self.depth], start=1):
            if stage > 1:
                hidden = max_pool(hidden, (2, 2))
            for index in range(1, count + 1):
                hidden = ConvNormActivation(
                    WIDTHS[stage - 1],
                    batch_norm=self.batch_norm,
                    conv_bias=True,
                    dtype=self.dtype,
                    param_dtype=self.param_dtype,
                    name=f"conv_{stage}_{index}",
                )(hidden, train=train)
                hidden = divided(hidden)
            maps[f"stage_{stage}"] = hidden
            self.sow("intermediates", f"stage_{stage}", hidden)
        return maps


class VGG(nn.Module):
    """A VGG; images may have any size, since what the Dense layers see is pooled to 7x7.

    >>> VGG(depth=16)                              # 138,357,544 parameters
    >>> VGG(depth=16, batch_norm=True)             # 138,365,992
    >>> VGG(depth=11, num_classes=10, pooled_size=1, dense_features=(512, 512))  # for 32x32 images

    Parameters: `backbone`, `dense_0`, `dense_1`, `head`. Sown as intermediates: "stage_1" to
    "stage_5" of the backbone, and "pooled" [B, pooled_size, pooled_size, 512].

    Attributes:
        depth: 11, 13, 16 or 19.
        num_classes: outputs.
        batch_norm: after each convolution.
        pooled_size: of the map that the Dense layers read.
        dense_features: widths of the hidden Dense layers.
        dropout_rate: behind each hidden Dense layer; may be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    depth: int = 16
    num_classes: int = 1000
    batch_norm: bool = False
    pooled_size: int = 7
    dense_features: tuple[int, ...] = (4096, 4096)
    dropout_rate: float = 0.5
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, H, W, C] -> [B, num_classes]; H and W of 32 at least."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        backbone = VGGBackbone(self.depth, self.batch_norm, name="backbone", **dtypes)
        maps = backbone(as_images("VGG", inputs, lengths, self.dtype), train=train)
        hidden = adaptive_avg_pool(max_pool(maps["stage_5"], (2, 2)), (self.pooled_size,) * 2)
        self.sow("intermediates", "pooled", hidden)
        hidden = hidden.reshape(hidden.shape[0], -1)
        normal = nn.initializers.normal(0.01)
        for index, width in enumerate(self.dense_features):
            dense = Dense(width, kernel_init=normal, name=f"dense_{index}", **dtypes)
            hidden = Dropout(self.dropout_rate)(nn.relu(dense(hidden)), deterministic=not train)
        return Dense(self.num_classes, kernel_init=normal, name="head", **dtypes)(hidden)
