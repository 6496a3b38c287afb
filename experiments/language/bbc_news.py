"""BBC News, five topics: networks and classical methods on a frozen split.

aimodels data fetch bbc_news
aimodels train --config=experiments/language/bbc_news.py:cnn --workdir=runs/bbc

aimodels reproduce experiments/language/bbc_news.py

The split is our own (Greene & Cunningham 2006 clustered the documents), each document once, so that
there are no published figures to stand beside. Networks read the first 400 words; half of the
documents are longer. The classical methods read all of them.
"""

import dataclasses
from functools import partial
from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row
from aimodels.reproduce.text_tables import METHODS, NETWORKS, network, run_method

# A batch is computed at the shortest of these, or of T, that holds it.
BUCKETS = (200, 300)
BATCH_SIZE, EPOCHS, EXAMPLES, TESTED = 32, 10, 1485, 424
OURS = "our own split: no published figure"
# Of 1,485 documents boosting takes fewer trees, and single words.
CLASSICAL = METHODS | {
    "boosting": dataclasses.replace(
        METHODS["boosting"],
        fields={"max_iter": 100},
        counted=dict(METHODS["boosting"].counted) | {"ngrams": (1, 1)},
    )
}
VARIANTS = tuple(NETWORKS)


def get_config(variant: str = "cnn") -> ConfigDict:
    """A network."""
    epoch = -(-EXAMPLES // BATCH_SIZE)
    return ConfigDict(
        {
            "model": network(variant, length=400, num_classes=5, vocabulary=20_000),
            "task": {"name": "sequence_classification", "bucket_lengths": BUCKETS},
            "data": {
                "name": "bbc_news",
                "tokenizer": "words",
                "vocabulary": 20_000,
                "length": 400,
            },
            "optimizer": {"name": "adam", "learning_rate": 1e-3},
            "training": {"steps": EPOCHS * epoch, "batch_size": BATCH_SIZE, "order": "by_length"},
            "evaluation": {"splits": ("validation", "test"), "every": epoch, "batch_size": 213},
        }
    )


def published() -> list[Row]:
    """Test accuracies in percent, all our own."""
    common: dict[str, Any] = {
        "metric": "test/accuracy",
        "published": None,
        "source": OURS,
        "units": "%",
        "scale": 100,
        "decimals": 1,
    }
    rows = [
        Row(name=label, variant=name, long=True, **common) for name, (label, _) in NETWORKS.items()
    ]
    return rows + [
        Row(
            name=f"{method.label} (scikit-learn)",
            variant=variant,
            run=partial(run_method, method, {"name": "bbc_news"}, "train", "test"),
            test_examples=None if method.seeded else TESTED,
            seconds=30 if variant == "boosting" else 5,
            **common,
        )
        for variant, method in CLASSICAL.items()
    ]
