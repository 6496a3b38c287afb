"""Fine-tuning against training from scratch: the MiniLM encoder on topics and on opinions.

aimodels data fetch bbc_news
aimodels data fetch minilm_l6_v2
aimodels train --config=experiments/language/minilm.py:bbc_fine_tuned --workdir=runs/minilm
aimodels reproduce experiments/language/minilm.py --rows=bbc_fine_tuned,bbc_scratch

What trained weights are worth where texts are few. The encoder is all-MiniLM-L6-v2 (Wang et al.
2020; Reimers & Gurevych 2019): a BERT of 6 layers, width 384, that its publishers have trained on a
billion pairs of sentences. Both rows of a set have the same network, tokenizer, texts and steps;
one begins with those weights and a new classifier, at a rate of 5e-5 (among those of Devlin et al.
2019, appendix A.3), the other at random, at 3e-4. Topics: 1,485 documents of BBC News, their first
128 tokens, three epochs. Opinions: 3,200 of the training reviews of IMDB, their first 256 tokens,
one epoch; tested on the first 1,000 of the test's. Beside them stand classical methods on the same
documents, all of whose words they read. The splits are our own, so that there are no published
figures.
"""

from functools import partial
from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row
from aimodels.reproduce.text_tables import METHODS, run_method

SETS: dict[str, dict[str, Any]] = {
    "bbc": {
        "data": {"name": "bbc_news", "length": 128},
        "batch_size": 32,
        "classes": 5,
        "split": "train",
        "steps": 3 * -(-1485 // 32),
        "test": "test",
        "tested": 424,
    },
    "imdb": {
        "data": {"name": "reviews", "dataset": "imdb", "length": 256},
        "batch_size": 16,
        "classes": 2,
        "split": "train[:3200]",
        "steps": 3200 // 16,
        "test": "test[:1000]",
        "tested": 1000,
    },
}
LABELS = {"bbc": "BBC News", "imdb": "IMDB, 3,200 reviews"}
BEGINNINGS = {"fine_tuned": "MiniLM's weights", "scratch": "random weights"}
VARIANTS = tuple(f"{name}_{beginning}" for name in SETS for beginning in BEGINNINGS)
VOCABULARY = 30_522
# What makes a run small enough for a test.
SHRUNK = {"data.length": "16"}


def get_config(variant: str = "bbc_fine_tuned") -> ConfigDict:
    """A set, and how the network begins."""
    name, _, beginning = variant.partition("_")
    of_set = SETS[name]
    config: dict[str, Any] = {
        "data": of_set["data"] | {"tokenizer": "minilm_l6_v2", "vocabulary": VOCABULARY},
        "model": {
            "name": "BERT",
            "head": "classification",
            "num_classes": of_set["classes"],
            "vocabulary": VOCABULARY,
            "width": 384,
            "num_layers": 6,
            "num_heads": 12,
        },
        "task": {"name": "sequence_classification"},
        "optimizer": {
            "name": "adamw",
            "learning_rate": 5e-5 if beginning == "fine_tuned" else 3e-4,
            "weight_decay": 0.01,
            "decay_exclude": ("bias$", "scale$"),
            "clip_global_norm": 1.0,
            "schedule": {"name": "linear", "warmup_steps": of_set["steps"] // 10},
        },
        "training": {
            "steps": of_set["steps"],
            "batch_size": of_set["batch_size"],
            "split": of_set["split"],
            "log_every": 10,
        },
        "evaluation": {"splits": (of_set["test"],), "batch_size": 50},
        "checkpoint": {"every": 50},
    }
    if beginning == "fine_tuned":
        config["init_from"] = {"path": "minilm_l6_v2", "new": ("^classes/",)}
    return ConfigDict(config)


def published() -> list[Row]:
    """Test accuracies of two ways to begin, and of n-grams; none of them is published."""
    common: dict[str, Any] = {
        "published": None,
        "source": "our own split: no published figure",
        "units": "%",
        "scale": 100,
        "decimals": 1,
    }
    rows = [
        Row(
            name=f"{LABELS[name]}, {label}",
            variant=f"{name}_{beginning}",
            metric=f"{SETS[name]['test']}/accuracy",
            # Some 8 s of one core a step, of 4,096 tokens in either set.
            seconds=9 * SETS[name]["steps"],
            long=True,
            **common,
        )
        for name in SETS
        for beginning, label in BEGINNINGS.items()
    ]
    return rows + [
        Row(
            name=f"{LABELS[name]}, {METHODS[short].label} (scikit-learn)",
            variant=f"{short}_{name}",
            metric="test/accuracy",
            run=partial(
                run_method, METHODS[short], of_set["data"], of_set["split"], of_set["test"]
            ),
            test_examples=of_set["tested"],
            seconds=10,
            **common,
        )
        for name, of_set in SETS.items()
        for short in ("nb", "nbsvm", "svm")
    ]
