"""IBM models: NLTK's published values, the models by their formulas; and both ways made one."""

import numpy as np
import pytest

from aimodels.errors import UserError
from aimodels.models.phrase_based.word_alignment import (
    Sentences,
    grow_diag_final_and,
    model_1,
    model_2,
    numbered,
    symmetrised,
    vocabulary_of,
)

# The pairs of the doctests of nltk/translate/ibm1.py and ibm2.py.
GERMAN = [
    "klein ist das haus",
    "das haus ist ja groß",
    "das buch ist ja klein",
    "das haus",
    "das buch",
    "ein buch",
]
ENGLISH = [
    "the house is small",
    "the house is big",
    "the book is small",
    "the house",
    "the book",
    "a book",
]


@pytest.fixture(scope="module")
def texts():
    """What is translated, its translation, and the numbers of words of both."""
    english, german = ([text.split() for text in side] for side in (ENGLISH, GERMAN))
    numbers = vocabulary_of(english), vocabulary_of(german)
    return numbered(english, numbers[0]), numbered(german, numbers[1]), *numbers


def test_model_1_has_the_values_of_nltks_doctest(texts):
    sources, targets, english, german = texts
    model = model_1(sources, targets, 5)
    for word, given, expected in [
        ("buch", "book", 0.889),
        ("das", "book", 0.062),
        ("buch", None, 0.113),
        ("ja", None, 0.073),
    ]:
        found = model.translation(None if given is None else english[given], german[word])
        assert round(found, 3) == expected
    # The third pair: das-the, buch-book, ist-is, ja-is, klein-small.
    assert model.best[targets.starts[2] : targets.starts[3]].tolist() == [0, 1, 2, 2, 3]
    assert model.translation(english["a"], german["haus"]) == 0  # never in one pair


def test_model_2_has_the_values_of_nltks_doctest(texts):
    sources, targets, english, german = texts
    model = model_2(sources, targets, 5)
    for word, given, expected in [
        ("buch", "book", 1.0),
        ("das", "book", 0.0),
        ("buch", None, 0.0),
        ("ja", None, 0.0),
    ]:
        found = model.translation(None if given is None else english[given], german[word])
        assert round(found, 3) == expected
    for place, expected in [((1, 1, 2, 2), 0.939), ((1, 2, 2, 2), 0.0), ((2, 2, 4, 5), 1.0)]:
        assert round(model.alignment(*place), 3) == expected
    assert model.best[targets.starts[2] : targets.starts[3]].tolist() == [0, 1, 2, 2, 3]
    assert model.alignment(1, 1, 3, 2) == 0  # no such lengths


@pytest.mark.parametrize("iterations", [1, 4])
def test_all_probabilities_equal_nltks(texts, iterations):
    """Of all words and places of both models; the same sums in another order, hence 1e-9."""
    from nltk.translate import AlignedSent, IBMModel2

    sources, targets, english, german = texts
    theirs = IBMModel2(
        [AlignedSent(g.split(), e.split()) for g, e in zip(GERMAN, ENGLISH, strict=True)],
        iterations,
    )
    model = model_2(sources, targets, iterations)
    seen = 0
    for word, number in german.items():
        for given in (None, *english):
            ours = model.translation(None if given is None else english[given], number)
            if ours:
                assert ours == pytest.approx(theirs.translation_table[word][given], rel=1e-9)
                seen += 1
    assert seen == len(model.pairs)
    for i, j, source, target in [(i, j, 4, 5) for i in range(5) for j in range(1, 6)]:
        expected = theirs.alignment_table[i][j][source][target]
        assert model.alignment(i, j, source, target) == pytest.approx(expected, rel=1e-9)


def test_a_word_that_comes_twice_has_a_count_at_each_place():
    """One pair, a b and x x: t(x | word) is 1 for all words, whatever the iterations."""
    model = model_1(
        Sentences(np.array([0, 1]), np.array([0, 2])),
        Sentences(np.array([0, 0]), np.array([0, 2])),
        2,
    )
    np.testing.assert_allclose(model.translations, 1.0)


def test_more_iterations_make_the_texts_likelier(texts):
    """EM's promise: p(targets | sources) of Model 1 never falls."""
    sources, targets, *_ = texts
    likelihoods = []
    for iterations in range(5):
        model = model_1(sources, targets, iterations)
        total = 0.0
        for s in range(len(GERMAN)):
            given = [None, *sources.ids[sources.starts[s] : sources.starts[s + 1]].tolist()]
            for word in targets.ids[targets.starts[s] : targets.starts[s + 1]].tolist():
                total += np.log(np.mean([model.translation(one, word) for one in given]))
        likelihoods.append(total)
    assert np.all(np.diff(likelihoods) > 0)


def test_both_ways_are_made_one_by_hand():
    """A table of 4 x 4: what both have, a neighbour of it, and a link of two lone words."""
    one = [(0, 0), (1, 1), (3, 3)]
    two = [(0, 0), (1, 0), (3, 3)]
    # Both have 00 and 33. From 00: 10 (word 1 is new), then 11 (column 1 is new).
    assert grow_diag_final_and(one, two) == {(0, 0), (1, 0), (1, 1), (3, 3)}
    # 20 is no neighbour, and its column has a link; 22 joins two lone words.
    assert grow_diag_final_and([(0, 0), (2, 0)], [(0, 0)]) == {(0, 0)}
    assert grow_diag_final_and([(0, 0), (2, 2)], [(0, 0)]) == {(0, 0), (2, 2)}
    # A neighbour whose words both have links is left out: 01, where 00 and 11 are sure.
    both = [(0, 0), (1, 1)]
    assert grow_diag_final_and([*both, (0, 1)], both) == set(both)
    assert grow_diag_final_and([], []) == set()


def test_links_are_numbers_of_words(texts):
    sources, targets, *_ = texts
    forward = model_2(sources, targets).best
    backward = model_2(targets, sources).best
    links = symmetrised(forward, backward, sources, targets)
    # Each link is inside of a pair; the last one is a-ein, book-buch.
    np.testing.assert_array_equal(sources.owners[links[:, 0]], targets.owners[links[:, 1]])
    last = links[sources.owners[links[:, 0]] == 5] - [sources.starts[5], targets.starts[5]]
    assert last.tolist() == [[0, 0], [1, 1]]


def test_mistakes_are_told(texts):
    sources, targets, *_ = texts
    with pytest.raises(UserError, match="as many of both"):
        model_1(sources, Sentences(targets.ids[:4], targets.starts[:2]))
    empty = Sentences(np.zeros(0, np.int64), np.array([0]))
    with pytest.raises(UserError, match="takes as many"):
        model_2(empty, empty)
