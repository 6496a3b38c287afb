"""Actions of a game's characters, by who was never seen: six actions, four frames.

aimodels data fetch sprite_actions
aimodels reproduce experiments/vision/sprite_actions.py
aimodels train --config=experiments/vision/sprite_actions.py:r3d --workdir=runs/sprites

A set of our own (see `aimodels data show sprite_actions`), split by families of characters, so no
row has a published figure. Chance is 1 in 6; the most frequent action is 18 % of the test clips.
`one_frame` sees one frame of a clip: who lies on the ground dies, but who raises an arm may strike,
shoot or cast. The networks are small forms of R3D and R(2+1)D (Tran et al. 2018), C3D (Tran et al.
2015) and TSN (Wang et al. 2016, on frames and on their differences).
"""

from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

CLIPS = ({"name": "clip_crop", "padding": 4}, "scale")
VIDEO = {"name": "VideoResNet", "num_classes": 6, "features": (16, 32, 64), "blocks": 1}
IMAGES = {"name": "TSN", "num_classes": 6, "depth": 18, "width": 16, "dropout_rate": 0.3}


def _snippets(segments: int, frames: int) -> dict[str, Any]:
    return {"name": "segment_snippets", "segments": segments, "frames": frames}


RECIPES: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "r3d": ({**VIDEO, "kind": "r3d"}, CLIPS),
    "r2plus1d": ({**VIDEO, "kind": "r2plus1d"}, CLIPS),
    "c3d": (
        {
            "name": "C3D",
            "num_classes": 6,
            "features": ((16,), (32,), (64,)),
            "dense_features": (64,),
            "dropout_rate": 0.3,
            "initializer": "he",
        },
        CLIPS,
    ),
    "tsn_rgb": ({**IMAGES, "modality": "rgb"}, (*CLIPS, _snippets(4, 1))),
    "tsn_difference": ({**IMAGES, "modality": "rgb_difference"}, (*CLIPS, _snippets(2, 3))),
    "one_frame": ({**IMAGES, "modality": "rgb"}, (*CLIPS, _snippets(1, 1))),
}
VARIANTS = tuple(RECIPES)


def get_config(variant: str = "r3d") -> ConfigDict:
    """Some twenty epochs in batches of 32."""
    model, transforms = RECIPES[variant]
    return ConfigDict(
        {
            "model": model,
            "task": {"name": "classification", "label_smoothing": 0.1},
            "data": {"name": "sprite_actions"},
            "optimizer": {
                "name": "adamw",
                "learning_rate": 2e-3,
                "weight_decay": 0.05,
                "schedule": {"name": "cosine", "warmup_steps": 30},
            },
            "training": {"steps": 800, "batch_size": 32, "transforms": transforms},
            "evaluation": {"splits": ("test",), "every": 200, "batch_size": 112},
        }
    )


def published() -> list[Row]:
    """Test accuracy; there are no published figures."""
    names = {
        "r3d": ("R3D", 250),
        "r2plus1d": ("R(2+1)D", 300),
        "c3d": ("C3D", 200),
        "tsn_rgb": ("TSN, frames", 200),
        "tsn_difference": ("TSN, differences", 150),
        "one_frame": ("ResNet of one frame", 60),
    }
    return [
        Row(
            name=name,
            variant=variant,
            metric="test/accuracy",
            published=None,
            source="a set of our own: no published figure; chance is 16.7 %",
            seconds=seconds,
            scale=100,
            units="%",
        )
        for variant, (name, seconds) in names.items()
    ]
