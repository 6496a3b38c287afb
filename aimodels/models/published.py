"""The classifiers whose weights others publish: which of our models they are, and what they see.

Each was trained on ImageNet's 1,000 classes. Sources: the weights' transforms in torchvision 0.28,
the first version of each; the preprocessor_config.json beside Hugging Face's weights; for
EfficientNet-Lite0 the authors' code. torchvision's GoogLeNet and Inception-v3 scale their inputs to
-1 ... 1 by themselves (`transform_input`); here the transforms do.
"""

import dataclasses
from typing import Any

from aimodels.errors import unknown

COLOURS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and deviation of ImageNet's pixels
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
LITE = ((127 / 255,) * 3, (128 / 255,) * 3)
# The section `init_from` of a model that stands on EfficientNet-Lite0: its trained trunk.
LITE_TRUNK = {
    "path": "efficientnet_lite0",
    "model": "efficientnet_lite0",
    "new": ("^(?!backbone/)",),
    "ignore": ("/(head|last)/",),
}


@dataclasses.dataclass(frozen=True)
class Published:
    """A classifier with published weights.

    Attributes:
        model: its section of a config.
        size: the side of the square that it sees.
        resized: the side of the square out of whose middle that is cut.
        pixels: mean and deviation of a channel, of pixels in 0 ... 1.
    """

    model: dict[str, Any]
    size: int = 224
    resized: int = 256
    pixels: tuple[tuple[float, ...], tuple[float, ...]] = COLOURS

    def config(self) -> dict[str, Any]:
        """A config to evaluate it with on ImageNet."""
        mean, std = self.pixels
        side = self.resized, self.resized
        return {
            "model": self.model,
            "task": {"name": "classification", "top_k": (5,), "confusion": False},
            "data": {
                "name": "tfds",
                "dataset": "imagenet2012",
                "image_size": side,
                "image_fit": "crop",
            },
            "optimizer": {"name": "sgd", "learning_rate": 1e-3},
            "training": {
                "steps": 1,
                "batch_size": 32,
                "transforms": (
                    {"name": "center_crop", "size": self.size},
                    "scale",
                    {"name": "standardize", "mean": mean, "std": std},
                ),
            },
            "evaluation": {"splits": ("validation",), "batch_size": 50},
        }


def _vgg(depth: int, batch_norm: bool = False) -> Published:
    return Published({"name": "VGG", "depth": depth, "batch_norm": batch_norm})


def _resnet(depth: int, **fields: int) -> Published:
    return Published({"name": "ResNet", "depth": depth, **fields})


def _vit(width: str, patch: int, **fields: Any) -> Published:
    return Published({"name": "VisionTransformer", "size": width, "patch_size": patch}, **fields)


# Whose names -> the model's name there.
PUBLISHED: dict[str, dict[str, Published]] = {
    "torchvision": {
        "alexnet": Published({"name": "AlexNet"}),
        **{f"vgg{depth}": _vgg(depth) for depth in (11, 13, 16, 19)},
        **{f"vgg{depth}_bn": _vgg(depth, batch_norm=True) for depth in (11, 13, 16, 19)},
        "googlenet": Published({"name": "GoogLeNet"}, pixels=HALF),
        "inception_v3": Published({"name": "InceptionV3"}, size=299, resized=342, pixels=HALF),
        **{f"resnet{depth}": _resnet(depth) for depth in (18, 34, 50, 101, 152)},
        **{f"wide_resnet{d}_2": _resnet(d, width_per_group=128) for d in (50, 101)},
        "resnext50_32x4d": _resnet(50, groups=32, width_per_group=4),
        "resnext101_32x8d": _resnet(101, groups=32, width_per_group=8),
        "resnext101_64x4d": _resnet(101, groups=64, width_per_group=4),
        "vit_b_16": _vit("B", 16),
        "vit_b_32": _vit("B", 32),
        "vit_l_16": _vit("L", 16, resized=242),
        "vit_l_32": _vit("L", 32),
        "efficientnet_lite0": Published({"name": "EfficientNetLite0"}, pixels=LITE),
    },
    "huggingface": {
        "google/vit-base-patch16-224": _vit("B", 16, resized=224, pixels=HALF),
        "google/vit-base-patch16-384": _vit("B", 16, size=384, resized=384, pixels=HALF),
        "google/vit-base-patch32-384": _vit("B", 32, size=384, resized=384, pixels=HALF),
        "google/vit-large-patch16-224": _vit("L", 16, resized=224, pixels=HALF),
        "facebook/deit-tiny-patch16-224": _vit("Ti", 16),
        "facebook/deit-small-patch16-224": _vit("S", 16),
        "facebook/deit-base-patch16-224": _vit("B", 16),
        **{f"microsoft/resnet-{depth}": _resnet(depth) for depth in (18, 34, 50, 101, 152)},
    },
}


def published(naming: str, name: str) -> Published:
    """A classifier by the name that its weights have there.

    Raises:
        UserError: there is none; the message has those that there are.
    """
    if name not in PUBLISHED.get(naming, {}):
        raise unknown(f"model of {naming}", name, PUBLISHED.get(naming, {}))
    return PUBLISHED[naming][name]
