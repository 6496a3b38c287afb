"""Moving Fashion-MNIST: eleven motions, of which a single frame says nothing.

aimodels data fetch moving_fashion
aimodels reproduce experiments/vision/moving_fashion.py
aimodels train --config=experiments/vision/moving_fashion.py:r3d --workdir=runs/r3d

A generated set of our own (see `aimodels data show moving_fashion`), so no row has a published
figure. Chance is 1 in 11, 9.1 %, and so by construction is the best that `one_frame`, a ResNet of
images that sees one frame of a clip, can do. The networks are small: C3D (Tran et al. 2015), R3D,
MC3 and R(2+1)D (Tran et al. 2018) with an eighth of the published channels and fewer layers, TSN
(Wang et al. 2016) on frames and on differences of frames. TSN on frames scores each by itself, so
it too can only guess.
"""

from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

PIXELS = ("scale",)
SMALL = {"name": "VideoResNet", "num_classes": 11, "features": (8, 16, 32), "blocks": 1}
SEGMENTS = {
    "name": "TSN",
    "num_classes": 11,
    "depth": 18,
    "width": 16,
    "dropout_rate": 0.2,
}
RECIPES: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "r3d": ({**SMALL, "kind": "r3d"}, PIXELS),
    "mc3": ({**SMALL, "kind": "mc3"}, PIXELS),
    "r2plus1d": ({**SMALL, "kind": "r2plus1d"}, PIXELS),
    "c3d": (
        {
            "name": "C3D",
            "num_classes": 11,
            "features": ((8,), (16,), (32,)),
            "dense_features": (64,),
            "dropout_rate": 0.2,
            "initializer": "he",
        },
        PIXELS,
    ),
    "tsn_rgb": (
        {**SEGMENTS, "modality": "rgb"},
        (*PIXELS, {"name": "segment_snippets", "segments": 3, "frames": 1}),
    ),
    "tsn_difference": (
        {**SEGMENTS, "modality": "rgb_difference"},
        (*PIXELS, {"name": "segment_snippets", "segments": 3, "frames": 3}),
    ),
    "one_frame": (
        {**SEGMENTS, "modality": "rgb"},
        (*PIXELS, {"name": "segment_snippets", "segments": 1, "frames": 1}),
    ),
}
VARIANTS = tuple(RECIPES)


def get_config(variant: str = "r3d") -> ConfigDict:
    """Six epochs in batches of 32."""
    model, transforms = RECIPES[variant]
    return ConfigDict(
        {
            "model": model,
            "task": {"name": "classification"},
            "data": {"name": "moving_fashion"},
            "optimizer": {
                "name": "adamw",
                "learning_rate": 2e-3,
                "schedule": {"name": "cosine", "warmup_steps": 50},
            },
            "training": {"steps": 1500, "batch_size": 32, "transforms": transforms},
            "evaluation": {"splits": ("test",), "every": 500, "batch_size": 200},
        }
    )


def published() -> list[Row]:
    """Test accuracy; there are no published figures."""
    names = {
        "r3d": ("R3D", 300),
        "mc3": ("MC3", 250),
        "r2plus1d": ("R(2+1)D", 400),
        "c3d": ("C3D", 200),
        "tsn_rgb": ("TSN, frames", 150),
        "tsn_difference": ("TSN, differences", 150),
        "one_frame": ("ResNet of one frame", 80),
    }
    return [
        Row(
            name=name,
            variant=variant,
            metric="test/accuracy",
            published=None,
            source="a set of our own: no published figure; chance is 9.1 %",
            seconds=seconds,
            scale=100,
            units="%",
        )
        for variant, (name, seconds) in names.items()
    ]
