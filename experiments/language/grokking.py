"""Grokking: Nanda et al., "Progress measures for grokking via mechanistic interpretability", 2023.

aimodels train --config=experiments/language/grokking.py:addition --workdir=runs/grokking

aimodels reproduce experiments/language/grokking.py --rows=addition,without_decay

Addition modulo 113, from 30 % of all pairs. The network is right on those within the first
thousand or two of full-batch steps, and on the others, all of a sudden, many thousands later: see
the curves of `train` and `test`. The mainline model of the paper, section 3: one block without
norms, width 128, 4 heads, a feed-forward of 512 with ReLU, learned positions; AdamW at 1e-3 with
weight decay 1 and b2 0.98. Without weight decay it learns by heart and stays there (section 5.3).

It differs from the paper's code in that attention and output have biases, which the decay covers
too; in its initial weights (Glorot, embeddings N(0, 0.02²)); in that "=" is no class; and in its
length: 15,000 steps, where the paper's model has generalised after some 10,000 and is trained for
40,000. The split is our own draw. Figures are read from the paper's text and drawings.
"""

from ml_collections import ConfigDict

from aimodels.reproduce import Row

VARIANTS = ("addition", "without_decay")
MODULUS, TRAIN_SIZE = 113, 3830
# What makes a run small enough for a test.
SHRUNK = {"model.width": "16", "model.mlp_width": "16"}


def get_config(variant: str = "addition") -> ConfigDict:
    """Addition, with the paper's weight decay or without any."""
    return ConfigDict(
        {
            "model": {
                "name": "TransformerClassifier",
                "num_classes": MODULUS,
                "vocabulary": MODULUS + 1,
                "width": 128,
                "num_layers": 1,
                "num_heads": 4,
                "mlp_width": 512,
                "activation": "relu",
                "norm": "none",
                "readout": "last",
            },
            "task": {"name": "classification", "confusion": False},
            "data": {"name": "modular_arithmetic", "modulus": MODULUS},
            "optimizer": {
                "name": "adamw",
                "learning_rate": 1e-3,
                "b2": 0.98,
                "weight_decay": 1.0 if variant == "addition" else 0.0,
                "schedule": {"name": "constant", "warmup_steps": 10},
            },
            "training": {"steps": 15_000, "batch_size": TRAIN_SIZE},
            "evaluation": {"splits": ("train", "test"), "every": 250, "batch_size": 4500},
            "checkpoint": {"every": 1000},
        }
    )


def published() -> list[Row]:
    """Accuracies in percent."""
    return [
        Row(
            name="Addition modulo 113, weight decay 1",
            variant="addition",
            metric="test/accuracy",
            published=100,
            source="Nanda et al. 2023, section 3 and figure 2",
            units="%",
            scale=100,
            seconds=3600,
            long=True,
            note="Published as a curve; the figure is where it ends.",
        ),
        Row(
            name="Addition modulo 113, no weight decay",
            variant="without_decay",
            metric="test/accuracy",
            published=None,
            source="Nanda et al. 2023, section 5.3: it does not generalise",
            units="%",
            scale=100,
            decimals=1,
            seconds=3600,
            long=True,
        ),
    ]
