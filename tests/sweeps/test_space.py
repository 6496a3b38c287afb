"""Grids and draws of a space."""

import numpy as np
import pytest

from aimodels.errors import UserError
from aimodels.sweeps.space import (
    check,
    from_text,
    grid,
    integers,
    log_uniform,
    sample,
    uniform,
    when,
)

CONDITIONAL = {
    "optimizer.name": ("adam", "sgd"),
    "training.ema_decay": (0.0, 0.9),
    when("optimizer.name", "sgd"): {"optimizer.momentum": (0.5, 0.9)},
}


def test_a_grid_has_every_combination_once_and_conditions_only_where_they_hold():
    settings = grid(CONDITIONAL)
    assert len(settings) == 2 + 4
    assert len({tuple(sorted(setting.items())) for setting in settings}) == 6
    for setting in settings:
        assert ("optimizer.momentum" in setting) == (setting["optimizer.name"] == "sgd")


def test_a_grid_of_a_distribution_is_refused_with_what_to_do():
    with pytest.raises(UserError, match=r"'a.b' is a distribution.*--set a.b=.*--search"):
        grid({"a.b": uniform(0, 1)})


def test_samples_fill_their_ranges_evenly():
    generator = np.random.default_rng(0)
    space = {"log": log_uniform(1e-4, 1.0), "whole": integers(3, 5), "flat": uniform(-1, 1)}
    drawn = [sample(space, generator) for _ in range(4000)]
    logs = np.log10([setting["log"] for setting in drawn])
    assert -4 <= logs.min() < -3.9
    assert -0.1 < logs.max() <= 0
    # Four orders of magnitude, each as often: 1,000 of 4,000, within 5 standard deviations (27).
    assert np.all(np.abs(np.histogram(logs, bins=4, range=(-4, 0))[0] - 1000) < 140)
    assert {setting["whole"] for setting in drawn} == {3, 4, 5}
    assert all(isinstance(setting["whole"], int) for setting in drawn)
    assert abs(np.mean([setting["flat"] for setting in drawn])) < 0.05


def test_samples_meet_their_conditions():
    generator = np.random.default_rng(0)
    for _ in range(50):
        setting = sample(CONDITIONAL, generator)
        assert ("optimizer.momentum" in setting) == (setting["optimizer.name"] == "sgd")


def test_text_is_read_as_values():
    space = from_text(["a.b=1e-3,3", "model.features=(100, 100),(50,)", "optimizer.name=adam,sgd"])
    assert space == {
        "a.b": (1e-3, 3),
        "model.features": ((100, 100), (50,)),
        "optimizer.name": ("adam", "sgd"),
    }
    for text in ("a.b", "=3", "a.b="):
        with pytest.raises(UserError, match="FIELD=VALUE"):
            from_text([text])


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "is a dict of field"),
        ({"a": "adam"}, "takes a tuple of values"),
        ({"a": ()}, "takes a tuple of values"),
        ({3: (1,)}, "a key is a field's dotted name"),
        ({when("a", 1): {"b": 3}}, "'b' takes a tuple"),
    ],
)
def test_a_space_that_is_none_is_refused(space, message):
    with pytest.raises(UserError, match=message):
        check(space, "here")
    with pytest.raises(UserError, match="from a number to a larger one"):
        log_uniform(0, 1)
