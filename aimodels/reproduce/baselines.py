"""Classical rows of a published table: a scikit-learn estimator, fitted and scored."""

import importlib
import inspect
import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from aimodels.errors import UserError, unknown

ESTIMATORS = {
    "BernoulliNB": "sklearn.naive_bayes:BernoulliNB",
    "DecisionTreeClassifier": "sklearn.tree:DecisionTreeClassifier",
    "ExtraTreeClassifier": "sklearn.tree:ExtraTreeClassifier",
    "GaussianNB": "sklearn.naive_bayes:GaussianNB",
    "GradientBoostingClassifier": "sklearn.ensemble:GradientBoostingClassifier",
    "HistGradientBoostingClassifier": "sklearn.ensemble:HistGradientBoostingClassifier",
    "KNeighborsClassifier": "sklearn.neighbors:KNeighborsClassifier",
    "LinearSVC": "sklearn.svm:LinearSVC",
    "LogisticRegression": "sklearn.linear_model:LogisticRegression",
    "MLPClassifier": "sklearn.neural_network:MLPClassifier",
    "MultinomialNB": "sklearn.naive_bayes:MultinomialNB",
    "Perceptron": "sklearn.linear_model:Perceptron",
    "RandomForestClassifier": "sklearn.ensemble:RandomForestClassifier",
    "SGDClassifier": "sklearn.linear_model:SGDClassifier",
    "SVC": "sklearn.svm:SVC",
}


def scikit_learn(
    estimator: str,
    fields: Mapping[str, Any],
    train: Mapping[str, np.ndarray],
    test: Mapping[str, np.ndarray],
    *,
    standardize: bool = True,
    shuffle: bool = True,
    one_vs_rest: bool = False,
    seed: int = 0,
    jobs: int = 2,
) -> dict[str, float]:
    """Fits a scikit-learn classifier on `train` and scores it on `test`.

    Follows the benchmark of Xiao et al. 2017 (Fashion-MNIST, table 3): features scaled to mean 0
    and variance 1 by the training set's statistics, training examples shuffled. The result is
    decided by the arguments: `seed` shuffles and is the estimator's `random_state` if it has one.

    Args:
      estimator: a name in ESTIMATORS.
      fields: its constructor's parameters, as published.
      train: `inputs` [B, ...], flattened here to [B, features], and `targets` [B].
      test: the same.
      standardize: scale the features (not for estimators that count, as MultinomialNB).
      shuffle: put the training examples in the seed's order.
      one_vs_rest: one binary classifier a class, where the estimator has no such option itself.
      seed: of the shuffle and the estimator.
      jobs: processes or threads for estimators that take `n_jobs`.

    Returns:
      "test/accuracy", "seconds" to fit, "score_seconds" to score the test set, and
      "warnings", the number of warnings while fitting (an optimizer that stopped at its limit).

    Raises:
      UserError: for an unknown estimator or field, or arrays that do not fit together.
    """
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import StandardScaler

    model: Any = build(estimator, fields, seed=seed, jobs=1 if one_vs_rest else jobs)
    if one_vs_rest:
        model = OneVsRestClassifier(model, n_jobs=jobs)
    inputs, targets = _flat(train, "train")
    test_inputs, test_targets = _flat(test, "test")
    if inputs.shape[1] != test_inputs.shape[1]:
        raise UserError(
            f"train has {inputs.shape[1]} features an example, test has {test_inputs.shape[1]}; "
            "they take the same."
        )
    if shuffle:
        order = np.random.default_rng(seed).permutation(len(targets))
        inputs, targets = inputs[order], targets[order]
    if standardize:
        scaler = StandardScaler().fit(inputs)
        inputs, test_inputs = scaler.transform(inputs), scaler.transform(test_inputs)

    started = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(inputs, targets)
    fitted = time.perf_counter()
    test_accuracy = float(np.mean(model.predict(test_inputs) == test_targets))
    scored = time.perf_counter()
    return {
        "test/accuracy": test_accuracy,
        "seconds": fitted - started,
        "score_seconds": scored - fitted,
        "warnings": float(len(caught)),
    }


def build(estimator: str, fields: Mapping[str, Any], *, seed: int = 0, jobs: int = 2) -> Any:
    """The named estimator with its fields, and `random_state` and `n_jobs` where it takes them.

    Raises:
      UserError: for an estimator that is not in ESTIMATORS, or a field that it does not take.
    """
    if estimator not in ESTIMATORS:
        raise unknown("scikit-learn estimator", estimator, ESTIMATORS)
    module, name = ESTIMATORS[estimator].split(":")
    constructor = getattr(importlib.import_module(module), name)
    takes = inspect.signature(constructor).parameters
    for field in fields:
        if field not in takes:
            raise unknown(f"field of {estimator}", field, takes)
    given = {
        key: value for key, value in (("random_state", seed), ("n_jobs", jobs)) if key in takes
    }
    return constructor(**(given | dict(fields)))


def _flat(split: Mapping[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs [B, features] in float64, as scikit-learn computes, and targets [B]."""
    for key in ("inputs", "targets"):
        if key not in split:
            raise UserError(f"{name} has no {key!r}; it takes a dict of `inputs` and `targets`.")
    inputs, targets = np.asarray(split["inputs"]), np.asarray(split["targets"])
    if len(inputs) == 0 or len(inputs) != len(targets) or targets.ndim != 1:
        raise UserError(
            f"{name} has inputs of shape {inputs.shape} and targets of shape {targets.shape}; "
            "it takes inputs [B, ...] and targets [B] with B >= 1."
        )
    return inputs.reshape(len(inputs), -1).astype(np.float64), targets
