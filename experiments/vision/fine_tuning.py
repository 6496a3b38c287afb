"""Fine-tuning against training from scratch: EfficientNet-Lite0 on 2,000 images of CIFAR-10.

aimodels data fetch cifar10_jpeg
aimodels data fetch efficientnet_lite0
aimodels reproduce experiments/vision/fine_tuning.py
aimodels train --config=experiments/vision/fine_tuning.py:fine_tuned --workdir=runs/fine_tuned

What trained weights are worth where images are few: the first 200 training images of each class
(of 5,000), in the order of their files, and all 10,000 test images. It is a split of our own, for
which there is no published figure. All rows have the same network, images of 32x32 enlarged to
96x96, steps and augmentation. Two begin with the weights that the network's authors trained on
ImageNet (1.28 million images), and with a new head: one trains all of it, the trunk at a twentieth
of the head's rate; in the other the trunk is frozen. The third begins at random. The head starts as
in the authors' code, from U(±1/√10), so large that it needs a rate of 0.01. Images are the JPEG
files of CIFAR-10, not its official pixels.
"""

from typing import Any

from ml_collections import ConfigDict

from aimodels.models.published import LITE
from aimodels.reproduce import Row

CLASSES, EACH, OF = 10, 200, 5000
# The files are sorted by class.
SPLIT = "+".join(f"train[{OF * number}:{OF * number + EACH}]" for number in range(CLASSES))
BATCH, EPOCHS = 50, 10
STEPS = EPOCHS * CLASSES * EACH // BATCH
TRUNK = "^(?!head/)"
BEGIN = {"path": "efficientnet_lite0", "new": ("^head/",)}

RECIPES: dict[str, dict[str, Any]] = {
    "fine_tuned": {
        "init_from": BEGIN,
        "optimizer": {"learning_rate": 1e-2, "learning_rate_multipliers": ((TRUNK, 0.05),)},
    },
    "frozen": {"init_from": BEGIN, "optimizer": {"learning_rate": 1e-2, "frozen": (TRUNK,)}},
    "scratch": {"optimizer": {"learning_rate": 2e-3}},
}
VARIANTS = tuple(RECIPES)
# For tests: gradients of the trunk take minutes to compile on a CPU.
SHRUNK = {"optimizer.frozen": f"('{TRUNK}',)"}


def get_config(variant: str = "fine_tuned") -> ConfigDict:
    """The recipe of a row."""
    recipe = RECIPES[variant]
    mean, std = LITE
    optimizer = {
        "name": "adam",
        "schedule": {"name": "cosine", "warmup_steps": STEPS // 20},
    }
    config = {
        "model": {"name": "EfficientNetLite0", "num_classes": 10, "stochastic_depth_rate": 0.0},
        "task": {"name": "classification"},
        "data": {"name": "cifar10_jpeg"},
        "training": {
            "steps": STEPS,
            "batch_size": BATCH,
            "split": SPLIT,
            "log_every": 10,
            "transforms": (
                {"name": "random_crop", "padding": 4},
                "horizontal_flip",
                {"name": "resize", "size": 96},
                "scale",
                {"name": "standardize", "mean": mean, "std": std},
            ),
        },
        "evaluation": {"splits": ("test",), "batch_size": 200},
        "checkpoint": {"every": 100},
    }
    return ConfigDict(config | recipe | {"optimizer": optimizer | recipe["optimizer"]})


def published() -> list[Row]:
    """Test accuracy of three ways to begin; none of them is published."""
    rows = (
        ("ImageNet's weights, all trained", "fine_tuned"),
        ("ImageNet's weights, only the head trained", "frozen"),
        ("random weights", "scratch"),
    )
    return [
        Row(
            name=name,
            variant=variant,
            metric="test/accuracy",
            published=None,
            source="of ours: 200 training images a class, no published figure",
            units="%",
            scale=100,
            decimals=1,
            parameters=3_383_818,
        )
        for name, variant in rows
    ]
