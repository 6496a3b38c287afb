"""What agents share: how they are evaluated, and what is known of their episodes.

Shapes: N environments, B episodes or examples, A actions.
"""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import clu.metrics
import flax.struct
import jax
import jax.numpy as jnp

from aimodels.config.schema import Fraction, Positive
from aimodels.environments.base import Array, Copies, Environment, Transition
from aimodels.environments.games import check_single
from aimodels.errors import UserError
from aimodels.tasks.base import Batch, State, Task
from aimodels.tasks.metrics import Mean

# Episodes of training of which the mean return is reported, as is usual: CleanRL, SB3, Mnih 2015.
RECENT = 100


@flax.struct.dataclass
class Episodes:
    """The last RECENT episodes that ended in training.

    Attributes:
      returns: [RECENT], the newest at `count - 1` modulo RECENT.
      count: of all that ended.
      total: the sum of all their returns.
      running: the mean return so far of those that go on, which stands for the first ones.
    """

    returns: Array
    count: Array
    total: Array
    running: Array

    @classmethod
    def none(cls) -> Self:
        """Before the first one."""
        return cls(jnp.zeros(RECENT), jnp.zeros((), jnp.int32), jnp.zeros(()), jnp.zeros(()))

    def after(self, transitions: Transition) -> Self:
        """With those that ended in transitions [..., N], in the order of their axes."""
        done = transitions.finished.reshape(-1)
        number = jnp.cumsum(done)
        # Of more than RECENT, two would come to one place: only the last ones go there.
        kept = done & (number > number[-1] - RECENT)
        # Out of range is dropped.
        place = jnp.where(kept, (self.count + number - 1) % RECENT, RECENT)
        returns = transitions.episode_return
        return type(self)(
            returns=self.returns.at[place].set(returns.reshape(-1), mode="drop"),
            count=self.count + done.sum(dtype=jnp.int32),
            total=self.total + (returns.reshape(-1) * done).sum(),
            running=returns.reshape(-1, returns.shape[-1])[-1].mean(),
        )

    def mean_return(self) -> Array:
        """Of the last RECENT; before one has ended, of those that go on."""
        known = jnp.minimum(self.count, RECENT)
        mean = self.returns.sum() / jnp.maximum(known, 1)
        return jnp.where(known > 0, mean, self.running)

    def lifetime_return(self) -> Array:
        """The mean of all that ended; before one has, of those that go on."""
        mean = self.total / jnp.maximum(self.count, 1)
        return jnp.where(self.count > 0, mean, self.running)


@flax.struct.dataclass
class Trained(clu.metrics.Metric):
    """What is known of the episodes of training, the same in every batch.

    Attributes:
      recent: the mean return of the last ones.
      lifetime: that of all.
    """

    recent: Array
    lifetime: Array

    @classmethod
    def from_model_output(cls, *, episodes: Episodes, **_: Any) -> Self:
        """From what a state knows of them."""
        return cls(episodes.mean_return(), episodes.lifetime_return())

    @classmethod
    def empty(cls) -> Self:
        """Unknown."""
        return cls(jnp.full((), jnp.nan), jnp.full((), jnp.nan))

    def merge(self, other: Self) -> Self:
        """The other's, where it is known."""
        return jax.tree.map(lambda new, old: jnp.where(jnp.isnan(new), old, new), other, self)

    def compute(self) -> dict[str, Array]:
        """`training_return` and `lifetime_return`."""
        return {"training_return": self.recent, "lifetime_return": self.lifetime}


@flax.struct.dataclass
class Played(clu.metrics.Metric):
    """Mean return and length of episodes."""

    returns: Mean
    lengths: Mean

    @classmethod
    def from_model_output(cls, *, returns: Array, lengths: Array, mask: Array, **_: Any) -> Self:
        """From the returns and lengths [B] of episodes, of which those of `mask` [B] count."""
        return cls(Mean.of(returns, mask), Mean.of(lengths, mask))

    @classmethod
    def empty(cls) -> Self:
        """Of no episodes."""
        return cls(Mean.empty(), Mean.empty())

    def merge(self, other: Self) -> Self:
        """Of both."""
        return type(self)(self.returns.merge(other.returns), self.lengths.merge(other.lengths))

    def compute(self) -> dict[str, Array]:
        """`return` and `length`."""
        return {"return": self.returns.compute(), "length": self.lengths.compute()}


@flax.struct.dataclass
class Returns(clu.metrics.Collection):
    """Of episodes that were played to evaluate, and of those of training."""

    played: Played
    trained: Trained


@dataclasses.dataclass(frozen=True)
class Agent(Task):
    """A task that makes its own data by acting.

    `state.extra` has `episodes`, and `running` if its environments go on from step to step.

    Attributes:
      environment: in which it acts.
      environments: N, copies of it at once.
      discount: gamma.
    """

    environment: Environment
    environments: Positive = 1
    discount: Fraction = 0.99

    def __post_init__(self) -> None:
        check_single(type(self).__name__, self.environment)

    @property
    def copies(self) -> Copies:
        """The environments of training."""
        return self.environment.copies(self.environments)

    @abc.abstractmethod
    def act(self, state: State, observation: Array, key: Array) -> Array:
        """What the trained agent does: int32 [B] for observations [B, ...]."""

    def eval_step(self, state: State, batch: Batch, key: Array) -> clu.metrics.Collection:
        """Of episodes that `act` plays, and of those of training.

        The former have `return` and `length`; of the latter, `training_return` is the mean of the
        last 100, and `lifetime_return` that of all.
        """
        mask = batch["mask"]
        returns, lengths = play(
            self.environment, lambda seen, key: self.act(state, seen, key), len(mask), key
        )
        return Returns.single_from_model_output(
            returns=returns,
            lengths=lengths,
            mask=mask,
            episodes=state.extra["episodes"],
        )

    def predict(self, state: State, batch: Batch) -> Array:
        """The actions [B] for observations, the batch's `inputs` [B, ...]."""
        return self.act(state, batch["inputs"], jax.random.key(0))


def linear(ends: tuple[Any, Any], seen: Array, over: Any) -> Array:
    """From the first of `ends` to the last over so many steps, of which some are seen; then it."""
    first, last = ends
    return jnp.where(seen < over, first + (last - first) * seen / over, last)


def initial_variables(
    agent: Any, key: Array, outputs: Mapping[str, tuple[int, ...]], such_as: str
) -> dict[str, Any]:
    """The variables of an agent's new network.

    Args:
      agent: with its `model` and its `environment`.
      key: for chance.
      outputs: what the network is to give, in order: a name and its shape for one observation.
      such_as: the name of a network that gives this.

    Raises:
      UserError: if there is no network, it gives something else, or observations are numbers.
    """
    name, model, seen = type(agent).__name__, agent.model, agent.environment.observation
    shapes = [("B", *map(str, shape)) for shape in outputs.values()]
    takes = " and ".join(
        f"{output} [{', '.join(shape)}]" for output, shape in zip(outputs, shapes, strict=True)
    )
    takes = f"{name} takes a network that gives {takes}, such as {such_as}"
    if model is None:
        raise UserError(f"config.model is missing: {takes}")
    if not seen.shape and jnp.issubdtype(seen.dtype, jnp.integer):
        raise UserError(
            f"config.environment: {name} takes observations that are arrays, and "
            f"{getattr(agent.environment, 'id', 'this one')} shows the number of its state; take "
            "task tabular, or environment gymnasium, which shows the number one-hot"
        )
    example = jnp.zeros((1, *seen.shape), seen.dtype)
    made = jax.tree.leaves(jax.eval_shape(model.init_with_output, key, example)[0])
    gives = [("B", *map(str, output.shape[1:])) for output in made]
    if gives != shapes:
        listed = " and ".join(f"[{', '.join(shape)}]" for shape in gives)
        raise UserError(f"config.model: {takes}; {type(model).__name__} gives {listed}")
    return dict(model.init(key, example))


def play(environment: Environment, act: Any, number: int, key: Array) -> tuple[Array, Array]:
    """Plays whole episodes.

    Args:
      environment: in which.
      act: (observations [B, ...], key) -> actions int32 [B].
      number: B, episodes, all at once.
      key: for chance.

    Returns:
      Their returns [B] and lengths int32 [B].
    """
    copies = environment.copies(number)
    reset_key, key = jax.random.split(key)

    def goes_on(carry: tuple) -> Array:
        time, _, alive, _, _ = carry
        return (time < environment.max_steps) & alive.any()

    def step(carry: tuple) -> tuple:
        time, running, alive, returns, lengths = carry
        act_key, step_key = jax.random.split(jax.random.fold_in(key, time))
        actions = act(running.observation, act_key)
        running, transition = copies.step(running, actions, copies.chance(step_key))
        returns = jnp.where(alive, transition.episode_return, returns)
        lengths = jnp.where(alive, time + 1, lengths)
        return time + 1, running, alive & ~transition.finished, returns, lengths

    zeros = jnp.zeros(number)
    carry = 0, copies.reset(reset_key), zeros == 0, zeros, zeros.astype(jnp.int32)
    _, _, _, returns, lengths = jax.lax.while_loop(goes_on, step, carry)
    return returns, lengths
