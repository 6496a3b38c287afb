"""Rows: their validation, their digits, and which of them a command picks."""

import math

import pytest

from aimodels.errors import UserError
from aimodels.reproduce.published import Row, check, select


def row(name="CNN", variant="cnn", **fields):
    given = {"metric": "test/accuracy", "published": 94, "source": "a paper, table 1"}
    return Row(name=name, variant=variant, **(given | fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": " "}, "name is ' '; it takes a text"),
        ({"variant": ""}, "variant is ''"),
        ({"source": None}, "source is None"),
        ({"metric": "accuracy"}, 'metric is .accuracy.; it takes a split and a name, as "test/acc'),
        ({"published": "94"}, "published is '94'; it takes a finite number"),
        ({"published": math.nan}, "published is nan"),
        ({"published": True}, "published is True"),
        ({"spread": -1}, "spread is -1; it takes a number >= 0"),
        ({"spread": 1, "spread_kind": "std"}, 'spread_kind is \'std\'; it takes "sd", "se"'),
        ({"spread_kind": "sd"}, "there is no spread"),
        ({"published": None, "spread": 1}, "no published figure"),
        ({"scale": 0}, "scale is 0; it takes a number > 0"),
        ({"published": 0.897, "decimals": 2}, "decimals is 2"),
        ({"seconds": 0}, "seconds is 0"),
        ({"parameters": 5e3}, "parameters is 5000.0; it takes a whole number"),
        ({"test_examples": 0}, "test_examples is 0"),
        ({"run": "svc"}, "run is 'svc'; it takes a function"),
        ({"run_all": 3}, "run_all is 3; it takes a function of a folder"),
        ({"run": dict, "run_all": list}, "run and run_all; it takes one"),
        ({"alternatives": ((68,),)}, "alternatives is"),
    ],
)
def test_a_wrong_field_is_named(fields, message):
    with pytest.raises(UserError, match=message):
        row(**fields)


@pytest.mark.parametrize(
    ("published", "decimals", "digits"),
    [
        (94, None, 0),
        (94.0, None, 1),
        (0.897, None, 3),
        (0.9, 2, 2),
        (5.3e-5, None, 6),
        (-200, 2, 2),
        (1e22, None, 0),
        (None, None, 0),
    ],
)
def test_digits_are_those_printed(published, decimals, digits):
    one = row(published=published, decimals=decimals)
    assert one.digits == digits
    assert one.rounding == pytest.approx(0.5 * 10**-digits)


def test_check_finds_what_is_no_table():
    assert check(iter([row()])) == (row(),)
    with pytest.raises(UserError, match="no rows"):
        check([])
    with pytest.raises(UserError, match=r"\{'name': 'CNN'\} among its rows"):
        check([{"name": "CNN"}])
    with pytest.raises(UserError, match="two rows 'CNN' of test/accuracy"):
        check([row(), row(variant="other")])
    assert len(check([row(), row(metric="test/loss")])) == 2


def test_select_leaves_long_rows_out_until_named():
    rows = (row(), row("SVC, rbf", "svc", long=True), row("CNN", "cnn", metric="test/loss"))
    assert [one.key for one in select(rows)] == [("CNN", "test/accuracy"), ("CNN", "test/loss")]
    assert select(rows, ["svc"]) == (rows[1],)
    assert select(rows, ["svc, RBF", "cnn"]) == rows
    assert select(rows, ["all"]) == rows
    with pytest.raises(UserError, match=r"unknown row 'svm'\. Did you mean 'svc'"):
        select(rows, ["svm"])


def test_a_method_without_a_seed_says_so():
    assert row(test_examples=1000).deterministic
    assert not row().deterministic
