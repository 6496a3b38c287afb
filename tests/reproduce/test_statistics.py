"""Intervals against SciPy, and the verdict's rule at its edges and under hypothesis."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from aimodels.reproduce.published import Row
from aimodels.reproduce.statistics import (
    Summary,
    agrees,
    figure,
    mean_interval,
    printed,
    student_t_cdf,
    student_t_quantile,
    summarize,
    verdict,
    wilson_interval,
)


def row(published=94, **fields):
    given = {"name": "CNN", "variant": "cnn", "metric": "test/accuracy", "source": "a paper"}
    return Row(**(given | {"published": published} | fields))


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 9, 10, 29, 100, 1001])
def test_student_t_is_scipys(degrees):
    for probability in (0.5, 0.9, 0.975, 0.995):
        ours = student_t_quantile(probability, degrees)
        # The finite sum loses a few units of the last place for each of its terms.
        assert ours == pytest.approx(stats.t.ppf(probability, degrees), rel=1e-11, abs=1e-12)
    for t in (-3.0, -0.4, 0.0, 1.7, 12.0):
        assert student_t_cdf(t, degrees) == pytest.approx(stats.t.cdf(t, degrees), abs=1e-13)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12))
def test_mean_interval_is_scipys(values):
    ours = mean_interval(values)
    error = stats.sem(values)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=sum(values) / len(values), scale=error)
    if error == 0:  # where SciPy gives NaN
        low = high = values[0]
    # SciPy's mean and variance are rounded at the size of the values, 1e3.
    assert ours.low == pytest.approx(low, rel=1e-9, abs=1e-9)
    assert ours.high == pytest.approx(high, rel=1e-9, abs=1e-9)
    assert ours.n == len(values)


def test_one_value_has_no_interval():
    assert mean_interval([0.5]) == Summary(0.5, None, None, 1)


@pytest.mark.parametrize("values", [[], [0.5, math.nan], [math.inf]])
def test_no_interval_without_finite_values(values):
    with pytest.raises(ValueError, match="finite"):
        mean_interval(values)


@pytest.mark.parametrize(
    ("right", "examples"), [(0, 10), (1, 7), (897, 1000), (8986, 10000), (9, 9)]
)
def test_wilson_is_scipys(right, examples):
    theirs = stats.binomtest(right, examples).proportion_ci(0.95, method="wilson")
    # Two algebraic forms of the same formula.
    assert wilson_interval(right / examples, examples) == pytest.approx(tuple(theirs), abs=1e-12)


def test_wilson_refuses_a_percentage():
    with pytest.raises(ValueError, match="proportion"):
        wilson_interval(93.0, 1000)


def test_summarize_takes_the_binomial_interval_only_for_a_method_without_a_seed():
    seeded = row(scale=100)
    assert summarize(seeded, [0.9]) == Summary(90.0, None, None, 1)
    alone = summarize(row(scale=100, test_examples=1000), [0.9])
    low, high = wilson_interval(0.9, 1000)
    assert (alone.low, alone.high) == (100 * low, 100 * high)
    assert summarize(seeded, [0.9, 0.92]).mean == pytest.approx(91.0)


def test_verdicts_in_words():
    few = Summary(93.3, 92.7, 93.9, 5)
    assert verdict(row(93), few) == "within our interval"
    assert verdict(row(96), few) == "below by 2.7 (worse)"
    assert verdict(row(90), few) == "above by 3.3 (better)"
    assert verdict(row(90, higher_is_better=False), few) == "above by 3.3 (worse)"
    assert verdict(row(None), few) == "no published figure"
    assert verdict(row(96, spread=3, spread_kind="sd"), few) == "within the published spread (1 sd)"
    assert verdict(row(96, spread=1.5, spread_kind="se"), few).endswith("spread (1.96 se)")
    assert verdict(row(96, spread=1.5, spread_kind="sd"), few) == "below by 2.7 (worse)"
    assert verdict(row(96, spread=3), few) == "within the published spread"


@pytest.mark.parametrize(
    ("published", "low", "high", "same"),
    [
        (94, 92.0, 93.5, True),  # a printed 94 can be 93.5: the end belongs to it
        (94, 92.0, 93.49, False),
        (94, 94.5, 95.0, True),
        (94, 94.51, 95.0, False),
        (94.0, 92.0, 93.94, False),  # printed with a digit more it stands for less
        (94.0, 92.0, 93.95, True),
        (0.897, 0.8, 0.8965, True),  # 0.897 - 0.0005 is not 0.8965 in binary: the slack's work
        (0.897, 0.8, 0.8964, False),
        (-200, -202, -200.5, True),
        (5.3e-5, 5.0e-5, 5.25e-5, True),
        (5.3e-5, 5.0e-5, 5.24e-5, False),
    ],
)
def test_edges_of_rounding(published, low, high, same):
    ours = Summary((low + high) / 2, low, high, 5)
    assert (verdict(row(published), ours) == "within our interval") is same


def test_edges_of_one_run_and_of_the_spread():
    assert verdict(row(94), Summary(93.5, None, None, 1)) == "equal as printed"
    assert verdict(row(94), Summary(93.4, None, None, 1)) == "below by 0.6 (worse)"
    spread = row(94, spread=2, spread_kind="sd")
    assert agrees(verdict(spread, Summary(91.5, 91.4, 91.6, 5)))
    assert not agrees(verdict(spread, Summary(91.4, 91.3, 91.5, 5)))


# A grid of thousandths, so that ends of intervals meet exactly as often as in printed tables.
grid = st.integers(-3000, 3000).map(lambda k: k / 1000)
width = st.none() | st.integers(0, 800).map(lambda k: k / 1000)
spread = st.none() | st.integers(0, 500).map(lambda k: k / 1000)
kinds = st.sampled_from(["sd", "se", ""])


def build(published, mean, half, size, kind, *, higher=True):
    kind = "" if size is None else kind
    ours = (
        Summary(mean, None, None, 1) if half is None else Summary(mean, mean - half, mean + half, 5)
    )
    one = row(published, decimals=3, spread=size, spread_kind=kind, higher_is_better=higher)
    return verdict(one, ours)


@given(grid, grid, width, spread, kinds)
def test_verdict_is_symmetric(published, mean, half, size, kind):
    words = build(published, mean, half, size, kind)
    mirrored = build(-published, -mean, half, size, kind, higher=False)
    swap = {"above": "below", "below": "above"}
    first, _, rest = words.partition(" ")
    assert mirrored == f"{swap.get(first, first)} {rest}"


@given(grid, grid, grid, width, spread, kinds)
def test_a_nearer_mean_never_reads_worse(published, one, other, half, size, kind):
    def rank(mean):
        words = build(published, mean, half, size, kind)
        ranks = {"within our": 0, "equal as p": 0, "within the": 1}
        return ranks.get(words[:10], 2)

    near, far = sorted((one, other), key=lambda mean: abs(mean - published))
    assert rank(near) <= rank(far)


@given(grid, grid, width, st.integers(0, 500), spread, kinds)
def test_a_wider_interval_never_finds_a_new_difference(published, mean, half, more, size, kind):
    narrow = build(published, mean, half, size, kind)
    wide = build(published, mean, (half or 0) + more / 1000, size, kind)
    assert agrees(wide) or not agrees(narrow)


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 300), spread, kinds)
def test_the_verdict_is_the_same_in_percent(published, mean, half, size, kind):
    as_proportion = build(published / 1000, mean / 1000, half / 1000, size, kind)
    percent = Summary(mean / 10, (mean - half) / 10, (mean + half) / 10, 5)
    given = {"spread": None if size is None else 100 * size, "scale": 100.0, "decimals": 1}
    as_percent = verdict(
        row(published / 10, spread_kind="" if size is None else kind, **given), percent
    )
    assert as_proportion.split()[0] == as_percent.split()[0]
    assert agrees(as_proportion) == agrees(as_percent)


@pytest.mark.parametrize(
    ("value", "published", "digits", "half", "text"),
    [
        (93.326, 94, 0, 0.62, "93.3"),
        (0.89862, 0.897, 3, 0.006, "0.8986"),
        (-91.039, -91.54, 2, 16.3, "-91"),
        (495.765, 488.69, 2, 7.05, "495.8"),
        (74321.5, 74000, 0, None, "74,322"),
        (5.978e-5, 5.3e-5, 6, 1e-6, "5.98e-05"),
        (0.012345, None, 0, None, "0.0123"),
        (812.7, None, 0, None, "813"),
        (0.0, 0, 0, None, "0.0"),
    ],
)
def test_figures_have_the_digits_that_mean_something(value, published, digits, half, text):
    assert figure(value, published, digits, half) == text


def test_printed_figures_look_as_in_the_paper():
    assert printed(94, 0) == "94"
    assert printed(0.9, 2) == "0.90"
    assert printed(74000, 0) == "74,000"
    assert printed(5.3e-5, 6) == "5.3e-05"
