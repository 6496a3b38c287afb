"""Temporal-difference control with a table: Q-learning, SARSA and Expected SARSA.

Watkins & Dayan, "Q-learning", Machine Learning 8, 1992; Sutton & Barto, "Reinforcement Learning: An
Introduction", 2nd edition, sections 6.4 to 6.6; van Seijen et al., "A Theoretical and Empirical
Analysis of Expected Sarsa", ADPRL 2009.

Shapes: N environments, S states, A actions, T steps.
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from aimodels.agents.base import Agent, Episodes, linear
from aimodels.config.schema import Fraction, Positive
from aimodels.environments.base import Array, Transition
from aimodels.errors import UserError
from aimodels.tasks.base import Batch, State

Rule = Literal["q_learning", "sarsa", "expected_sarsa"]


@dataclasses.dataclass(frozen=True)
class Tabular(Agent):
    """Acts by ε-greedy and learns from every step at once. `state.params` is {"q": [S, A]}.

    Q(s, a) goes towards its target by α(s, a) = learning rate / n(s, a)^visit_power, where n counts
    its updates, this one too. The optimizer is `sgd`, to which an error is the negative gradient:
    its learning rate and schedule are the section's, the schedule's step is the training step.
    Several environments that come to the same (s, a) make one update, by their mean error.

    Attributes:
      optimizer: `sgd` without momentum.
      rule: what the next state is worth: `q_learning` the largest value, `sarsa` that of the next
        action, `expected_sarsa` its mean over the next actions.
      environment_steps: T, steps of each environment, and updates, in a training step.
      epsilon: the share of random actions at the beginning and at the end.
      exploration_fraction: the part of training over which it goes from one to the other, linearly.
      visit_power: 0 for the same rate at every visit; Q-learning converges for 1/2 to 1 (Even-Dar &
        Mansour, "Learning Rates for Q-learning", JMLR 2003, which finds about 0.85 the best).
      initial_value: of all entries; a large one makes it try everything (Sutton & Barto, 2.6).
      total_steps: training steps in all.
    """

    optimizer: optax.GradientTransformation = None  # type: ignore[assignment]
    rule: Rule = "q_learning"
    environment_steps: Positive = 100
    epsilon: tuple[Fraction, Fraction] = (0.1, 0.1)
    exploration_fraction: Fraction = 1.0
    visit_power: float = 0.0
    initial_value: float = 0.0
    total_steps: int = 1

    def __post_init__(self) -> None:
        if getattr(self.environment, "num_states", None) is None:
            seen = getattr(self.environment, "observation", None)
            shown = f"{seen.dtype} {seen.shape}" if seen is not None else "nothing"
            raise UserError(
                "task tabular: it needs an environment that shows the number of its state, such as "
                f"config.environment.name='toy_text'; this one shows {shown}"
            )
        if self.optimizer is None:
            raise UserError("task tabular: config.optimizer is missing; it takes 'sgd'")

    @property
    def block(self) -> int:
        """Steps of all environments in a training step, T · N."""
        return self.environment_steps * self.environments

    def init(self, key: Array, batch: Batch) -> State:
        """A table of `initial_value`, and environments at their beginning with a first action.

        Raises:
          UserError: if the optimizer keeps more than a count of its steps.
        """
        del batch
        reset_key, act_key = jax.random.split(key)
        shape = self.environment.num_states, self.environment.num_actions  # type: ignore[attr-defined]
        params = {"q": jnp.full(shape, self.initial_value, jnp.float32)}
        optimizer_state = self.optimizer.init(params)
        if any(leaf.shape for leaf in jax.tree.leaves(optimizer_state)):
            raise UserError(
                "config.optimizer: task tabular takes 'sgd' without momentum; another optimizer "
                "would also move entries of the table that were not visited"
            )
        running = self.copies.reset(reset_key)
        policy = epsilon_greedy(params["q"][running.observation], self.epsilon_at(jnp.zeros(())))
        return State(
            step=jnp.zeros((), jnp.int32),
            params=params,
            optimizer_state=optimizer_state,
            extra={
                "running": running,
                "action": draw(policy, jax.random.gumbel(act_key, policy.shape)),
                "visits": jnp.zeros(shape, jnp.int32),
                "episodes": Episodes.none(),
            },
        )

    def act(self, state: State, observation: Array, key: Array) -> Array:
        """An action of the largest value, [B]; of several, each is equally likely."""
        policy = epsilon_greedy(state.params["q"][observation], 0.0)
        return draw(policy, jax.random.gumbel(key, policy.shape))

    def epsilon_at(self, seen: Array) -> Array:
        """ε after so many steps of the environments."""
        over = self.total_steps * self.block * self.exploration_fraction
        return linear(self.epsilon, seen, over)

    def train_step(self, state: State, batch: Batch, key: Array) -> tuple[State, dict[str, Any]]:
        """`environment_steps` steps of each environment, with an update after each."""
        del batch
        step_key, noise_key = jax.random.split(key)
        steps = self.environment_steps
        seen = state.step * self.block + jnp.arange(1, steps + 1) * self.environments
        shape = steps, self.environments, self.environment.num_actions
        noise = jax.random.gumbel(noise_key, shape)

        def step(carry: tuple, item: tuple) -> tuple:
            q, visits, running, action = carry
            chances, noise, epsilon = item
            running, transition = self.copies.step(running, action, chances)
            policy = epsilon_greedy(q[transition.next_observation], epsilon)
            next_action = draw(policy, noise)
            errors = td_errors(self.rule, q, transition, policy, next_action, self.discount)
            gradients, visits = self._gradients(visits, transition, errors)
            updates, _ = self.optimizer.update({"q": gradients}, state.optimizer_state, {"q": q})
            new: Any = optax.apply_updates({"q": q}, updates)
            # SARSA does the action that it learned from; else the new table decides. One noise
            # serves both draws, since only one of the two actions is done.
            action = draw(epsilon_greedy(new["q"][running.observation], epsilon), noise)
            if self.rule == "sarsa":
                action = jnp.where(transition.done, action, next_action)
            value = q[transition.observation, transition.action]
            measured = {"td_error": jnp.abs(errors).mean(), "value": value.mean()}
            return (new["q"], visits, running, action), (transition, measured)

        extra = state.extra
        carry = state.params["q"], extra["visits"], extra["running"], extra["action"]
        items = self.copies.chances(step_key, steps), noise, self.epsilon_at(seen)
        carry, (transitions, measured) = jax.lax.scan(step, carry, items)
        q, visits, running, action = carry

        # What the optimizer keeps is a count, here of training steps.
        _, optimizer_state = self.optimizer.update(
            state.params, state.optimizer_state, state.params
        )
        episodes = extra["episodes"].after(transitions)
        state = dataclasses.replace(
            state,
            step=state.step + 1,
            params={"q": q},
            optimizer_state=optimizer_state,
            extra={"running": running, "action": action, "visits": visits, "episodes": episodes},
        )
        return state, {
            **{name: values.mean() for name, values in measured.items()},
            "training_return": episodes.mean_return(),
            "episodes": episodes.count.astype(jnp.float32),
            "epsilon": self.epsilon_at(seen[-1]),
        }

    def _gradients(
        self, visits: Array, transition: Transition, errors: Array
    ) -> tuple[Array, Array]:
        """For every entry -(mean error) / n^visit_power [S, A], and n with these visits."""
        place = transition.observation, transition.action
        zeros = jnp.zeros(visits.shape)
        here = zeros.at[place].add(1)[place]
        visits = visits.at[place].set(visits[place] + 1)
        errors = errors / here / visits[place].astype(errors.dtype) ** self.visit_power
        return zeros.at[place].add(-errors), visits


def epsilon_greedy(values: Array, epsilon: Any) -> Array:
    """Probabilities of actions [..., A] by their values; equal best ones are equally likely."""
    best = values == values.max(-1, keepdims=True)
    return epsilon / values.shape[-1] + (1 - epsilon) * best / best.sum(-1, keepdims=True)


def draw(policy: Array, noise: Array) -> Array:
    """Actions int32 [...] by their probabilities [..., A] and as much standard Gumbel noise."""
    return jnp.argmax(jnp.log(policy) + noise, -1).astype(jnp.int32)


def td_errors(
    rule: Rule,
    q: Array,
    transition: Transition,
    policy: Array,
    next_action: Array,
    discount: Any,
) -> Array:
    """The errors r + γ v(s') - Q(s, a), [N], with v(s') = 0 where the episode terminated.

    Args:
      rule: max Q(s', ·) of Watkins, Q(s', a') of SARSA, Σ π(a'|s') Q(s', a') of Expected SARSA.
      q: [S, A].
      transition: of which next_observation is s', also at the end of an episode.
      policy: π(·|s'), [N, A].
      next_action: a', [N].
      discount: γ.
    """
    following = q[transition.next_observation]
    if rule == "q_learning":
        value = following.max(-1)
    elif rule == "sarsa":
        value = jnp.take_along_axis(following, next_action[:, None], -1)[:, 0]
    else:
        value = (policy * following).sum(-1)
    target = transition.reward + discount * value * ~transition.terminated
    return target - q[transition.observation, transition.action]
