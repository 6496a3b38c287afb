"""Tiny Shakespeare by characters: nanoGPT's character model (Karpathy, README of nanoGPT, 2022).

aimodels data fetch text:tiny_shakespeare
aimodels train --config=experiments/language/tiny_shakespeare.py:cpu --workdir=runs/shakespeare
aimodels generate --workdir=runs/shakespeare --prompt="ROMEO:"

aimodels reproduce experiments/language/tiny_shakespeare.py

`cpu` is the README's command for a computer without a GPU: 4 layers of 4 heads, width 128, context
64, batch 12, 2,000 steps, no dropout; validation loss 1.88. `gpu` is the repository's
config/train_shakespeare_char.py: 6 layers of 6 heads, width 384, context 256, batch 64, 5,000
steps, dropout 0.2; 1.4697, the best of its evaluations. There the loss is that of random stretches
(20 and 200 batches of them); here that of the whole validation part, cut into stretches of the
context's length. As there, weight decay is for matrices alone, embeddings among them.

`lstm` has the settings of char-rnn (Karpathy 2015, train.lua of github.com/karpathy/char-rnn): two
layers of 128, stretches of 50 characters, batches of 50, RMSprop at 2e-3, from the tenth of 50
epochs on 3 % less after each. There a stretch begins with the state of the one before it, and a
tenth of this part is for the test; here each begins with nothing known, as GPT's. No figure of its
loss was published: a row of our own.

An n-gram model of characters (interpolated modified Kneser-Ney, Chen & Goodman 1999) is scored on
the same characters, as a row of our own.
"""

from functools import partial
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

VARIANTS = ("cpu", "gpu", "lstm")
README = "README of nanoGPT (github.com/karpathy/nanoGPT), quick start"
CHARACTERS = 65
# Stretches of 50 of the 1,003,854 characters of the training part, in batches of 50.
CHAR_RNN_EPOCH, CHAR_RNN_EPOCHS = 401, 50
# What makes a run small enough for a test.
SHRUNK = {
    "data.length": "16",
    "model.width": "24",
    "model.features": "24",
    "model.num_heads": "2",
    "model.num_layers": "1",
}


def get_config(variant: str = "cpu") -> ConfigDict:
    """A character model by its size, or char-rnn's."""
    return ConfigDict(_char_rnn() if variant == "lstm" else _gpt(small=variant == "cpu"))


def _char_rnn() -> dict[str, Any]:
    epoch = CHAR_RNN_EPOCH
    return {
        "data": {"name": "text", "corpus": "tiny_shakespeare", "length": 50},
        "model": {
            "name": "RecurrentLanguageModel",
            "vocabulary": CHARACTERS,
            "features": 128,
            "num_layers": 2,
        },
        "task": {"name": "language_model"},
        "optimizer": {
            "name": "rmsprop",
            "learning_rate": 2e-3,
            "decay": 0.95,
            # There each element of the gradient of a stretch's sum is cut at 5.
            "clip_global_norm": 5.0,
            "schedule": {
                "name": "step",
                "boundaries": tuple(epoch * number for number in range(10, CHAR_RNN_EPOCHS)),
                "factor": 0.97,
            },
        },
        "training": {"steps": epoch * CHAR_RNN_EPOCHS, "batch_size": 50},
        "evaluation": {"splits": ("validation",), "every": 10 * epoch, "batch_size": 64},
        "checkpoint": {"every": 10 * epoch},
    }


def _gpt(*, small: bool) -> dict[str, Any]:
    length = 64 if small else 256
    return {
        "data": {"name": "text", "corpus": "tiny_shakespeare", "length": length},
        "model": {
            "name": "GPT",
            "vocabulary": CHARACTERS,
            "width": 128 if small else 384,
            "num_layers": 4 if small else 6,
            "num_heads": 4 if small else 6,
            "max_length": length,
            "dropout_rate": 0.0 if small else 0.2,
        },
        "task": {"name": "language_model"},
        "optimizer": {
            "name": "adamw",
            "learning_rate": 1e-3,
            "b2": 0.99,
            "weight_decay": 0.1,
            "decay_exclude": ("scale$",),
            "clip_global_norm": 1.0,
            "schedule": {"name": "cosine", "warmup_steps": 100, "final_fraction": 0.1},
        },
        "training": {
            "steps": 2000 if small else 5000,
            "batch_size": 12 if small else 64,
            "log_every": 50,
        },
        "evaluation": {"splits": ("validation",), "every": 250, "batch_size": 64},
        "checkpoint": {"every": 500},
    }


def run_ngrams(order: int, folder: Path) -> list[dict[str, float]]:
    """Validation loss of an n-gram model of characters."""
    from aimodels.data import make
    from aimodels.reproduce.ngram_baselines import kneser_ney

    del folder
    return [kneser_ney(make("text", corpus="tiny_shakespeare"), order)]


def published() -> list[Row]:
    """Validation losses, in nats a character."""
    return [
        Row(
            name="GPT, 4 layers x 128, context 64, 2,000 steps",
            variant="cpu",
            metric="validation/loss",
            published=1.88,
            source=README,
            decimals=2,
            higher_is_better=False,
            parameters=804_096,
        ),
        Row(
            name="GPT, 6 layers x 384, context 256, 5,000 steps",
            variant="gpu",
            metric="validation/loss",
            published=1.4697,
            source=README,
            decimals=4,
            higher_is_better=False,
            long=True,
        ),
        Row(
            name="LSTM, 2 layers x 128, context 50, 50 epochs",
            variant="lstm",
            metric="validation/loss",
            published=None,
            source="settings of char-rnn (github.com/karpathy/char-rnn): no published figure",
            decimals=4,
            higher_is_better=False,
            parameters=240_321,
            long=True,
        ),
        *(
            Row(
                name=f"Kneser-Ney, {order} characters",
                variant=f"kneser_ney_{order}",
                metric="validation/loss",
                published=None,
                source="our own row: no published figure",
                decimals=4,
                higher_is_better=False,
                seconds=10,
                run_all=partial(run_ngrams, order),
            )
            for order in (5, 7)
        ),
    ]
