"""Deep Q-learning: Mnih et al., "Human-level control through deep reinforcement learning", 2015.

With, as fields: double Q-learning (van Hasselt et al., AAAI 2016), prioritised replay (Schaul et
al., ICLR 2016) and n-step targets (as in Hessel et al., "Rainbow", AAAI 2018). Dueling networks
(Wang et al., ICML 2016) are a field of `QNetwork`.
"""

import dataclasses
from typing import Annotated, Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from aimodels.agents.base import Agent, Episodes, initial_variables, linear
from aimodels.agents.replay import Prioritised, Replay
from aimodels.config.schema import AtLeast, Fraction, NotNegative, Positive
from aimodels.environments.base import Array, Running, Transition
from aimodels.errors import UserError
from aimodels.tasks.base import Batch, Params, State
from aimodels.tasks.updates import norms


@dataclasses.dataclass(frozen=True)
class DQN(Agent):
    """Acts by ε-greedy, keeps what it saw, and learns from a sample of it.

    A training step is `train_every` steps of each environment, and one update.

    Attributes:
      model: observations [B, ...] -> values of actions [B, A].
      optimizer: of the network.
      train_every: T, steps of each environment between updates.
      batch_size: B, transitions of an update.
      capacity: of the replay memory, in transitions.
      learning_starts: steps of the environments before the first update, which also waits for n
        steps.
      target_every: steps of the environments from one copy to the target network to the next.
      epsilon: the share of random actions at the beginning and at the end.
      exploration_fraction: the part of training over which it goes from one to the other, linearly.
      loss_name: of the error of a value: `huber` (the paper's clipping) or `squared_error`.
      double: whether the trained network picks the action that the target network values.
      n_step: rewards that a target sums up.
      priority_exponent: α of prioritised replay; 0 samples all transitions alike.
      importance_exponent: β of its weights at the beginning; at the end it is 1.
      total_steps: training steps in all.
    """

    model: nn.Module = None  # type: ignore[assignment]
    optimizer: optax.GradientTransformation = None  # type: ignore[assignment]
    train_every: Positive = 10
    batch_size: Positive = 128
    capacity: Positive = 10_000
    learning_starts: NotNegative = 10_000
    target_every: Positive = 500
    epsilon: tuple[Fraction, Fraction] = (1.0, 0.05)
    exploration_fraction: Fraction = 0.5
    loss_name: Literal["huber", "squared_error"] = "huber"
    double: bool = False
    n_step: Positive = 1
    priority_exponent: Annotated[float, AtLeast(0)] = 0.0
    importance_exponent: Fraction = 0.4
    total_steps: int = 1

    @property
    def block(self) -> int:
        """Transitions of a training step, T · N."""
        return self.train_every * self.environments

    def init(self, key: Array, batch: Batch) -> State:
        """A new network, an empty memory, and environments at their beginning.

        Raises:
          UserError: if the network does not suit, or the memory can't be filled a training step at
            a time, or holds no example.
        """
        del batch
        params_key, reset_key = jax.random.split(key)
        outputs = {"values of actions": (self.environment.num_actions,)}
        params = initial_variables(self, params_key, outputs, "QNetwork")["params"]
        return State(
            step=jnp.zeros((), jnp.int32),
            params=params,
            optimizer_state=self.optimizer.init(params),
            extra={
                "target": jax.tree.map(jnp.copy, params),
                "running": self.copies.reset(reset_key),
                "episodes": Episodes.none(),
                "replay": self._memory(),
            },
        )

    def _memory(self) -> Replay:
        seen, frames = self.environment.observation, self.environment.stacked_frames
        example = (self.n_step + frames - 1) * self.environments
        if example >= self.capacity:
            raise UserError(
                f"task.capacity: {self.capacity} transitions of {self.environments} environments "
                f"have no room for task.n_step = {self.n_step} steps; take more than {example}"
            )
        if isinstance(self.priority_exponent, float) and self.priority_exponent == 0:
            return Replay.empty(self.capacity, seen, self.block, frames)
        return Prioritised.empty(self.capacity, seen, self.block, frames, self.priority_exponent)

    def values(self, params: Params, observation: Array) -> Array:
        """Q(s, ·), [B, A]."""
        values: Any = self.model.apply({"params": params}, observation)
        return values

    def act(self, state: State, observation: Array, key: Array) -> Array:
        """The action of the largest value, [B]."""
        del key
        return jnp.argmax(self.values(state.params, observation), -1).astype(jnp.int32)

    def train_step(self, state: State, batch: Batch, key: Array) -> tuple[State, dict[str, Any]]:
        """`train_every` steps of each environment, and an update from the memory."""
        del batch
        act_key, sample_key = jax.random.split(key)
        running, transitions = self._explore(state, act_key)
        replay = state.extra["replay"].add(transitions)
        episodes = state.extra["episodes"].after(transitions)
        first = self.importance_exponent
        beta = first + (1 - first) * state.step / self.total_steps
        sample = replay.sample(
            sample_key, self.batch_size, self.n_step, self.environments, self.discount, beta
        )
        (loss, (values, errors)), gradients = jax.value_and_grad(self.loss, has_aux=True)(
            state.params, state.extra["target"], sample
        )
        after, updates = state.updated(self.optimizer, gradients)

        seen = (state.step + 1) * self.block
        learning = (seen > self.learning_starts) & replay.complete(self.n_step, self.environments)
        replay = replay.learned(sample["place"], errors, learning)
        params, optimizer_state = optax.tree.where(
            learning,
            (after.params, after.optimizer_state),
            (state.params, state.optimizer_state),
        )
        copied = learning & (seen % self.target_every < self.block)
        target = optax.tree.where(copied, params, state.extra["target"])
        extra = {"target": target, "running": running, "episodes": episodes, "replay": replay}
        state = dataclasses.replace(
            after, params=params, optimizer_state=optimizer_state, extra=extra
        )
        metrics = {
            "loss": loss * learning,
            "value": values.mean(),
            "training_return": episodes.mean_return(),
            "epsilon": self.epsilon_at(seen),
        }
        return state, metrics | norms(gradients, updates)

    def epsilon_at(self, seen: Array) -> Array:
        """ε after so many steps of the environments."""
        over = self.total_steps * self.block * self.exploration_fraction
        return linear(self.epsilon, seen, over)

    def _explore(self, state: State, key: Array) -> tuple[Running, Transition]:
        """T steps of each environment; transitions [T, N, ...]."""
        shape = self.train_every, self.environments
        explore_key, random_key, step_key = jax.random.split(key, 3)
        seen = state.step * self.block + jnp.arange(self.train_every) * self.environments
        explores = jax.random.uniform(explore_key, shape) < self.epsilon_at(seen)[:, None]
        randoms = jax.random.randint(random_key, shape, 0, self.environment.num_actions)

        def step(running: Running, item: tuple) -> tuple[Running, Transition]:
            explores, random, chances = item
            best = jnp.argmax(self.values(state.params, running.observation), -1)
            actions = jnp.where(explores, random, best.astype(jnp.int32))
            return self.copies.step(running, actions, chances)

        chances = self.copies.chances(step_key, self.train_every)
        return jax.lax.scan(step, state.extra["running"], (explores, randoms, chances))

    def loss(self, params: Params, target: Params, sample: dict[str, Array]) -> tuple[Array, Any]:
        """The mean loss of a sample, with the values [B] of its actions and their errors [B]."""
        value = _of(self.values(params, sample["observation"]), sample["action"])
        following = self.values(target, sample["next_observation"])
        picking = self.values(params, sample["next_observation"]) if self.double else following
        best = _of(following, jnp.argmax(picking, -1))
        aim = jax.lax.stop_gradient(sample["reward"] + sample["discount"] * best)
        loss = optax.huber_loss if self.loss_name == "huber" else optax.squared_error
        return (sample["weight"] * loss(value, aim)).mean(), (value, aim - value)


def _of(values: Array, actions: Array) -> Array:
    """The values [B, A] of actions [B]."""
    return jnp.take_along_axis(values, actions[:, None], -1)[:, 0]
