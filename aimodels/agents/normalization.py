"""Running statistics by which observations and rewards are brought to about unit size.

As `VecNormalize` of Stable-Baselines3 and its forerunner in OpenAI's Baselines have it. Here the
statistics take in a rollout at a time, there a step at a time.

Shapes: T steps, N environments.
"""

from typing import Any, Self

import flax.struct
import jax
import jax.numpy as jnp

from aimodels.environments.base import Array, Transition

# A deviation is the root of the variance and this; nothing is larger than LARGEST afterwards.
EPSILON, LARGEST = 1e-8, 10.0


@flax.struct.dataclass
class Moments:
    """Mean and variance of all that was seen so far; 0 and 1 before.

    Attributes:
      count: float32, how many.
      mean: [...].
      variance: [...].
    """

    count: Array
    mean: Array
    variance: Array

    @classmethod
    def none(cls, shape: tuple[int, ...] = ()) -> Self:
        """Of nothing, for values of this shape."""
        return cls(jnp.zeros(()), jnp.zeros(shape), jnp.ones(shape))

    def after(self, values: Array) -> Self:
        """With values [T, N, ...] (Chan et al. 1979, "Updating Formulae", equation 2.1)."""
        number = values.shape[0] * values.shape[1]
        count = self.count + number
        mean, variance = values.mean((0, 1)), values.var((0, 1))
        between = (mean - self.mean) ** 2 * self.count * number / count
        squares = self.variance * self.count + variance * number + between
        return type(self)(count, self.mean + (mean - self.mean) * number / count, squares / count)

    @property
    def deviation(self) -> Array:
        """The standard deviation, above 0."""
        return jnp.sqrt(self.variance + EPSILON)


@flax.struct.dataclass
class Normalizer:
    """Of observations: less their mean, by their deviation. Of rewards: by that of the returns.

    Attributes:
      observations: what is known of them.
      returns: of the discounted sums of an episode's rewards so far.
    """

    observations: Moments
    returns: Moments

    @classmethod
    def new(cls, observation: jax.ShapeDtypeStruct) -> Self:
        """Which changes nothing yet."""
        return cls(Moments.none(observation.shape), Moments.none())

    def observation(self, observation: Array) -> Array:
        """Observations [..., *shape], normalised."""
        known = self.observations
        return jnp.clip((observation - known.mean) / known.deviation, -LARGEST, LARGEST)

    def reward(self, reward: Array) -> Array:
        """Rewards of any shape, normalised; their sign stays."""
        return jnp.clip(reward / self.returns.deviation, -LARGEST, LARGEST)

    def after(
        self, transitions: Transition, discounted: Array, discount: Any
    ) -> tuple[Self, Array]:
        """With transitions [T, N].

        Args:
          transitions: as the environments gave them.
          discounted: [N], the discounted sum of rewards of the episodes that go on.
          discount: gamma.

        Returns:
          The new statistics, and the discounted sums [N] after the transitions.
        """

        def step(total: Array, item: tuple[Array, Array]) -> tuple[Array, Array]:
            reward, done = item
            total = discount * total + reward
            return total * ~done, total

        discounted, sums = jax.lax.scan(step, discounted, (transitions.reward, transitions.done))
        observations = self.observations.after(transitions.observation.astype(jnp.float32))
        return type(self)(observations, self.returns.after(sums)), discounted
