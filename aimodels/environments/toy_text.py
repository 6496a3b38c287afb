"""The toy-text environments of gymnasium, FrozenLake, CliffWalking and Taxi, from their own tables.

gymnasium (Towers et al., "Gymnasium: A Standard Interface for Reinforcement Learning
Environments", 2024) keeps each as a table of outcomes, `env.unwrapped.P`, from which it draws.
Here the same table is drawn from in JAX.

Shapes: S states, A actions, K outcomes of an action.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aimodels.config.schema import Positive
from aimodels.environments.base import Environment, Step
from aimodels.environments.extra import needed
from aimodels.environments.gymnasium import made_with
from aimodels.environments.host import LONGEST
from aimodels.errors import UserError, unknown

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Transitions:
    """All outcomes of all actions, as NumPy arrays [S, A, K]; some may have probability 0.

    Attributes:
      probability: float64, of each outcome.
      next_state: int32, to which it leads.
      reward: float64.
      terminated: bool, whether it ends the episode.
    """

    probability: np.ndarray
    next_state: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray

    @classmethod
    def of_lists(cls, table: Any) -> "Transitions":
        """From gymnasium's `P[state][action] = [(probability, next state, reward, ends), ...]`."""
        rows = [[table[state][action] for action in table[state]] for state in range(len(table))]
        shape = len(rows), len(rows[0]), max(len(cell) for row in rows for cell in row)
        probability, reward = np.zeros(shape), np.zeros(shape)
        next_state, terminated = np.zeros(shape, np.int32), np.zeros(shape, bool)
        for state, row in enumerate(rows):
            for action, cell in enumerate(row):
                for outcome, values in enumerate(cell):
                    place = state, action, outcome
                    probability[place], next_state[place], reward[place], terminated[place] = values
        return cls(probability, next_state, reward, terminated)


class TableState(NamedTuple):
    """The number of the state in the table, and the steps since the episode began; int32."""

    table: Array
    time: Array


class ToyText(Environment):
    """An environment of gymnasium's toy text by its id, such as FrozenLake-v1.

    An observation is the number of the state, an int32 scalar. In the state of a `step` everything
    is there, so the time limit cuts off and never terminates.

    Args:
      id: in the registry of gymnasium.
      max_steps: after so many steps an episode is cut off; None is the limit of the registry, and
        LONGEST where it has none.
      options: of the environment, e.g. `{"map_name": "8x8", "is_slippery": False}`.

    Attributes:
      transitions: all outcomes.
      begin: [S], the probability that an episode begins in a state.
      num_states: S.
    """

    transitions: Transitions
    begin: np.ndarray
    num_states: int
    steps_per_second = 4

    def __init__(
        self, id: str, max_steps: Positive | None = None, options: dict | None = None
    ) -> None:
        gymnasium = needed("gymnasium", f"environment toy_text {id}")
        known = {name: spec for name, spec in gymnasium.registry.items() if _has_table(spec)}
        if id not in known:
            raise unknown("environment", id, known)
        self.id = id
        _check_options(id, options or {})
        made = made_with(known[id], options or {})
        self.transitions = Transitions.of_lists(made.unwrapped.P)
        self.begin = np.asarray(made.unwrapped.initial_state_distrib, np.float64)
        self.num_states, self.num_actions = self.transitions.probability.shape[:2]
        limit = made.spec.max_episode_steps or LONGEST
        self.max_steps = limit if max_steps is None else max_steps
        self.observation = jax.ShapeDtypeStruct((), jnp.int32)
        self._cumulative = _cumulative(self.transitions.probability)
        self._begin = _cumulative(self.begin)
        self._made = made.unwrapped

    def reset(self, key: Array) -> tuple[TableState, Array]:
        """The state and observation with which an episode begins."""
        number = _draw(jnp.asarray(self._begin), key)
        return TableState(number, jnp.zeros((), jnp.int32)), number

    def step(self, state: TableState, action: Array, key: Array) -> Step:
        """What an action leads to."""
        cell = state.table, action
        place = (*cell, _draw(jnp.asarray(self._cumulative)[cell], key))
        table = self.transitions
        number = jnp.asarray(table.next_state)[place]
        time = state.time + 1
        return Step(
            state=TableState(number, time),
            observation=number,
            reward=jnp.asarray(table.reward, jnp.float32)[place],
            terminated=jnp.asarray(table.terminated)[place],
            truncated=time >= self.max_steps,
        )

    def draw(
        self,
        state: TableState,
        observation: Any,
        *,
        path: Sequence[Any] = (),
        policy: np.ndarray | None = None,
    ) -> np.ndarray:
        """The grid with the agent, its way and its policy, uint8 [H, W, 3]."""
        from aimodels.environments.drawings.toy_text import drawing_of

        drawing = drawing_of(self._made)
        if drawing is None:
            return super().draw(state, observation, path=path, policy=policy)
        return drawing.draw(int(state.table), [int(number) for number in path], policy)


def _has_table(spec: Any) -> bool:
    """Whether it is one of toy text's; Blackjack draws cards and has no table."""
    module, _, name = str(spec.entry_point).partition(":")
    return module.startswith("gymnasium.envs.toy_text") and name != "BlackjackEnv"


def _check_options(id: str, options: dict) -> None:
    """What Gymnasium takes, but has no table of."""
    if options.get("fickle_passenger"):
        raise UserError(
            f"environment.options.fickle_passenger: {id} has it outside of its table, so it can't "
            "be had here; is_rainy can"
        )
    if options.get("map_name", "") is None and options.get("desc") is None:
        raise UserError(
            "environment.options.map_name: None would draw a new map each time; give one as desc, "
            'e.g. ("SFH", "FFG")'
        )
    rows = options.get("desc")
    if rows is not None and not (
        all(isinstance(row, str) and set(row) <= set("SFHG") for row in rows)
        and len({len(row) for row in rows}) == 1
        and any("S" in row for row in rows)
    ):
        raise UserError(
            f"environment.options.desc: {rows!r}; it takes rows of equal length of S (start, at "
            'least one), F (frozen), H (hole) and G (goal), e.g. ("SFH", "FFG")'
        )


def _cumulative(probability: np.ndarray) -> np.ndarray:
    """The sums along the last axis, the last of them exactly 1, as float32."""
    sums = np.cumsum(probability, -1)
    return (sums / sums[..., -1:]).astype(np.float32)


def _draw(cumulative: Array, key: Array) -> Array:
    """The number of an outcome, int32, by the cumulative probabilities [K] of all."""
    return (cumulative <= jax.random.uniform(key)).sum(dtype=jnp.int32)
