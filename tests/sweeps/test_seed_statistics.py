"""Statistics against brute force, SciPy and rliable; intervals by how often they hold the truth."""

import itertools
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import stats

from aimodels.sweeps.importance import permutation_importance
from aimodels.sweeps.statistics import (
    estimate,
    interquartile_mean,
    mean,
    median,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
)

GOLDEN = np.load(Path(__file__).parent.parent / "golden/rliable.npz")
CASES = ("one_task", "few_seeds", "many")
# Tenths, so that ties occur.
tenths = st.integers(-30, 30).map(lambda k: k / 10)
tables = arrays(float, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=tenths)


@given(tables)
def test_interquartile_mean_is_scipys_trimmed_mean(scores):
    theirs = stats.trim_mean(scores, 0.25, axis=None)
    assert interquartile_mean(scores) == pytest.approx(theirs, rel=1e-12, abs=1e-12)


@given(tables, st.data())
def test_probability_of_improvement_is_the_fraction_of_pairs(x, data):
    y = data.draw(arrays(float, (data.draw(st.integers(1, 6)), x.shape[1]), elements=tenths))
    wins = [
        (a[task] > b[task]) + 0.5 * (a[task] == b[task])
        for a, b in itertools.product(x, y)
        for task in range(x.shape[1])
    ]
    assert probability_of_improvement(x, y) == pytest.approx(np.mean(wins), rel=1e-12)
    both = probability_of_improvement(x, y) + probability_of_improvement(y, x)
    assert both == pytest.approx(1, rel=1e-12)


@given(tables, arrays(float, 5, elements=tenths))
def test_profile_is_the_fraction_above_each_threshold(scores, thresholds):
    expected = [np.mean([score > t for score in scores.ravel()]) for t in thresholds]
    assert performance_profile(scores, thresholds) == pytest.approx(expected, rel=1e-12)


@given(tables)
def test_optimality_gap_counts_only_what_is_below(scores):
    expected = np.mean([max(1 - score, 0) for score in scores.ravel()])
    assert optimality_gap(scores) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(tables)
def test_resamples_stand_in_front(scores):
    many = np.stack([scores, 2 * scores, -scores])
    for statistic in (mean, median, interquartile_mean, optimality_gap):
        expected = [statistic(one) for one in many]
        assert statistic(many) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    chances = probability_of_improvement(many, many[::-1])
    assert chances == pytest.approx(
        [probability_of_improvement(a, b) for a, b in zip(many, many[::-1], strict=True)]
    )


@pytest.mark.parametrize("case", CASES)
def test_values_are_rliables(case):
    x, y, thresholds = (GOLDEN[f"{case}/{name}"] for name in ("x", "y", "thresholds"))
    ours = [statistic(x) for statistic in (interquartile_mean, mean, median, optimality_gap)]
    assert ours == pytest.approx(GOLDEN[f"{case}/aggregates"], rel=1e-12)
    chance = probability_of_improvement(x, y)
    assert chance == pytest.approx(GOLDEN[f"{case}/improvement"], rel=1e-12)
    profile = performance_profile(x, thresholds)
    assert profile == pytest.approx(GOLDEN[f"{case}/profile"], rel=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_intervals_are_rliables_up_to_the_draws(case):
    x, y, thresholds = (GOLDEN[f"{case}/{name}"] for name in ("x", "y", "thresholds"))
    theirs = GOLDEN[f"{case}/aggregates_interval"]
    aggregates = (interquartile_mean, mean, median, optimality_gap)
    for statistic, (low, high) in zip(aggregates, theirs.T, strict=True):
        ours = estimate(statistic, x, repetitions=20_000)
        # Two sets of 20,000 draws: an end's standard error is 1 % of the width or less.
        assert [ours.low, ours.high] == pytest.approx([low, high], abs=0.05 * (high - low))
    ours = estimate(probability_of_improvement, x, y, repetitions=20_000)
    low, high = GOLDEN[f"{case}/improvement_interval"]
    # It jumps by a pair of runs of one task; in "few_seeds" the exact distribution has 2.43 % up to
    # 0.208 and 97.46 % up to 0.667, so that draws decide which side of a jump an end falls on.
    jump = 1.01 / (x.size * len(y))
    assert [ours.low, ours.high] == pytest.approx([low, high], abs=max(jump, 0.05 * (high - low)))
    band = estimate(partial(performance_profile, thresholds=thresholds), x)
    # Fractions jump by one run of one task where a quantile falls between two of them.
    jump = 1.01 / x.size
    assert band.low == pytest.approx(GOLDEN[f"{case}/profile_band"][0], abs=jump)
    assert band.high == pytest.approx(GOLDEN[f"{case}/profile_band"][1], abs=jump)


def test_the_interval_is_that_of_all_resamples():
    scores = np.array([[0.1], [0.4], [0.5], [0.9]])
    every = [np.mean(draw) for draw in itertools.product(scores.ravel(), repeat=4)]
    low, high = np.quantile(every, [0.025, 0.975])
    ours = estimate(mean, scores, repetitions=200_000)
    # The 256 means lie up to 0.025 apart; a quantile can fall on either side of such a gap.
    assert [ours.low, ours.high] == pytest.approx([low, high], abs=0.026)
    assert estimate(mean, scores, seed=1) == estimate(mean, scores, seed=1)


def test_tasks_are_strata():
    """Each task keeps its own runs: with constant tasks no resample differs."""
    scores = np.tile([0.0, 10.0, 20.0], (4, 1))
    found = estimate(mean, scores)
    assert (found.low, found.value, found.high) == (10.0, 10.0, 10.0)


@pytest.mark.parametrize(("runs", "expected"), [(5, 0.84), (10, 0.90), (40, 0.94)])
def test_how_often_the_interval_holds_the_truth(runs, expected):
    """As the docstring says: of 1,000 experiments, whose count has a standard error of 1 %."""
    draws = np.random.default_rng(0).normal(size=(1000, runs, 1))
    found = [estimate(mean, scores, repetitions=400, seed=i) for i, scores in enumerate(draws)]
    held = np.mean([one.low <= 0 <= one.high for one in found])
    assert held == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(
    "scores", [np.zeros((0, 1)), np.zeros(3), np.array([[0.5], [np.nan]]), np.array([[np.inf]])]
)
def test_no_interval_without_finite_scores(scores):
    with pytest.raises(ValueError, match="finite"):
        estimate(mean, scores)


def test_importance_finds_the_fields_that_matter():
    generator = np.random.default_rng(0)
    rates = 10 ** generator.uniform(-5, 0, 80)
    noise = generator.uniform(size=80)
    kinds = generator.choice(["adam", "sgd", "lamb"], 80)
    score = -((np.log10(rates) + 3) ** 2) + 2.0 * (kinds == "sgd")
    momentum = [0.9 if kind == "sgd" else None for kind in kinds]
    found = permutation_importance([rates, noise, list(kinds)], score)
    assert found.explained > 0.8
    assert found.shares.sum() == pytest.approx(1)
    assert found.shares[0] > found.shares[2] > 0.05
    assert found.shares[1] < 0.02
    # A number that only some settings have tells as much as the name that decides it.
    instead = permutation_importance([rates, noise, momentum], score)
    assert instead.shares[2] > 0.05
    assert instead.explained > 0.8


def test_importance_of_an_interaction_and_of_nothing():
    one, other = map(np.ravel, np.meshgrid(np.arange(6.0), np.arange(6.0)))
    both = permutation_importance([one, other], (one > 2) * (other > 2) * 1.0)
    assert min(both.shares) > 0.3
    generator = np.random.default_rng(1)
    nothing = permutation_importance([one, other], generator.normal(size=36))
    assert nothing.explained < 0.1
    same = permutation_importance([one, other], np.ones(36))
    assert same.explained == 0
    assert same.shares.sum() == 0
