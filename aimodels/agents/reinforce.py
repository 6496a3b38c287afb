"""REINFORCE: Williams, "Simple Statistical Gradient-Following Algorithms", 1992.

In its episodic form, with the sum of the rewards that come after an action in place of those of the
whole episode (Sutton & Barto, "Reinforcement Learning", 2nd edition, section 13.3), and with or
without a learned baseline (section 13.4). As is usual, the factor γ^t of their boxes is left out.

Shapes: L steps of the longest episode, N episodes.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from aimodels.agents.policy_gradient import (
    PolicyGradient,
    entropy,
    generalized_advantages,
    log_probability,
)
from aimodels.environments.base import Array, Copies, Transition, expanded
from aimodels.tasks.base import Batch, Params, State
from aimodels.tasks.updates import norms


@dataclasses.dataclass(frozen=True)
class Reinforce(PolicyGradient):
    """A training step is N whole episodes (`environments`) and an update from them.

    It takes memory for N episodes of the environment's `max_steps`. A time limit is the end of an
    episode here: nothing is known of what would have come.

    Attributes:
      baseline: whether the value of the state is subtracted from the return.
      value_coefficient: of its loss, the mean of (G - V(s))².
    """

    baseline: bool = True
    value_coefficient: float = 0.5

    def train_step(self, state: State, batch: Batch, key: Array) -> tuple[State, dict[str, Any]]:
        """N episodes and an update."""
        del batch

        def logits_of(observation: Array) -> Array:
            return self.outputs(state.params, observation)[0]

        transitions, made = whole_episodes(self.copies, logits_of, key)
        episodes = state.extra["episodes"].after(transitions)
        gradients, metrics = jax.grad(self.loss, has_aux=True)(state.params, transitions, made)
        state, updates = state.updated(self.optimizer, gradients)
        state = dataclasses.replace(state, extra={**state.extra, "episodes": episodes})
        metrics["training_return"] = episodes.mean_return()
        return state, metrics | norms(gradients, updates)

    def loss(
        self, params: Params, transitions: Transition, made: Array
    ) -> tuple[Array, dict[str, Array]]:
        """That of transitions [L, N] of which those of `made` [L, N] count, and its parts.

        The policy's is -Σ_t (G_t - b(s_t)) log π(a_t|s_t), the mean over episodes: its gradient is
        that of the expected return, but for the discount.
        """
        logits, values = self.outputs(params, transitions.observation)
        returns = returns_to_go(transitions, self.discount)
        baseline = jax.lax.stop_gradient(values) if self.baseline else 0.0
        log = log_probability(logits, transitions.action)
        policy_loss = -jnp.where(made, (returns - baseline) * log, 0).sum(0).mean()
        loss = policy_loss
        metrics = {"policy_loss": policy_loss, "entropy": _mean(entropy(logits), made)}
        if self.baseline:
            metrics["value_loss"] = _mean((returns - values) ** 2, made)
            loss += self.value_coefficient * metrics["value_loss"]
        return loss, {"loss": loss, **metrics}


def returns_to_go(transitions: Transition, discount: Any) -> Array:
    """G_t = r_t + γ G_{t+1}, [L, N], to the end of each episode."""
    nothing = jnp.zeros_like(transitions.reward)
    return generalized_advantages(transitions, nothing, nothing, discount, 1.0)


def whole_episodes(copies: Copies, logits_of: Any, key: Array) -> tuple[Transition, Array]:
    """One episode of each of N environments, with actions drawn from a policy.

    Args:
      copies: the environments.
      logits_of: observations [N, ...] -> logits [N, A].
      key: for chance.

    Returns:
      Transitions [L, N, ...], zeros after the end of an episode, and which were made, bool [L, N].
    """
    reset_key, key = jax.random.split(key)
    begin, longest = copies.reset(reset_key), copies.environment.max_steps

    def step(running: Any, time: Any) -> tuple:
        draw_key, step_key = jax.random.split(jax.random.fold_in(key, time))
        logits = logits_of(running.observation)
        actions = jax.random.categorical(draw_key, logits).astype(jnp.int32)
        return copies.step(running, actions, copies.chance(step_key))

    def goes_on(carry: tuple) -> Array:
        time, _, alive, _, _ = carry
        return alive.any() & (time < longest)

    def body(carry: tuple) -> tuple:
        time, running, alive, kept, made = carry
        running, transition = step(running, time)

        def put(array: Array, new: Array) -> Array:
            return array.at[time].set(jnp.where(expanded(alive, new), new, jnp.zeros_like(new)))

        kept = jax.tree.map(put, kept, transition)
        return time + 1, running, alive & ~transition.done, kept, made.at[time].set(alive)

    shapes = jax.eval_shape(step, begin, 0)[1]
    kept = jax.tree.map(lambda x: jnp.zeros((longest, *x.shape), x.dtype), shapes)
    alive = jnp.ones(copies.number, bool)
    made = jnp.zeros((longest, copies.number), bool)
    *_, kept, made = jax.lax.while_loop(goes_on, body, (0, begin, alive, kept, made))
    return kept, made


def _mean(values: Array, counted: Array) -> Array:
    """The mean of the values that count."""
    return jnp.where(counted, values, 0).sum() / counted.sum()
