"""Detection on composed scenes: SSD, YOLOv3 and Faster R-CNN on small trunks, our own table.

aimodels data fetch scenes
aimodels data fetch efficientnet_lite0
aimodels train --config=experiments/vision/scenes_detection.py:ssd --workdir=runs/scenes_ssd
aimodels predict --workdir=runs/scenes_ssd --images photo.png
aimodels reproduce experiments/vision/scenes_detection.py --rows=all --seeds=1 --dry_run

Scenes of 256x256 with 1 to 8 objects: Tux Paint's photo cut-outs over photographs, whose classes
are the stamps' folders. Stamps and photographs of the test part are never seen in training. The
data set is of our own, so no table stands beside it; figures are COCO's by pycocotools. All three
detectors have the same trunk, augmentations and optimizer. The trunk is EfficientNet-Lite0 with the
weights that its authors trained on ImageNet, of which the last two stages learn, at a fifth of the
rate: what they know of birds and cars is what finds birds and cars that no scene for training has.
"""

from typing import Any

from ml_collections import ConfigDict

from aimodels.models.published import LITE, LITE_TRUNK
from aimodels.reproduce import Row

TRANSFORMS = (
    "horizontal_flip",
    {"name": "random_zoom", "scale": (0.7, 1.4)},
    {"name": "color_jitter", "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.08},
    "scale",
    {"name": "standardize", "mean": LITE[0], "std": LITE[1]},
)
TRUNK = "efficientnet_lite0"
FROZEN = "^backbone/(stem|stage_[1-5]_)"
CLASSES = 8
# For tests: gradients of the trunk take long to compile, large scenes long to compose.
SHRUNK = {"optimizer.frozen": "('^backbone/',)", "data.size": "64"}

RECIPES: dict[str, dict[str, Any]] = {
    "ssd": {
        "model": {
            "name": "SSD",
            "backbone": TRUNK,
            "head_features": 96,
            "levels": ("c4", "c5"),
            "extra_features": (128,),
            "scales": (0.16, 0.28, 0.45, 0.7),
            "aspect_ratios": ((2,), (2,), (2,)),
        },
        "task": {"name": "ssd"},
        "steps": 2_500,
    },
    "yolo": {
        # Priors by aimodels.modules.anchors.cluster_anchors on the boxes for training.
        "model": {
            "name": "YOLOv3",
            "backbone": TRUNK,
            "neck_features": (96, 128, 192),
            "priors": (
                ((54, 28), (24, 70), (54, 54)),
                ((94, 40), (50, 110), (76, 76)),
                ((120, 72), (100, 108), (134, 132)),
            ),
        },
        "task": {"name": "yolov3"},
        "steps": 4_000,
    },
    "faster_rcnn": {
        "model": {
            "name": "FasterRCNN",
            "backbone": TRUNK,
            "levels": ("c3", "c4", "c5"),
            "extra_level": False,
            "features": 96,
            "anchor_sizes": ((40, 56), (72, 100), (128, 176)),
            "hidden_features": 256,
            "output_size": 5,
            "candidates": (64, 64),
            "proposals": (96, 64),
            "sampled_anchors": 64,
            "sampled_regions": 48,
        },
        "task": {"name": "faster_rcnn"},
        "steps": 2_500,
    },
}
VARIANTS = tuple(RECIPES)


def get_config(variant: str = "ssd") -> ConfigDict:
    """A detector."""
    recipe, steps = RECIPES[variant], RECIPES[variant]["steps"]
    num_classes = CLASSES + (0 if variant == "yolo" else 1)
    return ConfigDict(
        {
            "model": recipe["model"] | {"num_classes": num_classes},
            "task": recipe["task"],
            "data": {"name": "scenes", "size": 256},
            "init_from": LITE_TRUNK,
            "optimizer": {
                "frozen": (FROZEN,),
                "learning_rate_multipliers": (("^backbone/", 0.2),),
                "name": "adamw",
                "learning_rate": 1e-3,
                "weight_decay": 0.05,
                "decay_exclude": ("bias", "scale"),
                "clip_global_norm": 10.0,
                "schedule": {"name": "cosine", "warmup_steps": 200},
            },
            "training": {
                "steps": steps,
                "batch_size": 8,
                "transforms": TRANSFORMS,
                "ema_decay": 0.998,
            },
            "evaluation": {"splits": ("test",), "every": steps // 3, "batch_size": 50},
            "checkpoint": {"every": steps // 5},
        }
    )


def published() -> list[Row]:
    """None: rows of our own."""
    names = {"ssd": "SSD", "yolo": "YOLOv3", "faster_rcnn": "Faster R-CNN"}
    return [
        Row(
            name=f"{name}, {TRUNK}",
            variant=variant,
            metric=metric,
            published=None,
            source="our own row: the data set is ours",
            seconds=1800 if variant == "ssd" else 3600,
            long=True,
        )
        for variant, name in names.items()
        for metric in ("test/mAP@0.5", "test/mAP")
    ]
