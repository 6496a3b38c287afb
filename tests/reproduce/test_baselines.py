"""scikit-learn rows on its own digits: right figures, decided by the seed, errors that name."""

import numpy as np
import pytest

from aimodels.errors import UserError
from aimodels.reproduce.baselines import ESTIMATORS, build, scikit_learn


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    images, targets = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8).astype(np.uint8)
    return (
        {"inputs": images[:600], "targets": targets[:600]},
        {"inputs": images[600:900], "targets": targets[600:900]},
    )


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_every_estimator_learns_digits(name, digits):
    counts = name == "MultinomialNB"  # which takes no negative features
    few = {"n_estimators": 10} if name == "GradientBoostingClassifier" else {}
    few |= {"max_iter": 10} if name in ("HistGradientBoostingClassifier", "MLPClassifier") else {}
    metrics = scikit_learn(name, few, *digits, standardize=not counts, jobs=1)
    # One unpruned random tree gets 0.6 here; chance is 0.1.
    assert metrics["test/accuracy"] > 0.5
    assert metrics["seconds"] > 0


def test_same_as_the_published_procedure_by_hand(digits):
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    train, test = digits
    inputs = train["inputs"].reshape(600, 64).astype(float)
    scaler = StandardScaler().fit(inputs)
    model = SVC(C=10.0, kernel="rbf", gamma="auto").fit(scaler.transform(inputs), train["targets"])
    theirs = model.score(scaler.transform(test["inputs"].reshape(300, 64)), test["targets"])
    fields = {"C": 10.0, "kernel": "rbf", "gamma": "auto"}
    # The optimum of an SVC has no order of examples, so that the shuffle changes nothing here.
    assert scikit_learn("SVC", fields, train, test)["test/accuracy"] == pytest.approx(theirs)
    raw = scikit_learn("SVC", fields, train, test, standardize=False)["test/accuracy"]
    assert raw != pytest.approx(theirs)


def test_the_seed_decides(digits):
    def accuracy(seed, **given):
        fields = {"n_estimators": 5, "max_depth": 4}
        return scikit_learn("RandomForestClassifier", fields, *digits, seed=seed, jobs=1, **given)[
            "test/accuracy"
        ]

    assert accuracy(1) == accuracy(1)
    assert len({accuracy(seed) for seed in range(4)}) > 1
    assert len({accuracy(0, shuffle=shuffle) for shuffle in (True, False)}) > 1


def test_one_binary_classifier_a_class(digits):
    # liblinear, the solver of 2017, has no multinomial form: it takes the wrapper.
    fields = {"C": 1.0, "l1_ratio": 1.0, "solver": "liblinear"}
    metrics = scikit_learn("LogisticRegression", fields, *digits, one_vs_rest=True, jobs=1)
    assert metrics["test/accuracy"] > 0.85


def test_a_fit_that_stops_early_is_counted(digits):
    stopped = scikit_learn("MLPClassifier", {"max_iter": 2}, *digits)
    assert stopped["warnings"] == 1
    assert scikit_learn("GaussianNB", {}, *digits)["warnings"] == 0


def test_seed_and_jobs_go_where_they_are_taken():
    forest = build("RandomForestClassifier", {}, seed=3, jobs=2)
    assert (forest.random_state, forest.n_jobs) == (3, 2)
    assert build("RandomForestClassifier", {"n_jobs": 1}).n_jobs == 1
    assert not hasattr(build("GaussianNB", {}), "random_state")


def test_mistakes_are_named(digits):
    train, test = digits
    with pytest.raises(UserError, match="unknown scikit-learn estimator 'SVM'"):
        scikit_learn("SVM", {}, train, test)
    with pytest.raises(UserError, match=r"unknown field of SVC 'kernle'\. Did you mean 'kernel'"):
        scikit_learn("SVC", {"kernle": "rbf"}, train, test)
    with pytest.raises(UserError, match="train has no 'targets'"):
        scikit_learn("SVC", {}, {"inputs": train["inputs"]}, test)
    with pytest.raises(UserError, match=r"test has inputs of shape \(300, 8, 8\) and targets of"):
        scikit_learn("SVC", {}, train, test | {"targets": test["targets"][:3]})
    with pytest.raises(UserError, match="64 features an example, test has 32"):
        scikit_learn("SVC", {}, train, test | {"inputs": test["inputs"][:, :4]})
