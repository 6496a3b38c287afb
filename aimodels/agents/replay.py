"""Replay memories on the device: the last transitions, in the order in which they were made.

`Replay` samples all alike, `Prioritised` those more often whose value was most wrong (Schaul et
al., "Prioritized Experience Replay", ICLR 2016).

Where observations are the last frames of an episode, side by side on the last axis, each frame is
stored once, and an observation put together from the frames before it: an eighth of the memory for
four of them, in `observation` and `next_observation`.

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
      frames: that an observation consists of, on its last axis; 1 stores observations whole.
    """

    stored: dict[str, Array]
    added: Array
    frames: int = flax.struct.field(pytree_node=False)

    @classmethod
    def empty(
        cls, capacity: int, observation: jax.ShapeDtypeStruct, block: int, frames: int = 1
    ) -> Self:
        """For M = `capacity` transitions that come `block` at a time.

        Raises:
          UserError: if the capacity is no multiple of the block.
        """
        return cls(**_nothing(capacity, observation, block, frames))

    @property
    def capacity(self) -> int:
        """M."""
        return len(self.stored["action"])

    def add(self, transitions: Transition) -> Self:
        """With transitions [T, N, ...]."""
        block = transitions.action.size
        begin = self.added % self.capacity
        new = dict(vars(transitions))
        if self.frames > 1:
            new["frame"] = transitions.observation[..., -1]
            new["earlier"] = self._earlier(transitions.done)

        def put(name: str, array: Array) -> Array:
            rows = new[name].reshape(block, *array.shape[1:]).astype(array.dtype)
            return jax.lax.dynamic_update_slice_in_dim(array, rows, begin, 0)

        stored = {name: put(name, array) for name, array in self.stored.items()}
        return self.replace(stored=stored, added=self.added + block)  # type: ignore[attr-defined]

    def _earlier(self, done: Array) -> Array:
        """How many frames before its own a transition's observation has of its episode, [T, N]."""
        number = done.shape[1]
        rows = (self.added - number + jnp.arange(number)) % self.capacity
        stored = self.stored
        begins = stored["terminated"][rows] | stored["truncated"][rows] | (self.added == 0)

        def step(carry: tuple, done: Array) -> tuple:
            earlier, begins = carry
            earlier = jnp.where(begins, 0, jnp.minimum(earlier + 1, self.frames - 1))
            return (earlier, done), earlier

        return jax.lax.scan(step, (stored["earlier"][rows].astype(jnp.int32), begins), done)[1]

    def sample(
        self, key: Array, number: int, n_step: int, environments: int, gamma: Any, beta: Any = 0.0
    ) -> dict[str, Array]:
        """B = `number` examples, each start equally likely.

        An example is `observation` and `action` of its start, `reward` = Σ γ^k r_k over the up to
        n steps to the end of the episode, `next_observation` after them, and `discount`, γ^n or 0
        where the episode terminated: the target is reward + discount · value(next_observation).
        `place` is where it stands, and `weight` what it counts.

        Args:
          key: for chance.
          number: B.
          n_step: n.
          environments: N.
          gamma: γ.
          beta: how far weights make up for what priorities prefer, 0 to 1.
        """
        del beta
        held = jnp.minimum(self.added, self.capacity)
        first, ahead = self._margins(n_step, environments)
        start = jax.random.randint(key, (number,), first, jnp.maximum(held - ahead, first + 1))
        place = (self._oldest() + start) % self.capacity
        return self.example(place, n_step, environments, gamma)

    def _oldest(self) -> Array:
        return jnp.where(self.added > self.capacity, self.added % self.capacity, 0)

    def _margins(self, n_step: int, environments: int) -> tuple[Array, int]:
        """How many of the oldest and of the newest transitions can't be the start of an example.

        The newest have no n steps after them yet, or not the frame that comes then; of the oldest
        the frames before them are overwritten.
        """
        overwritten = self.added > self.capacity
        before = jnp.where(overwritten, (self.frames - 1) * environments, 0)
        return before, (n_step - 1 + (self.frames > 1)) * environments

    def complete(self, n_step: int, environments: int) -> Array:
        """Whether it holds an example with all its steps; before, a sample is to be ignored."""
        first, ahead = self._margins(n_step, environments)
        return jnp.minimum(self.added, self.capacity) > first + ahead

    def learned(self, place: Array, errors: Array, learning: Array) -> Self:
        """After an update from the examples at places [B], whose values were wrong by so much.

        Where there was none, as `learning` says, all stays as it is.
        """
        del place, errors, learning
        return self

    def example(self, start: Array, n_step: int, environments: int, gamma: Any) -> dict[str, Array]:
        """The examples that begin at places [B]; see `sample`.

        Their weights are 1. But the frame with which an episode was cut off is not stored, so what
        would have come has no value: an example that ends there counts 0.
        """
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
        terminated = stored["terminated"][last]
        weight = jnp.ones(len(start))
        if self.frames > 1:
            weight *= terminated | ~stored["truncated"][last]
            observation = self._observation(start, environments)
            following = self._observation((last + environments) % self.capacity, environments)
        else:
            observation, following = stored["observation"][start], stored["next_observation"][last]
        return {
            "place": start,
            "observation": observation,
            "action": stored["action"][start],
            "reward": reward,
            "discount": discount * ~terminated,
            "next_observation": following,
            "weight": weight,
        }

    def _observation(self, place: Array, environments: int) -> Array:
        """What was seen at places [B], from frames: the first of an episode stands for earlier."""
        back = jnp.arange(self.frames - 1, -1, -1)
        steps = jnp.minimum(back, self.stored["earlier"][place][:, None])
        frames = self.stored["frame"][(place[:, None] - steps * environments) % self.capacity]
        return jnp.moveaxis(frames, 1, -1)


@flax.struct.dataclass
class Prioritised(Replay):
    """Samples a transition in proportion to its priority, (|error| + ε)^α (equation 1).

    Attributes:
      priorities: [M]; 0 of those that aren't there yet, or whose n steps aren't.
      largest: that was ever given, and is to new ones.
      exponent: α.
    """

    priorities: Array
    largest: Array
    exponent: Array

    @classmethod
    def empty(
        cls,
        capacity: int,
        observation: jax.ShapeDtypeStruct,
        block: int,
        frames: int = 1,
        exponent: Any = 0.6,
    ) -> Self:
        """As `Replay.empty`, with α = `exponent`."""
        return cls(
            **_nothing(capacity, observation, block, frames),
            priorities=jnp.zeros(capacity),
            largest=jnp.ones(()),
            exponent=jnp.asarray(exponent, jnp.float32),
        )

    def add(self, transitions: Transition) -> Self:
        """With transitions [T, N, ...], which are likely to be sampled soon."""
        block = transitions.action.size
        new = super().add(transitions)
        place = (self.added + jnp.arange(block)) % self.capacity
        priorities = self.priorities.at[place].set(self.largest)
        return new.replace(priorities=priorities)  # type: ignore[attr-defined]

    def sample(
        self, key: Array, number: int, n_step: int, environments: int, gamma: Any, beta: Any = 0.0
    ) -> dict[str, Array]:
        """B = `number` examples, one from each of B equal parts of all priority (appendix B.2.1).

        Their `weight` is (M · probability)^-β over the largest of them (section 3.4).
        """
        first, ahead = self._margins(n_step, environments)
        newest = (self.added - 1 - jnp.arange(ahead)) % self.capacity
        priorities = self.priorities.at[newest].set(0)
        oldest = jnp.arange((self.frames - 1) * environments)
        # Out of range is dropped.
        oldest = jnp.where(oldest < first, (self._oldest() + oldest) % self.capacity, self.capacity)
        priorities = priorities.at[oldest].set(0, mode="drop")
        parts = (jnp.arange(number) + jax.random.uniform(key, (number,))) / number
        place, probability = proportional(priorities, parts)
        held = jnp.minimum(self.added, self.capacity)
        complete = self.complete(n_step, environments)  # else all priorities are 0
        place = jnp.where(complete, place, (self._oldest() + first) % self.capacity)
        probability = jnp.where(complete, probability, 1 / held)
        weight = (held * probability) ** -beta
        sample = self.example(place, n_step, environments, gamma)
        return sample | {"weight": sample["weight"] * weight / weight.max()}

    def learned(self, place: Array, errors: Array, learning: Array) -> Self:
        """With the priorities of places [B] after their errors [B], where there was an update."""
        priority = (jnp.abs(errors) + 1e-6) ** self.exponent
        place = jnp.where(learning, place, self.capacity)  # out of range is dropped
        return self.replace(  # type: ignore[attr-defined]
            priorities=self.priorities.at[place].set(priority, mode="drop"),
            largest=jnp.where(learning, jnp.maximum(self.largest, priority.max()), self.largest),
        )


def proportional(weights: Array, parts: Array) -> tuple[Array, Array]:
    """The places of weights [M] at parts [B] of their sum, and each one's share of it.

    In two levels, about √M blocks and the weights in one: a running sum over a million weights
    would lose the small ones in float32.
    """
    width = math.isqrt(len(weights) - 1) + 1
    blocks = jnp.pad(weights, (0, width * width - len(weights))).reshape(width, width)
    ends = jnp.cumsum(blocks.sum(1))
    goal = parts * ends[-1]
    row = jnp.minimum(jnp.searchsorted(ends, goal, side="right"), width - 1)
    within = jnp.cumsum(blocks[row], 1)
    rest = goal - jnp.where(row > 0, ends[row - 1], 0)
    # The last weight that isn't 0 stands for what rounding puts beyond it.
    last = jnp.argmax(jnp.where(blocks[row] > 0, jnp.arange(width), -1), 1)
    column = jnp.minimum((within <= rest[:, None]).sum(1), last)
    place = row * width + column
    return place, weights[place] / ends[-1]


def _nothing(
    capacity: int, observation: jax.ShapeDtypeStruct, block: int, frames: int
) -> dict[str, Any]:
    if capacity % block:
        raise UserError(
            f"task.capacity: {capacity} is not divisible by the {block} transitions that come "
            f"at a time; take {math.ceil(capacity / block) * block}"
        )
    if frames > 1:
        seen = {
            "frame": jnp.zeros((capacity, *observation.shape[:-1]), observation.dtype),
            "earlier": jnp.zeros(capacity, jnp.uint8),
        }
    else:
        whole = jnp.zeros((capacity, *observation.shape), observation.dtype)
        seen = {"observation": whole, "next_observation": whole}
    return {
        "stored": {
            **seen,
            "action": jnp.zeros(capacity, jnp.int32),
            "reward": jnp.zeros(capacity),
            "terminated": jnp.zeros(capacity, bool),
            "truncated": jnp.zeros(capacity, bool),
        },
        "added": jnp.zeros((), jnp.int32),
        "frames": frames,
    }
