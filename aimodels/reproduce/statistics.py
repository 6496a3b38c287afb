"""Means, intervals and verdicts: what our figure says about the published one.

No SciPy here: its import costs more than all of this, and the tests compare with it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aimodels.reproduce.published import Row
from aimodels.sweeps.statistics import estimate, mean

LEVEL = 0.95
# The standard normal's quantile at (1 + LEVEL) / 2.
NORMAL_QUANTILE = 1.959963984540054

VERDICT_RULE = (
    "A published figure stands for every number printed as it is (94 for 93.5 to 94.5). The "
    "verdict is the first that holds: within our 95 % interval; equal as printed, where there is "
    "one run and no interval; within the published spread of our mean (1 sd, or 1.96 se); else "
    "above or below, by the distance from the figure to our mean."
)


def student_t_cdf(t: float, degrees: int) -> float:
    """The distribution function of Student's t for a whole number of degrees of freedom >= 1.

    The finite sums of Abramowitz & Stegun 1964, 26.7.3 (odd) and 26.7.4 (even).
    """
    theta = math.atan(t / math.sqrt(degrees))
    cosine = math.cos(theta)
    odd = degrees % 2
    # Odd: cos + 2/3 cos^3 + 2*4/(3*5) cos^5 ...; even: 1 + 1/2 cos^2 + 1*3/(2*4) cos^4 ...
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for power in range(odd, degrees - 1, 2):
        total += term
        term *= cosine**2 * (power + 1) / (power + 2)
    inside = math.sin(theta) * total
    if odd:
        inside = 2 / math.pi * (theta + inside)
    return 0.5 + 0.5 * inside


def student_t_quantile(probability: float, degrees: int) -> float:
    """The t that `student_t_cdf` takes to `probability` (between 0.5 and 1), by bisection."""
    if not 0.5 <= probability < 1 or degrees < 1:
        raise ValueError(f"no quantile for probability {probability} and {degrees} degrees")
    low, high = 0.0, 1.0
    while student_t_cdf(high, degrees) < probability:
        low, high = high, 2 * high
    for _ in range(200):  # each step halves the bracket; the test below ends it at rounding error
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if student_t_cdf(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return high


@dataclass(frozen=True)
class Summary:
    """A mean over `n` runs and its 95 % interval; one run alone has none."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def half_width(self) -> float | None:
        """Half the interval's width, None where there is no interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Summary:
    """The mean of the values [n] and Student's interval for it: mean ± t(n - 1) s / sqrt(n).

    The spread s is the sample's (n - 1). With n = 1 there is no interval. Reference: Student 1908.
    """
    n = len(values)
    if n == 0 or not all(math.isfinite(value) for value in values):
        raise ValueError(f"an interval takes one or more finite values, got {list(values)}")
    mean = math.fsum(values) / n
    if n == 1:
        return Summary(mean, None, None, 1)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = student_t_quantile((1 + level) / 2, n - 1) * deviation / math.sqrt(n)
    return Summary(mean, mean - half, mean + half, n)


def bootstrap_interval(values: Sequence[float], level: float = LEVEL) -> Summary:
    """The mean of the values [n], n > 1, and the percentiles of the means of resamples of them.

    Its ends stay within the values, which Student's do not: a return has bounds. Of few runs it is
    too narrow (see `sweeps.statistics.estimate`); the same values give the same interval.
    """
    if len(values) < 2 or not all(math.isfinite(value) for value in values):
        raise ValueError(f"a bootstrap takes two or more finite values, got {list(values)}")
    found = estimate(mean, np.array(values)[:, None], level=level)
    return Summary(
        math.fsum(values) / len(values), float(found.low), float(found.high), len(values)
    )


def wilson_interval(proportion: float, examples: int) -> tuple[float, float]:
    """The 95 % interval of a proportion measured once on a finite test set (Wilson 1927).

    (p + z²/2N ± z sqrt(p (1 - p)/N + z²/4N²)) / (1 + z²/N), for a method that has no seed. It is
    about test sets of this size: a figure published on the very same examples should lie closer.
    """
    if not 0 <= proportion <= 1 or examples < 1:
        raise ValueError(f"a proportion of 0 to 1 and examples >= 1, got {proportion}, {examples}")
    z, n, p = NORMAL_QUANTILE, examples, proportion
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def summarize(row: Row, values: Sequence[float]) -> Summary:
    """Our figure for a row, in the table's units, from the metric's values [n], one a seed."""
    if row.test_examples is not None and len(values) == 1:
        low, high = wilson_interval(values[0], row.test_examples)
        return Summary(row.scale * values[0], row.scale * low, row.scale * high, 1)
    scaled = [row.scale * value for value in values]
    if row.interval == "bootstrap" and len(scaled) > 1:
        return bootstrap_interval(scaled)
    return mean_interval(scaled)


def verdict(row: Row, ours: Summary) -> str:
    """What our figure says about the published one, in words.

    A published figure stands for all numbers that are printed as it is: 94 for 93.5 to 94.5, half a
    unit of its last digit either way. The verdict is the first of these that holds:

    1. "within our interval": one of those numbers lies in our 95 % interval.
    2. "equal as printed": there is one run, hence no interval, and it rounds to the figure.
    3. "within the published spread": our mean is no farther from one of those numbers than the
       published spread. For a standard deviation that is one sd (ours could be one more of their
       runs), for a standard error 1.96 se (their 95 % interval), for an unstated kind the spread.
    4. "above by X" or "below by X": X is the distance from the figure as printed to our mean, in
       the table's units, followed by "(better)" or "(worse)".

    Ends belong to their intervals. The rule asks whether the figures can be told apart, and few
    seeds tell little apart: read it with the interval beside it.
    """
    if row.published is None:
        return "no published figure"
    # Figures such as 0.8965 against 0.897 ± 0.0005 meet only up to floating-point rounding.
    slack = 1e-9 * max(abs(row.published), row.rounding)
    reach = row.rounding + slack
    distance = ours.mean - row.published
    if ours.low is not None and ours.high is not None:
        if ours.low - reach <= row.published <= ours.high + reach:
            return "within our interval"
    elif abs(distance) <= reach:
        return "equal as printed"
    if row.spread is not None:
        factor = NORMAL_QUANTILE if row.spread_kind == "se" else 1.0
        if abs(distance) <= factor * row.spread + reach:
            kind = {"sd": " (1 sd)", "se": " (1.96 se)", "": ""}[row.spread_kind]
            return "within the published spread" + kind
    side = "above" if distance > 0 else "below"
    judgement = "better" if (distance > 0) == row.higher_is_better else "worse"
    size = figure(abs(distance), row.published, row.digits, ours.half_width)
    return f"{side} by {size} ({judgement})"


def agrees(words: str) -> bool:
    """True for the verdicts that find no difference."""
    return words.startswith(("within", "equal"))


def printed(published: float, digits: int) -> str:
    """A published figure with the digits its source prints."""
    if 0 < abs(published) < 1e-3:
        return f"{published:g}"
    return f"{published:,.{digits}f}"


def figure(
    value: float, published: float | None, digits: int, half_width: float | None = None
) -> str:
    """A number of ours in the table's units, with the digits that mean something.

    One digit more than the published figure prints, as long as the interval's half width still has
    at most two significant ones there; 1,000 and above get no more than the paper's, below 0.001
    three significant digits. Beside no published figure there are three significant digits too.
    """
    size = abs(value if published is None else published)
    if 0 < size < 1e-3:
        return f"{value:.2e}"
    shown = digits if size >= 1000 else digits + 1
    if published is None and size:
        shown = max(0, 2 - math.floor(math.log10(size)))
    if half_width:
        shown = min(shown, max(0, 1 - math.floor(math.log10(half_width))))
    return f"{value:,.{shown}f}"
