"""Multi30k captions from English into German and French (Elliott et al. 2016 and 2017).

aimodels data fetch multi30k
aimodels train --config=experiments/language/multi30k.py:tiny_de --workdir=runs/captions
aimodels translate --workdir=runs/captions --text="two dogs run through the snow ."

aimodels reproduce experiments/language/multi30k.py                # the phrase-based rows
aimodels reproduce experiments/language/multi30k.py --rows=phrases_de,tiny_de,bahdanau_de

Text alone, without the photographs. `tiny` is a Transformer of the size that Wu et al. 2021 ("Good
for misconceived reasons", ACL) call tiny and train on these captions: 4 layers of width 128, 4
heads, feed-forward 256, dropout 0.3, label smoothing 0.1, 10,000 joint subwords. As there, the
texts are the publisher's tokenized ones, in lower case, and BLEU is that of words as they stand
(sacreBLEU with tok:none); beams of 5. Ours differs in its batches, 128 captions of like lengths, in
its schedule, Noam's at the paper's height of Vaswani et al. 2017 times 1.5, and in a moving average
of the weights in place of a mean of checkpoints. `base` is the Transformer of Vaswani et al. 2017,
table 3, which is too large for so few captions and for a CPU. `bahdanau` and `luong` are LSTMs with
attention.

`phrases_de` and `phrases_fr` are what neural systems were first held against, a phrase-based system
as Moses's baseline is: words aligned by IBM Model 2 both ways, phrases of up to 7 words, a language
model of 3-grams, weights tuned on the validation captions; about five minutes of a core a language.
With Moses's weights, before they are tuned, and stacks of 30 its BLEU of German is 34.7 on test
2016 and 26.8 on test 2017. Under the table stands how far each network is from it on the same
captions, with intervals.
"""

from functools import partial
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row, Systems

MODELS: dict[str, dict[str, Any]] = {
    "tiny": {
        "name": "EncoderDecoderTransformer",
        "vocabulary": 10_000,
        "width": 128,
        "num_layers": 4,
        "num_heads": 4,
        "mlp_width": 256,
        "max_length": 64,
        "dropout_rate": 0.3,
    },
    "base": {"name": "EncoderDecoderTransformer", "vocabulary": 37_000},
    "bahdanau": {
        "name": "RecurrentEncoderDecoder",
        "vocabulary": 10_000,
        "attention": "bahdanau",
        "features": 256,
        "embedding_features": 128,
        "dropout_rate": 0.3,
    },
    "luong": {
        "name": "RecurrentEncoderDecoder",
        "vocabulary": 10_000,
        "attention": "luong",
        "features": 256,
        "embedding_features": 128,
        "dropout_rate": 0.3,
    },
}
LABELS = {
    "tiny": "Transformer, 4 layers x 128",
    "bahdanau": "LSTM, Bahdanau's attention",
    "luong": "LSTM, Luong's attention",
}
PHRASES = "phrase-based"
LANGUAGES = {"de": "German", "fr": "French"}
TESTS = ("test_2016", "test_2017")
# To align, to tune and to translate 2,000 captions, on one core.
SECONDS_OF_PHRASES = 300
METRICS = ("bleu", "chrf", "nist")
VARIANTS = ("tiny_de", "tiny_fr", "bahdanau_de", "bahdanau_fr", "luong_de", "luong_fr", "base_de")
# 29,000 captions in batches of 128.
EPOCH = 227
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


def get_config(variant: str = "tiny_de") -> ConfigDict:
    """A model and a language."""
    model, _, target = variant.partition("_")
    recurrent = model in ("bahdanau", "luong")
    transformers: dict[str, Any] = {
        "name": "adam",
        "learning_rate": 1.0 if model == "base" else 1.5,
        "b2": 0.98,
        "eps": 1e-9,
        "schedule": {
            "name": "noam",
            "width": 512 if model == "base" else 128,
            "warmup_steps": 4000 if model == "base" else 2000,
        },
    }
    lstms = {"name": "adam", "learning_rate": 1e-3, "clip_global_norm": 1.0}
    return ConfigDict(
        {
            "data": {
                "name": "multi30k",
                "target": target,
                "form": "tokenized",
                "vocabulary": MODELS[model]["vocabulary"],
                "length": 64,
            },
            "model": MODELS[model],
            "task": {
                "name": "text_to_text",
                "label_smoothing": 0.1,
                "beams": 5,
                "length_penalty": 0.6,
                "bucket_lengths": (16, 24, 32),
            },
            "optimizer": lstms if recurrent else transformers,
            "training": {
                "steps": (15 if recurrent else 30) * EPOCH,
                "batch_size": 128,
                "order": "by_length",
                "ema_decay": 0.0 if recurrent else 0.999,
            },
            "evaluation": {
                "splits": ("validation", "test_2016", "test_2017"),
                "batch_size": 100,
            },
            "checkpoint": {"every": 5 * EPOCH},
        }
    )


def run_phrases(target: str, folder: Path) -> list[dict[str, float]]:
    """The scores of a phrase-based system on both tests."""
    from aimodels.data import make
    from aimodels.reproduce.phrase_baselines import phrase_based

    dataset = make("multi30k", target=target, form="tokenized")
    return [phrase_based(dataset, TESTS, folder)]


def published() -> list[Row]:
    """Scores on the two tests of photographs from Flickr, rows of our own."""
    rows = []
    for target, language in LANGUAGES.items():
        for model, label in {"phrases": PHRASES, **LABELS}.items():
            given: dict[str, Any] = {"long": True}
            if model == "phrases":
                given = {"run_all": partial(run_phrases, target), "seconds": SECONDS_OF_PHRASES}
            rows += [
                Row(
                    name=f"{language}, {label}, {split.replace('_', ' ')}",
                    variant=f"{model}_{target}",
                    metric=f"{split}/{metric}",
                    published=None,
                    source="our own row: no published figure",
                    decimals=2,
                    **given,
                )
                for split in TESTS
                for metric in METRICS
            ]
    return rows


def systems() -> list[Systems]:
    """Networks against phrases, by BLEU of each language's tests."""
    return [
        Systems(
            title=language,
            data={"name": "multi30k", "target": target, "form": "tokenized"},
            splits=TESTS,
            variants={
                label: f"{model}_{target}"
                for model, label in {"phrases": PHRASES, **LABELS}.items()
            },
            baseline=PHRASES,
        )
        for target, language in LANGUAGES.items()
    ]
