"""DeepLab v3 and v3+: a dilated network, and pyramid pooling by dilated convolutions (ASPP).

Chen, Papandreou, Schroff & Adam, "Rethinking atrous convolution for semantic image segmentation",
2017 (v3); Chen, Zhu, Papandreou, Schroff & Adam, "Encoder-decoder with atrous separable convolution
for semantic image segmentation", ECCV 2018 (v3+). v3 is torchvision's, to the parameter.
"""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.models.efficientnet import EfficientNetBackbone
from aimodels.models.fcn import auxiliary_scores
from aimodels.models.inputs import as_images
from aimodels.models.resnet import ResNetBackbone
from aimodels.models.xception import SeparableConv, XceptionBackbone
from aimodels.modules import Conv, ConvNormActivation, Dropout
from aimodels.modules.blocks import divided
from aimodels.modules.resizing import resize_bilinear


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: five views of each place, and a projection of them (v3, 3.3).

    A 1x1 convolution, three 3x3 ones with different dilation, and the mean of the whole map.

    Parameters: `one`, `atrous_1` to `atrous_3`, `pooled`, `project`.

    Attributes:
        features: channels of each branch and of the result.
        rates: dilations.
        separable: "no": plain 3x3 convolutions; "plain": depthwise and 1x1, one norm; "normed":
            with a norm behind each of the two (v3+).
        dropout_rate: behind the projection; may be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: int = 256
    rates: tuple[int, ...] = (12, 24, 36)
    separable: Literal["no", "plain", "normed"] = "no"
    dropout_rate: float = 0.5
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, features]."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}

        def one(hidden: jax.Array, name: str) -> jax.Array:
            block = ConvNormActivation(self.features, 1, initializer="torch", name=name, **dtypes)
            return block(hidden, train=train)

        branches = [one(inputs, "one")]
        for number, rate in enumerate(self.rates, start=1):
            block = conv3x3(self.features, self.separable, f"atrous_{number}", rate, **dtypes)
            branches.append(block(inputs, train=train))
        pooled = one(inputs.mean((1, 2), keepdims=True), "pooled")
        branches.append(jnp.broadcast_to(pooled, branches[0].shape))
        hidden = one(jnp.concatenate(branches, -1), "project")
        return Dropout(self.dropout_rate)(hidden, deterministic=not train)


def conv3x3(features: int, separable: str, name: str, dilation: int = 1, **dtypes: Any) -> Any:
    """A 3x3 convolution with norm and ReLU: plain, or depthwise and 1x1 (see `ASPP`)."""
    if separable == "no":
        return ConvNormActivation(
            features, 3, dilation=dilation, initializer="torch", name=name, **dtypes
        )
    inner = separable == "normed"
    return SeparableConv(features, dilation=dilation, inner_norm=inner, name=name, **dtypes)


class DeepLabV3(nn.Module):
    """torchvision's DeepLabV3: a dilated ResNet, ASPP, a 3x3 convolution, scores, enlarged.

    >>> DeepLabV3(depth=50)                      # 42,004,074 parameters with the auxiliary head
    >>> DeepLabV3(depth=101)                     # 60,996,202

    Parameters: `backbone`, `aspp`, `conv`, `score`, `auxiliary`. Sown as intermediates: "c2" to
    "c5", "aspp", "coarse"; the auxiliary head is that of `FCNResNet`.

    Attributes:
        num_classes: outputs for each pixel.
        depth: of the ResNet.
        width: channels of the ResNet's first stage; 64 is the published one.
        output_stride: of the ResNet's last map; 8 and the rates below are the paper's for testing,
            16 and (6, 12, 18) those for training.
        rates: of the ASPP.
        features: of the ASPP and behind it.
        auxiliary_head: have one, on the map c4.
        auxiliary_weight: how often its loss counts.
        dropout_rate: in the ASPP; may be traced.
        auxiliary_dropout_rate: in the auxiliary head; may be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_classes: int = 21
    depth: int = 50
    width: int = 64
    output_stride: int = 8
    rates: tuple[int, ...] = (12, 24, 36)
    features: int = 256
    auxiliary_head: bool = True
    auxiliary_weight: float = 0.5
    dropout_rate: float = 0.5
    auxiliary_dropout_rate: float = 0.1
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, num_classes], of any size."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        images = as_images("DeepLabV3", inputs, lengths, self.dtype)
        size = (images.shape[1], images.shape[2])
        backbone = ResNetBackbone(
            self.depth,
            output_stride=self.output_stride,
            width=self.width,
            name="backbone",
            **dtypes,
        )
        maps = backbone(images, train=train)
        aspp = ASPP(self.features, self.rates, "no", self.dropout_rate, name="aspp", **dtypes)
        hidden = divided(aspp(maps["c5"], train=train))
        self.sow("intermediates", "aspp", hidden)
        hidden = conv3x3(self.features, "no", "conv", **dtypes)(hidden, train=train)
        score = Conv(self.num_classes, (1, 1), initializer="torch", name="score", **dtypes)
        coarse = score(hidden)
        self.sow("intermediates", "coarse", coarse)
        auxiliary_scores(self, maps, size, train)
        return resize_bilinear(coarse, size)


class DeepLabV3Plus(nn.Module):
    """DeepLab v3+: the ASPP's map, enlarged, beside one of a quarter of the image (figure 2).

    The finer map is projected to 48 channels, and two 3x3 convolutions of 256 channels follow the
    concatenation (section 4.1, tables 1 and 2).

    >>> DeepLabV3Plus()                              # 41,055,413 parameters: the paper's Xception
    >>> DeepLabV3Plus(backbone="resnet", depth=101)
    >>> DeepLabV3Plus(backbone="resnet", depth=18, features=64)    # a small one

    Parameters: `backbone`, `aspp`, `low`, `conv_1`, `conv_2`, `score`. Sown as intermediates: maps
    of the backbone, "aspp", and "coarse", the scores at a quarter of the image.

    Attributes:
        num_classes: outputs for each pixel.
        backbone: "xception", the paper's with separable convolutions; or "resnet" or
            "efficientnet_lite0", dilated.
        depth: of the ResNet.
        width: channels of the ResNet's first stage; 64 is the published one.
        output_stride: of the last map: 16, or 8; the others take 32 too.
        rates: of the ASPP; the paper doubles them for an output stride of 8.
        features: of the ASPP and of the decoder.
        low_features: channels to which the finer map is projected.
        separable: convolutions of ASPP and decoder, see `ASPP`; None: "normed" with the Xception,
            else "no".
        dropout_rate: in the ASPP; may be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_classes: int = 21
    backbone: Literal["xception", "resnet", "efficientnet_lite0"] = "xception"
    depth: int = 50
    width: int = 64
    output_stride: int = 16
    rates: tuple[int, ...] = (6, 12, 18)
    features: int = 256
    low_features: int = 48
    separable: Literal["no", "plain", "normed"] | None = None
    dropout_rate: float = 0.1
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, num_classes], of any size."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        images = as_images("DeepLabV3Plus", inputs, lengths, self.dtype)
        stride: dict[str, Any] = {"output_stride": self.output_stride, "name": "backbone"}
        if self.backbone == "xception":
            backbone: Any = XceptionBackbone(**stride, **dtypes)
        elif self.backbone == "efficientnet_lite0":
            backbone = EfficientNetBackbone(**stride, **dtypes)
        else:
            backbone = ResNetBackbone(self.depth, width=self.width, **stride, **dtypes)
        maps = backbone(images, train=train)
        kind = self.separable or ("normed" if self.backbone == "xception" else "no")
        aspp = ASPP(self.features, self.rates, kind, self.dropout_rate, name="aspp", **dtypes)
        hidden = divided(aspp(maps["c5"], train=train))
        self.sow("intermediates", "aspp", hidden)
        low = ConvNormActivation(self.low_features, 1, initializer="torch", name="low", **dtypes)
        fine = low(maps["c2"], train=train)
        hidden = resize_bilinear(hidden, (fine.shape[1], fine.shape[2]))
        hidden = jnp.concatenate([hidden, fine], -1)
        for name in ("conv_1", "conv_2"):
            hidden = conv3x3(self.features, kind, name, **dtypes)(hidden, train=train)
        score = Conv(self.num_classes, (1, 1), initializer="torch", name="score", **dtypes)
        coarse = score(divided(hidden))
        self.sow("intermediates", "coarse", coarse)
        return resize_bilinear(coarse, (images.shape[1], images.shape[2]))
