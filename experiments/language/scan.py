"""SCAN, commands and their actions: Lake & Baroni, "Generalization without systematicity" (2018).

aimodels train --config=experiments/language/scan.py:simple --workdir=runs/scan

aimodels reproduce experiments/language/scan.py --rows=simple
aimodels reproduce experiments/language/scan.py                      # all rows, the long ones too

A share of the test's commands is done right from the first action to the last. `simple`, `length`,
`turn_left` and `jump` are the net that the paper calls overall best, on each of its splits: an LSTM
of 2 layers of 200 units, no attention, dropout 0.5. The others are the best of a split:
`simple_best`, the same without dropout; `length_best`, a GRU of 50 units with attention and dropout
0.5; `turn_left_best`, a GRU, and `jump_best`, an LSTM, both of 100 units with attention and dropout
0.1. As there (its section 3): 100,000 trials of one command each, Adam at 0.001, gradients of norm
5 at most, and in half of the trials the decoder reads the target, in the others what it has written
itself.

Ours differs: the random split is our own draw of the published sizes; trials go through all
commands again and again, in the paper they are drawn with replacement; what the decoder writes
itself is written without dropout; attention is that of Bahdanau et al. 2015, whose encoder goes
both ways and whose logits come from a maxout layer, which the paper leaves out.
"""

from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

OVERALL_BEST: dict[str, Any] = {"attention": "none", "features": 200, "num_layers": 2}
#  variant          split            model's fields
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "simple": ("simple", OVERALL_BEST | {"dropout_rate": 0.5}),
    "length": ("length", OVERALL_BEST | {"dropout_rate": 0.5}),
    "turn_left": ("add_turn_left", OVERALL_BEST | {"dropout_rate": 0.5}),
    "jump": ("add_jump", OVERALL_BEST | {"dropout_rate": 0.5}),
    "simple_best": ("simple", OVERALL_BEST),
    "length_best": ("length", {"cell": "gru", "features": 50, "dropout_rate": 0.5}),
    "turn_left_best": ("add_turn_left", {"cell": "gru", "features": 100, "dropout_rate": 0.1}),
    "jump_best": ("add_jump", {"features": 100, "dropout_rate": 0.1}),
}
# Variant -> published accuracy in per cent.
FIGURES = {
    "simple": 99.7,
    "length": 13.8,
    "turn_left": 90.0,
    "jump": 0.08,
    "simple_best": 99.8,
    "length_best": 20.8,
    "turn_left_best": 90.3,
    "jump_best": 1.2,
}
TRIALS = 100_000
# What makes a run small enough for a test.
SHRUNK = {"model.features": "12", "task.bucket_lengths": "()"}


def get_config(variant: str = "simple") -> ConfigDict:
    """A net on a split."""
    split, model = VARIANTS[variant]
    return ConfigDict(
        {
            "data": {"name": "scan", "split": split},
            "model": {
                "name": "RecurrentEncoderDecoder",
                "vocabulary": 14,
                "target_vocabulary": 8,
                "max_length": 49,
            }
            | model,
            "task": {
                "name": "text_to_text",
                "teacher_forcing": 0.5,
                # Half of the texts have 13 tokens or fewer, one in ten more than 29 of the 49.
                "bucket_lengths": (16,),
            },
            "optimizer": {"name": "adam", "learning_rate": 1e-3, "clip_global_norm": 5.0},
            "training": {"steps": TRIALS, "batch_size": 1, "log_every": 1000},
            "evaluation": {"every": TRIALS // 5, "batch_size": 500},
            "checkpoint": {"every": TRIALS // 10},
            # Steps of many small operations.
            "execution": {"threads": 1},
        }
    )


def published() -> list[Row]:
    """Accuracies in per cent, means of five runs."""
    sections = {"simple": "1", "length": "2", "turn": "3", "jump": "3"}
    return [
        Row(
            name=f"{variant.replace('_', ' ').replace(' best', ', best for this split')}",
            variant=variant,
            metric="test/exact",
            published=figure,
            source=f"Lake & Baroni 2018, experiment {sections[variant.split('_')[0]]}",
            units="%",
            scale=100,
            # 35 ms a step of 49 tokens on one busy core; half of the steps have 16.
            seconds=3500,
            long=variant != "simple",
        )
        for variant, figure in FIGURES.items()
    ]
