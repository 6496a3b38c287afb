"""Crowns of trees in aerial photographs: the images that the package deepforest ships.

aimodels data fetch tree_boxes
aimodels data fetch efficientnet_lite0
aimodels train --config=experiments/vision/tree_boxes.py:ssd --workdir=runs/trees

Tiles of 256x256 pixels (26 m) of NEON's photographs; those for training and those for the test come
from different photographs. The split is our own and very small, so nothing published stands beside.
"""

from ml_collections import ConfigDict

from aimodels.models.published import LITE, LITE_TRUNK
from aimodels.reproduce import Row

TRUNK = "efficientnet_lite0"
FROZEN = "^backbone/(stem|stage_[12]_)"
# For tests: gradients of the trunk take long to compile.
SHRUNK = {"optimizer.frozen": "('^backbone/',)"}
PIXELS = {"name": "standardize", "mean": LITE[0], "std": LITE[1]}
VARIANTS = ("ssd",)


def get_config(variant: str = "ssd") -> ConfigDict:
    """SSD, whose default boxes are squares and their like of 20 to 100 pixels."""
    del variant
    steps = 1_000
    return ConfigDict(
        {
            "model": {
                "name": "SSD",
                "backbone": TRUNK,
                "head_features": 96,
                "num_classes": 2,
                "extra_features": (),
                "scales": (0.1, 0.2, 0.35, 0.5),
                "aspect_ratios": ((), (), ()),
            },
            "task": {"name": "ssd"},
            "data": {"name": "tree_boxes", "tile": 256},
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
                "steps": steps,
                "batch_size": 8,
                "transforms": (
                    "horizontal_flip",
                    "vertical_flip",
                    {"name": "random_zoom", "scale": (0.6, 1.3)},
                    "scale",
                    PIXELS,
                ),
                "ema_decay": 0.998,
            },
            "evaluation": {"splits": ("test",), "every": steps // 4, "batch_size": 16},
            "checkpoint": {"every": steps // 4},
        }
    )


def published() -> list[Row]:
    """None on this split: a row of our own."""
    return [
        Row(
            name=f"SSD, {TRUNK}",
            variant="ssd",
            metric="test/mAP@0.5",
            published=None,
            source="our own row: the split is ours",
            seconds=1200,
            long=True,
        )
    ]
