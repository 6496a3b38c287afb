"""Segmentation of composed scenes: stamps of Tux Paint over photographs, unseen stamps in the test.

aimodels data fetch scenes
aimodels data fetch efficientnet_lite0
aimodels reproduce experiments/vision/scenes_segmentation.py --seeds 1
aimodels train --config=experiments/vision/scenes_segmentation.py:unet --workdir=runs/scenes_unet

A generated set of our own (see `aimodels data show scenes`), so no row has a published figure. The
networks are those of the papers with small trunks: U-Net (Ronneberger et al. 2015) with 16 channels
and norms, FCN-8s (Long et al. 2015) on a VGG-11, both from random weights, and DeepLab v3+ (Chen et
al. 2018) on EfficientNet-Lite0, which begins with the weights that its authors trained on ImageNet;
its last two stages learn, at a fifth of the rate.
"""

from typing import Any

from ml_collections import ConfigDict

from aimodels.models.published import LITE, LITE_TRUNK
from aimodels.reproduce import Row

CLASSES = 1 + 8
MODELS: dict[str, dict[str, Any]] = {
    "unet": {
        "name": "UNet",
        "num_classes": CLASSES,
        "base_features": 16,
        "num_levels": 5,
        "padding": "same",
        "batch_norm": True,
        "dropout_rate": 0.2,
    },
    "fcn": {
        "name": "FCN",
        "num_classes": CLASSES,
        "stride": 8,
        "depth": 11,
        "batch_norm": True,
        "dense_features": 128,
        "dropout_rate": 0.2,
    },
    "deeplab": {
        "name": "DeepLabV3Plus",
        "num_classes": CLASSES,
        "backbone": "efficientnet_lite0",
        "output_stride": 16,
        "rates": (1, 2, 3),
        "features": 96,
        "low_features": 24,
        "separable": "normed",
    },
}
# Pixels of a side, batch and steps that fit an hour on two cores.
SIZES = {"unet": (128, 16, 6000), "fcn": (128, 16, 1500), "deeplab": (256, 8, 1500)}
VARIANTS = tuple(MODELS)
TRUNK = {
    "init_from": LITE_TRUNK,
    "optimizer": {
        "frozen": ("^backbone/(stem|stage_[1-5]_)",),
        "learning_rate_multipliers": (("^backbone/", 0.2),),
    },
}
# For tests: large scenes take long to compose.
SHRUNK = {"data.size": "64"}


def get_config(variant: str = "unet") -> ConfigDict:
    """A network on scenes, by cross-entropy and Dice."""
    size, batch_size, steps = SIZES[variant]
    begins = TRUNK if variant == "deeplab" else {"optimizer": {}}
    mean, std = LITE
    return ConfigDict(
        {
            **begins,
            "model": MODELS[variant],
            "task": {"name": "segmentation", "loss_name": "cross_entropy_and_dice"},
            "data": {"name": "scenes", "size": size},
            "optimizer": {
                **begins["optimizer"],
                "name": "adamw",
                "learning_rate": 2e-3,
                "schedule": {"name": "cosine", "warmup_steps": 100},
            },
            "training": {
                "steps": steps,
                "batch_size": batch_size,
                "transforms": (
                    "horizontal_flip",
                    {"name": "random_zoom", "scale": (0.7, 1.2)},
                    {
                        "name": "color_jitter",
                        "brightness": 0.4,
                        "contrast": 0.4,
                        "saturation": 0.4,
                        "hue": 0.08,
                    },
                    "scale",
                    {"name": "standardize", "mean": mean, "std": std},
                ),
            },
            "evaluation": {"splits": ("test",), "every": steps // 3, "batch_size": 50},
            "checkpoint": {"every": 500},
        }
    )


def published() -> list[Row]:
    """Mean IoU, the background included, on scenes of unseen stamps; no published figure."""
    names = {
        "unet": "U-Net, 16 channels",
        "fcn": "FCN-8s, VGG-11",
        "deeplab": "DeepLab v3+, EfficientNet-Lite0",
    }
    return [
        Row(
            name=name,
            variant=variant,
            metric=metric,
            published=None,
            source="a set of our own: no published figure",
            seconds=3600,
            long=True,
            scale=100,
            units="%",
        )
        for variant, name in names.items()
        for metric in ("test/miou", "test/pixel_accuracy")
    ]
