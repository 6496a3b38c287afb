"""BCCD: blood cells under the microscope, on the official split.

aimodels data fetch bccd
aimodels data fetch efficientnet_lite0
aimodels train --config=experiments/vision/bccd.py:yolo --workdir=runs/bccd
aimodels predict --workdir=runs/bccd --images cells.jpg

364 photographs of 480x640, here 192x256, with red and white cells and platelets; training is on
train and val (292), the test part is the official one (72). No paper of the data set has a table;
published figures on this split have other recipes, so none stands beside ours.
"""

from typing import Any

from ml_collections import ConfigDict

from aimodels.models.published import LITE, LITE_TRUNK
from aimodels.reproduce import Row

TRUNK = "efficientnet_lite0"
FROZEN = "^backbone/(stem|stage_[12]_)"
# For tests: gradients of the trunk take long to compile.
SHRUNK = {"optimizer.frozen": "('^backbone/',)"}
PIXELS = {"name": "standardize", "mean": LITE[0], "std": LITE[1]}
TRANSFORMS = (
    "horizontal_flip",
    "vertical_flip",
    {"name": "random_zoom", "scale": (0.7, 1.3)},
    "scale",
    PIXELS,
)
RECIPES: dict[str, dict[str, Any]] = {
    "yolo": {
        # Priors by aimodels.modules.anchors.cluster_anchors on the boxes for training.
        "model": {
            "name": "YOLOv3",
            "backbone": TRUNK,
            "neck_features": (96, 128, 192),
            "num_classes": 3,
            "priors": (
                ((14, 14), (18, 17), (40, 29)),
                ((31, 41), (40, 38), (48, 39)),
                ((42, 45), (53, 50), (87, 78)),
            ),
        },
        "task": {"name": "yolov3"},
    },
    "ssd": {
        "model": {
            "name": "SSD",
            "backbone": TRUNK,
            "head_features": 96,
            "num_classes": 4,
            "scales": (0.1, 0.18, 0.28, 0.4, 0.55, 0.8),
        },
        "task": {"name": "ssd"},
    },
}
VARIANTS = tuple(RECIPES)


def get_config(variant: str = "yolo") -> ConfigDict:
    """A detector, for some 40 epochs."""
    steps = 1_500
    return ConfigDict(
        {
            **RECIPES[variant],
            "data": {"name": "bccd", "image_size": (192, 256)},
            "init_from": LITE_TRUNK,
            "optimizer": {
                "frozen": (FROZEN,),
                "learning_rate_multipliers": (("^backbone/", 0.2),),
                "name": "adamw",
                "learning_rate": 1e-3,
                "weight_decay": 0.05,
                "decay_exclude": ("bias", "scale"),
                "clip_global_norm": 10.0,
                "schedule": {"name": "cosine", "warmup_steps": 100},
            },
            "training": {
                "split": "train+val",
                "steps": steps,
                "batch_size": 8,
                "transforms": TRANSFORMS,
                "ema_decay": 0.998,
            },
            "evaluation": {"splits": ("test",), "every": steps // 3, "batch_size": 36},
            "checkpoint": {"every": steps // 3},
        }
    )


def published() -> list[Row]:
    """None that were made in the same way: rows of our own."""
    return [
        Row(
            name=f"{name}, {TRUNK}",
            variant=variant,
            metric="test/mAP@0.5",
            published=None,
            source="our own row: no published figure of this recipe",
            seconds=1200,
            long=True,
        )
        for name, variant in (("YOLOv3", "yolo"), ("SSD", "ssd"))
    ]
