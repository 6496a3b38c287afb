"""Sampling, stop tokens and beam search of language models."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aimodels.errors import UserError
from aimodels.models import GPT
from aimodels.models.generation import Sampling, advance, beam_search, begin, generate

V = 5
MODEL = GPT(vocabulary=V, width=8, num_layers=1, num_heads=2, max_length=12)
PROMPTS = jnp.array([[1, 2, 3], [4, 0, 0]])
LENGTHS = jnp.array([3, 1])
STOP = 0


@pytest.fixture(scope="module")
def variables():
    """Sharp enough that texts differ in probability, from a fixed key."""
    variables = MODEL.init(jax.random.key(1), PROMPTS)
    return jax.tree.map(lambda leaf: 6 * leaf, variables)


def kept(logits, seen=(), **fields):
    """Which of the logits [V] can be chosen."""
    known = jnp.zeros((1, len(logits)), bool).at[0, list(seen)].set(True)
    cut = Sampling(**fields).cut(jnp.array([logits]), known)
    return np.flatnonzero(np.isfinite(cut[0])).tolist()


def test_each_cut_keeps_what_its_paper_says():
    logits = np.log([0.5, 0.25, 0.15, 0.1])
    assert kept(logits, top_k=2) == [0, 1]
    assert kept(logits, top_k=9) == [0, 1, 2, 3]
    assert kept(logits, top_p=0.5) == [0]
    assert kept(logits, top_p=0.6) == [0, 1]
    assert kept(logits, top_p=0.0) == [0]
    assert kept(logits, top_p=1.0) == [0, 1, 2, 3]
    assert kept(logits, min_p=0.3) == [0, 1, 2]
    assert kept(logits, top_k=3, min_p=0.4) == [0, 1]
    # Twice as cold, probabilities are squared: .25, .0625, .0225, .01 of .345.
    assert kept(logits, temperature=0.5, top_p=0.72) == [0]


def test_a_penalty_falls_on_what_was_there():
    logits = jnp.array([[2.0, -2.0, 1.0]])
    seen = jnp.array([[True, True, False]])
    cut = Sampling(repetition_penalty=2.0).cut(logits, seen)
    np.testing.assert_array_equal(cut, [[1.0, -4.0, 1.0]])


@pytest.mark.parametrize(
    "fields", [{"temperature": -1}, {"top_k": 0}, {"top_p": 1.5}, {"repetition_penalty": 0}]
)
def test_values_out_of_range_are_named(fields):
    with pytest.raises(UserError, match=next(iter(fields))):
        Sampling(**fields)


def test_pieces_are_the_whole_text(variables):
    """Greedy, so that keys don't matter: begin and advance twice give what generate gives."""
    greedy = Sampling(temperature=0.0)
    whole = generate(
        MODEL, variables, PROMPTS, 9, jax.random.key(0), lengths=LENGTHS, temperature=0.0
    )
    keys = jax.random.split(jax.random.key(0), 8)
    decoding = begin(MODEL, variables, PROMPTS, keys[0], lengths=LENGTHS, sampling=greedy)
    decoding, first = advance(MODEL, variables, decoding, keys[:3], sampling=greedy)
    decoding, second = advance(MODEL, variables, decoding, keys[3:], sampling=greedy)
    pieces = jnp.concatenate([first, second, decoding.token[:, None]], 1)
    np.testing.assert_array_equal(pieces, whole)


def test_behind_a_stop_token_there_are_no_others(variables):
    texts = generate(MODEL, variables, jnp.tile(PROMPTS, (50, 1)), 9, jax.random.key(0), stop=STOP)
    after = np.cumsum(np.asarray(texts) == STOP, axis=1) > 0
    assert 0 < after.mean() < 1
    assert (np.asarray(texts)[after] == STOP).all()


def log_probability(variables, prompt, text):
    """Σ log P of a text behind a prompt, up to its first stop token; and how many tokens."""
    if STOP in text:
        text = text[: text.index(STOP) + 1]
    ids = jnp.array([[*prompt, *text]])
    logits = MODEL.apply(variables, ids)[0, len(prompt) - 1 : -1]
    chosen = jax.nn.log_softmax(logits)[jnp.arange(len(text)), jnp.array(text)]
    return float(chosen.sum()), len(text)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_a_wide_beam_finds_the_best_of_all_texts(variables, length_penalty):
    """Against all V³ texts; a beam of V² loses none of them on its way."""
    steps, beams = 3, V**2
    tokens, scores = jax.jit(
        lambda variables: beam_search(
            MODEL,
            variables,
            PROMPTS,
            steps,
            beams=beams,
            lengths=LENGTHS,
            stop=STOP,
            length_penalty=length_penalty,
        )
    )(variables)
    for row, prompt in enumerate(([1, 2, 3], [4])):
        found = {}
        for text in itertools.product(range(V), repeat=steps):
            total, count = log_probability(variables, prompt, list(text))
            ended = (*text[:count], *[STOP] * (steps - count))
            found[ended] = total / ((5 + count) / 6) ** length_penalty
        best = sorted(found, key=found.get, reverse=True)[:10]
        assert [tuple(text) for text in tokens[row, :10].tolist()] == best
        # Sums of three float32 log-probabilities, computed with a cache and without.
        np.testing.assert_allclose(scores[row, :10], [found[text] for text in best], rtol=1e-4)


def test_a_beam_of_one_is_greedy(variables):
    tokens, _ = beam_search(MODEL, variables, PROMPTS, 6, beams=1, lengths=LENGTHS)
    greedy = generate(
        MODEL, variables, PROMPTS, 6, jax.random.key(0), lengths=LENGTHS, temperature=0.0
    )
    np.testing.assert_array_equal(tokens[:, 0], greedy)
