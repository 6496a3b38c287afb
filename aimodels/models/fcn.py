"""Fully convolutional networks for segmentation.

Long, Shelhamer & Darrell, "Fully convolutional networks for semantic segmentation", CVPR 2015, on
VGG-16; and torchvision's FCN on dilated ResNets.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.models.inputs import as_images
from aimodels.models.resnet import ResNetBackbone
from aimodels.models.vgg import VGGBackbone
from aimodels.modules import Conv, ConvNormActivation, Dropout, max_pool
from aimodels.modules.blocks import divided
from aimodels.modules.resizing import resize_bilinear

# The stride of the scores -> the stages of VGG whose pooled maps are scored too, finest last.
SKIPS: dict[int, tuple[int, ...]] = {32: (), 16: (4,), 8: (4, 3)}


class FCN(nn.Module):
    """FCN-32s, 16s and 8s on VGG-16, whose Dense layers are convolutions of 7x7 and 1x1.

    >>> FCN(stride=8)                        # 134,362,751 parameters: "134M" in table 1
    >>> FCN(stride=8, dense_features=256)    # a small one

    Scores of the deepest map are doubled in size and added to those of the pooled map before it
    (stride 16), and once more (stride 8), then enlarged to the image (section 4.2, figure 3). As in
    the authors' released networks all of this enlarging is bilinear and fixed (`lr_mult: 0`).
    Theirs pads the first layer by 100 pixels and crops the result; here the 7x7 convolution is
    padded, so that maps stay aligned without cropping. The scores start from zeros, as in section
    4.3.

    Parameters: `backbone`, a `VGGBackbone`; `dense_0`, `dense_1`; `score`, `score_pool4`,
    `score_pool3`. Sown as intermediates: "stage_1" to "stage_5", and "coarse", the scores at
    `stride`.

    Attributes:
        num_classes: outputs for each pixel.
        stride: 32, 16 or 8.
        depth: of the VGG.
        batch_norm: in the VGG; not in the paper.
        dense_features: channels of the two layers that were Dense; 4096 in the paper.
        dropout_rate: behind each of them; may be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_classes: int = 21
    stride: int = 8
    depth: int = 16
    batch_norm: bool = False
    dense_features: int = 4096
    dropout_rate: float = 0.5
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, num_classes]; 32 divides H and W."""
        if self.stride not in SKIPS:
            raise UserError(f"FCN: stride is {self.stride}; it takes 32, 16 or 8")
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        images = as_images("FCN", inputs, lengths, self.dtype)
        size = images.shape[1:3]
        if any(side % 32 or side == 0 for side in size):
            raise UserError(f"FCN takes images with sides that 32 divides, got {inputs.shape}")
        backbone = VGGBackbone(self.depth, self.batch_norm, name="backbone", **dtypes)
        maps = backbone(images, train=train)
        hidden = max_pool(maps["stage_5"], (2, 2))
        for number, window in enumerate((7, 1)):
            hidden = ConvNormActivation(
                self.dense_features, window, batch_norm=False, name=f"dense_{number}", **dtypes
            )(hidden)
            hidden = divided(Dropout(self.dropout_rate)(hidden, deterministic=not train))

        def score(hidden: jax.Array, name: str) -> jax.Array:
            layer = Conv(self.num_classes, (1, 1), initializer="zeros", name=name, **dtypes)
            return layer(hidden)

        coarse = score(hidden, "score")
        for stage in SKIPS[self.stride]:
            pooled = max_pool(maps[f"stage_{stage}"], (2, 2))
            coarse = resize_bilinear(coarse, (pooled.shape[1], pooled.shape[2]))
            coarse = coarse + score(pooled, f"score_pool{stage}")
        self.sow("intermediates", "coarse", coarse)
        return resize_bilinear(coarse, (size[0], size[1]))


class FCNHead(nn.Module):
    """A 3x3 convolution to a quarter of the channels, dropout, and a score for each place.

    Parameters: `conv`, a `ConvNormActivation`, and `score`.

    Attributes:
        num_classes: outputs.
        dropout_rate: before the scores; may be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_classes: int
    dropout_rate: float = 0.1
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, num_classes]."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        hidden = ConvNormActivation(
            inputs.shape[-1] // 4, 3, initializer="torch", name="conv", **dtypes
        )(inputs, train=train)
        hidden = Dropout(self.dropout_rate)(hidden, deterministic=not train)
        return Conv(self.num_classes, (1, 1), initializer="torch", name="score", **dtypes)(hidden)


def auxiliary_scores(model: Any, maps: dict[str, jax.Array], size: Any, train: bool) -> None:
    """Sows the scores of an `FCNHead` on the last map but one, where a model trains with them.

    Called from the compact method of a model with fields `auxiliary_head`, `num_classes` and
    `auxiliary_dropout_rate`.

    Args:
        model: it gets the parameters `auxiliary`.
        maps: of its backbone.
        size: of the image.
        train: whether it is training.
    """
    if model.auxiliary_head and (train or model.is_initializing()):
        dtypes = {"dtype": model.dtype, "param_dtype": model.param_dtype}
        rate = model.auxiliary_dropout_rate
        head = FCNHead(model.num_classes, rate, name="auxiliary", **dtypes)
        scores = head(maps["c4"], train=train)
        if not model.is_initializing():
            model.sow("auxiliary_outputs", "scores", resize_bilinear(scores, size))


class FCNResNet(nn.Module):
    """torchvision's FCN: a dilated ResNet, one 3x3 convolution, scores, bilinearly enlarged.

    >>> FCNResNet(depth=50)                  # 35,322,218 parameters with the auxiliary head
    >>> FCNResNet(depth=101)                 # 54,314,346

    Parameters: `backbone`, a `ResNetBackbone`; `head` and `auxiliary`, each an `FCNHead`. Sown as
    intermediates: "c2" to "c5", "coarse". In training the scores [B, H, W, num_classes] of the
    auxiliary head are sown into "auxiliary_outputs" if it is mutable; tasks add their loss.

    Attributes:
        num_classes: outputs for each pixel.
        depth: of the ResNet.
        width: channels of the ResNet's first stage; 64 is the published one.
        output_stride: of the ResNet's last map: 32, 16 or 8.
        auxiliary_head: have one, on the map c4.
        auxiliary_weight: how often its loss counts; 0.5 in torchvision's training.
        dropout_rate: before the scores; may be traced.
        auxiliary_dropout_rate: in the auxiliary head; may be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_classes: int = 21
    depth: int = 50
    width: int = 64
    output_stride: int = 8
    auxiliary_head: bool = True
    auxiliary_weight: float = 0.5
    dropout_rate: float = 0.1
    auxiliary_dropout_rate: float = 0.1
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, num_classes], of any size."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        images = as_images("FCNResNet", inputs, lengths, self.dtype)
        size = (images.shape[1], images.shape[2])
        backbone = ResNetBackbone(
            self.depth,
            output_stride=self.output_stride,
            width=self.width,
            name="backbone",
            **dtypes,
        )
        maps = backbone(images, train=train)
        head = FCNHead(self.num_classes, self.dropout_rate, name="head", **dtypes)
        coarse = head(maps["c5"], train=train)
        self.sow("intermediates", "coarse", coarse)
        auxiliary_scores(self, maps, size, train)
        return resize_bilinear(coarse, size)
