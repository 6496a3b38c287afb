"""The interface between an agent and what it acts in, and many copies of that at once.

Time limits are not ends: a transition says apart whether the episode was `terminated` (nothing
comes after it: its value is 0) or `truncated` (cut off: what would come still has a value), and it
always holds the observation that the action led to, also where a new episode begins with another
one. Pardo et al., "Time Limits in Reinforcement Learning", ICML 2018.

Shapes: N environments, A actions.
"""

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from aimodels.errors import UserError

Array = jax.Array


@flax.struct.dataclass
class Step:
    """What an action led to, without a leading axis.

    Attributes:
      state: of the environment.
      observation: of that state.
      reward: float32.
      terminated: whether the episode has ended.
      truncated: whether a time limit cut it off; if it also terminated, that counts.
    """

    state: Any
    observation: Array
    reward: Array
    terminated: Array
    truncated: Array


class Environment(abc.ABC):
    """A Markov decision process with a number of actions. All methods are pure.

    Attributes:
      observation: shape and dtype of an observation.
      num_actions: A; an action is an int32 scalar, 0 to A - 1.
      max_steps: the longest episode.
      stacked_frames: if more than 1, an observation is as many frames of the episode, the newest
        last on its last axis; the first one stands for those before it.
      steps_per_second: at which it is watched.
    """

    observation: jax.ShapeDtypeStruct
    num_actions: int
    max_steps: int
    stacked_frames: int = 1
    steps_per_second: float = 10

    @abc.abstractmethod
    def reset(self, key: Array) -> tuple[Any, Array]:
        """The state and observation with which an episode begins."""

    @abc.abstractmethod
    def step(self, state: Any, action: Array, key: Array) -> Step:
        """What an action leads to; not to be called after the end of an episode."""

    def draw(
        self,
        state: Any,
        observation: Any,
        *,
        path: Sequence[Any] = (),
        policy: np.ndarray | None = None,
    ) -> np.ndarray:
        """A picture, uint8 [H, W, 3], for who watches. Not pure: it draws on the host.

        By default an observation that is an image is enlarged.

        Args:
          state: to be drawn.
          observation: of that state.
          path: the observations of this episode up to this one.
          policy: the agent's action in each state [S], where observations are numbers of states.

        Raises:
          UserError: if it has no picture.
        """
        from aimodels.environments.drawings import canvas

        del state, path, policy
        picture = canvas.image(observation)
        if picture is None:
            raise UserError(
                f"environment {getattr(self, 'id', type(self).__name__)} can't be drawn. What can: "
                "gymnax's CartPole-v1, Acrobot-v1, MountainCar-v0 and MinAtar's games, toy_text's "
                "grids, those of gymnasium that render, and environments that show images (uint8)"
            )
        return picture

    def copies(self, number: int) -> "Copies":
        """N = `number` copies of it, which agents act in."""
        return Copies(self, number)


@flax.struct.dataclass
class Transition:
    """A step of each of N environments, as agents learn from.

    Attributes:
      observation: [N, ...], in which it was acted.
      action: int32 [N].
      reward: [N].
      terminated: bool [N].
      truncated: bool [N].
      next_observation: [N, ...], what the action led to, also at the end of an episode.
      episode_return: [N], the sum of rewards since the game began, this one counted; of the game's
        own, where those to learn from are clipped.
      episode_length: int32 [N], its steps.
      game_over: bool [N], where a game may go on in another episode, such as the next life; None if
        each episode is a whole game.
    """

    observation: Array
    action: Array
    reward: Array
    terminated: Array
    truncated: Array
    next_observation: Array
    episode_return: Array
    episode_length: Array
    game_over: Array | None = None

    @property
    def done(self) -> Array:
        """Whether a new episode begins after it, bool [N]."""
        return self.terminated | self.truncated

    @property
    def finished(self) -> Array:
        """Whether its return is that of a whole game, bool [N]."""
        return self.done if self.game_over is None else self.game_over


@flax.struct.dataclass
class Running:
    """Where N environments stand.

    Attributes:
      state: of the environments.
      observation: [N, ...].
      episode_return: [N], so far.
      episode_length: int32 [N], so far.
    """

    state: Any
    observation: Array
    episode_return: Array
    episode_length: Array


@flax.struct.dataclass
class Chances:
    """What chance has for some steps of N environments, drawn at once: a draw alone is slow.

    Attributes:
      keys: of the steps, [T, N].
      begin: states [T, N, ...] and observations [T, N, ...] of episodes that may begin.
    """

    keys: Array
    begin: tuple[Any, Array]


@dataclasses.dataclass(frozen=True)
class Copies:
    """N copies of an environment; where an episode ends, the next one begins.

    Attributes:
      environment: of which there are copies.
      number: N.
    """

    environment: Environment
    number: int

    def reset(self, key: Array) -> Running:
        """All at the beginning of an episode."""
        state, observation = jax.vmap(self.environment.reset)(jax.random.split(key, self.number))
        zeros = jnp.zeros(self.number)
        return Running(state, observation, zeros, zeros.astype(jnp.int32))

    def chances(self, key: Array, steps: int) -> Chances:
        """Of T = `steps` steps, to be scanned over."""
        keys = jax.random.split(key, (2, steps, self.number))
        begin = jax.vmap(self.environment.reset)(keys[1].reshape(-1))
        return Chances(
            keys[0],
            jax.tree.map(lambda x: x.reshape(steps, self.number, *x.shape[1:]), begin),
        )

    def chance(self, key: Array) -> Chances:
        """Of one step, without the axis T."""
        return jax.tree.map(lambda x: x[0], self.chances(key, 1))

    def step(
        self, running: Running, actions: Array, chances: Chances
    ) -> tuple[Running, Transition]:
        """One action [N] in each; where an episode ends, another begins.

        Args:
          running: where they stand.
          actions: int32 [N].
          chances: of this step, without the axis T.
        """
        after, transition = self.advance(running, actions, chances)
        state, observation = jax.tree.map(
            lambda new, old: jnp.where(expanded(transition.done, old), new, old.astype(new.dtype)),
            chances.begin,
            (after.state, after.observation),
        )
        alive = ~transition.done
        return Running(
            state, observation, after.episode_return * alive, after.episode_length * alive
        ), transition

    def advance(
        self, running: Running, actions: Array, chances: Chances
    ) -> tuple[Running, Transition]:
        """`step`, but what is over stays as it ended, and is not to be advanced again."""
        step = jax.vmap(self.environment.step)(running.state, actions, chances.keys)
        transition = Transition(
            observation=running.observation,
            action=actions,
            reward=step.reward,
            terminated=step.terminated,
            truncated=step.truncated & ~step.terminated,
            next_observation=step.observation,
            episode_return=running.episode_return + step.reward,
            episode_length=running.episode_length + 1,
        )
        return Running(
            step.state, step.observation, transition.episode_return, transition.episode_length
        ), transition


def arrays(state: Any) -> Any:
    """Python numbers as arrays, of no weak type: a state is carried through loops."""
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.asarray(x).dtype), state)


def expanded(values: Array, array: Array) -> Array:
    """[N] as [N, 1, ...] with as many axes as the array."""
    return values.reshape(values.shape + (1,) * (array.ndim - values.ndim))
