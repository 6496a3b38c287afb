"""A replay memory on the device: the last transitions, in the order in which they were made.

Shapes: T steps, N environments, B examples, M transitions that it holds.
"""

import math
from typing import Any, Self

import flax.struct
import jax
import jax.numpy as jnp

from aimodels.environments.base import Array, Transition
from aimodels.errors import UserError


@flax.struct.dataclass
class Replay:
    """The last M transitions of N environments, oldest overwritten first.

    Attributes:
      stored: field -> [M, ...]; of one step, those of all environments stand side by side.
      added: int32, how many were ever added.
    """

    stored: dict[str, Array]
    added: Array

    @classmethod
    def empty(cls, capacity: int, observation: jax.ShapeDtypeStruct, block: int) -> Self:
        """For M = `capacity` transitions that come `block` at a time.

        Raises:
          UserError: if the capacity is no multiple of the block.
        """
        if capacity % block:
            raise UserError(
                f"task.capacity: {capacity} is not divisible by the {block} transitions that come "
                f"at a time; take {math.ceil(capacity / block) * block}"
            )
        seen = jnp.zeros((capacity, *observation.shape), observation.dtype)
        return cls(
            stored={
                "observation": seen,
                "next_observation": seen,
                "action": jnp.zeros(capacity, jnp.int32),
                "reward": jnp.zeros(capacity),
                "terminated": jnp.zeros(capacity, bool),
                "truncated": jnp.zeros(capacity, bool),
            },
            added=jnp.zeros((), jnp.int32),
        )

    @property
    def capacity(self) -> int:
        """M."""
        return len(self.stored["action"])

    def add(self, transitions: Transition) -> Self:
        """With transitions [T, N, ...]."""
        block = transitions.action.size
        begin = self.added % self.capacity

        def put(name: str, array: Array) -> Array:
            rows = getattr(transitions, name).reshape(block, *array.shape[1:]).astype(array.dtype)
            return jax.lax.dynamic_update_slice_in_dim(array, rows, begin, 0)

        stored = {name: put(name, array) for name, array in self.stored.items()}
        return self.replace(stored=stored, added=self.added + block)  # type: ignore[attr-defined]

    def sample(self, key: Array, number: int, n_step: int, environments: int, gamma: Any) -> dict:
        """B = `number` examples, each start equally likely.

        An example is `observation` and `action` of its start, `reward` = Σ γ^k r_k over the up to
        n steps to the end of the episode, `next_observation` after them, and `discount`, γ^n or 0
        where the episode terminated: the target is reward + discount · value(next_observation).

        Args:
          key: for chance.
          number: B.
          n_step: n.
          environments: N.
          gamma: γ.
        """
        ahead = (n_step - 1) * environments
        held = jnp.minimum(self.added, self.capacity)
        oldest = jnp.where(self.added > self.capacity, self.added % self.capacity, 0)
        start = jax.random.randint(key, (number,), 0, jnp.maximum(held - ahead, 1))
        return self.example((oldest + start) % self.capacity, n_step, environments, gamma)

    def example(self, start: Array, n_step: int, environments: int, gamma: Any) -> dict:
        """The examples that begin at places [B]; see `sample`."""
        stored = self.stored
        place = last = start
        going, reward, discount = jnp.ones(len(start)), jnp.zeros(len(start)), jnp.ones(len(start))
        for step in range(n_step):
            last = jnp.where(going > 0, place, last)
            reward += going * discount * stored["reward"][place]
            discount = jnp.where(going > 0, discount * gamma, discount)
            if step + 1 < n_step:
                done = stored["terminated"][place] | stored["truncated"][place]
                going *= ~done
                place = (place + environments) % self.capacity
        return {
            "observation": stored["observation"][start],
            "action": stored["action"][start],
            "reward": reward,
            "discount": discount * ~stored["terminated"][last],
            "next_observation": stored["next_observation"][last],
        }
