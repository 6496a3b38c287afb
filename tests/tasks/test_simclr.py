"""SimCLR: the loss by hand, two views of each example, and representations that get better."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import aimodels
from aimodels.config import call_section, named_section
from aimodels.data.transforms import Pipeline
from aimodels.errors import UserError
from aimodels.models import MLP
from aimodels.tasks.simclr import SimCLR, nt_xent, partners, similarities


def loop(outputs, temperature):
    """Equation 1, one pair after the other, in float64."""
    z = np.asarray(outputs, np.float64)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    count, losses = len(z), []
    for i in range(count):
        j = (i + count // 2) % count
        exponentials = [np.exp(z[i] @ z[k] / temperature) for k in range(count) if k != i]
        losses.append(-np.log(np.exp(z[i] @ z[j] / temperature) / sum(exponentials)))
    return np.array(losses)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_the_loss_is_the_papers(temperature):
    outputs = jax.random.normal(jax.random.key(0), (12, 5))
    found = jax.jit(nt_xent)(outputs, temperature)
    np.testing.assert_allclose(found, loop(outputs, temperature), rtol=1e-5)  # float32
    np.testing.assert_allclose(nt_xent(7 * outputs, temperature), found, rtol=1e-4)


def test_views_that_are_all_alike_have_the_loss_of_chance():
    np.testing.assert_allclose(nt_xent(jnp.ones((8, 3)), 0.5), np.full(8, np.log(7)), rtol=1e-6)
    assert np.isfinite(nt_xent(jnp.zeros((4, 3)), 0.5)).all()
    assert np.isfinite(jax.grad(lambda x: nt_xent(x, 0.5).sum())(jnp.zeros((4, 3)))).all()
    assert partners(6).tolist() == [3, 4, 5, 0, 1, 2]


def test_negatives_can_be_the_other_views_alone():
    outputs = np.asarray(jax.random.normal(jax.random.key(0), (8, 5)))
    units = outputs / np.linalg.norm(outputs, axis=1, keepdims=True)
    scores = units[:4] @ units[4:].T / 0.5
    expected = np.concatenate([np.log(np.exp(s).sum(1)) - np.diag(s) for s in (scores, scores.T)])
    found = nt_xent(outputs, 0.5, negatives="other_views")
    np.testing.assert_allclose(found, expected, rtol=1e-5)  # float32
    task = make(negatives="other_views")
    np.testing.assert_allclose(task.loss(outputs, {}), expected, rtol=1e-5)


def test_what_the_mask_hides_is_no_ones_negative():
    outputs = jax.random.normal(jax.random.key(0), (8, 5))
    mask = jnp.array([True, True, True, False] * 2)
    found = nt_xent(outputs, 0.5, mask)
    whole = nt_xent(outputs[mask], 0.5)
    np.testing.assert_allclose(found[mask], whole, rtol=1e-6)
    assert (similarities(outputs, 0.5, mask)[0] == -np.inf).sum() == 3  # itself, and two hidden


def make(temperature=0.5, **fields):
    section = named_section("transform", {"name": "gaussian_noise", "std": 0.3}, "transforms")
    transforms = Pipeline((call_section("transform", section),))
    return SimCLR(MLP((16,), 4), optax.adam(1e-2), transforms, temperature=temperature, **fields)


def batch_of(count=24):
    """Points around six middles, in pairs of the same."""
    middles = 2 * jax.random.normal(jax.random.key(1), (count, 6))
    return {"inputs": middles, "targets": jnp.arange(count), "mask": jnp.ones(count, bool)}


def test_a_batch_is_two_views_with_their_own_draws():
    batch = batch_of()
    views = make().training_batch(batch, jax.random.key(0))
    assert views["inputs"].shape == (48, 6)
    first, second = views["inputs"][:24], views["inputs"][24:]
    for view in (first, second):
        assert 0.2 < float(jnp.std(view - batch["inputs"])) < 0.4
    assert float(jnp.abs(first - second).min()) > 0
    np.testing.assert_array_equal(views["targets"], np.tile(np.arange(24), 2))


def test_it_learns_to_tell_examples_apart():
    task, batch = make(), batch_of()
    state = task.init(jax.random.key(0), batch)
    step = jax.jit(task.train_step)
    before = jax.jit(task.eval_step)(state, batch, jax.random.key(9)).compute()
    for number in range(100):
        state, metrics = step(state, batch, jax.random.key(number))
    after = jax.jit(task.eval_step)(state, batch, jax.random.key(9)).compute()
    assert after["loss"] < before["loss"] - 0.3
    assert after["accuracy"] > 0.7
    assert after["accuracy"] > before["accuracy"]
    assert 0 <= metrics["accuracy"] <= 1
    # Padding changes neither.
    padded = {name: jnp.concatenate([value, value[:8]]) for name, value in batch.items()}
    padded["mask"] = jnp.arange(32) < 24
    outputs = task.model.apply(state.variables, padded["inputs"])

    def of_both(outputs, batch):
        doubled = {"mask": jnp.tile(batch["mask"], 2)}
        return task.metrics(jnp.concatenate([outputs, outputs[::-1]]), doubled).compute()

    shuffled = jnp.concatenate([outputs[:24][::-1], outputs[24:]])
    found = task.metrics(
        jnp.concatenate([outputs, shuffled]), {"mask": jnp.tile(padded["mask"], 2)}
    ).compute()
    expected = of_both(outputs[:24], batch)
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-5)


def test_a_gradients_parts_keep_views_together():
    batch = batch_of()
    key = jax.random.key(0)
    accumulating = make(gradient_accumulation=2)
    state = accumulating.init(key, batch)
    _, metrics = jax.jit(accumulating.train_step)(state, batch, key)
    transform_key, _ = jax.random.split(key)
    views = accumulating.training_batch(batch, transform_key)["inputs"]
    outputs = accumulating.model.apply(state.variables, views)
    parts = [nt_xent(outputs[part::2], 0.5).mean() for part in (0, 1)]
    np.testing.assert_allclose(metrics["loss"], np.mean(parts), rtol=1e-5)


def test_a_run_of_replicas(small_config, tmp_path):
    config = small_config(
        model={"name": "MLP", "features": (16,), "num_classes": 4},
        task={"name": "simclr", "temperature": 0.2},
        data={"name": "mnist1d"},
        training={
            "steps": 6,
            "batch_size": 20,
            "transforms": ("random_trend", {"name": "random_shift", "wrap": True}),
        },
        evaluation={"every": 3, "splits": ("test[:100]",), "batch_size": 30},
        replicas={"seeds": (0, 1)},
    )
    result = aimodels.train(config, tmp_path / "run", verbose=False)
    losses = [replica["metrics"]["test[:100]/loss"] for replica in result.results["replicas"]]
    assert np.isfinite(losses).all()
    assert losses[0] != losses[1]
    assert aimodels.load(tmp_path / "run").predict(np.zeros((3, 40, 1), np.float32)).shape == (3, 4)


def test_it_takes_vectors():
    with pytest.raises(UserError, match=r"takes vectors \[B, D\] of its model, got \(2, 3, 4\)"):
        make().loss(jnp.ones((2, 3, 4)), {})
