"""Actor-critic with eligibility traces: Sutton & Barto 2018, section 13.6, over one network.

It learns from every step as it is made and stores none. The trace of a weight is how much it had to
do with the last values and actions, fading by γλ a step; the error of the value that follows moves
it along its trace. As Young & Tian, "MinAtar: An Atari-Inspired Testbed", 2019, have it in their
AC_lambda.py:

    z ← γλ z + ∇(V(s) + ½ log π(a|s)),   δ = r + γ V(s') - V(s),   θ ← θ + α (δ z + β ∇H(π(·|s)))

α may be that of another rule than plain gradient ascent: theirs is RMSprop. There, in s' an action
is drawn, and ∇(V(s') + ½ log π) taken for the next trace, before the update, so that gradients in a
trace are of weights an update older than those whose values make δ; here both are of the same. The
entropy is there that of the policy in s', and in it and in the trace stands log(π + 10⁻⁴).

Shapes: N environments, A actions.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from aimodels.agents.policy_gradient import PolicyGradient, entropy, log_probability, rollout
from aimodels.config.schema import Fraction
from aimodels.environments.base import Array, expanded
from aimodels.tasks.base import Batch, Params, State
from aimodels.tasks.updates import norms


@dataclasses.dataclass(frozen=True)
class ActorCriticTraces(PolicyGradient):
    """A training step is a step of each of N environments, and an update by the mean over them.

    Attributes:
      trace_decay: λ.
      entropy_coefficient: β.
    """

    trace_decay: Fraction = 0.8
    entropy_coefficient: float = 0.01

    def init(self, key: Array, batch: Batch) -> State:
        """A new network, environments at their beginning, and traces of nothing."""
        params_key, reset_key = jax.random.split(key)
        state = super().init(params_key, batch)
        number = self.environments
        extra = {
            **state.extra,
            "running": self.copies.reset(reset_key),
            "traces": jax.tree.map(lambda x: jnp.zeros((number, *x.shape), x.dtype), state.params),
        }
        return dataclasses.replace(state, extra=extra)

    def train_step(self, state: State, batch: Batch, key: Array) -> tuple[State, dict[str, Any]]:
        """A step of each environment, and an update."""
        del batch
        params = state.params
        running, transitions = rollout(
            self.copies,
            state.extra["running"],
            lambda observation: self.outputs(params, observation)[0],
            1,
            key,
        )
        episodes = state.extra["episodes"].after(transitions)
        transition = jax.tree.map(lambda x: x[0], transitions)

        of_each = jax.vmap(self._gradients, (None, 0, 0))
        eligible, randomness, values, entropies = of_each(
            params, transition.observation, transition.action
        )
        decay = self.discount * self.trace_decay
        traces = jax.tree.map(lambda z, new: decay * z + new, state.extra["traces"], eligible)
        _, following = self.outputs(params, transition.next_observation)
        target = transition.reward + self.discount * following * ~transition.terminated
        errors = target - values

        def gradient(trace: Array, of_entropy: Array) -> Array:
            towards = expanded(errors, trace) * trace + self.entropy_coefficient * of_entropy
            return -towards.mean(0)

        gradients = jax.tree.map(gradient, traces, randomness)
        state, updates = state.updated(self.optimizer, gradients)
        goes_on = ~transition.done
        traces = jax.tree.map(lambda trace: expanded(goes_on, trace) * trace, traces)
        extra = {"episodes": episodes, "running": running, "traces": traces}
        metrics = {
            "value": values.mean(),
            "value_error": jnp.abs(errors).mean(),
            "entropy": entropies.mean(),
            "training_return": episodes.mean_return(),
        }
        return dataclasses.replace(state, extra=extra), metrics | norms(gradients, updates)

    def _gradients(
        self, params: Params, observation: Array, action: Array
    ) -> tuple[Params, Params, Array, Array]:
        """∇(V + ½ log π) and ∇H of one observation, and V and H."""

        def outputs(params: Params) -> tuple[Array, Array, Array]:
            logits, value = self.outputs(params, observation)
            return value + 0.5 * log_probability(logits, action), entropy(logits), value

        (eligible, randomness, value), back = jax.vjp(outputs, params)
        one, none = jnp.ones_like(eligible), jnp.zeros_like(eligible)
        (of_eligible,) = back((one, none, none))
        (of_entropy,) = back((none, one, none))
        return of_eligible, of_entropy, value, randomness
