"""Proximal policy optimization: Schulman et al., arXiv:1707.06347, 2017; the clipped objective.

With the details by which it is known to work, as in CleanRL's ppo.py (Huang et al., "The 37
Implementation Details of Proximal Policy Optimization", 2022). It differs in one thing: where a
time limit cuts an episode off, the value of what would have come counts; there it is 0.

As there, the learning rate falls from one iteration to the next and is the same for all updates of
one: a schedule counts training steps, which are iterations.
"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax

from aimodels.agents.policy_gradient import OnPolicy, entropy, log_probability
from aimodels.config.schema import AtLeast, Fraction, Positive
from aimodels.environments.base import Array, Transition
from aimodels.errors import UserError
from aimodels.tasks.base import Batch, Params, State
from aimodels.tasks.updates import norms


@dataclasses.dataclass(frozen=True)
class PPO(OnPolicy):
    """A training step is an iteration: a rollout, then several epochs of updates from it.

    The value's loss is ½ (A + V - V(s))², as in CleanRL.

    Attributes:
      epochs: how often each step is learned from.
      minibatches: the updates of an epoch, each from an equal part of the T · N steps.
      clip: ε, how far from 1 the ratio of probabilities is rewarded.
      clip_value: whether a value gains nothing by going further than ε from the old one, as in
        Baselines; it is not in the paper.
      normalize_advantages: to mean 0 and deviation 1 in each minibatch.
    """

    rollout_steps: Positive = 128
    gae_lambda: Fraction = 0.95
    entropy_coefficient: float = 0.01
    epochs: Positive = 4
    minibatches: Positive = 4
    clip: Annotated[float, AtLeast(0)] = 0.2
    clip_value: bool = True
    normalize_advantages: bool = True

    @classmethod
    def updates_per_step(cls, fields: Mapping[str, Any]) -> int:
        """Epochs times minibatches."""
        return fields["epochs"] * fields["minibatches"]

    @property
    def block(self) -> int:
        """Steps of an iteration, T · N."""
        return self.rollout_steps * self.environments

    def init(self, key: Array, batch: Batch) -> State:
        """A new network, and environments at their beginning.

        Raises:
          UserError: if the steps of an iteration can't be divided into minibatches, or only into
            single steps, whose advantages have no deviation.
        """
        if self.block % self.minibatches:
            raise UserError(
                f"task.minibatches: the {self.block} steps of an iteration (task.rollout_steps x "
                f"task.environments) can't be divided into {self.minibatches} equal parts"
            )
        if self.normalize_advantages and self.block == self.minibatches:
            raise UserError(
                f"task.minibatches: {self.minibatches} are of one step each, whose advantage can't "
                "be normalised; take fewer, or --config.task.normalize_advantages=False"
            )
        return super().init(key, batch)

    def train_step(self, state: State, batch: Batch, key: Array) -> tuple[State, dict[str, Any]]:
        """One iteration. Metrics are means over its updates; the norms are of the last one."""
        del batch
        explore_key, order_key = jax.random.split(key)
        extra, transitions = self.explore(state.params, state.extra, explore_key)
        examples = self.examples(state.params, transitions)

        def update(carry: tuple, places: Array) -> tuple:
            params, optimizer_state, _, _ = carry
            minibatch = jax.tree.map(lambda leaf: leaf[places], examples)
            gradients, metrics = jax.grad(self.loss, has_aux=True)(params, minibatch)
            updates, optimizer_state = self.optimizer.update(gradients, optimizer_state, params)
            params = optax.apply_updates(params, updates)
            return (params, optimizer_state, gradients, updates), metrics

        nothing = jax.tree.map(jnp.zeros_like, state.params)
        carry = state.params, state.optimizer_state, nothing, nothing
        carry, metrics = jax.lax.scan(update, carry, self.order(order_key))
        params, optimizer_state, gradients, updates = carry
        state = dataclasses.replace(
            state,
            step=state.step + 1,
            params=params,
            optimizer_state=optimizer_state,
            extra=extra,
        )
        metrics = {name: values.mean() for name, values in metrics.items()}
        metrics["training_return"] = extra["episodes"].mean_return()
        return state, metrics | norms(gradients, updates)

    def examples(self, params: Params, transitions: Transition) -> dict[str, Array]:
        """What is known of each step before the updates, leaves [T · N, ...]."""
        logits, values = self.outputs(params, transitions.observation)
        advantages = self.advantages(params, transitions, values)
        examples = {
            "observation": transitions.observation,
            "action": transitions.action,
            "log_probability": log_probability(logits, transitions.action),
            "value": values,
            "advantage": advantages,
            "target": advantages + values,
        }
        return {name: leaf.reshape(-1, *leaf.shape[2:]) for name, leaf in examples.items()}

    def order(self, key: Array) -> Array:
        """The places of the steps of each minibatch, [epochs · minibatches, B]."""
        keys = jax.random.split(key, self.epochs)
        epochs = jax.vmap(lambda key: jax.random.permutation(key, self.block))(keys)
        return epochs.reshape(self.epochs * self.minibatches, -1)

    def loss(self, params: Params, minibatch: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
        """Equation 9 of the paper with its sign turned, and what it is made of.

        `approximate_kl` is E[r - 1 - log r], an estimate of the KL divergence from the old policy
        that is never negative (Schulman, "Approximating KL Divergence", 2020); `clip_fraction` the
        share of ratios r that are further from 1 than ε.
        """
        logits, values = self.outputs(params, minibatch["observation"])
        log_ratio = log_probability(logits, minibatch["action"]) - minibatch["log_probability"]
        ratio = jnp.exp(log_ratio)

        advantages = minibatch["advantage"]
        if self.normalize_advantages:  # by PyTorch's deviation, over B - 1
            advantages = (advantages - advantages.mean()) / (advantages.std(ddof=1) + 1e-8)
        clipped = jnp.clip(ratio, 1 - self.clip, 1 + self.clip)
        policy_loss = -jnp.minimum(ratio * advantages, clipped * advantages).mean()

        errors = (values - minibatch["target"]) ** 2
        if self.clip_value:
            change = jnp.clip(values - minibatch["value"], -self.clip, self.clip)
            errors = jnp.maximum(errors, (minibatch["value"] + change - minibatch["target"]) ** 2)
        value_loss = 0.5 * errors.mean()

        randomness = entropy(logits).mean()
        loss = (
            policy_loss
            + self.value_coefficient * value_loss
            - self.entropy_coefficient * randomness
        )
        return loss, {
            "loss": loss,
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": randomness,
            "approximate_kl": (ratio - 1 - log_ratio).mean(),
            "clip_fraction": (jnp.abs(ratio - 1) > self.clip).mean(),
        }
