"""Losses against their formulas written out in NumPy float64, and against scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from aimodels.errors import UserError
from aimodels.tasks.losses import LOSSES, counts, valid_positions

# float32 against float64 on values of order 1: a few units in the last place (1.2e-7).
CLOSE = {"rtol": 2e-6, "atol": 1e-6}
B, T, V, D = 6, 5, 4, 3


def random(seed=0):
    return np.random.default_rng(seed)


def log_softmax(scores):
    scores = scores.astype(np.float64)
    return scores - np.log(np.exp(scores).sum(-1, keepdims=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_softmax_cross_entropy_is_the_formula(smoothing):
    scores = 3 * random().normal(size=(B, V)).astype(np.float32)
    targets = random(1).integers(0, V, B)
    q = (1 - smoothing) * np.eye(V)[targets] + smoothing / V
    expected = -(q * log_softmax(scores)).sum(-1)
    loss = LOSSES["softmax_cross_entropy"]
    for given in (jnp.asarray(targets), jnp.asarray(np.eye(V)[targets], jnp.float32)):
        got = loss(jnp.asarray(scores), given, label_smoothing=smoothing)
        np.testing.assert_allclose(got, expected, **CLOSE)


def test_cross_entropy_is_scikit_learns_log_loss():
    scores = random().normal(size=(B, V)).astype(np.float32)
    targets = random(1).integers(0, V, B)
    p = np.exp(log_softmax(scores))
    expected = sklearn.metrics.log_loss(targets, p, labels=range(V))
    got = LOSSES["softmax_cross_entropy"](jnp.asarray(scores), jnp.asarray(targets)).mean()
    np.testing.assert_allclose(got, expected, **CLOSE)


def test_label_smoothing_may_be_traced():
    scores = jnp.asarray(random().normal(size=(B, V)), jnp.float32)
    targets = jnp.arange(B) % V
    loss = LOSSES["softmax_cross_entropy"]
    rates = jnp.array([0.0, 0.2])
    together = jax.vmap(lambda rate: loss(scores, targets, label_smoothing=rate))(rates)
    for row, rate in zip(together, (0.0, 0.2), strict=True):
        np.testing.assert_allclose(row, loss(scores, targets, label_smoothing=rate), **CLOSE)


def test_cross_entropy_of_large_logits_is_finite():
    # exp(1e4) overflows; the log of the sum must not.
    scores = jnp.array([[1e4, 0.0], [0.0, 1e4]])
    got = LOSSES["softmax_cross_entropy"](scores, jnp.array([0, 0]))
    np.testing.assert_array_equal(got, [0.0, 1e4])


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "multiclass_hinge"])
@pytest.mark.parametrize("wrong", [-1, V])
def test_a_class_out_of_range_is_nan(name, wrong):
    got = LOSSES[name](jnp.ones((2, V)), jnp.array([1, wrong]))
    assert np.isfinite(got[0])
    assert np.isnan(got[1])


def test_multiclass_hinge_is_crammer_singer():
    scores = random().normal(size=(50, V)).astype(np.float32)
    targets = random(1).integers(0, V, 50)
    got = LOSSES["multiclass_hinge"](jnp.asarray(scores), jnp.asarray(targets))
    expected = []
    for row, y in zip(scores, targets, strict=True):
        others = np.delete(row, y)
        expected.append(max(0.0, 1 + others.max() - row[y]))
    assert min(expected) == 0 < max(expected)
    np.testing.assert_allclose(got, expected, **CLOSE)
    # scikit-learn's hinge_loss of several classes is Crammer & Singer's too.
    sklearns = sklearn.metrics.hinge_loss(targets, scores, labels=range(V))
    np.testing.assert_allclose(got.mean(), sklearns, **CLOSE)


@pytest.mark.parametrize("classes", [(0, 1), (-1, 1)])
def test_binary_hinge(classes):
    scores = 2 * random().normal(size=20).astype(np.float32)
    targets = random(1).integers(0, 2, 20)
    expected = np.maximum(0, 1 - (2 * targets - 1) * scores)
    given = jnp.asarray(np.array(classes)[targets])
    for outputs in (scores, scores[:, None]):
        got = LOSSES["binary_hinge"](jnp.asarray(outputs), given)
        np.testing.assert_allclose(got, expected, **CLOSE)
    sklearns = sklearn.metrics.hinge_loss(targets, scores)
    np.testing.assert_allclose(got.mean(), sklearns, **CLOSE)


def test_binary_cross_entropy():
    scores = np.array([-100.0, -1.0, 0.0, 2.0, 100.0], np.float32)
    targets = np.array([1, 0, 1, 1, 1])
    # log(1 + exp(-s)) for the one class, log(1 + exp(s)) for the other.
    expected = np.logaddexp(0, np.where(targets == 1, -scores, scores).astype(np.float64))
    for outputs in (scores, scores[:, None]):
        got = LOSSES["binary_cross_entropy"](jnp.asarray(outputs), jnp.asarray(targets))
        np.testing.assert_allclose(got, expected, **CLOSE)


def test_regression_losses():
    outputs = random().normal(size=(B, D)).astype(np.float32)
    targets = 2 * random(1).normal(size=(B, D)).astype(np.float32)
    error = np.abs(outputs - targets)
    delta = 0.7
    assert (error < delta).any()
    assert (error > delta).any()
    expected = {
        "squared_error": error**2,
        "absolute_error": error,
        "huber": np.where(error <= delta, error**2 / 2, delta * (error - delta / 2)),
    }
    for name, values in expected.items():
        fields = {"delta": delta} if name == "huber" else {}
        got = LOSSES[name](jnp.asarray(outputs), jnp.asarray(targets), **fields)
        np.testing.assert_allclose(got, values.mean(-1), err_msg=name, **CLOSE)


@pytest.mark.parametrize("name", ["squared_error", "absolute_error", "huber"])
def test_one_output_goes_with_flat_targets(name):
    outputs, targets = jnp.arange(B, dtype=jnp.float32), jnp.ones(B)
    expected = LOSSES[name](outputs, targets)
    assert expected.shape == (B,)
    np.testing.assert_array_equal(LOSSES[name](outputs[:, None], targets), expected)


def test_shapes_that_would_broadcast_are_an_error():
    with pytest.raises(UserError, match=r"\(6, 3\).*\(6,\)"):
        LOSSES["squared_error"](jnp.ones((B, D)), jnp.ones(B))
    with pytest.raises(UserError, match="class ids"):
        LOSSES["softmax_cross_entropy"](jnp.ones((B, V)), jnp.ones(B))
    with pytest.raises(UserError, match="class ids"):
        LOSSES["multiclass_hinge"](jnp.ones((B, V)), jnp.ones((B, 1), jnp.int32))


def example(name, seed=0):
    """Outputs, targets of B sequences of T tokens for any loss."""
    outputs = random(seed).normal(size=(B, T, V)).astype(np.float32)
    if name in ("softmax_cross_entropy", "multiclass_hinge"):
        targets = random(seed + 1).integers(0, V, (B, T))
    else:
        targets = random(seed + 1).integers(0, 2, (B, T, V))
    return outputs, targets


@pytest.mark.parametrize("name", LOSSES)
def test_tokens_are_averaged_over_those_that_count(name):
    loss = LOSSES[name]
    outputs, targets = example(name)
    lengths = np.array([5, 3, 1, 0, 4, 2])
    mask = random(2).random((B, T)) < 0.7
    valid = mask & (np.arange(T) < lengths[:, None])
    # A token by itself is an example without positions: the loss's own formula.
    by_token = np.array([loss(outputs[:, t], jnp.asarray(targets[:, t])) for t in range(T)]).T
    totals, numbers = (by_token * valid).sum(1), valid.sum(1)
    expected = np.divide(totals, numbers, out=np.zeros(B), where=numbers > 0)
    # Whatever stands in the padding counts nowhere.
    hidden = valid.reshape(valid.shape + (1,) * (targets.ndim - 2))
    targets = jnp.asarray(np.where(hidden, targets, -7))
    got = loss(jnp.asarray(outputs), targets, lengths=jnp.asarray(lengths), mask=jnp.asarray(mask))
    np.testing.assert_allclose(got, expected, **CLOSE)
    np.testing.assert_array_equal(
        counts((B, T), jnp.asarray(lengths), jnp.asarray(mask)), valid.sum(1)
    )


@pytest.mark.parametrize("name", LOSSES)
def test_padding_has_no_gradient(name):
    outputs, targets = example(name)
    lengths = jnp.array([5, 3, 1, 0, 4, 2])
    valid = np.arange(T) < np.asarray(lengths)[:, None]
    if targets.ndim == 2:
        targets = np.where(valid, targets, -1)  # a usual padding, and no class
    gradient = jax.grad(
        lambda outputs: LOSSES[name](outputs, jnp.asarray(targets), lengths=lengths).sum()
    )(jnp.asarray(outputs))
    assert np.isfinite(gradient).all()
    assert np.abs(gradient[valid]).sum() > 0
    np.testing.assert_array_equal(gradient[~valid], 0)


def test_lengths_of_the_inputs_do_not_touch_a_loss_of_one_output_an_example():
    outputs, targets = jnp.ones((B, V)), jnp.zeros(B, jnp.int32)
    lengths = jnp.arange(B)
    loss = LOSSES["softmax_cross_entropy"]
    np.testing.assert_array_equal(loss(outputs, targets, lengths=lengths), loss(outputs, targets))
    vectors = jnp.ones((B, D))
    got = LOSSES["squared_error"](vectors, 0 * vectors, lengths=lengths)
    np.testing.assert_array_equal(got, 1.0)


def test_pixels_are_positions():
    outputs = jnp.asarray(random().normal(size=(2, 3, 4, V)), jnp.float32)
    targets = jnp.asarray(random(1).integers(0, V, (2, 3, 4)))
    loss = LOSSES["softmax_cross_entropy"]
    flat = loss(outputs.reshape(2, 12, V), targets.reshape(2, 12))
    np.testing.assert_allclose(loss(outputs, targets), flat, **CLOSE)
    valid = valid_positions((2, 3, 4), mask=jnp.array([True, False]))
    np.testing.assert_array_equal(valid.sum((1, 2)), [12, 0])


@pytest.mark.parametrize("name", LOSSES)
def test_bfloat16_outputs_have_a_float32_loss(name):
    outputs, targets = example(name)
    outputs = jnp.asarray(outputs, jnp.bfloat16)
    got = LOSSES[name](outputs, jnp.asarray(targets))
    assert got.dtype == jnp.float32
    expected = LOSSES[name](outputs.astype(jnp.float32), jnp.asarray(targets))
    np.testing.assert_array_equal(got, expected)
