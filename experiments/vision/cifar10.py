"""CIFAR-10: He, Zhang, Ren & Sun, "Deep Residual Learning for Image Recognition", CVPR 2016.

aimodels data fetch cifar10_jpeg
aimodels train --config=experiments/vision/cifar10.py:resnet20_2h --workdir=runs/cifar10
aimodels reproduce experiments/vision/cifar10.py --rows=resnet20 --seeds=1 --dry_run

50,000 + 10,000 images of ten classes, from a repository's JPEG files: compression has changed them
a little, so that figures stand beside the paper's with that said. `resnet20` and `resnet56` are by
the recipe of section 4.2: SGD with momentum 0.9, 64,000 steps of 128 images, a learning rate of 0.1
that is divided by 10 at 32,000 and 48,000, weight decay 1e-4, images padded by 4 pixels, cropped
and flipped; in the paper a mean for each pixel is taken off, here one for each channel.
(--config.model.depth=32, 44 and 110 are the others of its table 6.) They are for a GPU, as is
`vit`, a small vision transformer by the recipe of DeiT (Touvron et al. 2021, table 9), scaled down.

`resnet20_2h` and `vit_2h` are what two hours on 2 CPU cores allow: a tenth of those steps, with the
learning rate going down to 0.
"""

from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

EPOCH, BATCH_SIZE = 50_000, 128
# Means and deviations of the training set's channels.
PIXELS = (
    "scale",
    {"name": "standardize", "mean": (0.4914, 0.4822, 0.4465), "std": (0.2470, 0.2435, 0.2616)},
)
CROPS = ({"name": "random_crop", "padding": 4}, "horizontal_flip")
# Smaller models and fewer operations for tests.
SHRUNK = {"model.depth": "8", "model.num_layers": "1", "model.width": "16"}


def _resnet(depth: int, steps: int, schedule: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": {"name": "CifarResNet", "depth": depth, "num_classes": 10},
        "task": {"name": "classification", "top_k": (1,)},
        "optimizer": {
            "name": "sgd",
            "learning_rate": 0.1,
            "momentum": 0.9,
            "l2": 1e-4,
            "schedule": schedule,
        },
        "training": {"steps": steps, "batch_size": BATCH_SIZE, "transforms": CROPS + PIXELS},
    }


def _vit(steps: int, transforms: tuple, **fields: Any) -> dict[str, Any]:
    """65 tokens of 4x4 pixels; AdamW, warmed up over a twentieth of the steps."""
    return {
        "model": {
            "name": "VisionTransformer",
            "num_classes": 10,
            "patch_size": 4,
            "num_heads": 4,
            **fields,
        },
        "task": {"name": "classification", "top_k": (1,), "label_smoothing": 0.1},
        "optimizer": {
            "name": "adamw",
            "learning_rate": 1e-3,
            "weight_decay": 0.05,
            "decay_exclude": ("bias", "scale", "class_token", "positions"),
            "clip_global_norm": 1.0,
            "schedule": {"name": "cosine", "warmup_steps": steps // 20},
        },
        "training": {"steps": steps, "batch_size": BATCH_SIZE, "transforms": transforms},
    }


DROPS = {"name": "step", "boundaries": (32_000, 48_000)}
SHORT = {"name": "cosine", "warmup_steps": 200}
DEIT = (
    *CROPS,
    {"name": "rand_augment", "num_operations": 2, "magnitude": 9},
    *PIXELS,
    {"name": "random_erasing", "probability": 0.25},
    {"name": "mixup_or_cutmix", "num_classes": 10},
)
RECIPES: dict[str, dict[str, Any]] = {
    "resnet20_2h": _resnet(20, 3_900, SHORT),
    "vit_2h": _vit(11_700, CROPS + PIXELS, width=128, num_layers=6),
    "resnet20": _resnet(20, 64_000, DROPS),
    "resnet56": _resnet(56, 64_000, DROPS),
    "vit": _vit(
        200 * EPOCH // BATCH_SIZE, DEIT, width=256, num_layers=8, stochastic_depth_rate=0.1
    ),
}
RECIPES["vit"]["training"]["ema_decay"] = 0.9998
VARIANTS = tuple(RECIPES)


def get_config(variant: str = "resnet20_2h") -> ConfigDict:
    """A recipe, tested about ten times on the way."""
    recipe = RECIPES[variant]
    every = recipe["training"]["steps"] // 10
    return ConfigDict(
        {
            **recipe,
            "data": {"name": "cifar10_jpeg"},
            "evaluation": {"splits": ("test",), "every": every, "batch_size": 500},
            "checkpoint": {"every": every},
        }
    )


def published() -> list[Row]:
    """Test error in percent; one run each in the paper."""
    paper = "He et al. 2016, table 6 (on the official pixels)"
    ours = "our own row: no published figure"
    #    row                    variant     figure source seconds a seed
    rows = (
        ("ResNet-20, two hours", "resnet20_2h", None, ours, 7_000),
        ("Small ViT, two hours", "vit_2h", None, ours, 7_000),
        ("ResNet-20", "resnet20", 8.75, paper, 100_000),
        ("ResNet-56", "resnet56", 6.97, paper, 300_000),
        ("Small ViT", "vit", None, ours, 250_000),
    )
    return [
        Row(
            name=name,
            variant=variant,
            metric="test/top_1_error",
            published=figure,
            source=source,
            units="%",
            scale=100,
            decimals=2,
            higher_is_better=False,
            seconds=seconds,
            long=True,
        )
        for name, variant, figure, source, seconds in rows
    ]
