"""Phrases that are consistent with an alignment, and their figures, by their definitions."""

import itertools

import numpy as np
import pytest

from aimodels.models.phrase_based.phrase_table import Phrases, extract, phrase_table
from aimodels.models.phrase_based.word_alignment import Sentences, numbered, vocabulary_of


def sentences(generator, count, vocabulary):
    lengths = generator.integers(1, 9, count)
    return Sentences(generator.integers(vocabulary, size=lengths.sum()), np.cumsum([0, *lengths]))


@pytest.fixture
def corpus():
    """Twenty pairs of sentences of five words, with links at random."""
    generator = np.random.default_rng(0)
    sources, targets = sentences(generator, 20, 5), sentences(generator, 20, 5)
    links = [
        (int(i), int(j))
        for s in range(20)
        for i in range(sources.starts[s], sources.starts[s + 1])
        for j in range(targets.starts[s], targets.starts[s + 1])
        if generator.random() < 0.15
    ]
    return sources, targets, np.array(links)


def consistent(sources, targets, links, longest):
    """By the definition: every span of both, every link."""
    found = []
    for s in range(len(sources.starts) - 1):
        spans = [
            [
                (low, high)
                for low, high in itertools.combinations(
                    range(side.starts[s], side.starts[s + 1] + 1), 2
                )
                if high - low <= longest
            ]
            for side in (sources, targets)
        ]
        for (a, b), (c, d) in itertools.product(*spans):
            inside = [(a <= i < b, c <= j < d) for i, j in links.tolist()]
            if all(x == y for x, y in inside) and any(x for x, _ in inside):
                found.append((a, c, b - a, d - c))
    return sorted(found)


@pytest.mark.parametrize("longest", [2, 4, 7])
def test_phrases_are_those_of_the_definition(corpus, longest):
    found = extract(*corpus, longest)
    entries = sorted(zip(*(part.tolist() for part in found), strict=True))
    assert entries == consistent(*corpus, longest)
    assert len(entries) > 40


def test_phrases_of_nltks_doctest():
    from nltk.translate.phrase_based import phrase_extraction

    source = "michael assumes that he will stay in the house"
    target = "michael geht davon aus , dass er im haus bleibt"
    pairs = "0-0 1-1 1-2 1-3 2-5 3-6 4-9 5-9 6-7 7-7 8-8"
    links = np.array([[int(x) for x in pair.split("-")] for pair in pairs.split()])
    texts = [source.split()], [target.split()]
    found = extract(*(numbered(text, vocabulary_of(text)) for text in texts), links, 10)
    spans = {
        ((i, i + n), (j, j + m))
        for i, j, n, m in zip(*(part.tolist() for part in found), strict=True)
    }
    theirs = phrase_extraction(source, target, [tuple(link) for link in links.tolist()])
    assert spans == {(one, two) for one, two, _, _ in theirs}
    assert len(spans) == 24


def test_features_are_those_of_their_definitions(corpus):
    sources, targets, links = corpus
    table = phrase_table(sources, targets, links, 3)

    def words(side, start, length):
        return tuple(side.ids[start : start + length].tolist())

    def mean(word, others, number, given):
        """Of the links of a word: how often it goes with the other word, of all with that one."""
        pairs = [
            (one[number], one[1 - number])
            for one in ((sources.ids[i], targets.ids[j]) for i, j in links)
        ]
        lone = set(range(len(given.ids))) - {link[number] for link in links.tolist()}
        pairs += [(given.ids[place], None) for place in lone]
        shares = [
            sum(pair == (word, other) for pair in pairs) / sum(pair[1] == other for pair in pairs)
            for other in others or [None]
        ]
        return sum(shares) / len(shares)

    entries, lexical = [], {}
    for a, c, n, m in consistent(sources, targets, links, 3):
        pair = words(sources, a, n), words(targets, c, m)
        entries.append(pair)
        forth, back = 0.0, 0.0
        for j in range(c, c + m):
            given = [sources.ids[x] for x, y in links.tolist() if y == j]
            forth += np.log(mean(targets.ids[j], given, 1, targets))
        for i in range(a, a + n):
            given = [targets.ids[y] for x, y in links.tolist() if x == i]
            back += np.log(mean(sources.ids[i], given, 0, sources))
        before = lexical.get(pair, (-np.inf, -np.inf))
        lexical[pair] = max(before[0], back), max(before[1], forth)
    expected = {
        pair: (
            np.log(entries.count(pair) / sum(pair[1] == other[1] for other in entries)),
            lexical[pair][0],
            np.log(entries.count(pair) / sum(pair[0] == other[0] for other in entries)),
            lexical[pair][1],
        )
        for pair in set(entries)
    }
    assert len(table.translations) == len(expected)
    for number in range(len(table.sources.lengths)):
        here = words(sources, table.sources.first[number], table.sources.lengths[number])
        for row in range(table.begins[number], table.begins[number + 1]):
            other = table.translations[row]
            there = words(targets, table.targets.first[other], table.targets.lengths[other])
            np.testing.assert_allclose(table.features[row], expected[here, there], rtol=1e-12)


def test_phrases_are_found_again(corpus):
    sources = corpus[0]
    phrases = Phrases(sources, 5, 4)
    for length, (kept, found) in enumerate(
        zip(phrases.places, phrases.find(sources), strict=True), 1
    ):
        np.testing.assert_array_equal(kept, found)
        (inside,) = np.nonzero(kept >= 0)
        assert np.all(phrases.lengths[kept[inside]] == length)
        for place in inside:
            first = phrases.first[kept[place]]
            np.testing.assert_array_equal(
                sources.ids[first : first + length], sources.ids[place : place + length]
            )
    # Nothing goes on behind an unknown word, or over the end of a sentence.
    other = Sentences(np.array([sources.ids[0], -1, sources.ids[0]]), np.array([0, 2, 3]))
    one, two, *_ = phrases.find(other)
    assert (one[0], one[1], one[2]) == (one[2], -1, one[0])
    assert one[0] >= 0
    assert two.tolist() == [-1, -1, -1]
    # Phrases that are longer than any text.
    assert len(Phrases(other._replace(ids=np.array([0, 1, 0])), 2, 5).find(other)) == 5
