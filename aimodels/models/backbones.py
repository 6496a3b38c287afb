"""The trunks that detectors stand on, by name: images to feature maps of falling size."""

from functools import partial
from typing import Any

from aimodels.errors import unknown
from aimodels.models.efficientnet import EfficientNetBackbone
from aimodels.models.resnet import ResNetBackbone

# Each is called as `trunk(images, train=...)` and gives {"c2": stride 4, ... "c5": stride 32}.
BACKBONES: dict[str, Any] = {
    "efficientnet_lite0": EfficientNetBackbone,
    "resnet18_half": partial(ResNetBackbone, depth=18, width=32),
    **{f"resnet{depth}": partial(ResNetBackbone, depth=depth) for depth in (18, 34, 50, 101)},
}


def make_backbone(model: str, name: str, **fields: Any) -> Any:
    """The trunk called `name`, as the submodule "backbone" of the model that asks for it.

    Args:
      model: who asks, for the message.
      name: one of `BACKBONES`.
      fields: of the trunk: `dtype`, `param_dtype`, and for a ResNet `frozen_norm`.
    """
    if name not in BACKBONES:
        raise unknown(f"backbone of {model}", name, BACKBONES)
    return BACKBONES[name](name="backbone", **fields)
