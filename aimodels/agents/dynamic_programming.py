"""Dynamic programming: what the best policy gets, exactly, where all transitions are known.

Sutton & Barto, "Reinforcement Learning: An Introduction", 2nd edition, chapter 4. In float64 by
NumPy, for these are the figures that agents are held against.

Shapes: S states, A actions.
"""

import numpy as np

from aimodels.environments.toy_text import Transitions

# Sweeps of an unbounded problem; more than that means that its values grow without end.
MOST_SWEEPS = 1_000_000
TOLERANCE = 1e-13


def action_values(transitions: Transitions, values: np.ndarray, discount: float) -> np.ndarray:
    """Q [S, A] of one action and then the states' values [S]: Σ p (r + γ v'), v' 0 at an end."""
    table = transitions
    following = np.where(table.terminated, 0.0, values[table.next_state])
    return (table.probability * (table.reward + discount * following)).sum(-1)


def value_iteration(
    transitions: Transitions,
    discount: float = 1.0,
    *,
    horizon: int | None = None,
    epsilon: float = 0.0,
) -> np.ndarray:
    """The optimal action values Q [S, A] (Sutton & Barto, section 4.4).

    Args:
      transitions: the problem.
      discount: γ. With 1 every state must have a policy that ends, or rewards that cease.
      horizon: with so many steps to go, the last of which cuts off; None is without end. The
        optimum then belongs to a policy that sees the time.
      epsilon: the share of random actions that the policy can't avoid: the optimum of all
        ε-greedy policies, to which SARSA converges and not Q-learning. V = (1 - ε) max Q + ε mean Q
        is a contraction too.

    Raises:
      ValueError: if the values don't converge.
    """
    values = np.zeros(len(transitions.probability))
    q = action_values(transitions, values, discount)
    for _ in range(1, horizon or MOST_SWEEPS):
        new = (1 - epsilon) * q.max(-1) + epsilon * q.mean(-1)
        if horizon is None and np.abs(new - values).max() <= TOLERANCE * max(1, np.abs(new).max()):
            return q
        values = new
        q = action_values(transitions, values, discount)
    if horizon is None:
        raise ValueError(
            f"values don't converge within {MOST_SWEEPS:,} sweeps at discount {discount}"
        )
    return q


def greedy(q: np.ndarray, epsilon: float = 0.0, tolerance: float = 1e-9) -> np.ndarray:
    """The ε-greedy policy, probabilities [S, A]; equal best actions are equally likely.

    Args:
      q: [S, A].
      epsilon: the share of random actions.
      tolerance: two values that differ by no more count as equal.
    """
    best = q >= q.max(-1, keepdims=True) - tolerance
    return epsilon / q.shape[-1] + (1 - epsilon) * best / best.sum(-1, keepdims=True)


def policy_values(
    transitions: Transitions, policy: np.ndarray, discount: float = 1.0, *, horizon: int
) -> np.ndarray:
    """V [S], the expected sum of rewards over `horizon` steps (Sutton & Barto, section 4.1).

    Args:
      transitions: the problem.
      policy: probabilities of actions [S, A], whatever the time is.
      discount: γ.
      horizon: steps to go, the last of which cuts off.
    """
    values = np.zeros(len(policy))
    for _ in range(horizon):
        values = (policy * action_values(transitions, values, discount)).sum(-1)
    return values
