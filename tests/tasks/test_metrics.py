"""Metrics against scikit-learn and NumPy float64, however the data is cut, padded and merged."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from aimodels.errors import UserError
from aimodels.tasks.classification_metrics import (
    Accuracy,
    classification_metrics,
    confusion_matrix,
    top_k_accuracy,
)
from aimodels.tasks.metrics import Loss, by_name
from aimodels.tasks.regression_metrics import regression_errors, regression_metrics

# float32 against float64 on values of order 1: a few units in the last place (1.2e-7).
CLOSE = {"rtol": 3e-6, "atol": 1e-6}
V, D, K = 5, 3, 2


def batches(rng, size, **arrays):
    """`arrays` cut at random into batches of 8, each padded with rubbish that the mask hides."""
    start = 0
    while start < size:
        stop = min(size, start + int(rng.integers(1, 9)))
        batch = {}
        for name, array in arrays.items():
            rubbish = np.nan if np.issubdtype(array.dtype, np.floating) else -7
            padded = np.full((8, *array.shape[1:]), rubbish, array.dtype)
            padded[: stop - start] = array[start:stop]
            batch[name] = jnp.asarray(padded)
        yield batch | {"mask": jnp.arange(8) < stop - start}
        start = stop


def compute_all(collection):
    """The collection's scalars by name."""
    results = by_name(collection.compute())
    return {name: float(value) for name, value in results.items() if value.ndim == 0}


def compute_arrays(collection):
    """What of the collection is no scalar."""
    results = jax.device_get(by_name(collection.compute()))
    return {name: value for name, value in results.items() if value.ndim > 0}


@functools.cache
def compiled(collection):
    return jax.jit(lambda total, batch: total.merge(collection.single_from_model_output(**batch)))


def gathered(collection, rng, size, **arrays):
    """The collection over all of the data, merged from padded batches."""
    total = collection.empty()
    for batch in batches(rng, size, **arrays):
        total = compiled(collection)(total, batch)
    return total


def softmax(scores):
    exps = np.exp(scores.astype(np.float64))
    return exps / exps.sum(-1, keepdims=True)


def calibration_error(p, targets, bins=15):
    """Guo et al. 2017, equations 2, 3, 5, bin by bin."""
    confidence, hit = p.max(-1), p.argmax(-1) == targets
    error = 0.0
    for m in range(1, bins + 1):
        inside = (confidence > (m - 1) / bins) & (confidence <= m / bins)
        if inside.any():
            error += inside.mean() * abs(hit[inside].mean() - confidence[inside].mean())
    return error


@settings(deadline=None, max_examples=15, derandomize=True)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 60), classes_seen=st.integers(1, V))
def test_classification_is_scikit_learns(seed, size, classes_seen):
    rng = np.random.default_rng(seed)
    scores = 2 * rng.normal(size=(size, V)).astype(np.float32)
    targets = rng.integers(0, classes_seen, size).astype(np.int32)
    scores[np.arange(size), targets] += 1
    loss = rng.normal(size=size).astype(np.float32)
    collection = classification_metrics(V, top_k=(K,))
    total = gathered(collection, rng, size, outputs=scores, targets=targets, loss=loss)
    got, arrays = compute_all(total), compute_arrays(total)

    p, predicted = softmax(scores), scores.argmax(-1)
    sk = sklearn.metrics
    expected = {
        "loss": loss.astype(np.float64).mean(),
        "accuracy": sk.accuracy_score(targets, predicted),
        "top_2_accuracy": sk.top_k_accuracy_score(targets, scores, k=K, labels=range(V)),
        "top_2_error": 1 - sk.top_k_accuracy_score(targets, scores, k=K, labels=range(V)),
        "nll": sk.log_loss(targets, p, labels=range(V)),
        "brier": sk.brier_score_loss(targets, p, labels=range(V), scale_by_half=False),
        "calibration_error": calibration_error(p, targets),
    }
    scorers = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}
    for name, scorer in scorers.items():
        for average in ("macro", "micro"):
            expected[f"{name}/{average}"] = scorer(
                targets, predicted, average=average, zero_division=0
            )
        by_class = scorer(targets, predicted, average=None, labels=range(V), zero_division=0)
        np.testing.assert_allclose(arrays[f"{name}/class"], by_class, **CLOSE)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, err_msg=name, **CLOSE)
    table = sk.confusion_matrix(targets, predicted, labels=range(V))
    np.testing.assert_array_equal(arrays["confusion"], table)


@settings(deadline=None, max_examples=15, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    size=st.integers(2, 60),
    offset=st.sampled_from([0.0, 100.0]),
)
def test_regression_is_scikit_learns(seed, size, offset):
    rng = np.random.default_rng(seed)
    targets = (offset + rng.normal(size=(size, D)) * [1, 2, 3]).astype(np.float32)
    outputs = (targets + rng.normal(size=(size, D))).astype(np.float32)
    loss = np.ones(size, np.float32)
    total = gathered(regression_metrics(D), rng, size, outputs=outputs, targets=targets, loss=loss)
    got = compute_all(total)
    outputs, targets = outputs.astype(np.float64), targets.astype(np.float64)
    mse = sklearn.metrics.mean_squared_error(targets, outputs)
    expected = {
        "loss": 1.0,
        "mse": mse,
        "rmse": np.sqrt(mse),
        "mae": sklearn.metrics.mean_absolute_error(targets, outputs),
        "r2": sklearn.metrics.r2_score(targets, outputs),
    }
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        # Two or three targets may lie close together, and r2 is then large: relative to it.
        np.testing.assert_allclose(got[name], value, err_msg=name, rtol=3e-5, atol=3e-6)


def test_r2_far_from_zero():
    # The spread (1) is 1e-4 of the mean: Σ y² - (Σ y)² / n in float32 would be noise.
    rng = np.random.default_rng(0)
    targets = (1e4 + rng.normal(size=4000)).astype(np.float32)
    outputs = (targets + 0.5 * rng.normal(size=4000)).astype(np.float32)
    kind = regression_errors()
    parts = (jnp.asarray(outputs).reshape(100, 40), jnp.asarray(targets).reshape(100, 40))
    total = jax.jit(
        lambda: jax.lax.scan(
            lambda total, part: (
                total.merge(kind.from_model_output(outputs=part[0], targets=part[1])),
                None,
            ),
            kind.empty(),
            parts,
        )[0]
    )()
    expected = sklearn.metrics.r2_score(targets.astype(float), outputs.astype(float))
    np.testing.assert_allclose(total.compute()["r2"], expected, rtol=1e-5)


def test_r2_of_a_constant_target_is_scikit_learns():
    kind = regression_errors()
    for outputs in ([2.0, 2.0], [2.0, 3.0]):
        got = kind.from_model_output(outputs=jnp.array(outputs), targets=jnp.array([2.0, 2.0]))
        assert got.compute()["r2"] == sklearn.metrics.r2_score([2.0, 2.0], outputs)


def test_a_mean_over_many_merges_keeps_its_digits():
    batch = Loss.from_model_output(loss=jnp.full(1, 0.1))
    number = 200_000
    total = jax.lax.fori_loop(0, number, lambda _, t: t.merge(batch), Loss.empty())
    plain = jax.lax.fori_loop(0, number, lambda _, t: t + jnp.float32(0.1), jnp.zeros(()))
    # 200,000 plain float32 additions are wrong in the fourth digit; this is float32's last one.
    assert abs(plain / number - 0.1) > 1e-5
    np.testing.assert_allclose(total.compute(), np.float32(0.1), rtol=2e-7)


def test_tokens_count_by_mask_and_lengths():
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(6, 4, V)).astype(np.float32)
    targets = rng.integers(0, V, (6, 4)).astype(np.int32)
    lengths = np.array([4, 2, 0, 1, 3, 4])
    mask = np.array([True, True, True, True, True, False])
    valid = (np.arange(4) < lengths[:, None]) & mask[:, None]
    hidden = np.where(valid, targets, -1)
    got = classification_metrics(V).single_from_model_output(
        outputs=jnp.asarray(np.where(valid[..., None], outputs, np.nan)),
        targets=jnp.asarray(hidden),
        lengths=jnp.asarray(lengths),
        mask=jnp.asarray(mask),
        loss=jnp.ones(6),
    )
    flat = classification_metrics(V).single_from_model_output(
        outputs=jnp.asarray(outputs[valid]), targets=jnp.asarray(targets[valid]), loss=jnp.ones(5)
    )
    assert got.loss.count == mask.sum()
    for name, value in compute_all(flat).items():
        np.testing.assert_allclose(compute_all(got)[name], value, err_msg=name, **CLOSE)


@pytest.mark.parametrize("shape", [(40,), (40, 1)])
def test_one_logit_is_two_classes(shape):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=40).astype(np.float32)
    targets = rng.integers(0, 2, 40).astype(np.int32)
    got = compute_all(
        classification_metrics(2).single_from_model_output(
            outputs=jnp.asarray(logits.reshape(shape)),
            targets=jnp.asarray(targets),
            loss=jnp.ones(40),
        )
    )
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    np.testing.assert_allclose(got["accuracy"], ((p > 0.5) == targets).mean(), **CLOSE)
    np.testing.assert_allclose(got["nll"], sklearn.metrics.log_loss(targets, p), **CLOSE)
    brier = sklearn.metrics.brier_score_loss(targets, p)
    np.testing.assert_allclose(got["brier"], 2 * brier, **CLOSE)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_replicas_under_vmap_are_those_one_by_one(kind):
    rng = np.random.default_rng(0)
    size, replicas = 20, 3
    if kind == "classification":
        collection = classification_metrics(V, top_k=(K,))
        targets = rng.integers(0, V, (replicas, size)).astype(np.int32)
        outputs = rng.normal(size=(replicas, size, V)).astype(np.float32)
    else:
        collection = regression_metrics(D)
        targets = rng.normal(size=(replicas, size, D)).astype(np.float32)
        outputs = rng.normal(size=(replicas, size, D)).astype(np.float32)
    mask = jnp.asarray(rng.random((replicas, size)) < 0.8)

    def run(outputs, targets, mask):
        """Merges batches of 5 in a scan, as an evaluation on the device does."""

        def step(total, batch):
            outputs, targets, mask = batch
            part = collection.single_from_model_output(
                outputs=outputs, targets=targets, mask=mask, loss=jnp.ones(5)
            )
            return total.merge(part), None

        cut = jax.tree.map(lambda x: x.reshape(4, 5, *x.shape[1:]), (outputs, targets, mask))
        return jax.lax.scan(step, collection.empty(), cut)[0]

    together = jax.jit(jax.vmap(run))(outputs, targets, mask)
    seen = set()
    for index in range(replicas):
        one = compute_all(run(outputs[index], targets[index], mask[index]))
        of_all = compute_all(jax.tree.map(lambda x, i=index: x[i], together))
        assert one.keys() == of_all.keys()
        for name, value in one.items():
            np.testing.assert_allclose(of_all[name], value, err_msg=name, **CLOSE)
        seen.add(tuple(one.values()))
    assert len(seen) == replicas


def test_reduce_over_a_gathered_axis_is_merge():
    kind = confusion_matrix(V)
    parts = [
        kind.from_model_output(outputs=jnp.eye(V), targets=jnp.full(V, index, jnp.int32))
        for index in range(3)
    ]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *parts)
    merged = parts[0].merge(parts[1]).merge(parts[2])
    np.testing.assert_array_equal(stacked.reduce().counts, merged.counts)
    assert merged.counts.sum() == 15


def test_ties_are_not_all_hits():
    flat = {"outputs": jnp.zeros((4, V)), "targets": jnp.array([0, 1, 2, 3])}
    assert Accuracy.from_model_output(**flat).compute() == 0.25
    assert top_k_accuracy(2).from_model_output(**flat).compute() == 0.5


def test_nothing_counted_is_nan():
    for collection in (classification_metrics(V), regression_metrics(D)):
        values = compute_all(collection.empty())
        assert all(np.isnan(value) for value in values.values()), values


def test_a_vocabulary_needs_no_confusion_matrix():
    collection = classification_metrics(V, confusion=False, probabilities=False)
    assert compute_all(collection.empty()).keys() == {"loss", "accuracy"}
    assert not compute_arrays(collection.empty())


def test_the_same_arguments_give_the_same_class():
    # Otherwise each call would be a new pytree type, and every jitted step would compile again.
    assert classification_metrics(V, top_k=(2,)) is classification_metrics(V, top_k=(2,))
    assert top_k_accuracy(2) is top_k_accuracy(2)


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(UserError, match=r"\(4, 5\)"):
        Accuracy.from_model_output(outputs=jnp.ones((4, V)), targets=jnp.zeros(3, int))
    targets = jnp.zeros(4, int)
    with pytest.raises(UserError, match="7 classes"):
        confusion_matrix(7).from_model_output(outputs=jnp.ones((4, V)), targets=targets)
    with pytest.raises(UserError, match="top-9"):
        top_k_accuracy(9).from_model_output(outputs=jnp.ones((4, V)), targets=targets)
    with pytest.raises(UserError, match=r"\(4, 2\)"):
        regression_errors(1).from_model_output(outputs=jnp.ones((4, 2)), targets=jnp.ones((4, 2)))
