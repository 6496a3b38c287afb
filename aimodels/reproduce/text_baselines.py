"""Classical rows of tables of text classification: n-grams counted, a classifier fitted, scored."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from aimodels.errors import UserError, unknown
from aimodels.reproduce.baselines import build

Features = Literal["binary", "counts", "tfidf"]
FEATURES = ("binary", "counts", "tfidf")


class NBSVM:
    """A linear SVM on naive Bayes features.

    Wang & Manning, "Baselines and bigrams", ACL 2012, section 2: features f in {0, 1} are
    multiplied by the log-count ratio r = log((p / |p|₁) / (q / |q|₁)) with p = α + the sum of f
    over one class and q = α + that over the others; the SVM's weights w are then drawn to their
    mean magnitude, w' = (1 - β) |w|₁ / V + β w. The SVM is LIBLINEAR's, with the squared hinge. Its
    bias, of which the paper says nothing, is scaled by β with its weights: with all of it the
    larger class wins on short texts (MPQA: 75 %, naive Bayes 85 %). Of more than two classes, each
    is against the rest.

    Args:
      alpha: α.
      beta: β.
      C: the SVM's.
      random_state: of the SVM's solver.
    """

    def __init__(
        self, alpha: float = 1.0, beta: float = 0.25, C: float = 1.0, random_state: int = 0
    ) -> None:
        self.alpha, self.beta, self.C, self.random_state = alpha, beta, C, random_state

    def fit(self, inputs: Any, targets: np.ndarray) -> "NBSVM":
        """Counts [B, V], sparse, and classes [B]."""
        self.classes_ = np.unique(targets)
        if len(self.classes_) < 2:
            raise UserError(
                f"NBSVM: targets are all of class {self.classes_}; it takes two or more"
            )
        ones = self.classes_[1:] if len(self.classes_) == 2 else self.classes_
        weights, biases = zip(*(self._against(inputs, targets == one) for one in ones), strict=True)
        self.weights_, self.biases_ = np.stack(weights), np.array(biases)
        return self

    def predict(self, inputs: Any) -> np.ndarray:
        """The classes [B] of counts [B, V]."""
        scores = np.asarray(_binary(inputs) @ self.weights_.T) + self.biases_
        if len(self.classes_) == 2:
            return self.classes_[(scores[:, 0] > 0).astype(int)]
        return self.classes_[scores.argmax(axis=1)]

    def _against(self, inputs: Any, ours: np.ndarray) -> tuple[np.ndarray, float]:
        """The weights [V] on plain features, and the bias, of one class against the rest."""
        from sklearn.svm import LinearSVC

        seen = _binary(inputs)
        p = self.alpha + np.asarray(seen[ours].sum(axis=0)).ravel()
        q = self.alpha + np.asarray(seen[~ours].sum(axis=0)).ravel()
        ratio = np.log(p / p.sum()) - np.log(q / q.sum())
        svm = LinearSVC(C=self.C, loss="squared_hinge", random_state=self.random_state)
        svm.fit(seen.multiply(ratio).tocsr(), ours)
        (weights,) = svm.coef_
        weights = (1 - self.beta) * np.abs(weights).mean() + self.beta * weights
        return ratio * weights, self.beta * float(np.ravel(svm.intercept_)[0])


def text_classifier(
    estimator: str,
    fields: Mapping[str, Any],
    train: tuple[Sequence[str], np.ndarray],
    test: tuple[Sequence[str], np.ndarray],
    *,
    words: Callable[[str], list[str]] = str.split,
    features: Features = "binary",
    ngrams: tuple[int, int] = (1, 2),
    most_frequent: int | None = None,
    dense: bool = False,
    seed: int = 0,
    jobs: int = 1,
) -> dict[str, float]:
    """Fits a classifier on the n-grams of words of `train` and scores it on `test`.

    Args:
      estimator: NBSVM, or a name in `aimodels.reproduce.baselines.ESTIMATORS`.
      fields: its constructor's parameters.
      train: texts, and the class of each [B].
      test: the same.
      words: cuts a text into words.
      features: of an n-gram, whether it is there, how often, or TF-IDF with texts of length 1.
      ngrams: the shortest and the longest.
      most_frequent: how many n-grams count; None for all.
      dense: for estimators that take no sparse features; `most_frequent` then bounds the memory.
      seed: the estimator's, where it has one.
      jobs: threads, for estimators that take them.

    Returns:
      "test/accuracy", "features", "seconds" to count and fit, "score_seconds", and "warnings", how
      many there were (an optimizer that stopped at its limit).

    Raises:
      UserError: an unknown estimator, field or kind of feature; texts and classes of other numbers.
    """
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

    if features not in FEATURES:
        raise unknown("kind of n-gram features", features, FEATURES)
    for name, (texts, targets) in (("train", train), ("test", test)):
        if len(texts) != len(targets) or not len(texts):
            raise UserError(
                f"{name} has {len(texts)} texts and {len(targets)} targets; it takes as many of "
                "both, at least one"
            )
    vectorizer: Any = TfidfVectorizer if features == "tfidf" else CountVectorizer
    counter = vectorizer(
        tokenizer=words,
        token_pattern=None,
        lowercase=False,
        ngram_range=ngrams,
        max_features=most_frequent,
        binary=features == "binary",
    )
    model: Any
    if estimator == "NBSVM":
        model = NBSVM(**({"random_state": seed} | dict(fields)))
    else:
        model = build(estimator, fields, seed=seed, jobs=jobs)
    started = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        inputs = counter.fit_transform(train[0])
        model.fit(inputs.toarray() if dense else inputs, train[1])
    fitted = time.perf_counter()
    test_inputs = counter.transform(test[0])
    predicted = model.predict(test_inputs.toarray() if dense else test_inputs)
    return {
        "test/accuracy": float(np.mean(predicted == test[1])),
        "features": float(inputs.shape[1]),
        "seconds": fitted - started,
        "score_seconds": time.perf_counter() - fitted,
        "warnings": float(len(caught)),
    }


def _binary(inputs: Any) -> Any:
    """Sparse counts as float64 zeros and ones."""
    return (inputs > 0).astype(np.float64)
