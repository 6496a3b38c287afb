"""BERT and T5 as they are pre-trained, small, on the Brown corpus.

aimodels data fetch sentence_pairs
aimodels train --config=experiments/language/pretraining.py:bert --workdir=runs/bert

aimodels reproduce experiments/language/pretraining.py --rows=bert,t5

`bert` learns hidden words, 15 % of them, and whether a second stretch of text follows the first
(Devlin et al. 2019, section 3.1). `t5` learns spans that are left out: 15 % of the tokens, of 3 in
the mean, each a sentinel (Raffel et al. 2020, section 3.3.4), with the paper's inverse square root
schedule but by Adam, not Adafactor. The texts are a million words and not the papers' billions, the
models 4 layers of width 128, and so there are no published figures. Splits are our own: files that
are held out. What is trained begins another run by `config.init_from.path=runs/bert`.
"""

from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

# Of byte_bpe; the ids behind are those of the start, the end and six sentinels, which 128 tokens
# with 15 % of them left out need.
PIECES, SENTINELS = 4000, 6
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": {
        "data": {"name": "sentence_pairs", "vocabulary": 8000, "length": 128},
        "model": {
            "name": "BERT",
            "head": "pretraining",
            "vocabulary": 8000,
            "width": 128,
            "num_layers": 4,
            "num_heads": 4,
            "max_length": 128,
        },
        "task": {"name": "masked_language_model", "mask_token": 4, "special_tokens": (0, 2, 3)},
        "optimizer": {
            "name": "adamw",
            "learning_rate": 5e-4,
            "weight_decay": 0.01,
            "decay_exclude": ("bias$", "scale$"),
            "schedule": {"name": "linear", "warmup_steps": 300},
        },
    },
    "t5": {
        "data": {
            "name": "text",
            "corpus": "brown",
            "tokenizer": "byte_bpe",
            "vocabulary": PIECES,
            "length": 128,
        },
        "model": {
            "name": "T5",
            "vocabulary": PIECES + 2 + SENTINELS,
            "width": 128,
            "num_layers": 4,
            "num_heads": 4,
            "head_width": 32,
            "mlp_width": 512,
        },
        "task": {"name": "span_corruption", "start": PIECES, "end": PIECES + 1},
        "optimizer": {
            "name": "adam",
            "learning_rate": 1e-3,
            "clip_global_norm": 1.0,
            "schedule": {"name": "inverse_square_root", "warmup_steps": 300},
        },
    },
}
VARIANTS = tuple(CONFIGS)
# What makes a run small enough for a test.
SHRUNK = {
    "data.length": "32",
    "model.width": "16",
    "model.num_heads": "2",
    "model.num_layers": "1",
    "model.mlp_width": "16",
}


def get_config(variant: str = "bert") -> ConfigDict:
    """A model and what it learns."""
    return ConfigDict(
        CONFIGS[variant]
        | {
            "training": {"steps": 3000, "batch_size": 32},
            "evaluation": {"splits": ("validation",), "every": 500, "batch_size": 32},
            "checkpoint": {"every": 500},
        }
    )


def published() -> list[Row]:
    """Perplexities of a token that is hidden, and accuracies of the next sentence: our own."""
    common: dict[str, Any] = {
        "published": None,
        "source": "our own split: no published figure",
        "long": True,
    }
    perplexity = {"metric": "validation/perplexity", "decimals": 1, "higher_is_better": False}
    return [
        Row(name="BERT, hidden tokens", variant="bert", **perplexity, **common),
        Row(
            name="BERT, next sentence",
            variant="bert",
            metric="validation/next_sentence",
            units="%",
            scale=100,
            decimals=1,
            **common,
        ),
        Row(name="T5, spans left out", variant="t5", **perplexity, **common),
    ]
