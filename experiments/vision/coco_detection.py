"""COCO 2017: the published recipes of SSD300, YOLOv3 and Faster R-CNN, for a machine that has it.

aimodels data fetch tfds_detection:coco/2017
aimodels show --config=experiments/vision/coco_detection.py:faster_rcnn --devices=8
aimodels train --config=experiments/vision/coco_detection.py:faster_rcnn --workdir=runs/coco
aimodels reproduce experiments/vision/coco_detection.py --dry_run

SSD300 and Faster R-CNN are those of torchvision's table with its training commands
(references/detection), YOLOv3 that of the paper, at 416x416, with Darknet's settings. What differs:

- Images have one fixed shape: Faster R-CNN's are 800x1344, padded (torchvision: the shorter side is
  800, the longer 1,333 at most); the others' are stretched, as in SSD, where YOLOv3 pads.
- Random crops and scales are those of the transform `random_zoom`; YOLOv3's own changes of the
  image size between batches are left out.
- TFDS numbers the 80 classes without gaps: torchvision's heads have 91.
- Sizes of boxes, for mAP/small and its like, are those of the resized image.

Their trunks begin from ImageNet in the originals. Faster R-CNN, whose norms and first stages are
frozen, begins so here too: with torchvision's ResNet50_Weights.IMAGENET1K_V1, whose file
(download.pytorch.org/models/resnet50-0676ba61.pth) lies in the folder that the command runs in, or
elsewhere with --config.init_from.path. The others begin at random.
"""

from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

IMAGES = 117_266  # of train2017, with boxes
IMAGENET = {"name": "standardize", "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
TORCHVISION = "torchvision 0.28, table of object detection weights (COCO val2017)"
YOLO = "Redmon & Farhadi 2018, YOLOv3, figures 1 and 3 (COCO test-dev)"
CLASSES = 80
BEGINS_AT_RANDOM = "Ours begins without the weights of ImageNet."


def _steps(epochs: int, batch_size: int) -> int:
    return epochs * IMAGES // batch_size


RECIPES: dict[str, dict[str, Any]] = {
    "faster_rcnn": {
        "model": {"name": "FasterRCNN", "frozen_norm": True, "num_classes": CLASSES + 1},
        "task": {"name": "faster_rcnn", "by_size": True, "candidates": 1000},
        "size": (800, 1344),
        "resize": "pad",
        "init_from": {
            "path": "resnet50-0676ba61.pth",
            "naming": "torchvision",
            "model": "resnet50",
            "new": ("^(?!backbone/)",),
            "ignore": ("/head/",),
            # A frozen norm's scale and bias are no parameters.
            "rename": ((r"^params/(.*/norm/(?:scale|bias))$", r"batch_stats/\1"),),
        },
        "optimizer": {
            "name": "sgd",
            "momentum": 0.9,
            "learning_rate": 0.02,
            "l2": 1e-4,
            "frozen": ("backbone/stem", "backbone/stage_1_"),
            "schedule": {
                "name": "step",
                "boundaries": (_steps(16, 16), _steps(22, 16)),
                "warmup_steps": 1000,
            },
        },
        "training": {
            "steps": _steps(26, 16),
            "batch_size": 16,
            "transforms": ("horizontal_flip", "scale", IMAGENET),
        },
    },
    "ssd300": {
        "model": {"name": "SSD300", "num_classes": CLASSES + 1},
        "task": {
            "name": "ssd",
            "by_size": True,
            "score_threshold": 0.01,
            "iou_threshold": 0.45,
            "candidates": 400,
            "max_detections": 200,
        },
        "size": (300, 300),
        "resize": "stretch",
        "optimizer": {
            "name": "sgd",
            "momentum": 0.9,
            "learning_rate": 0.002,
            "l2": 5e-4,
            "schedule": {
                "name": "step",
                "boundaries": (_steps(80, 32), _steps(110, 32)),
                "warmup_steps": 1000,
            },
        },
        "training": {
            "steps": _steps(120, 32),
            "batch_size": 32,
            "transforms": (
                {
                    "name": "color_jitter",
                    "brightness": 0.125,
                    "contrast": 0.5,
                    "saturation": 0.5,
                    "hue": 0.05,
                },
                {"name": "random_zoom", "scale": (0.3, 4.0), "ratio": (0.5, 2.0)},
                "horizontal_flip",
                "scale",
                # SSD subtracts the mean and keeps 0 to 255, as its VGG does.
                {"name": "standardize", "mean": (0.48235, 0.45882, 0.40784), "std": (1 / 255,)},
            ),
        },
    },
    "yolov3": {
        "model": {"name": "YOLOv3", "num_classes": CLASSES},
        "task": {
            "name": "yolov3",
            "by_size": True,
            "ignored_above": 0.7,
            "score_threshold": 0.005,
            "iou_threshold": 0.45,
        },
        "size": (416, 416),
        "resize": "stretch",
        "optimizer": {
            "name": "sgd",
            "momentum": 0.9,
            "learning_rate": 1e-3,
            "l2": 5e-4,
            "schedule": {
                "name": "step",
                "boundaries": (400_000, 450_000),
                "warmup_steps": 1000,
            },
        },
        "training": {
            "steps": 500_200,
            "batch_size": 64,
            "transforms": (
                {"name": "color_jitter", "brightness": 0.5, "saturation": 0.5, "hue": 0.1},
                {"name": "random_zoom", "scale": (0.7, 1.3), "ratio": (0.7, 1.4)},
                "horizontal_flip",
                "scale",
            ),
        },
    },
}
VARIANTS = tuple(RECIPES)


def get_config(variant: str = "faster_rcnn") -> ConfigDict:
    """A published recipe."""
    recipe = RECIPES[variant]
    return ConfigDict(
        {
            "model": recipe["model"],
            "task": recipe["task"],
            "data": {
                "name": "tfds_detection",
                "dataset": "coco/2017",
                "image_size": recipe["size"],
                "resize": recipe["resize"],
            },
            "optimizer": recipe["optimizer"],
            "training": recipe["training"],
            **({"init_from": recipe["init_from"]} if "init_from" in recipe else {}),
            "evaluation": {"splits": ("validation",), "every": 20_000, "batch_size": 16},
            "checkpoint": {"every": 5_000, "keep": 2},
        }
    )


def published() -> list[Row]:
    """Box AP of torchvision's weights and of the paper."""
    #   label                 variant        metric     figure source      parameters
    rows = (
        ("SSD300, VGG-16", "ssd300", "mAP", 25.1, TORCHVISION),
        ("Faster R-CNN, ResNet-50-FPN", "faster_rcnn", "mAP", 37.0, TORCHVISION),
        ("YOLOv3-416", "yolov3", "mAP", 31.0, YOLO),
        ("YOLOv3-416", "yolov3", "mAP@0.5", 55.3, YOLO),
    )
    return [
        Row(
            name=name,
            variant=variant,
            metric=f"validation/{metric}",
            published=figure,
            decimals=1,
            scale=100,
            source=source,
            long=True,
            note="" if "init_from" in RECIPES[variant] else BEGINS_AT_RANDOM,
        )
        for name, variant, metric, figure, source in rows
    ]
