"""What tables of text classification have in common: their networks and classical methods."""

import dataclasses
from collections.abc import Mapping
from typing import Any

# The short name of a network -> its label and its section of a config.
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "cnn": ("CNN", {"name": "TextCNN", "embedding_features": 128}),
    "lstm": (
        "LSTM",
        {"name": "RecurrentClassifier", "features": 128, "embedding_features": 128},
    ),
    "bilstm": (
        "LSTM, both ways",
        {
            "name": "RecurrentClassifier",
            "features": 128,
            "embedding_features": 128,
            "bidirectional": True,
        },
    ),
    "transformer": (
        "Transformer",
        {"name": "TransformerClassifier", "width": 128, "num_layers": 2, "readout": "mean"},
    ),
}


def network(name: str, *, length: int, num_classes: int, vocabulary: int) -> dict[str, Any]:
    """The section of a config of one of `NETWORKS`, for texts of `length` words at most."""
    longest = {"max_length": length} if name == "transformer" else {}
    of_data = {"num_classes": num_classes, "vocabulary": vocabulary, "dropout_rate": 0.5}
    return NETWORKS[name][1] | longest | of_data


@dataclasses.dataclass(frozen=True)
class Method:
    """A classical method: a classifier of n-grams.

    Attributes:
      label: what a table calls it.
      estimator: see `aimodels.reproduce.text_baselines.text_classifier`.
      fields: of the estimator.
      counted: arguments of `text_classifier` that say which n-grams count, and how.
      seeded: whether a seed decides it.
    """

    label: str
    estimator: str
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    counted: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seeded: bool = False


# Short name -> method; a table that has another setting replaces it.
METHODS = {
    "nb": Method("naive Bayes", "MultinomialNB", {"alpha": 1.0}),
    "nbsvm": Method("NBSVM", "NBSVM", {"alpha": 1.0, "beta": 0.25}),
    "svm": Method("linear SVM", "LinearSVC", {"C": 0.5}, {"features": "tfidf"}),
    "forest": Method(
        "random forest",
        "RandomForestClassifier",
        {"n_estimators": 200},
        {"features": "counts", "ngrams": (1, 1), "most_frequent": 5000},
        seeded=True,
    ),
    "boosting": Method(
        "gradient boosting",
        "HistGradientBoostingClassifier",
        {"max_iter": 200},
        {"features": "counts", "most_frequent": 1000, "dense": True},
        seeded=True,
    ),
}


def run_method(
    method: Method,
    data: Mapping[str, Any],
    train: str = "train",
    test: str = "test",
    seed: int = 0,
) -> dict[str, float]:
    """Metrics of a method that is fitted on a split of texts and scored on another.

    Args:
      method: which.
      data: the config's section, of a data set of labelled texts.
      train: the split, such as "train[:3200]" or "train+validation".
      test: the other.
      seed: of the estimator.
    """
    from aimodels.data import make
    from aimodels.reproduce.text_baselines import text_classifier

    found: Any = make(**data)
    splits = (found.texts(train), found.texts(test))
    return text_classifier(
        method.estimator, method.fields, *splits, words=found.words, seed=seed, **method.counted
    )
