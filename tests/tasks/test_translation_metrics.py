"""Scores of translations: NLTK's exact values, sacreBLEU's, and a bootstrap that is paired."""

import math

import numpy as np
import pytest

from aimodels.errors import UserError
from aimodels.tasks.translation_metrics import paired_bootstrap, translation_scores

# The texts and values of NLTK's doctests: nltk/translate/bleu_score.py and nist_score.py.
GUIDE = (
    "It is a guide to action which ensures that the military always obeys the commands of the party"
)
INSURE = "It is to insure the troops forever hearing the activity guidebook that party direct"
BOOK = "he read the book because he was interested in world history"
REFERENCES = [
    "It is a guide to action that ensures that the military will forever heed Party commands",
    "It is the guiding principle which guarantees the military forces always being under the "
    "command of the Party",
    "It is the practical guide for the army always to heed the directions of the party",
]
READING = ["he was interested in world history because he read the book"]


def scores(translations, references):
    return translation_scores(translations, references, is_cut_into_words=True)


def test_bleu_is_that_of_nltks_doctests():
    assert math.floor(100 * scores([GUIDE], [REFERENCES])["bleu"]) == 5045
    both = scores([GUIDE, BOOK], [REFERENCES, READING])["bleu"]
    assert math.floor(100 * both) == 5920


def test_nist_is_that_of_nltks_doctests():
    assert math.floor(1e4 * scores([GUIDE], [REFERENCES])["nist"]) == 33_709
    assert math.floor(1e4 * scores([INSURE], [REFERENCES])["nist"]) == 14_619


def test_texts_are_cut_as_by_mteval_unless_they_are_already():
    uncut = translation_scores(["A dog, in the snow."], [["A dog, in the snow."]])
    assert uncut["bleu"] == pytest.approx(100)
    assert uncut["chrf"] == pytest.approx(100)
    # "snow." is two words there, and one where texts are cut already.
    others = (["A dog runs in snow."], [["A dog runs in snow ."]])
    assert translation_scores(*others)["bleu"] == pytest.approx(100)
    assert scores(*others)["bleu"] < 90


def test_translations_of_nothing_score_nothing():
    assert scores(["", ""], [["a b"], ["c"]]) == {"bleu": 0, "chrf": 0, "nist": 0}
    assert scores(["a b"], [["a b c"]])["nist"] > 0  # no n-gram of three or more
    with pytest.raises(UserError, match="as many of both"):
        scores([], [])
    with pytest.raises(UserError, match="1 translations and 2 references"):
        scores(["a"], [["a"], ["b"]])


def corpus(count, wrong, seed):
    """Sentences of words, and the same with a share of the words replaced."""
    generator = np.random.default_rng(seed)
    words = generator.integers(50, size=(count, 12))
    noise = np.where(generator.random(words.shape) < wrong, 99, words)
    return [" ".join(f"w{word}" for word in row) for row in noise]


def test_a_paired_bootstrap_tells_systems_apart():
    right, good, bad = (corpus(60, wrong, 1) for wrong in (0.0, 0.1, 0.3))
    references = [[text] for text in right]
    found = paired_bootstrap(good, bad, references, samples=200, is_cut_into_words=True)
    assert found["first"][0] == pytest.approx(scores(good, references)["bleu"])
    assert found["second"][0] == pytest.approx(scores(bad, references)["bleu"])
    for low, score, high in ((each[1], each[0], each[2]) for each in list(found.values())[:3]):
        assert low < score < high
    assert found["difference"][1] > 0
    assert found["p_value"] == 0
    back = paired_bootstrap(bad, good, references, samples=200, is_cut_into_words=True)
    np.testing.assert_allclose(back["difference"], -np.take(found["difference"], [0, 2, 1]))
    same = paired_bootstrap(good, good, references, samples=50, metric="chrf")
    assert same["difference"] == (0, 0, 0)
    assert same["p_value"] == 1
    with pytest.raises(UserError, match="bleu or chrf"):
        paired_bootstrap(good, bad, references, metric="nist")


def test_a_bootstraps_interval_is_that_of_scores_drawn_anew():
    right, good = corpus(30, 0.0, 2), corpus(30, 0.2, 2)
    references = [[text] for text in right]
    found = paired_bootstrap(good, good, references, samples=40, is_cut_into_words=True, seed=5)
    draws = np.random.default_rng(5).integers(30, size=(40, 30))
    drawn = [
        scores([good[row] for row in draw], [references[row] for row in draw])["bleu"]
        for draw in draws
    ]
    np.testing.assert_allclose(found["first"][1:], np.quantile(drawn, [0.025, 0.975]))
