"""Elo ratings: cases whose likeliest ratings are known, and what the interval covers."""

import math

import numpy as np
import pytest

from aimodels.agents.elo import POINTS, elo_text, rated, ratings
from aimodels.errors import UserError


def test_two_players_have_the_odds_of_their_score():
    wins = np.array([[0.0, 25], [75, 0]])
    np.testing.assert_allclose(ratings(wins), [0, 400 * math.log10(3)], rtol=1e-9)


def test_exact_expectations_give_the_ratings_they_were_made_of():
    """Also where not all have met."""
    true = np.array([0.0, 130, -50, 400])
    chance = 1 / (1 + 10 ** ((true[None] - true[:, None]) / 400))
    games = np.array([[0, 10, 4, 0], [10, 0, 7, 30], [4, 7, 0, 0], [0, 30, 0, 0]])
    np.testing.assert_allclose(ratings(chance * games), true, atol=1e-6)


def test_the_likelihood_is_largest_there():
    random = np.random.RandomState(0)
    wins = random.randint(1, 9, (4, 4)).astype(float)
    np.fill_diagonal(wins, 0)
    found = ratings(wins)

    def log_likelihood(elo):
        logits = elo / POINTS
        return -(wins * np.log1p(np.exp(logits[None] - logits[:, None]))).sum()

    best = log_likelihood(found)
    for _ in range(100):
        assert log_likelihood(found + random.randn(4)) <= best


def test_who_won_all_games_needs_virtual_draws():
    wins = np.array([[0.0, 0], [10, 0]])
    with pytest.raises(UserError, match="no finite values"):
        ratings(wins)
    # One draw beside ten wins: 10.5 to 0.5.
    np.testing.assert_allclose(ratings(wins, 1.0), [0, 400 * math.log10(21)], rtol=1e-9)
    with pytest.raises(UserError, match="never met"):
        ratings(np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0.0]]), 1.0)


def test_intervals_cover_the_true_difference():
    """95 % of 100 intervals, each from 200 games at 150 points: at least 88 do (p = 0.002)."""
    random = np.random.RandomState(1)
    chance = 1 / (1 + 10 ** (-150 / 400))
    covered = 0
    for seed in range(100):
        games = np.where(random.rand(200) < chance, 1.0, -1.0)
        rating = rated(["a", "b"], {(1, 0): games}, seed, resamples=100)[1]
        covered += rating.low <= 150 <= rating.high
    assert covered >= 88


def test_draws_are_half_and_the_table_says_so():
    games = {(1, 0): np.array([1.0, 0, 0, -1]), (2, 0): np.ones(4), (2, 1): np.ones(4)}
    found = rated(["plain", "first", "last"], games)
    assert found[0].elo == 0
    assert found[1].elo == pytest.approx(0, abs=1e-6)
    assert found[1].score == pytest.approx(2 / 8)
    assert found[2].low > 0
    assert found[2].games == 8
    text = elo_text(found).splitlines()
    assert text[0].split() == ["player", "Elo", "95", "%", "interval", "score", "games"]
    assert text[1].startswith("plain")
    assert len({len(line) for line in text}) <= 2
