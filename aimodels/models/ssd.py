"""SSD: one look at the image, boxes of many sizes from feature maps of many sizes."""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from aimodels.errors import UserError
from aimodels.models.backbones import make_backbone
from aimodels.models.inputs import as_images, fixed_size
from aimodels.modules import Conv, ConvNormActivation, max_pool
from aimodels.modules.anchors import default_boxes
from aimodels.modules.blocks import divided

# Of each feature map. The scales are the paper's for COCO: 0.15 to 0.9, and 0.07 for conv4_3
# (section 3.4); the last is beyond the last map.
ASPECT_RATIOS = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
SCALES = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)
STEPS = (8, 16, 32, 64, 100, 300)
GRID_SIZES = ((38, 38), (19, 19), (10, 10), (5, 5), (3, 3), (1, 1))

# VGG-16's blocks up to conv5_3: channels and how many convolutions.
VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
# The maps behind conv7: channels of the 1x1 and of the 3x3 convolution, its stride and padding.
EXTRA = ((256, 512, 2, 1), (128, 256, 2, 1), (128, 256, 1, 0), (128, 256, 1, 0))


@flax.struct.dataclass
class SSDOutputs:
    """What SSD says of each default box.

    Attributes:
      logits: [B, N, V], class 0 being the background.
      codes: [B, N, 4], see `aimodels.modules.box_coding` with SSD_WEIGHTS.
    """

    logits: jax.Array
    codes: jax.Array


class L2Normalization(nn.Module):
    """Each place's features by their length, times a learned scale: Liu et al. 2015 (ParseNet).

    Attributes:
      initial_scale: SSD has 20.
      epsilon: the least length.
      dtype: of the computation.
      param_dtype: of the parameters.
    """

    initial_scale: float = 20.0
    epsilon: float = 1e-12
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """[..., C] -> [..., C]."""
        initial = nn.initializers.constant(self.initial_scale)
        scale = self.param("scale", initial, (inputs.shape[-1],), self.param_dtype)
        values = inputs.astype(jnp.float32)
        # The root of a sum that is held above 0 has a gradient there too.
        squares = jnp.maximum(jnp.square(values).sum(-1, keepdims=True), self.epsilon**2)
        return (values * jax.lax.rsqrt(squares) * scale).astype(self.dtype)


class SSD300(nn.Module):
    """SSD300 on VGG-16 (Liu et al. 2016, figure 2): 35,641,826 parameters for 91 classes.

    VGG-16 up to conv5_3; fc6 and fc7 as an atrous 3x3 and a 1x1 convolution; four more pairs of
    convolutions. Six maps give logits and codes for the 8,732 boxes of `default_boxes`. Inputs are
    [B, 300, 300, 3]. Sown as intermediates: "map_0" to "map_5", and of each what its heads give,
    "classes_of_map_0" [B, N', V] and "boxes_of_map_0" [B, N', 4].

    Attributes:
      num_classes: V, the background being one of them.
      initializer: of all kernels; the new layers' is "glorot" in the paper.
      dtype: of the computation.
      param_dtype: of the parameters.
    """

    num_classes: int
    initializer: str = "glorot"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> SSDOutputs:
        """[B, 300, 300, 3] -> outputs of N = 8,732 default boxes."""
        del train
        inputs = fixed_size("SSD300", inputs, lengths)
        if inputs.shape[1:] != (300, 300, 3):
            raise UserError(f"SSD300 takes images [B, 300, 300, 3], got {inputs.shape}")
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}

        def conv(features: int, size: int, name: str, **given: Any) -> Conv:
            given = {"padding": size // 2, "initializer": self.initializer, **given}
            return Conv(features, (size, size), name=name, **given, **dtypes)

        hidden, maps = inputs.astype(self.dtype), []
        for block, (channels, count) in enumerate(VGG16, start=1):
            for number in range(1, count + 1):
                hidden = nn.relu(conv(channels, 3, f"conv{block}_{number}")(hidden))
                hidden = divided(hidden)
            if block == 4:
                maps.append(L2Normalization(name="conv4_norm", **dtypes)(hidden))
            if block == 5:
                hidden = max_pool(hidden, (3, 3), strides=1, padding=1)
            else:  # of 75 places conv3_3 gives 38: the last window has one row and column
                hidden = max_pool(hidden, (2, 2), padding="SAME")
        hidden = nn.relu(conv(1024, 3, "conv6", padding=6, dilation=6)(hidden))
        hidden = nn.relu(conv(1024, 1, "conv7")(hidden))
        maps.append(hidden)
        for number, (narrow, wide, stride, padding) in enumerate(EXTRA, start=8):
            hidden = nn.relu(conv(narrow, 1, f"conv{number}_1")(hidden))
            given = {"strides": stride, "padding": padding}
            hidden = nn.relu(conv(wide, 3, f"conv{number}_2", **given)(hidden))
            maps.append(hidden)

        logits, codes = [], []
        for level, (features, ratios) in enumerate(zip(maps, ASPECT_RATIOS, strict=True)):
            self.sow("intermediates", f"map_{level}", features)
            boxes = 2 + 2 * len(ratios)
            for kind, size, outputs in (
                ("classes", self.num_classes, logits),
                ("boxes", 4, codes),
            ):
                given = conv(boxes * size, 3, f"{kind}_{level}")(features)
                outputs.append(given.reshape(len(given), -1, size))
                self.sow("intermediates", f"{kind}_of_map_{level}", outputs[-1])
        return SSDOutputs(logits=jnp.concatenate(logits, 1), codes=jnp.concatenate(codes, 1))

    @nn.nowrap
    def default_boxes(self, image_size: tuple[int, int] = (300, 300)) -> np.ndarray:
        """The boxes [8732, 4] that outputs are relative to, in pixels."""
        return default_boxes(
            image_size, GRID_SIZES, scales=SCALES, aspect_ratios=ASPECT_RATIOS, steps=STEPS
        )


class SSD(nn.Module):
    """SSD on any trunk and for images of any size: Liu et al. 2016, section 2, in small.

    Maps of the trunk, of stride 8, 16 and 32, and a few more behind them, each by a 1x1 and a 3x3
    convolution of stride 2; each map has a head of its own. All of them have BatchNorm, which the
    paper's VGG has not. Sown as intermediates, beside the trunk's: as those of `SSD300`.

    Attributes:
      num_classes: V, the background being one of them.
      backbone: a name of `aimodels.models.backbones`.
      levels: the trunk's maps, up to c5: c3 has stride 8, c4 16, c5 32.
      extra_features: channels of each map behind the trunk's.
      head_features: of a 3x3 convolution that each map goes through before its head; 0 for none,
        as in the paper.
      scales: see `aimodels.modules.anchors.default_boxes`: one more than maps.
      aspect_ratios: those above 1 of each map.
      dtype: of the computation.
      param_dtype: of the parameters.
    """

    num_classes: int
    backbone: str = "resnet18"
    levels: tuple[str, ...] = ("c3", "c4", "c5")
    extra_features: tuple[int, ...] = (256, 128)
    head_features: int = 0
    scales: tuple[float, ...] = (0.15, 0.25, 0.4, 0.55, 0.75, 0.95)
    aspect_ratios: tuple[tuple[float, ...], ...] = ((2,),) * 5
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> SSDOutputs:
        """[B, H, W, 3] -> outputs of the N boxes of `default_boxes`."""
        images = as_images("SSD", inputs, lengths, self.dtype)
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}

        def conv(
            hidden: jax.Array, features: int, size: int, name: str, strides: int = 1
        ) -> jax.Array:
            layer = ConvNormActivation(features, size, strides=strides, name=name, **dtypes)
            return layer(hidden, train=train)

        trunk = make_backbone("SSD", self.backbone, **dtypes)(images, train=train)
        maps = [trunk[level] for level in self._levels()]
        for number, features in enumerate(self.extra_features):
            narrow = conv(maps[-1], features // 2, 1, f"extra_{number}_1")
            maps.append(conv(narrow, features, 3, f"extra_{number}_2", strides=2))
        if not len(maps) == len(self.aspect_ratios) == len(self.scales) - 1:
            raise UserError(
                f"SSD has {len(maps)} maps here: it takes aspect_ratios for each of them and one "
                f"more scale, got {len(self.aspect_ratios)} and {len(self.scales)}"
            )
        logits, codes = [], []
        for level, (hidden, ratios) in enumerate(zip(maps, self.aspect_ratios, strict=True)):
            self.sow("intermediates", f"map_{level}", hidden)
            if self.head_features:
                hidden = conv(hidden, self.head_features, 3, f"head_{level}")
            boxes = 2 + 2 * len(ratios)
            for kind, size, outputs in (
                ("classes", self.num_classes, logits),
                ("boxes", 4, codes),
            ):
                head = Conv(boxes * size, (3, 3), padding=1, name=f"{kind}_{level}", **dtypes)
                outputs.append(head(hidden).reshape(len(hidden), -1, size))
                self.sow("intermediates", f"{kind}_of_map_{level}", outputs[-1])
        return SSDOutputs(logits=jnp.concatenate(logits, 1), codes=jnp.concatenate(codes, 1))

    @nn.nowrap
    def default_boxes(self, image_size: tuple[int, int]) -> np.ndarray:
        """The boxes [N, 4] that outputs are relative to, in pixels of images of (H, W)."""
        first = int(self._levels()[0][1:])
        strides = [2 ** (first + level) for level in range(len(self.aspect_ratios))]
        grids = [(-(-image_size[0] // each), -(-image_size[1] // each)) for each in strides]
        return default_boxes(
            image_size, grids, scales=self.scales, aspect_ratios=self.aspect_ratios
        )

    @nn.nowrap
    def _levels(self) -> tuple[str, ...]:
        known = ("c2", "c3", "c4", "c5")
        if not self.levels or self.levels != known[-len(self.levels) :]:
            raise UserError(
                f"SSD: levels is {self.levels}; it takes the last of {known}, such as ('c4', 'c5')"
            )
        return self.levels
