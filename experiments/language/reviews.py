"""Reviews of films, positive or negative: networks and classical methods on frozen splits.

aimodels data fetch reviews:imdb
aimodels train --config=experiments/language/reviews.py:cnn_rotten_tomatoes --workdir=runs/reviews

aimodels reproduce experiments/language/reviews.py --rows=nb_imdb,nbsvm_imdb

The splits are our own, so that there are no published figures to stand beside: the package has the
training halves of the official sets (Maas et al. 2011; Pang & Lee 2005). What the rows tell is how
the methods compare on the same texts. Networks read the first 256 words of IMDB's reviews, 9 of
20 of which are longer; the classical methods read all of them.
"""

from functools import partial
from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row
from aimodels.reproduce.text_tables import METHODS, NETWORKS, network, run_method

SETS = {"imdb": ("IMDB", 256, 17_431, 4980), "rotten_tomatoes": ("Rotten Tomatoes", 64, 5970, 1706)}
BATCH_SIZE, EPOCHS = 50, 6
OURS = "our own split: no published figure"
VARIANTS = (*(f"{name}_imdb" for name in NETWORKS), "cnn_rotten_tomatoes", "lstm_rotten_tomatoes")
# A batch is computed at the shortest of these, or of T, that holds it.
BUCKETS = {
    "imdb": (112, 144, 192),
    "rotten_tomatoes": (10, 14, 18, 21, 25, 28, 32, 37, 45),
}


def get_config(variant: str = "cnn_imdb") -> ConfigDict:
    """A network on a set."""
    model, _, name = variant.partition("_")
    _, length, examples, _ = SETS[name]
    epoch = -(-examples // BATCH_SIZE)
    return ConfigDict(
        {
            "model": network(model, length=length, num_classes=2, vocabulary=20_000),
            "task": {"name": "sequence_classification", "bucket_lengths": BUCKETS[name]},
            "data": {
                "name": "reviews",
                "dataset": name,
                "tokenizer": "words",
                "vocabulary": 20_000,
                "length": length,
            },
            "optimizer": {"name": "adam", "learning_rate": 1e-3},
            "training": {"steps": EPOCHS * epoch, "batch_size": BATCH_SIZE, "order": "by_length"},
            "evaluation": {"splits": ("validation", "test"), "every": epoch, "batch_size": 250},
        }
    )


def published() -> list[Row]:
    """Test accuracies in percent, all our own."""
    rows = []
    common: dict[str, Any] = {
        "metric": "test/accuracy",
        "published": None,
        "source": OURS,
        "units": "%",
        "scale": 100,
        "decimals": 1,
    }
    for name, (title, _, _, tested) in SETS.items():
        for network_name, (label, _) in NETWORKS.items():
            variant = f"{network_name}_{name}"
            if variant in VARIANTS:
                rows.append(Row(name=f"{title}, {label}", variant=variant, long=True, **common))
        data = {"name": "reviews", "dataset": name}
        for short, method in METHODS.items():
            rows.append(
                Row(
                    name=f"{title}, {method.label} (scikit-learn)",
                    variant=f"{short}_{name}",
                    run=partial(run_method, method, data, "train", "test"),
                    test_examples=None if method.seeded else tested,
                    seconds=40 if name == "imdb" else 5,
                    long=method.seeded and name == "imdb",
                    **common,
                )
            )
    return rows
