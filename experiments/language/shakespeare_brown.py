"""Characters of Shakespeare's works, words of the Brown corpus: GPT and LSTM beside n-grams.

aimodels data fetch text:brown
aimodels train --config=experiments/language/shakespeare_brown.py:brown --workdir=runs/brown
aimodels generate --workdir=runs/brown --prompt="The Fulton County"

aimodels reproduce experiments/language/shakespeare_brown.py --rows=kneser_ney_brown

The splits are our own, so that there are no published figures to stand beside. Of Shakespeare 42
works are read character by character, and judged on the last of them, which training never sees. Of
Brown the 10,000 most frequent words are known, the others are one token; files of all genres are
held out. The LSTM has two layers of 256 features and is trained as the GPT. The n-gram models
(interpolated modified Kneser-Ney, Chen & Goodman 1999) predict the same tokens.
"""

from functools import partial
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

OURS = "our own split: no published figure"
DATA: dict[str, dict[str, Any]] = {
    "shakespeare": {"name": "text", "corpus": "shakespeare", "length": 128},
    "brown": {
        "name": "text",
        "corpus": "brown",
        "tokenizer": "words",
        "vocabulary": 10_000,
        "length": 64,
    },
}
VOCABULARY = {"shakespeare": 84, "brown": 10_000}
ORDERS = {"shakespeare": 7, "brown": 4}
VARIANTS = (*DATA, *(f"{corpus}_lstm" for corpus in DATA))
# What makes a run small enough for a test.
SHRUNK = {
    "data.length": "16",
    "model.width": "24",
    "model.features": "24",
    "model.num_heads": "2",
    "model.num_layers": "1",
}


def get_config(variant: str = "shakespeare") -> ConfigDict:
    """A GPT of 4 layers, or an LSTM of 2, on a corpus."""
    corpus, _, kind = variant.partition("_")
    data = DATA[corpus]
    of_kind = (
        {"name": "RecurrentLanguageModel", "features": 256, "embedding_features": 128}
        if kind == "lstm"
        else {"name": "GPT", "width": 128, "num_heads": 4, "max_length": data["length"]}
    )
    return ConfigDict(
        {
            "data": data,
            "model": {
                "vocabulary": VOCABULARY[corpus],
                "num_layers": 2 if kind == "lstm" else 4,
                "dropout_rate": 0.1,
                **of_kind,
            },
            "task": {"name": "language_model"},
            "optimizer": {
                "name": "adamw",
                "learning_rate": 1e-3,
                "b2": 0.99,
                "weight_decay": 0.1,
                "decay_exclude": ("bias$",) if kind == "lstm" else ("scale$",),
                "clip_global_norm": 1.0,
                "schedule": {"name": "cosine", "warmup_steps": 100, "final_fraction": 0.1},
            },
            "training": {"steps": 5000, "batch_size": 32},
            "evaluation": {"splits": ("validation",), "every": 1000, "batch_size": 64},
            "checkpoint": {"every": 1000},
        }
    )


def run_ngrams(corpus: str, folder: Path) -> list[dict[str, float]]:
    """The metrics of an n-gram model on the validation part."""
    from aimodels.data import make
    from aimodels.reproduce.ngram_baselines import kneser_ney

    del folder
    return [kneser_ney(make(**DATA[corpus]), ORDERS[corpus])]


def published() -> list[Row]:
    """Bits a character of Shakespeare, perplexity of a word of Brown: all our own."""
    rows = []
    for corpus, metric, of in (
        ("shakespeare", "validation/bits", "characters"),
        ("brown", "validation/perplexity", "words"),
    ):
        common: dict[str, Any] = {
            "metric": metric,
            "published": None,
            "source": OURS,
            "decimals": 3 if corpus == "shakespeare" else 1,
            "higher_is_better": False,
        }
        title = corpus.title()
        rows += [
            Row(name=f"{title}, GPT, 4 layers x 128", variant=corpus, long=True, **common),
            Row(name=f"{title}, LSTM, 2 x 256", variant=f"{corpus}_lstm", long=True, **common),
        ]
        rows.append(
            Row(
                name=f"{title}, Kneser-Ney, {ORDERS[corpus]} {of}",
                variant=f"kneser_ney_{corpus}",
                seconds=30,
                run_all=partial(run_ngrams, corpus),
                **common,
            )
        )
    return rows
