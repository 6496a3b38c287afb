"""LibreOffice's help from English into German, split by page.

aimodels data fetch libreoffice_help:de
aimodels train --config=experiments/language/libreoffice_help.py:transformer --workdir=runs/help
aimodels translate --workdir=runs/help --text="Click the icon to insert a table."

aimodels reproduce experiments/language/libreoffice_help.py         # the phrase-based row
aimodels reproduce experiments/language/libreoffice_help.py --rows=phrases,transformer

The splits are our own, so that there are no published figures to stand beside. Texts are as they
were written, 4 to 40 words, with 8,000 joint subwords; BLEU is sacreBLEU's own (tok:13a, case as it
is). The Transformer is small, since there are only 20,382 pairs: 3 layers of width 192. `phrases`
is a phrase-based system, as in `multi30k.py`, of the words that BLEU counts; under the table stands
how far each network is from it on the same texts.
"""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row, Systems

MODELS: dict[str, dict[str, Any]] = {
    "transformer": {
        "name": "EncoderDecoderTransformer",
        "width": 192,
        "num_layers": 3,
        "num_heads": 4,
        "mlp_width": 384,
        "max_length": 96,
        "dropout_rate": 0.3,
    },
    "bahdanau": {
        "name": "RecurrentEncoderDecoder",
        "attention": "bahdanau",
        "features": 256,
        "embedding_features": 128,
        "dropout_rate": 0.3,
    },
}
LABELS = {
    "transformer": "Transformer, 3 layers x 192",
    "bahdanau": "LSTM, Bahdanau's attention",
}
VARIANTS = tuple(MODELS)
PHRASES = "phrase-based"
# To align, to tune and to translate 1,014 texts, on one core.
SECONDS_OF_PHRASES = 400
# 20,382 pairs in batches of 64.
EPOCH = 319
# What makes a run small enough for a test.
SHRUNK = {
    "data.length": "32",
    "data.vocabulary": "600",
    "model.vocabulary": "600",
    "model.width": "16",
    "model.num_heads": "2",
    "model.num_layers": "1",
    "model.features": "12",
    "model.embedding_features": "8",
    "task.beams": "2",
    "task.bucket_lengths": "()",
}


def get_config(variant: str = "transformer") -> ConfigDict:
    """A model."""
    recurrent = variant == "bahdanau"
    noam = {"name": "noam", "width": 192, "warmup_steps": 2000}
    return ConfigDict(
        {
            "data": {"name": "libreoffice_help", "vocabulary": 8000, "length": 96},
            "model": MODELS[variant] | {"vocabulary": 8000},
            "task": {
                "name": "text_to_text",
                "label_smoothing": 0.1,
                "beams": 5,
                "length_penalty": 0.6,
                "bucket_lengths": (16, 32, 48),
            },
            "optimizer": {"name": "adam", "learning_rate": 1e-3, "clip_global_norm": 1.0}
            if recurrent
            else {
                "name": "adam",
                "learning_rate": 1.0,
                "b2": 0.98,
                "eps": 1e-9,
                "schedule": noam,
            },
            "training": {
                "steps": (15 if recurrent else 30) * EPOCH,
                "batch_size": 64,
                "order": "by_length",
                "ema_decay": 0.0 if recurrent else 0.999,
            },
            "evaluation": {"splits": ("validation", "test"), "batch_size": 100},
            "checkpoint": {"every": 5 * EPOCH},
        }
    )


def run_phrases(folder: Path) -> list[dict[str, float]]:
    """The scores of a phrase-based system on the test pages."""
    from aimodels.data import make
    from aimodels.reproduce.phrase_baselines import phrase_based

    return [phrase_based(make("libreoffice_help"), ("test",), folder)]


def published() -> list[Row]:
    """BLEU, chrF and NIST on the test pages: all our own."""
    rows = []
    for variant, label in {"phrases": PHRASES, **LABELS}.items():
        given: dict[str, Any] = {"long": True}
        if variant == "phrases":
            given = {"run_all": run_phrases, "seconds": SECONDS_OF_PHRASES}
        rows += [
            Row(
                name=label,
                variant=variant,
                metric=f"test/{metric}",
                published=None,
                source="our own split: no published figure",
                decimals=2,
                **given,
            )
            for metric in ("bleu", "chrf", "nist")
        ]
    return rows


def systems() -> list[Systems]:
    """Networks against phrases."""
    return [
        Systems(
            title="German",
            data={"name": "libreoffice_help"},
            splits=("test",),
            variants={label: name for name, label in {"phrases": PHRASES, **LABELS}.items()},
            baseline=PHRASES,
        )
    ]
