"""A2C and A3C: Mnih et al., "Asynchronous Methods for Deep Reinforcement Learning", ICML 2016.

With one actor-learner this is A2C (advantage actor-critic), the synchronous form in which the
method is mostly used: all N environments make T steps by the same weights, and one update learns
from all of them.

With W actor-learners it is A3C (algorithm S3 of the paper). Each has N / W environments and its own
copy of the weights, by which it acts and computes its gradients; these are applied to the shared
weights, which it then copies. Between its copy and its update the W - 1 others have made theirs, so
its gradients are of weights that are W - 1 updates old. Here they take turns, as threads of equal
speed do, so that a run is a function of its seed: nothing is asynchronous, only the gradients are
as old as they would be, always by W - 1 updates, and none is written while another one reads.
RMSprop's statistics are shared, as the paper found best.

Where GAE's λ is 1, advantages are the paper's: n-step returns less the value.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from aimodels.agents.policy_gradient import OnPolicy, entropy, log_probability
from aimodels.config.schema import Positive
from aimodels.environments.base import Array, Transition
from aimodels.errors import UserError
from aimodels.tasks.base import Batch, Params, State
from aimodels.tasks.updates import norms


@dataclasses.dataclass(frozen=True)
class A2C(OnPolicy):
    """A training step is T steps of an actor-learner's environments and an update from them.

    The value's loss is (A + V - V(s))², without a half, as in Stable-Baselines3.

    Attributes:
      actor_learners: W; 1 is A2C, more is A3C.
    """

    actor_learners: Positive = 1

    def init(self, key: Array, batch: Batch) -> State:
        """A new network, environments at their beginning, and for A3C copies of the network.

        Raises:
          UserError: if the actor-learners can't have equal numbers of environments.
        """
        number, parts = self.environments, self.actor_learners
        if number % parts:
            raise UserError(
                f"task.actor_learners: {number} environments can't be divided among {parts}; take "
                f"a divisor of {number}, or --config.task.environments={parts}"
            )
        state = super().init(key, batch)
        if parts > 1:
            copies = jax.tree.map(lambda leaf: jnp.stack([leaf] * parts), state.params)
            state = dataclasses.replace(state, extra={**state.extra, "copies": copies})
        return state

    def train_step(self, state: State, batch: Batch, key: Array) -> tuple[State, dict[str, Any]]:
        """T steps of the environments whose turn it is, and an update of the shared weights."""
        del batch
        turn = state.step % self.actor_learners
        params, own = self._of_learner(turn, state)
        own, transitions = self.explore(params, own, key)
        gradients, metrics = jax.grad(self.loss, has_aux=True)(params, transitions)
        state, updates = state.updated(self.optimizer, gradients)
        extra = self._with_learner(turn, state.extra, own, state.params)
        state = dataclasses.replace(state, extra=extra)
        metrics["training_return"] = own["episodes"].mean_return()
        return state, metrics | norms(gradients, updates)

    def loss(self, params: Params, transitions: Transition) -> tuple[Array, dict[str, Array]]:
        """That of transitions [T, N], and its parts."""
        logits, values = self.outputs(params, transitions.observation)
        fixed = jax.lax.stop_gradient(values)
        advantages = jax.lax.stop_gradient(self.advantages(params, transitions, fixed))
        policy_loss = -(advantages * log_probability(logits, transitions.action)).mean()
        value_loss = ((advantages + fixed - values) ** 2).mean()
        randomness = entropy(logits).mean()
        loss = (
            policy_loss
            + self.value_coefficient * value_loss
            - self.entropy_coefficient * randomness
        )
        parts = {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": randomness}
        return loss, {"loss": loss, **parts}

    def _of_learner(self, turn: Array, state: State) -> tuple[Params, dict[str, Any]]:
        """The weights of an actor-learner, and `state.extra` with its environments alone."""
        extra = state.extra
        if self.actor_learners == 1:
            return state.params, extra
        size = self.environments // self.actor_learners

        def rows(leaf: Array) -> Array:
            return jax.lax.dynamic_slice_in_dim(leaf, turn * size, size)

        params = jax.tree.map(lambda leaf: leaf[turn], extra["copies"])
        return params, {**extra, **jax.tree.map(rows, _of_environments(extra))}

    def _with_learner(
        self, turn: Array, extra: dict[str, Any], own: dict[str, Any], params: Params
    ) -> dict[str, Any]:
        """`extra` after the turn of an actor-learner, which ends by copying the weights."""
        if self.actor_learners == 1:
            return own
        size = self.environments // self.actor_learners

        def put(leaf: Array, rows: Array) -> Array:
            return jax.lax.dynamic_update_slice_in_dim(leaf, rows, turn * size, 0)

        everywhere = jax.tree.map(put, _of_environments(extra), _of_environments(own))
        copies = jax.tree.map(lambda leaf, new: leaf.at[turn].set(new), extra["copies"], params)
        return {**own, **everywhere, "copies": copies}


def _of_environments(extra: dict[str, Any]) -> dict[str, Any]:
    """What there is of each environment: the entries whose leaves begin with axis N."""
    return {name: extra[name] for name in ("running", "discounted") if name in extra}
