"""Kneser-Ney: against values by hand, the formulas written out, NLTK's, and what must hold."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from aimodels.errors import UserError
from aimodels.models.kneser_ney import FALLBACK, KneserNey, estimated

RANDOM = np.random.default_rng(0).choice(6, 400, p=[0.35, 0.25, 0.2, 0.1, 0.07, 0.03])


def ids(text):
    alphabet = sorted(set("abracadabra_abacab"))
    return np.array([alphabet.index(character) for character in text], np.int64)


def written_out(tokens, vocabulary, order, discounts):
    """A function (context, token) -> probability: the formulas, n-gram by n-gram."""
    tokens = [int(token) for token in tokens]
    counts = []
    for n in range(1, order + 1):
        seen = Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
        if n < order:
            longer = {tuple(tokens[i : i + n + 1]) for i in range(len(tokens) - n)}
            seen = Counter(ngram[1:] for ngram in longer)
        counts.append(seen)
    after = [defaultdict(dict) for _ in counts]
    for table, seen in zip(after, counts, strict=True):
        for ngram, count in seen.items():
            table[ngram[:-1]][ngram[-1]] = count

    def probability(context, token):
        if len(context) > order - 1:
            context = context[-(order - 1) :] if order > 1 else ()
        shorter = 1 / vocabulary if not context else probability(context[1:], token)
        n = len(context) + 1
        known = after[n - 1].get(tuple(context))
        if not known:
            return shorter
        of = {1: discounts[n - 1][0], 2: discounts[n - 1][1]}
        total = sum(known.values())
        taken = sum(min(of.get(count, discounts[n - 1][2]), count) for count in known.values())
        count = known.get(token, 0)
        left = max(count - of.get(count, discounts[n - 1][2]), 0) if count else 0
        return left / total + taken / total * shorter

    return probability


def test_bigrams_by_hand():
    """The text 0 0 1 0 2 0 0 with V = 3 and a discount of 0.5 of bigrams, 0 of single tokens.

    Bigrams: 00 twice, 01, 10, 02, 20 once. Different tokens before 0: 0, 1, 2; before 1 and 2 one
    each: p1 = 3/5, 1/5, 1/5. After 0: counts 2, 1, 1, and a backoff of 3 · 0.5 / 4 = 0.375.
    """
    discounts = ((0.0,) * 3, (0.5,) * 3)
    model = KneserNey.fit(np.array([0, 0, 1, 0, 2, 0, 0]), 3, 2, discounts)
    expected = [1.5 / 4 + 0.375 * 0.6, 0.5 / 4 + 0.375 * 0.2, 0.5 / 4 + 0.375 * 0.2]
    np.testing.assert_allclose(model.next_probabilities(np.array([0])), expected, rtol=1e-12)
    # After 1 only 0 was seen, once: 0.5 / 1 + 0.5 · p1.
    expected = [0.5 + 0.5 * 0.6, 0.5 * 0.2, 0.5 * 0.2]
    np.testing.assert_allclose(model.next_probabilities(np.array([2, 1])), expected, rtol=1e-12)
    np.testing.assert_allclose(model.next_probabilities(np.array([])), [0.6, 0.2, 0.2], rtol=1e-12)


def test_discounts_by_hand():
    """n1 = 4, n2 = 2, n3 = 1, n4 = 1: Y = 4 / 8, D = 1 - 2Y/2, 2 - 3Y/2, 3 - 4Y."""
    assert estimated(np.array([1, 1, 1, 1, 2, 2, 3, 4, 9])) == (0.5, 1.25, 1.0)
    assert estimated(np.array([1, 2, 3, 5])) == FALLBACK


def test_it_equals_nltks():
    """Of NLTK 3.9's KneserNeyInterpolated(3, discount=0.5), fitted to everygrams without padding.

    Its single tokens have no discount.
    """
    text = ids("abracadabra_abacab")
    model = KneserNey.fit(text, 6, 3, ((0.0,) * 3, (0.5,) * 3, (0.5,) * 3))
    theirs = {
        ("a", "b"): 0.38571428571428573,
        ("ra", "c"): 0.37142857142857144,
        ("br", "a"): 0.9375,
        ("_a", "b"): 0.6928571428571428,
        ("ca", "d"): 0.3,
        ("", "a"): 0.5,
        ("b", "c"): 0.05,
    }
    for (context, token), expected in theirs.items():
        ours = model.next_probabilities(ids(context))[ids(token)[0]]
        assert ours == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_it_equals_the_formulas_written_out(order):
    model = KneserNey.fit(RANDOM, 7, order)
    probability = written_out(RANDOM, 7, order, [each.discounts for each in model.orders])
    held_out = np.random.default_rng(1).integers(0, 7, 60)
    expected = [
        math.log(probability(tuple(held_out[max(0, place - order + 1) : place].tolist()), token))
        for place, token in enumerate(held_out.tolist())
    ]
    np.testing.assert_allclose(model.log_probabilities(held_out), expected, rtol=1e-10)


@pytest.mark.parametrize("context", [[], [0], [6], [0, 1, 2], [5, 5, 5, 5], [3, 1, 4, 1, 5]])
def test_probabilities_sum_to_one_and_are_those_of_whole_texts(context):
    model = KneserNey.fit(RANDOM, 7, 4)
    chances = model.next_probabilities(np.array(context))
    assert chances.sum() == pytest.approx(1, rel=1e-12)
    assert chances.min() > 0
    for token in range(7):
        log = model.log_probabilities(np.array([*context, token]))[-1]
        assert chances[token] == pytest.approx(math.exp(log), rel=1e-12)


def test_generation_is_decided_by_the_seed_and_follows_the_chances():
    model = KneserNey.fit(RANDOM, 7, 3)
    text = model.generate(np.array([0, 1]), 50, seed=3)
    np.testing.assert_array_equal(text, model.generate(np.array([0, 1]), 50, seed=3))
    assert (text != model.generate(np.array([0, 1]), 50, seed=4)).any()
    likeliest = model.generate(np.array([0, 1]), 1, temperature=0)
    assert likeliest[0] == model.next_probabilities(np.array([0, 1])).argmax()
    first = [model.generate(np.array([0, 1]), 1, seed=seed)[0] for seed in range(1000)]
    shares = np.bincount(first, minlength=7) / 1000
    # Four standard deviations of a share of 1,000 draws.
    np.testing.assert_allclose(shares, model.next_probabilities(np.array([0, 1])), atol=0.064)


def test_longer_contexts_help_on_text():
    text = ids("abracadabra_abacab" * 30)
    losses = [-KneserNey.fit(text[:500], 6, n).log_probabilities(text[500:]).mean() for n in (1, 3)]
    assert losses[1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"order": 0}, "order is 0; it takes 1 to 4"),
        ({"order": 5}, "it takes 1 to 4"),
        ({"vocabulary": 2}, "a vocabulary of 2 takes 0 to 1"),
        ({"discounts": [FALLBACK]}, "1 entries; it takes one an order, 2"),
    ],
)
def test_mistakes_are_told(given, message):
    with pytest.raises(UserError, match=message):
        KneserNey.fit(**({"tokens": np.array([0, 1, 2, 1]), "vocabulary": 3, "order": 2} | given))


@pytest.mark.parametrize("order", [1, 3])
def test_states_go_on_token_by_token(order):
    """Three texts at once, two of them unseen in part: the same p as of each as a whole."""
    model = KneserNey.fit(RANDOM[:300], 7, order)
    texts = np.array([RANDOM[300:310], [6, 6, 0, 1, 2, 0, 6, 1, 1, 0], RANDOM[5:15]])
    states = model.begin(3)
    logs = []
    for tokens in texts.T:
        found, states = model.advance(states, tokens)
        logs.append(found)
    expected = [model.log_probabilities(text) for text in texts]
    np.testing.assert_allclose(np.array(logs).T, expected, rtol=1e-12)


def test_a_text_shorter_than_the_longest_context_is_read_whole():
    model = KneserNey.fit(RANDOM, 7, 5)
    for start in range(40):
        prompt = RANDOM[start : start + 3]
        likeliest = model.generate(prompt, 1, temperature=0)
        assert likeliest[0] == model.next_probabilities(prompt).argmax()
