"""What agents share that learn a policy from the steps they have just made.

They differ in how an advantage becomes an update: `reinforce`, `a2c`, `ppo`.

Shapes: T steps, N environments, B examples, A actions.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from aimodels.agents.base import Agent, Episodes, initial_variables
from aimodels.agents.normalization import Normalizer
from aimodels.config.schema import Fraction, Positive
from aimodels.environments.base import Array, Copies, Running, Transition
from aimodels.tasks.base import Batch, Params, State

# Steps of a loop over time that are compiled as one: short steps cost more than their arithmetic.
UNROLL = 8


def log_probability(logits: Array, actions: Array) -> Array:
    """The logarithm of π(a|s), [...], of actions [...] under logits [..., A]."""
    return jnp.take_along_axis(jax.nn.log_softmax(logits), actions[..., None], -1)[..., 0]


def entropy(logits: Array) -> Array:
    """-Σ π log π in nats, [...], of policies with logits [..., A]."""
    log = jax.nn.log_softmax(logits)
    return -(jnp.exp(log) * log).sum(-1)


def rollout(
    copies: Copies, running: Running, logits_of: Any, steps: int, key: Array
) -> tuple[Running, Transition]:
    """T = `steps` steps of N environments, whose actions are drawn from a policy.

    Args:
      copies: the environments.
      running: where they stand.
      logits_of: observations [N, ...] -> logits [N, A].
      steps: T.
      key: for chance.

    Returns:
      Where they stand then, and transitions [T, N, ...].
    """
    draw_key, step_key = jax.random.split(key)
    # The largest of the logits with Gumbel noise is a draw from their softmax.
    shape = steps, copies.number, copies.environment.num_actions
    noise = jax.random.gumbel(draw_key, shape)

    def step(running: Running, item: tuple) -> tuple[Running, Transition]:
        noise, chances = item
        actions = jnp.argmax(logits_of(running.observation) + noise, -1).astype(jnp.int32)
        return copies.step(running, actions, chances)

    return jax.lax.scan(step, running, (noise, copies.chances(step_key, steps)))


def generalized_advantages(
    transitions: Transition, values: Array, next_values: Array, discount: Any, trace: Any
) -> Array:
    """Schulman et al., "High-Dimensional Continuous Control Using GAE", ICLR 2016, equation 16.

        δ_t = r_t + γ V(next_observation_t) - V(observation_t)
        A_t = δ_t + γ λ A_{t+1}

    Nothing is added to δ after the last step of an episode. If it terminated, V(next_observation)
    is 0; if a time limit cut it off, it is the value of the observation that it ended with. With
    λ = 1, A + V is the return of all steps that are there and the value of what comes after them,
    the n-step return of Mnih et al. 2016.

    Args:
      transitions: of T steps of N environments.
      values: of `observation`, [T, N].
      next_values: of `next_observation`, [T, N].
      discount: γ.
      trace: λ.

    Returns:
      The advantages [T, N].
    """
    following = next_values * ~transitions.terminated
    errors = transitions.reward + discount * following - values
    decay = discount * trace * ~transitions.done

    def step(later: Array, item: tuple[Array, Array]) -> tuple[Array, Array]:
        error, decay = item
        advantage = error + decay * later
        return advantage, advantage

    zeros = jnp.zeros_like(errors[0])
    _, advantages = jax.lax.scan(step, zeros, (errors, decay), reverse=True, unroll=UNROLL)
    return advantages


@dataclasses.dataclass(frozen=True)
class PolicyGradient(Agent):
    """An agent with a policy and a value.

    Attributes:
      model: observations [B, ...] -> the policy's logits [B, A] and values [B].
      optimizer: of the network.
      greedy: whether the trained agent takes the likeliest action, or draws one.
    """

    model: nn.Module = None  # type: ignore[assignment]
    optimizer: optax.GradientTransformation = None  # type: ignore[assignment]
    greedy: bool = True

    def init(self, key: Array, batch: Batch) -> State:
        """A new network.

        Raises:
          UserError: if the network does not suit.
        """
        del batch
        outputs = {"a policy's logits": (self.environment.num_actions,), "a value": ()}
        params = initial_variables(self, key, outputs, "ActorCritic")["params"]
        return State(
            step=jnp.zeros((), jnp.int32),
            params=params,
            optimizer_state=self.optimizer.init(params),
            extra={"episodes": Episodes.none()},
        )

    def outputs(self, params: Params, observation: Array) -> tuple[Array, Array]:
        """Logits [..., A] and values [...] of observations, whatever axes come before theirs."""
        axes = observation.ndim - len(self.environment.observation.shape)
        before, shape = observation.shape[:axes], observation.shape[axes:]
        flat: Any = self.model.apply({"params": params}, observation.reshape(-1, *shape))
        logits, values = flat
        exact = jnp.promote_types(logits.dtype, jnp.float32)
        return logits.reshape(*before, -1).astype(exact), values.reshape(before).astype(exact)

    def act(self, state: State, observation: Array, key: Array) -> Array:
        """The likeliest action [B], or one drawn from the policy."""
        logits, _ = self.outputs(state.params, self.seen(state.extra, observation))
        if self.greedy:
            return jnp.argmax(logits, -1).astype(jnp.int32)
        return jax.random.categorical(key, logits).astype(jnp.int32)

    def seen(self, extra: dict[str, Any], observation: Array) -> Array:
        """Observations as the network sees them."""
        normalizer = extra.get("normalizer")
        return observation if normalizer is None else normalizer.observation(observation)


@dataclasses.dataclass(frozen=True)
class OnPolicy(PolicyGradient):
    """An agent that learns from T steps of N environments at a time, whole episodes or not.

    Attributes:
      rollout_steps: T, steps of each environment in a training step.
      gae_lambda: λ of the advantages.
      value_coefficient: of the value's loss, beside the policy's.
      entropy_coefficient: of the entropy, which is added to what is to be maximised.
      normalize: whether observations and rewards are normalised, see `normalization`.
    """

    rollout_steps: Positive = 5
    gae_lambda: Fraction = 1.0
    value_coefficient: float = 0.5
    entropy_coefficient: float = 0.0
    normalize: bool = False

    def init(self, key: Array, batch: Batch) -> State:
        """A new network, and environments at their beginning."""
        params_key, reset_key = jax.random.split(key)
        state = super().init(params_key, batch)
        extra = {**state.extra, "running": self.copies.reset(reset_key)}
        if self.normalize:
            extra["normalizer"] = Normalizer.new(self.environment.observation)
            extra["discounted"] = jnp.zeros(self.environments)
        return dataclasses.replace(state, extra=extra)

    def explore(
        self, params: Params, extra: dict[str, Any], key: Array
    ) -> tuple[dict[str, Any], Transition]:
        """T steps of the environments in `extra`.

        Returns:
          `extra` after them, and the transitions [T, N, ...] to learn from.
        """
        running = extra["running"]
        copies = self.environment.copies(len(running.episode_return))

        def logits_of(observation: Array) -> Array:
            return self.outputs(params, self.seen(extra, observation))[0]

        running, transitions = rollout(copies, running, logits_of, self.rollout_steps, key)
        after = {**extra, "running": running, "episodes": extra["episodes"].after(transitions)}
        if not self.normalize:
            return after, transitions
        after["normalizer"], after["discounted"] = extra["normalizer"].after(
            transitions, extra["discounted"], self.discount
        )
        return after, transitions.replace(  # type: ignore[attr-defined]
            observation=self.seen(extra, transitions.observation),
            next_observation=self.seen(extra, transitions.next_observation),
            reward=after["normalizer"].reward(transitions.reward),
        )

    def advantages(self, params: Params, transitions: Transition, values: Array) -> Array:
        """Of transitions [T, N] whose observations have these values [T, N]."""
        _, next_values = self.outputs(params, transitions.next_observation)
        return generalized_advantages(
            transitions, values, next_values, self.discount, self.gae_lambda
        )
