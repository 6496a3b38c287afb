"""Classifiers of n-grams: NBSVM by its formulas, naive Bayes by hand, errors that name."""

import numpy as np
import pytest

from aimodels.errors import UserError
from aimodels.reproduce.text_baselines import NBSVM, text_classifier

TEXTS = ["good good film", "a good film", "bad film", "a bad bad film", "good", "bad bad"]
TARGETS = np.array([1, 1, 0, 0, 1, 0])


def matrix(rows):
    from scipy.sparse import csr_matrix

    return csr_matrix(np.array(rows, float))


def test_naive_bayes_by_hand():
    """Of binary unigrams: p(good | 1) is (3 + 1) / (3 + 2 + 1 + 4 words), and so on."""
    test = ["film good bad bad bad", "a"]
    train = (TEXTS[:5], TARGETS[:5])  # three of class 1, two of class 0
    # Words a, bad, film, good. Class 1: 1, 0, 2, 3. Class 0: 1, 2, 2, 0.
    one = np.log([3 / 5, 3 / 10, 4 / 10, 1 / 10]).sum()
    zero = np.log([2 / 5, 3 / 9, 1 / 9, 3 / 9]).sum()
    expected = [int(one > zero), int(np.log(3 / 5 * 2 / 10) > np.log(2 / 5 * 2 / 9))]
    found = text_classifier(
        "MultinomialNB", {"alpha": 1.0}, train, (test, np.array(expected)), ngrams=(1, 1)
    )
    assert found["test/accuracy"] == 1
    assert found["features"] == 4


@pytest.mark.parametrize("beta", [0.25, 1.0])
def test_nbsvm_by_its_formulas(beta):
    from sklearn.svm import LinearSVC

    counts = np.array([[2, 0, 1], [1, 0, 1], [0, 1, 1], [0, 3, 1], [1, 0, 0], [0, 1, 0]])
    model = NBSVM(beta=beta).fit(matrix(counts), TARGETS)
    binary = (counts > 0).astype(float)
    p, q = 1 + binary[TARGETS == 1].sum(0), 1 + binary[TARGETS == 0].sum(0)
    np.testing.assert_array_equal((p, q), ([4, 1, 3], [1, 4, 3]))
    ratio = np.log((p / 8) / (q / 8))
    svm = LinearSVC(random_state=0).fit(binary * ratio, TARGETS)
    weights = (1 - beta) * np.abs(svm.coef_[0]).sum() / 3 + beta * svm.coef_[0]
    np.testing.assert_allclose(model.weights_[0], ratio * weights, rtol=1e-12)
    assert model.biases_[0] == pytest.approx(beta * svm.intercept_[0], rel=1e-12)
    np.testing.assert_array_equal(model.predict(matrix(counts)), TARGETS)


def test_nbsvm_of_three_classes_is_one_against_the_rest():
    targets = np.array([4, 7, 9] * 4)
    counts = np.eye(3)[[0, 1, 2] * 4]
    model = NBSVM().fit(matrix(counts), targets)
    np.testing.assert_array_equal(model.predict(matrix(np.eye(3))), [4, 7, 9])


@pytest.mark.parametrize(
    ("estimator", "given"),
    [
        ("NBSVM", {}),
        ("LinearSVC", {"features": "tfidf"}),
        ("RandomForestClassifier", {"features": "counts"}),
        ("HistGradientBoostingClassifier", {"dense": True, "most_frequent": 4}),
    ],
)
def test_classifiers_learn_words(estimator, given):
    texts, targets = TEXTS * 10, np.tile(TARGETS, 10)
    fields = {"max_iter": 5} if estimator.startswith("Hist") else {}
    fields = {"n_estimators": 5} if estimator.startswith("Random") else fields
    found = text_classifier(estimator, fields, (texts, targets), (texts, targets), **given)
    assert found["test/accuracy"] == 1
    assert found["features"] == given.get("most_frequent", 10)


@pytest.mark.parametrize(
    ("estimator", "given", "message"),
    [
        ("NBSWM", {}, "estimator"),
        ("LinearSVC", {"features": "binaries"}, "Did you mean 'binary'"),
        ("LinearSVC", {"train": (TEXTS, TARGETS[:2])}, "6 texts and 2 targets"),
        ("NBSVM", {"train": (TEXTS, TARGETS * 0)}, "two or more"),
    ],
)
def test_mistakes_are_told(estimator, given, message):
    sets = {"train": (TEXTS, TARGETS), "test": (TEXTS, TARGETS)} | given
    with pytest.raises(UserError, match=message):
        text_classifier(estimator, {}, **sets)
