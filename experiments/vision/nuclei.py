"""Nuclei of a fluorescence microscope, by U-Net, FCN and DeepLab v3+ from scratch.

aimodels data fetch nuclei
aimodels reproduce experiments/vision/nuclei.py
aimodels train --config=experiments/vision/nuclei.py:unet --workdir=runs/nuclei

One image of 512x512 with 125 nuclei, in two parts of our own: the lower quarter is the test. So no
row has a published figure. `unet_plain` is `unet` without the weights of borders (U-Net, equation
2): what they do shows in the separation of nuclei, not in the share of pixels.
"""

from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

AUGMENTED = (
    "scale",
    {"name": "elastic_deformation", "std": 4.0},
    "horizontal_flip",
    "vertical_flip",
    "random_transpose",
)
UNET = {
    "name": "UNet",
    "base_features": 16,
    "num_levels": 4,
    "padding": "same",
    "batch_norm": True,
    "dropout_rate": 0.2,
}
MODELS: dict[str, dict[str, Any]] = {
    "unet": UNET,
    "unet_plain": UNET,
    "fcn": {
        "name": "FCN",
        "num_classes": 2,
        "stride": 8,
        "depth": 11,
        "batch_norm": True,
        "dense_features": 128,
    },
    "deeplab": {
        "name": "DeepLabV3Plus",
        "num_classes": 2,
        "backbone": "resnet",
        "depth": 18,
        "output_stride": 32,
        "rates": (1, 2, 3),
        "features": 64,
        "low_features": 24,
    },
}
VARIANTS = tuple(MODELS)


def get_config(variant: str = "unet") -> ConfigDict:
    """600 steps on tiles of 128x128."""
    return ConfigDict(
        {
            "model": MODELS[variant],
            "task": {"name": "segmentation"},
            "data": {"name": "nuclei", "tile": 128, "weights": variant == "unet"},
            "optimizer": {"name": "adam", "learning_rate": 1e-3, "schedule": "cosine"},
            "training": {"steps": 600, "batch_size": 8, "transforms": AUGMENTED},
            "evaluation": {"splits": ("test",), "every": 200, "batch_size": 4},
        }
    )


def published() -> list[Row]:
    """Mean IoU and Dice on the test part; there is no published figure."""
    names = {
        "unet": ("U-Net, 16 channels", 400),
        "unet_plain": ("U-Net, 16 channels, no weights", 400),
        "fcn": ("FCN-8s, VGG-11", 900),
        "deeplab": ("DeepLab v3+, ResNet-18", 600),
    }
    return [
        Row(
            name=name,
            variant=variant,
            metric=metric,
            published=None,
            source="our own split: no published figure",
            seconds=seconds,
            long=variant != "unet",
            scale=100,
            units="%",
        )
        for variant, (name, seconds) in names.items()
        for metric in ("test/miou", "test/dice")
    ]
