"""Schedules at points worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aimodels.errors import UserError
from aimodels.training.schedules import SCHEDULES, make_schedule

# float32: a few units in the last place.
CLOSE = {"rtol": 1e-6, "atol": 1e-7}


# Learning rate 2, 100 steps; step -> rate.
BY_HAND = [
    ("constant", {}, {0: 2, 50: 2, 1000: 2}),
    ("linear", {}, {0: 2, 25: 1.5, 50: 1, 99: 0.02, 100: 0, 150: 0}),
    ("linear", {"final_fraction": 0.5}, {0: 2, 50: 1.5, 100: 1}),
    # 60 and 40 of 180 degrees: cos = 1/2, -1/2.
    ("cosine", {}, {0: 2, 50: 1, 100: 0, 150: 0}),
    ("cosine", {"final_fraction": 0.1}, {0: 2, 50: 1.1, 100: 0.2}),
    ("step", {"boundaries": (30, 60)}, {0: 2, 29: 2, 30: 0.2, 59: 0.2, 60: 0.02, 99: 0.02}),
    ("step", {"boundaries": (60, 30), "factor": 0.5}, {29: 2, 30: 1, 60: 0.5}),
    ("step", {}, {0: 2, 99: 2}),
    ("exponential", {"decay_rate": 0.25}, {0: 2, 50: 1, 100: 0.5}),
    ("exponential", {"decay_rate": 0.5, "decay_steps": 10}, {0: 2, 10: 1, 30: 0.25, 5: 2**0.5}),
    (
        "exponential",
        {"decay_rate": 0.5, "decay_steps": 10, "staircase": True},
        {9: 2, 10: 1, 19: 1, 20: 0.5},
    ),
    # Up from 0.2 to 2 at 45, down to 0.2 at 90, on to 0.002 at 100.
    ("one_cycle", {}, {0: 0.2, 45: 2, 90: 0.2, 100: 0.002, 95: 0.101, 15: 0.8, 75: 0.8}),
    (
        "one_cycle",
        {"peak_at": 0.25, "cycle_end": 0.5, "initial_fraction": 0.5, "final_fraction": 0},
        {0: 1, 25: 2, 50: 1, 75: 0.5, 100: 0},
    ),
    ("inverse_square_root", {"warmup_steps": 4}, {0: 0.5, 1: 1, 3: 2, 15: 1, 63: 0.5}),
    # 2 · 16^-½ · min(s^-½, s · 4^-3/2): at s = 4 both are 1/2; at s = 1 it is 1/8; at 16, 1/4.
    ("noam", {"width": 16, "warmup_steps": 4}, {0: 0.0625, 3: 0.25, 15: 0.125}),
    # Warm-up of 4: fifths, then the schedule over the remaining 96 steps.
    ("constant", {"warmup_steps": 4}, {0: 0.4, 1: 0.8, 3: 1.6, 4: 2, 5: 2}),
    ("linear", {"warmup_steps": 4}, {0: 0.4, 3: 1.6, 4: 2, 52: 1, 100: 0}),
    ("cosine", {"warmup_steps": 4}, {3: 1.6, 4: 2, 52: 1, 100: 0}),
    ("step", {"warmup_steps": 4, "boundaries": (30,)}, {3: 1.6, 4: 2, 29: 2, 30: 0.2}),
    (
        "exponential",
        {"warmup_steps": 4, "decay_rate": 0.5, "decay_steps": 10},
        {3: 1.6, 4: 2, 14: 1},
    ),
    ("one_cycle", {"warmup_steps": 50}, {0: 2 / 51, 50: 0.2, 100: 0.002}),
]


@pytest.mark.parametrize(("name", "fields", "points"), BY_HAND)
def test_values_by_hand(name, fields, points):
    schedule = make_schedule(name, 2.0, 100, **fields)
    for step, expected in points.items():
        np.testing.assert_allclose(schedule(step), expected, err_msg=str(step), **CLOSE)


def test_every_schedule_has_values_by_hand():
    assert {name for name, _, _ in BY_HAND} == set(SCHEDULES)


def test_noam_is_the_papers_formula():
    schedule = make_schedule("noam", 1.0, 100_000)
    for step in (0, 100, 3999, 4000, 50_000):
        s = step + 1
        expected = 512**-0.5 * min(s**-0.5, s * 4000**-1.5)
        np.testing.assert_allclose(schedule(step), expected, rtol=2e-6)  # powers in float32


@pytest.mark.parametrize("name", SCHEDULES)
def test_learning_rate_and_step_may_be_traced(name):
    rates = jnp.array([0.1, 0.2])
    steps = jnp.arange(0, 20, 4)
    run = jax.jit(
        jax.vmap(lambda rate: jax.vmap(make_schedule(name, rate, 20, warmup_steps=3))(steps))
    )
    for row, rate in zip(run(rates), (0.1, 0.2), strict=True):
        schedule = make_schedule(name, rate, 20, warmup_steps=3)
        np.testing.assert_allclose(row, [schedule(int(step)) for step in steps], **CLOSE)


def test_fields_may_be_traced():
    def at(fields, name="cosine"):
        return make_schedule(name, 1.0, 10, **fields)(6)

    for name, fields in {
        "cosine": {"final_fraction": 0.2, "warmup_steps": 2},
        "step": {"factor": 0.2},
        "exponential": {"decay_rate": 0.2},
        "one_cycle": {"peak_at": 0.3, "cycle_end": 0.8},
    }.items():
        traced = jax.jit(lambda fields, name=name: at(fields, name))(fields)
        np.testing.assert_allclose(traced, at(fields, name), **CLOSE)


def test_a_run_may_end_within_its_warm_up():
    schedule = make_schedule("cosine", 1.0, 3, warmup_steps=9)
    np.testing.assert_allclose([schedule(0), schedule(2)], [0.1, 0.3], **CLOSE)


def test_mistakes_are_named():
    with pytest.raises(UserError, match=r"unknown schedule 'cosin'.*'cosine'"):
        make_schedule("cosin", 1.0, 10)
    with pytest.raises(UserError, match=r"schedule cosine has no field 'warmup'.*'warmup_steps'"):
        make_schedule("cosine", 1.0, 10, warmup=3)
    with pytest.raises(UserError, match="warmup_steps: got -1"):
        make_schedule("cosine", 1.0, 10, warmup_steps=-1)
    with pytest.raises(UserError, match="peak_at"):
        make_schedule("one_cycle", 1.0, 10, peak_at=0.9, cycle_end=0.5)
