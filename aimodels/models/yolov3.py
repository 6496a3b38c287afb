"""Darknet-53 and YOLOv3: detection at three scales."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.models.backbones import make_backbone
from aimodels.models.inputs import fixed_size
from aimodels.modules import Conv, ConvNormActivation, Dense
from aimodels.modules.anchors import yolo_priors
from aimodels.modules.blocks import divided
from aimodels.modules.box_coding import YoloPriors

# Residual blocks behind each convolution of stride 2 (Redmon & Farhadi 2018, table 1).
BLOCKS = (1, 2, 8, 8, 4)
# (width, height) in pixels of a 416x416 image, for the strides 8, 16, 32 (section 2.3).
COCO_PRIORS = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
STRIDES = (8, 16, 32)


def conv_norm_leaky(
    inputs: jax.Array, features: int, size: int, strides: int = 1, *, train: bool, **fields: Any
) -> jax.Array:
    """Convolution without bias, BatchNorm, leaky ReLU of slope 0.1, of inputs [B, H, W, C]."""
    layer = ConvNormActivation(features, size, strides=strides, activation="identity", **fields)
    return divided(nn.leaky_relu(layer(inputs, train=train), 0.1))


class DarknetTrunk(nn.Module):
    """The convolutions of Darknet-53 (Redmon & Farhadi 2018, table 1).

    Sown as intermediates: "stage_1" to "stage_5", what it returns.

    Attributes:
      base_features: channels of the first convolution; each stage has twice as many.
      blocks: residual blocks of each stage.
      initializer: of all kernels.
      dtype: of the computation.
      param_dtype: of the parameters.
    """

    base_features: int = 32
    blocks: tuple[int, ...] = BLOCKS
    initializer: str = "he"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> list[jax.Array]:
        """[B, H, W, C] -> the stages' outputs, of stride 2, 4, 8 ..."""
        given = {
            "initializer": self.initializer,
            "dtype": self.dtype,
            "param_dtype": self.param_dtype,
        }
        width, stages = self.base_features, []

        def conv(hidden: jax.Array, features: int, size: int, name: str, strides: int = 1) -> Any:
            return conv_norm_leaky(hidden, features, size, strides, train=train, name=name, **given)

        hidden = conv(inputs, width, 3, "conv_0")
        for stage, count in enumerate(self.blocks, start=1):
            width *= 2
            hidden = conv(hidden, width, 3, f"down_{stage}", strides=2)
            for block in range(count):
                name = f"block_{stage}_{block}"
                narrow = conv(hidden, width // 2, 1, f"{name}_narrow")
                hidden = hidden + conv(narrow, width, 3, f"{name}_wide")
            stages.append(hidden)
            self.sow("intermediates", f"stage_{stage}", hidden)
        return stages


class Darknet53(nn.Module):
    """The classifier that YOLOv3 starts from: 41,609,928 parameters for 1,000 classes.

    Sown as intermediates: those of its trunk, and "pooled".

    Attributes:
      num_classes: V.
      base_features: channels of the first convolution.
      blocks: residual blocks of each stage.
      initializer: of all kernels.
      dtype: of the computation.
      param_dtype: of the parameters.
    """

    num_classes: int
    base_features: int = 32
    blocks: tuple[int, ...] = BLOCKS
    initializer: str = "he"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, H, W, C] -> [B, num_classes]."""
        inputs = fixed_size("Darknet53", inputs, lengths)
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        trunk = DarknetTrunk(
            self.base_features, self.blocks, self.initializer, name="trunk", **dtypes
        )
        hidden = trunk(inputs.astype(self.dtype), train=train)[-1].mean((1, 2))
        self.sow("intermediates", "pooled", hidden)
        head = Dense(self.num_classes, initializer=self.initializer, name="head", **dtypes)
        return head(hidden)


class YOLOv3(nn.Module):
    """YOLOv3 (Redmon & Farhadi 2018): 61,949,149 parameters for 80 classes.

    Behind Darknet-53, for each scale from the coarsest: five convolutions, a head; and towards the
    next finer scale a convolution, enlarged twice and laid beside that stage's features. Sown as
    intermediates, beside the trunk's: "neck_2" to "neck_0", of strides 32 to 8, behind the five
    convolutions, and "outputs_2" to "outputs_0", of the heads [B, N', 5 + V].

    Attributes:
      num_classes: V.
      priors: (width, height) in pixels for each of the strides 8, 16 and 32.
      backbone: "darknet", or a name of `aimodels.models.backbones`.
      neck_features: of the wide convolutions at each of these strides; None for as many as the
        trunk's map has, as in the paper.
      base_features: see `DarknetTrunk`.
      blocks: see `DarknetTrunk`.
      initializer: of all kernels, but for those of another trunk.
      dtype: of the computation.
      param_dtype: of the parameters.
    """

    num_classes: int
    priors: tuple[tuple[tuple[int, int], ...], ...] = COCO_PRIORS
    backbone: str = "darknet"
    neck_features: tuple[int, int, int] | None = None
    base_features: int = 32
    blocks: tuple[int, ...] = BLOCKS
    initializer: str = "he"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, H, W, 3], sides multiples of 32 -> raw outputs [B, N, 5 + V], finest scale first.

        They go with `yolo_priors`: t_x, t_y, t_w, t_h, object, classes.
        """
        inputs = fixed_size("YOLOv3", inputs, lengths)
        if inputs.ndim != 4 or inputs.shape[1] % 32 or inputs.shape[2] % 32:
            raise UserError(
                f"YOLOv3 takes images [B, H, W, C] with sides that 32 divides, got {inputs.shape}"
            )
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        given = {"initializer": self.initializer, **dtypes}
        images = inputs.astype(self.dtype)
        if self.backbone == "darknet":
            trunk = DarknetTrunk(self.base_features, self.blocks, name="trunk", **given)
            stages = trunk(images, train=train)[-3:]
        else:
            maps = make_backbone("YOLOv3", self.backbone, **dtypes)(images, train=train)
            stages = [maps[level] for level in ("c3", "c4", "c5")]
        widths = self.neck_features or [stage.shape[-1] for stage in stages]

        def conv(hidden: jax.Array, features: int, size: int, name: str) -> jax.Array:
            return conv_norm_leaky(hidden, features, size, train=train, name=name, **given)

        outputs, above = [], None
        for scale in reversed(range(3)):
            hidden, width = stages[scale], widths[scale]
            if above is not None:
                narrow = conv(above, width // 2, 1, f"up_{scale}")
                enlarged = jnp.repeat(jnp.repeat(narrow, 2, axis=1), 2, axis=2)
                hidden = jnp.concatenate([enlarged, hidden], -1)
            for number in range(5):
                odd = number % 2
                features = width if odd else width // 2
                hidden = conv(hidden, features, 3 if odd else 1, f"conv_{scale}_{number}")
            above = hidden
            self.sow("intermediates", f"neck_{scale}", hidden)
            hidden = conv(hidden, width, 3, f"conv_{scale}_5")
            size = 5 + self.num_classes
            head = Conv(len(self.priors[scale]) * size, (1, 1), name=f"head_{scale}", **given)
            outputs.insert(0, head(hidden).reshape(len(hidden), -1, size))
            self.sow("intermediates", f"outputs_{scale}", outputs[0])
        return jnp.concatenate(outputs, 1)

    @nn.nowrap
    def yolo_priors(self, image_size: tuple[int, int]) -> YoloPriors:
        """Where the N outputs stand for images of (H, W)."""
        grids = [(image_size[0] // stride, image_size[1] // stride) for stride in STRIDES]
        return yolo_priors(grids, STRIDES, self.priors)
