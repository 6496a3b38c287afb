"""BCCD: blood cells under the microscope, on the official split.

aimodels data fetch bccd
aimodels train --config=experiments/vision/bccd.py:yolo --workdir=runs/bccd
aimodels predict --workdir=runs/bccd --images cells.jpg

364 photographs of 480x640, here 192x256, with red and white cells and platelets; training is on
train and val (292), the test part is the official one (72). No paper of the data set has a table;
published figures on this split have other recipes, so none stands beside ours.
"""

from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

TRUNK = "resnet18_half"
IMAGENET = {"name": "standardize", "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
TRANSFORMS = (
    "horizontal_flip",
    "vertical_flip",
    {"name": "random_zoom", "scale": (0.7, 1.3)},
    "scale",
    IMAGENET,
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
    """A detector, for 110 epochs."""
    steps = 4_000
    return ConfigDict(
        {
            **RECIPES[variant],
            "data": {"name": "bccd", "image_size": (192, 256)},
            "optimizer": {
                "name": "adamw",
                "learning_rate": 1e-3,
                "weight_decay": 0.05,
                "decay_exclude": ("bias", "scale"),
                "clip_global_norm": 10.0,
                "schedule": {"name": "cosine", "warmup_steps": 200},
            },
            "training": {
                "split": "train+val",
                "steps": steps,
                "batch_size": 8,
                "transforms": TRANSFORMS,
                "ema_decay": 0.998,
            },
            "evaluation": {"splits": ("test",), "every": steps // 5, "batch_size": 36},
            "checkpoint": {"every": steps // 5},
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
            seconds=2400,
            long=True,
        )
        for name, variant in (("YOLOv3", "yolo"), ("SSD", "ssd"))
    ]
