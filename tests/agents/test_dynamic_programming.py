"""Dynamic programming against optima known from elsewhere, and against plain arithmetic."""

from pathlib import Path

import numpy as np
import pytest

from aimodels.agents.dynamic_programming import (
    action_values,
    greedy,
    policy_values,
    value_iteration,
)
from aimodels.config import load_experiment
from aimodels.environments.toy_text import ToyText, Transitions

pytest.importorskip("gymnasium")

# Two states. In 0: action 0 stays for 1, action 1 goes to state 1 for 0. In 1: action 0 ends with
# 10 or, as likely, goes back to 0 for 2; action 1 ends with 3.
SMALL = Transitions.of_lists(
    {
        0: {0: [(1.0, 0, 1.0, False)], 1: [(1.0, 1, 0.0, False)]},
        1: {0: [(0.5, 1, 10.0, True), (0.5, 0, 2.0, False)], 1: [(1.0, 0, 3.0, True)]},
    }
)


def begin_value(environment, **how):
    q = value_iteration(environment.transitions, **how)
    return environment.begin @ q.max(-1)


def test_action_values_by_hand():
    q = action_values(SMALL, np.array([4.0, 8.0]), 0.5)
    np.testing.assert_allclose(q, [[1 + 2, 0 + 4], [5 + 0.5 * (2 + 2), 3]])


def test_value_iteration_by_hand():
    # γ = 0.5: V1 = 6 + V0 / 4 and V0 = max(1 + V0 / 2, V1 / 2): V0 = 3 + V0 / 8 = 24 / 7.
    q = value_iteration(SMALL, 0.5)
    v0 = 24 / 7
    np.testing.assert_allclose(q, [[1 + v0 / 2, v0], [6 + v0 / 4, 3]], rtol=1e-12)


def test_a_horizon_cuts_off():
    np.testing.assert_allclose(value_iteration(SMALL, 0.5, horizon=1), [[1, 0], [6, 3]])
    np.testing.assert_allclose(value_iteration(SMALL, 0.5, horizon=2), [[1.5, 3], [6.25, 3]])


def test_without_an_end_and_without_a_discount_it_says_so(monkeypatch):
    monkeypatch.setattr("aimodels.agents.dynamic_programming.MOST_SWEEPS", 50)
    with pytest.raises(ValueError, match="don't converge within 50 sweeps"):
        value_iteration(SMALL, 1.0)


def test_policy_values_by_hand():
    half = np.full((2, 2), 0.5)
    np.testing.assert_allclose(policy_values(SMALL, half, 0.5, horizon=1), [0.5, 4.5])
    # 0: (1 + 0.25) / 2 + 2.25 / 2;  1: (6 + 0.25 / 2) / 2 + 3 / 2.
    np.testing.assert_allclose(policy_values(SMALL, half, 0.5, horizon=2), [1.75, 4.5625])


def test_greedy_shares_among_the_best():
    q = np.array([[1.0, 2.0, 2.0, 0.0], [5.0, 1.0, 1.0, 1.0]])
    np.testing.assert_allclose(greedy(q), [[0, 0.5, 0.5, 0], [1, 0, 0, 0]])
    np.testing.assert_allclose(greedy(q, 0.2)[0], [0.05, 0.45, 0.45, 0.05])


@pytest.mark.parametrize(
    ("id", "horizon", "optimum"),
    [
        ("FrozenLake-v1", 100, 0.744190),
        ("FrozenLake-v1", None, 0.823529),  # 14/17
        ("FrozenLake8x8-v1", 200, 0.913220),
        ("FrozenLake8x8-v1", None, 1.0),
        ("CliffWalking-v1", None, -13.0),
        ("CliffWalking-v1", 13, -13.0),
    ],
)
def test_known_optima(id, horizon, optimum):
    assert begin_value(ToyText(id), horizon=horizon) == pytest.approx(optimum, abs=5e-7)


def test_a_deterministic_lake_is_always_crossed():
    for map_name in ("4x4", "8x8"):
        lake = ToyText("FrozenLake-v1", options={"map_name": map_name, "is_slippery": False})
        assert begin_value(lake, discount=1.0, horizon=100) == pytest.approx(1)


def test_the_best_epsilon_greedy_policy_is_its_own_fixed_point():
    cliff = ToyText("CliffWalking-v1")
    q = value_iteration(cliff.transitions, epsilon=0.1)
    optimum = cliff.begin @ (0.9 * q.max(-1) + 0.1 * q.mean(-1))
    played = policy_values(cliff.transitions, greedy(q, 0.1), horizon=2000)
    assert optimum == pytest.approx(cliff.begin @ played, abs=1e-6)
    # It keeps one row away from the cliff: 15 steps if nothing goes wrong, where 13 would do.
    assert cliff.begin @ policy_values(cliff.transitions, greedy(q), horizon=1000) == -15
    # Random actions cost Q-learning's way, along the cliff, more than twice as much.
    risky = greedy(value_iteration(cliff.transitions), 0.1)
    along = cliff.begin @ policy_values(cliff.transitions, risky, horizon=2000)
    assert along < 2 * optimum


def test_the_experiments_figures_are_those_of_dynamic_programming():
    module = load_experiment(Path(__file__).parents[2] / "experiments/rl/tabular.py").module
    compared = 0
    for row in module.published():
        if not row.source.startswith("exact"):
            continue
        rule, _, name = row.variant.rpartition("_")
        environment = ToyText(module.ENVIRONMENTS[name])
        fields = module.SETTINGS[name][0]
        explored = fields["epsilon"][1]
        # Q-learning learns the best policy, the others the best one with its random actions.
        avoided = 0.0 if rule == "q_learning" else explored
        q = value_iteration(environment.transitions, fields["discount"], epsilon=avoided)
        epsilon = explored if row.metric == "test/training_return" else 0.0
        values = policy_values(
            environment.transitions, greedy(q, epsilon), horizon=environment.max_steps
        )
        figure = row.scale * (environment.begin @ values)
        assert abs(figure - row.published) <= row.rounding, (row.name, figure)
        for optimum, _ in row.alternatives if row.units == "%" else ():
            best = begin_value(environment, horizon=environment.max_steps)
            assert 100 * best == pytest.approx(optimum, abs=5e-5)
        compared += 1
    assert compared == 13
