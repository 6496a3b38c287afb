"""Recurrent language models: step by step as all at once, and served by the same generation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import apply, init

import aimodels
from aimodels.models import RecurrentLanguageModel
from aimodels.models.generation import beam_search, generate

TOKENS = jax.random.randint(jax.random.key(0), (3, 8), 0, 11)
FORMS = {
    "lstm": {"num_layers": 2},
    "gru": {"cell": "gru", "num_layers": 2, "embedding_features": 5},
    "rnn": {"cell": "rnn", "num_layers": 1},
    "wide": {"features": 40, "embedding_features": 6},
}


def made(form):
    model = RecurrentLanguageModel(11, **{"features": 7, "max_length": 12} | FORMS[form])
    return model, jax.tree.map(lambda leaf: 3 * leaf, init(model, TOKENS))


@pytest.mark.parametrize("form", FORMS)
def test_decoding_equals_the_full_forward(form):
    model, variables = made(form)
    full = apply(model, variables, TOKENS)
    lengths = jnp.array([5, 1, 3])
    rows = jnp.arange(3)
    prompts = jnp.where(jnp.arange(5) < lengths[:, None], TOKENS[:, :5], 10)
    logits, cache = apply(
        model, variables, prompts, model.empty_cache(3), lengths=lengths, method="decode"
    )
    np.testing.assert_allclose(logits[rows, lengths - 1], full[rows, lengths - 1], atol=1e-5)
    step = jax.jit(lambda token, cache: model.apply(variables, token, cache, method="decode"))
    for time in range(3):
        at = lengths + time
        logits, cache = step(TOKENS[rows, at][:, None], cache)
        np.testing.assert_allclose(logits[:, 0], full[rows, at], atol=1e-5)


def test_logits_do_not_see_later_tokens():
    model, variables = made("lstm")
    before = apply(model, variables, TOKENS)
    after = apply(model, variables, TOKENS.at[:, 5:].add(1))
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert (before[:, 5:] != after[:, 5:]).any(axis=-1).all()


def test_greedy_texts_and_beams_are_those_of_the_full_forward():
    model, variables = made("lstm")
    prompts, lengths = TOKENS[:, :3], jnp.array([3, 1, 2])

    @jax.jit
    def both(variables):
        given = {"lengths": lengths}
        texts = generate(model, variables, prompts, 6, jax.random.key(0), temperature=0.0, **given)
        return texts, beam_search(model, variables, prompts, 6, beams=1, **given)[0]

    texts, beams = both(variables)
    np.testing.assert_array_equal(beams[:, 0], texts)
    ids = np.zeros((3, 9), np.int32)
    for row, length in enumerate(lengths):
        ids[row, : length + 6] = [*prompts[row, :length], *texts[row]]
    best = apply(model, variables, ids).argmax(-1)
    for row, length in enumerate(lengths):
        np.testing.assert_array_equal(best[row, length - 1 : length + 5], texts[row])


def test_two_layers_of_char_rnn_have_its_parameters():
    """Input and state to four gates with a bias each, twice; 128 features to 65 characters."""
    layers = 4 * 128 * (65 + 128 + 2) + 4 * 128 * (128 + 128 + 2)
    model = RecurrentLanguageModel(65)
    tokens = jax.ShapeDtypeStruct((1, 50), "int32")
    assert aimodels.count_parameters(model, tokens) == layers + 129 * 65 == 240_321
