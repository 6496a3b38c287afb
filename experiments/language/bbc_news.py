"""BBC News, five topics: networks and classical methods on a frozen split.

aimodels data fetch bbc_news
aimodels train --config=experiments/language/bbc_news.py:cnn --workdir=runs/bbc

aimodels reproduce experiments/language/bbc_news.py

The split is our own (Greene & Cunningham 2006 clustered the documents), each document once, so that
there are no published figures to stand beside. Networks read the first 400 words; half of the
documents are longer. The classical methods read all of them.
"""

from functools import partial
from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

# A batch is computed at the shortest of these, or of T, that holds it.
BUCKETS = (200, 300)
BATCH_SIZE, EPOCHS, EXAMPLES, TESTED = 32, 10, 1485, 424
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
        "max_length": 400,
    },
}
LABELS = {"cnn": "CNN", "lstm": "LSTM", "bilstm": "LSTM, both ways", "transformer": "Transformer"}
VARIANTS = tuple(MODELS)


def get_config(variant: str = "cnn") -> ConfigDict:
    """A network."""
    epoch = -(-EXAMPLES // BATCH_SIZE)
    return ConfigDict(
        {
            "model": MODELS[variant]
            | {"num_classes": 5, "vocabulary": 20_000, "dropout_rate": 0.5},
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


def run_classical(
    estimator: str, fields: dict[str, Any], given: dict[str, Any], seed: int
) -> dict[str, float]:
    """Test metrics of a scikit-learn classifier of n-grams."""
    from aimodels.data import make
    from aimodels.reproduce.text_baselines import text_classifier

    data = make("bbc_news")
    splits = (data.texts("train"), data.texts("test"))
    return text_classifier(estimator, fields, *splits, words=data.words, seed=seed, **given)


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
    rows = [Row(name=label, variant=model, long=True, **common) for model, label in LABELS.items()]
    forest = {"features": "counts", "ngrams": (1, 1), "most_frequent": 5000}
    boosting = {"features": "counts", "ngrams": (1, 1), "most_frequent": 1000, "dense": True}
    #    label            variant     estimator                fields               features
    classical: tuple[tuple[str, str, str, dict[str, Any], dict[str, Any]], ...] = (
        ("naive Bayes", "nb", "MultinomialNB", {"alpha": 1.0}, {}),
        ("NBSVM", "nbsvm", "NBSVM", {}, {}),
        ("linear SVM", "svm", "LinearSVC", {"C": 0.5}, {"features": "tfidf"}),
        ("random forest", "forest", "RandomForestClassifier", {"n_estimators": 200}, forest),
        (
            "gradient boosting",
            "boosting",
            "HistGradientBoostingClassifier",
            {"max_iter": 100},
            boosting,
        ),
    )
    for label, variant, estimator, fields, given in classical:
        seeded = variant in ("forest", "boosting")
        rows.append(
            Row(
                name=f"{label} (scikit-learn)",
                variant=variant,
                run=partial(run_classical, estimator, fields, given),
                test_examples=None if seeded else TESTED,
                seconds=30 if variant == "boosting" else 5,
                **common,
            )
        )
    return rows
