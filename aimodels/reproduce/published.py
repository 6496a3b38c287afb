"""Published figures: what a paper's table says of a row, and how ours is measured beside it."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal

from aimodels.errors import UserError, unknown

SPREAD_KINDS = {
    "sd": "standard deviation over runs",
    "se": "standard error of the mean",
    "": "spread of a kind its source does not state",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a published table. All figures are written as the source prints them.

    `published`, `spread` and `alternatives` are in the table's units; `scale` takes our metric
    there: an accuracy of 0.94 printed as 94 has `scale=100, units="%"`. Write the figure with the
    digits that are printed (`94`, `94.0`), for they decide what it can mean: see `rounding`.

    Fields:
      name: the label of the row ("CNN, shuffled"), unique together with `metric`.
      variant: the short word that picks the row (`--rows cnn`); without `run` or `run_all` also
        what `get_config(variant)` is asked for. Rows of several metrics may share one variant.
      metric: the key in a run's results, as "split/name" ("test/accuracy").
      published: the figure; None for a row of our own that has no published counterpart.
      source: title, year, table or notebook.
      spread, spread_kind: the figure's spread and its kind: "sd", "se", or "" where not stated.
      decimals: digits printed after the point, where Python drops them (0.90 needs `decimals=2`).
      higher_is_better: False for errors, losses and counts of steps.
      seconds: what one seed is expected to cost on 2 CPU cores.
      long: True keeps the row out unless it is asked for by name.
      parameters: the published count of trainable parameters.
      note: one sentence shown under the table.
      alternatives: other published figures of the same row, as (figure, where) pairs.
      run: a procedure to call instead of training the variant: `run(seed)` returns metrics, such as
        {"test/accuracy": 0.897}. It may add "parameters".
      run_all: the same for a row that decides its own runs (20 splits of a data set, 10 folds):
        `run_all(folder)` returns the metrics of each; the folder is there for what it leaves.
      test_examples: for a method without a seed, the size of the test set. The row is then measured
        once, and its interval is the binomial one (`statistics.wilson_interval`).
      interval: of the mean over seeds: "student", or "bootstrap" (percentiles; Agarwal et al.,
        NeurIPS 2021) for figures far from normal, such as returns that can't leave a range.
    """

    name: str
    variant: str
    metric: str
    published: float | None
    source: str
    spread: float | None = None
    spread_kind: str = ""
    units: str = ""
    scale: float = 1.0
    decimals: int | None = None
    higher_is_better: bool = True
    seconds: float | None = None
    long: bool = False
    parameters: int | None = None
    note: str = ""
    alternatives: tuple[tuple[float, str], ...] = ()
    run: Callable[[int], Mapping[str, float]] | None = None
    run_all: Callable[[Path], Sequence[Mapping[str, float]]] | None = None
    test_examples: int | None = None
    interval: Literal["student", "bootstrap"] = "student"

    def __post_init__(self) -> None:
        def fail(field: str, takes: str) -> UserError:
            value = getattr(self, field)
            return UserError(f"row {self.name!r}: {field} is {value!r}; it takes {takes}.")

        for field in ("name", "variant", "metric", "source"):
            value = getattr(self, field)
            if not isinstance(value, str) or not value.strip():
                raise fail(field, "a text that is not empty")
        if "/" not in self.metric.strip("/"):
            raise fail("metric", 'a split and a name, as "test/accuracy"')
        if self.published is not None and not _finite(self.published):
            raise fail("published", "a finite number in the table's units, or None")
        if self.spread is not None and (not _finite(self.spread) or self.spread < 0):
            raise fail("spread", "a number >= 0 in the table's units, or None")
        if self.spread_kind not in SPREAD_KINDS:
            raise fail("spread_kind", '"sd", "se", or "" where the source does not say')
        if self.spread is None and self.spread_kind:
            raise UserError(
                f"row {self.name!r}: spread_kind is {self.spread_kind!r}, but there is no spread."
            )
        if self.spread is not None and self.published is None:
            raise UserError(f"row {self.name!r}: it has a spread, but no published figure.")
        if not _finite(self.scale) or self.scale <= 0:
            raise fail("scale", "a number > 0 that takes our metric to the table's units")
        if self.decimals is not None and (
            not isinstance(self.decimals, int) or self.decimals < decimals(self.published)
        ):
            raise fail(
                "decimals", "the digits printed after the point, none fewer than published's"
            )
        if self.seconds is not None and (not _finite(self.seconds) or self.seconds <= 0):
            raise fail("seconds", "a time > 0, or None where nobody has measured it")
        for field in ("parameters", "test_examples"):
            value = getattr(self, field)
            if value is not None and (not isinstance(value, int) or value <= 0):
                raise fail(field, "a whole number > 0, or None")
        if self.interval not in ("student", "bootstrap"):
            raise fail("interval", '"student" or "bootstrap"')
        if self.run is not None and not callable(self.run):
            raise fail("run", "a function of a seed that returns metrics, or None")
        if self.run_all is not None and not callable(self.run_all):
            raise fail("run_all", "a function of a folder that returns a list of metrics, or None")
        if self.run is not None and self.run_all is not None:
            raise UserError(f"row {self.name!r}: it has run and run_all; it takes one of them.")
        if any(len(a) != 2 or not _finite(a[0]) for a in self.alternatives):
            raise fail("alternatives", 'pairs of a figure and where it stands, as (68, "README")')

    @property
    def key(self) -> tuple[str, str]:
        """What tells a row from all others of its table: (name, metric)."""
        return self.name, self.metric

    @property
    def deterministic(self) -> bool:
        """True for a method without a seed: measured once, with a binomial interval."""
        return self.test_examples is not None

    @property
    def digits(self) -> int:
        """Digits after the point in the published figure: 94 -> 0, 0.897 -> 3, 5.3e-5 -> 6."""
        return decimals(self.published) if self.decimals is None else self.decimals

    @property
    def rounding(self) -> float:
        """Half a unit of the last printed digit: a printed 94 stands for 93.5 to 94.5."""
        return 0.5 * 10.0**-self.digits


def _finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value)


def decimals(figure: float | None) -> int:
    """Digits after the point of a number as Python writes it: 94 -> 0, 94.0 -> 1, 5.3e-5 -> 6."""
    if figure is None:
        return 0
    exponent = Decimal(repr(figure)).as_tuple().exponent
    return max(0, -int(exponent))


def check(rows: Iterable[Row]) -> tuple[Row, ...]:
    """The rows as a tuple, once they are found to be rows, at least one, and all different.

    Raises:
      UserError: with the fault in what `published()` of an experiment file returned.
    """
    rows = tuple(rows)
    if not rows:
        raise UserError("published() returned no rows; it takes a list of aimodels.reproduce.Row.")
    for row in rows:
        if not isinstance(row, Row):
            raise UserError(
                f"published() returned {row!r} among its rows; it takes aimodels.reproduce.Row."
            )
    seen = set()
    for row in rows:
        if row.key in seen:
            raise UserError(
                f"published() has two rows {row.name!r} of {row.metric}; give them different names."
            )
        seen.add(row.key)
    return rows


def select(rows: Sequence[Row], names: Sequence[str] = ()) -> tuple[Row, ...]:
    """The rows to run: without names all but the long ones, else those named, in the table's order.

    A name is a row's variant or its label, in any case; "all" takes every row.

    Raises:
      UserError: for a name that no row has, with the nearest known ones.
    """
    if not names:
        return tuple(row for row in rows if not row.long)
    wanted = {name.strip().lower() for name in names}
    known = {label.lower() for row in rows for label in (row.variant, row.name)}
    for name in names:
        if name.strip().lower() not in known | {"all"}:
            raise unknown("row", name, [*dict.fromkeys(row.variant for row in rows), "all"])
    return tuple(
        row
        for row in rows
        if "all" in wanted or row.variant.lower() in wanted or row.name.lower() in wanted
    )
