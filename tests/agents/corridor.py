"""A small world whose values are known, and a network that is a table."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.environments.base import Environment, Step


class Corridor(Environment):
    """Places 0 to length: action 1 goes up, 0 down to 0 at the least; the last place ends it.

    Each step costs 1, but the one to the end, which gives 0. An observation is the place, one-hot.
    """

    def __init__(self, length=3, max_steps=6):
        self.length, self.max_steps, self.num_actions = length, max_steps, 2
        self.observation = jax.ShapeDtypeStruct((length + 1,), jnp.float32)

    def _see(self, place):
        return jax.nn.one_hot(place, self.length + 1)

    def reset(self, key):
        """At place 0."""
        del key
        return (jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)), self._see(0)

    def step(self, state, action, key):
        """Up by action 1, down by 0."""
        del key
        place = jnp.maximum(state[0] + 2 * action - 1, 0)
        time, end = state[1] + 1, place == self.length
        return Step(
            state=(place, time),
            observation=self._see(place),
            reward=end - 1.0,
            terminated=end,
            truncated=time >= self.max_steps,
        )


class Table(nn.Module):
    """Logits and values that are parameters, one row a place."""

    num_actions: int = 2

    @nn.compact
    def __call__(self, inputs):
        """One-hot [B, S] -> the rows of logits [B, A] and values [B]."""
        places = inputs.shape[-1]
        zeros = nn.initializers.zeros_init()
        policy = self.param("policy", zeros, (places, self.num_actions))
        value = self.param("value", zeros, (places,))
        return inputs @ policy, inputs @ value


def one_hot(places, number=4):
    return jax.nn.one_hot(jnp.asarray(places), number)
