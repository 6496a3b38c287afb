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

SETS = {"imdb": ("IMDB", 256, 17_431, 4980), "rotten_tomatoes": ("Rotten Tomatoes", 64, 5970, 1706)}
BATCH_SIZE, EPOCHS = 50, 6
OURS = "our own split: no published figure"
MODELS: dict[str, dict[str, Any]] = {
    "cnn": {"name": "TextCNN", "embedding_features": 128},
    "lstm": {"name": "RecurrentClassifier", "features": 128, "embedding_features": 128},
    "bilstm": {
        "name": "RecurrentClassifier",
        "features": 128,
        "embedding_features": 128,
        "bidirectional": True,
    },
    "transformer": {
        "name": "TransformerClassifier",
        "width": 128,
        "num_layers": 2,
        "readout": "mean",
        "max_length": 256,
    },
}
LABELS = {
    "cnn": "CNN",
    "lstm": "LSTM",
    "bilstm": "LSTM, both ways",
    "transformer": "Transformer",
}
VARIANTS = (*(f"{model}_imdb" for model in MODELS), "cnn_rotten_tomatoes", "lstm_rotten_tomatoes")
# A batch is computed at the shortest of these, or of T, that holds it.
BUCKETS = {"imdb": (128, 192), "rotten_tomatoes": (16, 24, 40)}


def get_config(variant: str = "cnn_imdb") -> ConfigDict:
    """A network on a set."""
    model, _, name = variant.partition("_")
    _, length, examples, _ = SETS[name]
    epoch = -(-examples // BATCH_SIZE)
    return ConfigDict(
        {
            "model": MODELS[model] | {"num_classes": 2, "vocabulary": 20_000, "dropout_rate": 0.5},
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


def run_classical(
    name: str, estimator: str, fields: dict[str, Any], given: dict[str, Any], seed: int
) -> dict[str, float]:
    """Test metrics of a scikit-learn classifier of n-grams."""
    from aimodels.data import make
    from aimodels.reproduce.text_baselines import text_classifier

    data = make("reviews", dataset=name)
    splits = (data.texts("train"), data.texts("test"))
    return text_classifier(estimator, fields, *splits, words=data.words, seed=seed, **given)


# Short name -> label, estimator, its fields, what is counted, whether a seed decides it.
CLASSICAL: dict[str, tuple[str, str, dict[str, Any], dict[str, Any], bool]] = {
    "nb": ("naive Bayes", "MultinomialNB", {"alpha": 1.0}, {}, False),
    "nbsvm": ("NBSVM", "NBSVM", {}, {}, False),
    "svm": ("linear SVM", "LinearSVC", {"C": 0.5}, {"features": "tfidf"}, False),
    "forest": (
        "random forest",
        "RandomForestClassifier",
        {"n_estimators": 200},
        {"features": "counts", "ngrams": (1, 1), "most_frequent": 5000},
        True,
    ),
    "boosting": (
        "gradient boosting",
        "HistGradientBoostingClassifier",
        {"max_iter": 200},
        {"features": "counts", "most_frequent": 1000, "dense": True},
        True,
    ),
}


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
        for model, label in LABELS.items():
            variant = f"{model}_{name}"
            if variant in VARIANTS:
                rows.append(Row(name=f"{title}, {label}", variant=variant, long=True, **common))
        for short, (label, estimator, fields, given, seeded) in CLASSICAL.items():
            rows.append(
                Row(
                    name=f"{title}, {label} (scikit-learn)",
                    variant=f"{short}_{name}",
                    run=partial(run_classical, name, estimator, fields, given),
                    test_examples=None if seeded else tested,
                    seconds=40 if name == "imdb" else 5,
                    long=seeded and name == "imdb",
                    **common,
                )
            )
    return rows
