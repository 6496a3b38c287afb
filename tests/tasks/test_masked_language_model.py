"""What is hidden, how often and as what; the task learns; text to text learns too."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from aimodels.models import BERT, T5
from aimodels.tasks.language_model import LanguageModel
from aimodels.tasks.losses import softmax_cross_entropy
from aimodels.tasks.masked_language_model import MaskedLanguageModel, hide
from aimodels.tasks.text_to_text import TextToText

# Little is computed: to compile well would take longer.
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
TINY = {"width": 16, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0}


def hidden(inputs, key, candidates=None, **fields):
    candidates = jnp.ones(inputs.shape, bool) if candidates is None else candidates
    return hide(inputs, key, candidates=candidates, mask_token=3, vocabulary=50, **fields)


def test_shares_are_those_of_the_paper():
    inputs = jax.random.randint(jax.random.key(0), (400, 100), 4, 50)
    found = hidden(inputs, jax.random.key(1))
    assert found["places"].shape == (400, 15)
    assert (found["target_lengths"] == 15).all()
    at = np.take_along_axis(np.asarray(found["inputs"]), np.asarray(found["places"]), 1)
    np.testing.assert_array_equal(
        np.take_along_axis(np.asarray(inputs), np.asarray(found["places"]), 1), found["targets"]
    )
    # 6,000 draws: shares are known to 0.005; of any token one in fifty is the same, and one is 3.
    assert (at == 3).mean() == pytest.approx(0.8 + 0.1 / 50, abs=0.02)
    assert (at == found["targets"]).mean() == pytest.approx(0.1 + 0.1 / 50, abs=0.016)
    assert (np.asarray(found["inputs"]) != inputs).sum() == (at != found["targets"]).sum()
    # Each place is as likely: 60 times each, known to 7.
    counts = np.bincount(np.asarray(found["places"]).ravel(), minlength=100)
    assert counts.min() > 25
    assert counts.max() < 95
    assert all(len(set(row)) == 15 for row in np.asarray(found["places"]).tolist())


def test_it_is_a_function_of_the_key_alone():
    inputs = jax.random.randint(jax.random.key(0), (3, 40), 4, 50)
    first, again, other = (hidden(inputs, jax.random.key(key)) for key in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert (first["places"] != other["places"]).any()


def test_only_candidates_are_hidden():
    inputs = jnp.tile(jnp.arange(4, 24), (3, 1))
    candidates = jnp.arange(20) < jnp.array([20, 7, 0])[:, None]
    found = hidden(inputs, jax.random.key(0), candidates)
    assert found["target_lengths"].tolist() == [3, 1, 0]  # 15 % of 20, 7 and none, one at least
    assert found["places"][1, 0] < 7
    changed = np.asarray(found["inputs"] != inputs)
    assert not changed[1, 7:].any()
    assert not changed[2].any()
    assert changed.sum() <= 4


def test_the_task_learns_what_words_stand_together():
    """Each text is one word, all over: a hidden one is as those around it."""
    model = BERT(head="masked_language_model", vocabulary=20, max_length=12, **TINY)
    task = MaskedLanguageModel(model, optax.adam(1e-2), mask_token=3, special_tokens=(0, 1))
    words = jax.random.randint(jax.random.key(0), (64, 1), 4, 20)
    inputs = jnp.tile(words, (1, 12)).at[:, 0].set(1)
    batch = {"inputs": inputs, "lengths": jnp.full(64, 12)}

    @functools.partial(jax.jit, compiler_options=QUICKLY)
    def run(key):
        state = task.init(key, batch)
        keys = jax.random.split(key, 100)
        state, metrics = jax.lax.scan(lambda s, k: task.train_step(s, batch, k), state, keys)
        return state, metrics["loss"]

    state, losses = run(jax.random.key(1))
    assert losses[0] == pytest.approx(np.log(20), abs=0.2)
    measured = [task.eval_step(state, batch, jax.random.key(k)).compute() for k in (0, 1)]
    assert measured[0]["accuracy"] > 0.95
    assert measured[0] == measured[1]  # what is hidden in evaluation is always the same
    assert task.predict(state, batch).shape == (64, 12, 20)


def test_the_next_sentence_is_added():
    model = BERT(head="pretraining", vocabulary=20, max_length=12, **TINY)
    task = MaskedLanguageModel(model, optax.sgd(0.1))
    inputs = jax.random.randint(jax.random.key(0), (4, 12), 4, 20)
    batch = task.training_batch({"inputs": inputs}, jax.random.key(1))
    variables = model.init(jax.random.key(2), inputs)
    outputs = model.apply(variables, batch["inputs"], places=batch["places"])
    alone = task.loss(outputs, batch)
    both = task.loss(outputs, batch | {"next_sentence": jnp.array([0, 1, 1, 0])})
    expected = softmax_cross_entropy(outputs.next_sentence, jnp.array([0, 1, 1, 0]))
    np.testing.assert_allclose(both - alone, expected, rtol=1e-5)
    guessed = outputs.next_sentence.argmax(-1)
    wrong = batch | {"next_sentence": guessed.at[0].set(1 - guessed[0])}
    assert task.metrics(outputs, wrong).compute()["next_sentence"] == pytest.approx(0.75)
    assert "next_sentence" not in task.metrics(outputs, batch).compute()


def test_a_language_model_of_tags_learns_them_token_by_token():
    """BERT's head "tagging" needs no task of its own: a tag is a token's target."""
    fields = {"width": 16, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0}
    task = LanguageModel(
        BERT(head="tagging", num_classes=3, vocabulary=9, max_length=6, **fields), optax.adam(1e-2)
    )
    words = jax.random.randint(jax.random.key(0), (32, 6), 0, 9)
    # A word's tag hangs on the word before it.
    tags = (words + jnp.roll(words, 1, axis=1).at[:, 0].set(0)) % 3
    lengths = jnp.array([6, 4] * 16)
    batch = {"inputs": words, "targets": tags, "lengths": lengths}

    @functools.partial(jax.jit, compiler_options=QUICKLY)
    def run(key):
        keys = jax.random.split(key, 150)
        state, _ = jax.lax.scan(
            lambda s, k: task.train_step(s, batch, k), task.init(key, batch), keys
        )
        return task.eval_step(state, batch, key)

    assert run(jax.random.key(1)).compute()["accuracy"] > 0.95


def test_text_to_text_learns_to_copy():
    fields = {"width": 16, "num_layers": 1, "num_heads": 2, "head_width": 8, "mlp_width": 32}
    model = T5(12, dropout_rate=0.0, **fields)
    task = TextToText(model, optax.adam(1e-2))
    texts = jax.random.randint(jax.random.key(0), (64, 4), 2, 12)
    batch = {"inputs": texts, "targets": texts, "target_lengths": jnp.array([4, 2] * 32)}

    @functools.partial(jax.jit, compiler_options=QUICKLY)
    def run(key):
        state = task.init(key, batch)
        keys = jax.random.split(key, 300)
        state, metrics = jax.lax.scan(lambda s, k: task.train_step(s, batch, k), state, keys)
        return state, metrics["loss"]

    state, _ = run(jax.random.key(1))
    assert task.eval_step(state, batch, jax.random.key(0)).compute()["accuracy"] > 0.95
    # What lies behind a target's length counts for nothing.
    other = batch | {"targets": texts.at[1::2, 3].set(0)}
    loss = task.eval_step(state, batch, jax.random.key(0)).compute()["loss"]
    assert task.eval_step(state, other, jax.random.key(0)).compute()["loss"] == pytest.approx(
        float(loss), rel=1e-5
    )
