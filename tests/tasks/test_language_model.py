"""Language modelling: its loss and metrics are those of tokens, whatever the batches."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from aimodels.models import GPT
from aimodels.modules.blocks import averaged, mapping
from aimodels.tasks.language_model import LanguageModel

MODEL = GPT(vocabulary=7, width=8, num_layers=1, num_heads=2, max_length=6)


def make(**fields):
    return LanguageModel(model=MODEL, optimizer=optax.adam(1e-2), **fields)


def batch_of(key):
    tokens = jax.random.randint(key, (4, 7), 0, 7)
    return {"inputs": tokens[:, :-1], "targets": tokens[:, 1:]}


def test_metrics_are_of_tokens():
    task, batch = make(), batch_of(jax.random.key(0))
    state = task.init(jax.random.key(1), batch)
    batch |= {"lengths": jnp.array([6, 2, 1, 3]), "mask": jnp.array([True, True, True, False])}
    measured = task.eval_step(state, batch, jax.random.key(2)).compute()
    logits = MODEL.apply({"params": state.params}, batch["inputs"])
    log_p = jax.nn.log_softmax(logits)
    valid = (np.arange(6) < np.array([6, 2, 1, 0])[:, None]).astype(bool)
    targets = np.asarray(batch["targets"])
    values = -np.take_along_axis(np.asarray(log_p), targets[..., None], -1)[..., 0][valid]
    # Means of 9 float32 numbers.
    np.testing.assert_allclose(measured["loss"], values.mean(), rtol=1e-5)
    np.testing.assert_allclose(measured["bits"], values.mean() / np.log(2), rtol=1e-5)
    np.testing.assert_allclose(measured["perplexity"], np.exp(values.mean()), rtol=1e-5)
    hits = (np.asarray(logits).argmax(-1) == targets)[valid]
    np.testing.assert_allclose(measured["accuracy"], hits.mean(), rtol=1e-6)


def test_every_token_of_a_batch_is_learned_alike():
    """Also where devices have parts of unequal lengths each, and of no length at all."""
    logits = jax.random.normal(jax.random.key(0), (8, 6, 7))
    targets = jax.random.randint(jax.random.key(1), (8, 6), 0, 7)
    lengths = jnp.array([6, 1, 0, 2, 5, 5, 3, 0])
    batch = {"targets": targets, "lengths": lengths}
    of_tokens = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    expected = of_tokens[jnp.arange(6) < lengths[:, None]].mean()

    def part(logits, batch):
        with mapping("data"):
            return averaged(make().loss(logits, batch).mean())

    quarters = jax.tree.map(lambda x: x.reshape(4, 2, *x.shape[1:]), (logits, batch))
    # Means of 22 float32 numbers, in other orders.
    np.testing.assert_allclose(make().loss(logits, batch).mean(), expected, rtol=1e-5)
    np.testing.assert_allclose(jax.pmap(part, "data")(*quarters), [expected] * 4, rtol=1e-5)
    assert not make().loss(logits, batch | {"lengths": 0 * lengths}).any()


def test_a_memorised_batch_has_no_loss_left():
    task, batch = make(), {"inputs": jnp.array([[0, 1, 2, 3, 4, 5]])}
    batch["targets"] = batch["inputs"] + 1
    state = task.init(jax.random.key(0), batch)
    step = jax.jit(task.train_step)
    for index in range(200):
        state, metrics = step(state, batch, jax.random.key(index))
    assert metrics["loss"] < 0.02
