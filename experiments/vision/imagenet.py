"""ImageNet: AlexNet, VGG-16, ResNet-50 and ViT-B/16 as their papers trained them.

aimodels show --config=experiments/vision/imagenet.py:resnet50 --devices=8
aimodels train --config=experiments/vision/imagenet.py:alexnet --workdir=runs/alexnet
aimodels reproduce experiments/vision/imagenet.py --rows=resnet50 --seeds=1 --dry_run

For a machine that has the data, which can't be downloaded at will: TFDS's `imagenet2012`, prepared
as array_record (`aimodels data fetch tfds:imagenet2012` says how). Each image is scaled until its
shorter side has 256 pixels, and its middle of 256x256 is kept, as in the first of these papers; the
others crop from the whole image, at several scales. In evaluation the middle 224x224 are seen.

alexnet    Krizhevsky, Sutskever & Hinton 2012, section 5: SGD with momentum 0.9, weight decay 5e-4,
           batches of 128, 90 epochs, 0.01 divided by 10 three times (when is ours: the paper did it
           as the error stopped falling). Crops, flips and colours of section 4.1. The net is the
           one of a single tower, without response normalisation (Krizhevsky 2014).
vgg16      Simonyan & Zisserman 2015, section 3.1: batches of 256, 0.01, 370,000 steps, the rest as
           above. It starts from random weights of the right scale, not from a smaller net.
resnet50   Goyal et al. 2017, section 5.1, the baseline of 256 images: 90 epochs, 0.1 divided by 10
           after 30, 60 and 80, weight decay 1e-4 but not on norms, the last norm of each block from
           0. Their warm-up rises from 0.1 to the rate of k times as many images: here k is 1. He et
           al. 2016 have the same optimizer and batch.
vit_b16    Dosovitskiy et al. 2021, table 3: Adam, 3e-3, decay 0.3, dropout 0.1, batches of 4,096,
           300 epochs, 10,000 steps of warm-up, cosine, gradients clipped at norm 1.
"""

from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

EXAMPLES, CLASSES = 1_281_167, 1000
# Means and deviations of the training set's channels, as torchvision has them.
PIXELS = {"name": "standardize", "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
CROPPED = (
    {"name": "random_crop", "padding": 0, "size": 224},
    "horizontal_flip",
    "scale",
    "lighting",
    PIXELS,
)
RESIZED = ({"name": "random_resized_crop", "size": 224}, "horizontal_flip", "scale", PIXELS)
# What makes them small enough for a test to train.
SHRUNK = {
    "model.dense_features": "64,64",
    "model.width": "48",
    "model.num_layers": "2",
    "model.num_heads": "3",
}


def epochs(count: float, batch_size: int) -> int:
    """So many epochs in steps."""
    return round(count * EXAMPLES / batch_size)


def _sgd(learning_rate: float, decay: float, schedule: dict[str, Any], **fields: Any) -> dict:
    return {
        "name": "sgd",
        "learning_rate": learning_rate,
        "momentum": 0.9,
        "l2": decay,
        "schedule": {"name": "step", **schedule},
        **fields,
    }


RECIPES: dict[str, dict[str, Any]] = {
    "alexnet": {
        "model": {"name": "AlexNet", "num_classes": CLASSES},
        "optimizer": _sgd(
            0.01, 5e-4, {"boundaries": tuple(epochs(count, 128) for count in (30, 60, 80))}
        ),
        "training": {"steps": epochs(90, 128), "batch_size": 128, "transforms": CROPPED},
    },
    "vgg16": {
        "model": {"name": "VGG", "depth": 16, "num_classes": CLASSES},
        "optimizer": _sgd(0.01, 5e-4, {"boundaries": (150_000, 250_000, 320_000)}),
        "training": {"steps": 370_000, "batch_size": 256, "transforms": CROPPED},
    },
    "resnet50": {
        "model": {
            "name": "ResNet",
            "depth": 50,
            "num_classes": CLASSES,
            "zero_init_residual": True,
        },
        "optimizer": _sgd(
            0.1,
            1e-4,
            {"boundaries": tuple(epochs(count, 256) for count in (30, 60, 80))},
            decay_exclude=("norm",),
        ),
        "training": {"steps": epochs(90, 256), "batch_size": 256, "transforms": RESIZED},
    },
    "vit_b16": {
        "model": {
            "name": "VisionTransformer",
            "size": "B",
            "patch_size": 16,
            "num_classes": CLASSES,
            "dropout_rate": 0.1,
        },
        "optimizer": {
            "name": "adamw",
            "learning_rate": 3e-3,
            "weight_decay": 0.3,
            "clip_global_norm": 1.0,
            "schedule": {"name": "cosine", "warmup_steps": 10_000},
        },
        "training": {"steps": epochs(300, 4096), "batch_size": 4096, "transforms": RESIZED},
    },
}
VARIANTS = tuple(RECIPES)


def get_config(variant: str = "resnet50") -> ConfigDict:
    """A paper's recipe."""
    recipe = RECIPES[variant]
    every = recipe["training"]["steps"] // 90
    return ConfigDict(
        {
            **recipe,
            "task": {"name": "classification", "top_k": (1, 5), "confusion": False},
            "data": {
                "name": "tfds",
                "dataset": "imagenet2012",
                "image_size": (256, 256),
                "image_fit": "crop",
            },
            "evaluation": {"splits": ("validation",), "every": every, "batch_size": 256},
            "checkpoint": {"every": every},
            # Batches of images are large: no more than one of them waits for a dispatch.
            "execution": {"steps_per_dispatch": 1},
        }
    )


def published() -> list[Row]:
    """On the validation set, in percent; what each figure's test looked at is in its source."""
    goyal = "Goyal et al. 2017, table 1, the baseline of 256 images"
    he = "He et al. 2016, table 3, ten crops"
    vgg = "Simonyan & Zisserman 2015, table 3, net D trained and tested at 256"
    vit = "Dosovitskiy et al. 2021, table 5, after fine-tuning at 384"
    alexnet = "Krizhevsky et al. 2012, table 2, one CNN, ten crops"
    torchvision = "torchvision's weights, one crop"
    #    net         metric         figure spread source other figures
    figures = (
        ("alexnet", "top_1_error", 40.7, None, alexnet, ((43.48, torchvision),)),
        ("alexnet", "top_5_error", 18.2, None, alexnet, ((20.93, torchvision),)),
        ("vgg16", "top_1_error", 27.0, None, vgg, ((28.41, torchvision),)),
        ("vgg16", "top_5_error", 8.8, None, vgg, ((9.62, torchvision),)),
        ("resnet50", "top_1_error", 23.60, 0.12, goyal, ((22.85, he), (23.87, torchvision))),
        ("resnet50", "top_5_error", 6.71, None, he, ((7.14, torchvision),)),
        ("vit_b16", "top_1_accuracy", 77.91, None, vit, ()),
    )
    names = {"alexnet": "AlexNet", "vgg16": "VGG-16", "resnet50": "ResNet-50"}
    names["vit_b16"] = "ViT-B/16"
    # torchvision's, which are the papers' nets.
    parameters = {"alexnet": 61_100_840, "vgg16": 138_357_544, "resnet50": 25_557_032}
    parameters["vit_b16"] = 86_567_656
    return [
        Row(
            name=f"{names[variant]}, {metric.replace('_', '-', 1).replace('_', ' ')}",
            variant=variant,
            metric=f"validation/{metric}",
            published=figure,
            spread=spread,
            spread_kind="" if spread is None else "sd",
            source=source,
            alternatives=others,
            units="%",
            scale=100,
            decimals=2 if variant == "resnet50" else None,
            higher_is_better=metric.endswith("accuracy"),
            parameters=parameters[variant],
            long=True,
        )
        for variant, metric, figure, spread, source, others in figures
    ]
