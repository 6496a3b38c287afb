"""The search against all translations there are, its n best, and what a score is made of."""

import itertools

import numpy as np
import pytest

from aimodels.errors import UserError
from aimodels.models.phrase_based.decoder import LONGEST_SENTENCE, n_best, translate
from aimodels.models.phrase_based.model import UNTRANSLATED, WEIGHTS, fit
from aimodels.models.phrase_based.tuning import bleu, match, search, tune
from aimodels.models.phrase_based.word_alignment import numbered

WORDS = ["a", "b", "c", "d", "e", "f"]


def pairs(count, seed):
    """Sentences of words, and their translation: capitals, with every c before what precedes it."""
    generator = np.random.default_rng(seed)
    sources = [generator.choice(WORDS, generator.integers(2, 7)).tolist() for _ in range(count)]
    targets = []
    for text in sources:
        words = [word.upper() for word in text]
        for place in range(1, len(words)):
            if words[place] == "C":
                words[place - 1 : place + 1] = words[place], words[place - 1]
        targets.append(words)
    return sources, targets


@pytest.fixture(scope="module")
def model():
    return fit(*pairs(60, 0), longest=3, order=3)


def score_of(model, words, logs, phrases, distance):
    """The features of a translation, by their definitions."""
    numbers = {word: token for token, word in enumerate(model.target_words, 1)}
    tokens = [0, 0, *(numbers.get(word, model.unknown) for word in words), 0]
    language = sum(
        np.log(model.language_model.next_probabilities(np.array(tokens[:place]))[tokens[place]])
        for place in range(2, len(tokens))
    )
    return np.array([language, *logs, len(words), phrases, -distance])


def everything(model, text, limit):
    """All translations, words -> features: every order within the limit, every option."""
    found = {}
    longest = model.phrases.shape[1]

    def options(start, end):
        phrase = numbered([text[start:end]], model.source_words)
        number = model.table.sources.find(phrase)[end - start - 1][0]
        rows = (
            range(model.table.begins[number], model.table.begins[number + 1]) if number >= 0 else []
        )
        given = [
            (
                [
                    model.target_words[t - 1]
                    for t in model.phrases[model.table.translations[row]]
                    if t > 0
                ],
                model.table.features[row],
            )
            for row in rows
        ]
        if not given and end - start == 1:
            return [([text[start]], np.full(4, UNTRANSLATED))]
        return given

    def go_on(covered, end, words, logs, phrases, distance):
        if len(covered) == len(text):
            features = score_of(model, words, logs, phrases, distance)
            found.setdefault(tuple(words), []).append(features)
            return
        first = min(set(range(len(text))) - covered)
        for start, length in itertools.product(range(len(text)), range(1, longest + 1)):
            span = set(range(start, start + length))
            if start + length > len(text) or span & covered or abs(start - end) > limit:
                continue
            if start != first and start + length - first > limit:
                continue
            for more, features in options(start, start + length):
                go_on(
                    covered | span,
                    start + length,
                    words + more,
                    logs + features,
                    phrases + 1,
                    distance + abs(start - end),
                )

    go_on(set(), 0, [], np.zeros(4), 0, 0)
    return found


@pytest.mark.parametrize(("text", "limit"), [("a b c", 3), ("d c x e", 2), ("b c a", 0)])
def test_a_wide_search_finds_the_best_of_all_translations(model, text, limit):
    """With no stack full, all translations are found, in the order of their scores."""
    text, weights = text.split(), np.array(WEIGHTS)
    best = {
        words: max((features for features in each), key=lambda one: one @ weights)
        for words, each in everything(model, text, limit).items()
    }
    ordered = sorted(best, key=lambda words: -(best[words] @ weights))
    assert len(ordered) > 2
    (found,) = n_best(
        model, [text], count=10_000, beam=10_000, options=1000, distortion_limit=limit
    )
    assert len(found) == len(ordered)
    # Equal but for the order of sums.
    np.testing.assert_allclose(
        [one.score for one in found], [best[words] @ weights for words in ordered], rtol=1e-9
    )
    for one in found:
        assert one.features @ weights == pytest.approx(best[one.words] @ weights, rel=1e-9)
    assert translate(model, [text], beam=10_000, options=1000, distortion_limit=limit) == [
        found[0].words
    ]


def test_words_are_moved_as_in_the_pairs(model):
    sources, targets = pairs(30, 1)
    found = translate(model, sources)
    right = sum(one == tuple(other) for one, other in zip(found, targets, strict=True))
    assert right >= 20
    # Without moves fewer are right, as phrases of three words move little.
    assert translate(model, sources, distortion_limit=0) != found


def test_batches_and_other_texts_change_nothing(model):
    texts, _ = pairs(9, 2)
    together = translate(model, texts, beam=10)
    assert translate(model, texts, beam=10, batch_size=2) == together
    assert [translate(model, [text], beam=10)[0] for text in texts] == together


def test_unknown_words_stay_and_long_texts_are_cut(model):
    assert translate(model, [["zebra"]]) == [("zebra",)]
    assert translate(model, [[], ["a"]]) == [(), ("A",)]
    long = (["a", "b"] * LONGEST_SENTENCE)[: LONGEST_SENTENCE + 10]
    (found,) = translate(model, [long], beam=3)
    parts = translate(model, [long[:LONGEST_SENTENCE], long[LONGEST_SENTENCE:]], beam=3)
    assert found == parts[0] + parts[1]
    with pytest.raises(UserError, match="text 2 has 60 words; takes 1 to 50"):
        n_best(model, [["a"], long])


def test_bleu_is_sacrebleus():
    from sacrebleu.metrics.bleu import BLEU

    generator = np.random.default_rng(3)
    texts = [generator.choice(list("ab"), size).tolist() for size in (9, 12, 7, 3)]
    references = [generator.choice(list("ab"), size).tolist() for size in (10, 11, 9, 4)]
    ours = 100 * bleu(sum(match(one, other) for one, other in zip(texts, references, strict=True)))
    joined = [[" ".join(text) for text in side] for side in (texts, references)]
    expected = BLEU(tokenize="none", smooth_method="none", force=True).corpus_score(
        joined[0], [joined[1]]
    )
    assert 0 < ours < 100
    assert ours == pytest.approx(expected.score, rel=1e-9)
    assert bleu(match(["a"], ["b"])) == 0


def test_a_search_finds_weights_that_choose_the_better_texts():
    """Two texts of three candidates: the second feature alone says which are right."""
    features = np.array([[[1.0, 0], [0, 1], [np.nan, np.nan]], [[2, 0], [0, 1], [1, 0]]])
    good, bad = match(list("abcde"), list("abcde")), match(list("xyzuv"), list("abcde"))
    statistics = np.array([[bad, good, bad], [bad, good, bad]])
    weights, found = search(features, statistics, np.array([0.6, 0.4]))
    assert found == 1
    assert weights[1] > 2 * weights[0]


def test_tuning_does_not_lower_bleu(model):
    sources, targets = pairs(25, 4)
    lines = []
    wrong = np.array(WEIGHTS) * [0.1, 1, 1, 1, 1, 4, 1, 1]
    found = tune(
        model, sources, targets, weights=wrong, rounds=4, count=20, beam=10, told=lines.append
    )
    assert len(lines) == len(found.rounds) > 1
    assert max(found.rounds) > found.rounds[0] + 1
    assert np.abs(found.weights).sum() == pytest.approx(1)
    texts = translate(model, sources, found.weights, beam=10)
    sums = sum(match(one, other) for one, other in zip(texts, targets, strict=True))
    assert 100 * bleu(sums) == pytest.approx(max(found.rounds), abs=1e-9)
