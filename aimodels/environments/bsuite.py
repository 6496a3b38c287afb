"""The Behaviour Suite: Osband et al., "Behaviour Suite for Reinforcement Learning", ICLR 2020.

Small environments, each of which asks for one thing that an agent should be able to do, at the
settings of the suite's sweeps. Their dynamics are gymnax's, and the suite's where these differ.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from aimodels.environments.base import Array, Step
from aimodels.environments.gymnax import Gymnax
from aimodels.errors import UserError, unknown

LENGTHS = (*range(1, 11), 12, 14, 17, 20, 25, *range(30, 105, 10))


@dataclasses.dataclass(frozen=True)
class Experiment:
    """An experiment of the suite, which is a sweep over settings.

    Attributes:
      id: gymnax's name of the environment.
      settings: that the sweep has; what they mean, `fields` says.
      fields: a setting -> fields of `Gymnax`.
      length: a setting -> steps of every episode.
      episodes: of a run.
    """

    id: str
    settings: tuple[int, ...]
    fields: Callable[[int], Mapping[str, Any]]
    length: Callable[[int], int]
    episodes: int = 10_000


EXPERIMENTS: dict[str, Experiment] = {
    # A setting is the order of the rewards.
    "bandit": Experiment("SimpleBandit-bsuite", tuple(range(20)), lambda n: {}, lambda n: 1),
    # A setting is nothing but a repetition.
    "catch": Experiment("Catch-bsuite", tuple(range(20)), lambda n: {}, lambda n: 9),
    # A setting is the size.
    "deep_sea": Experiment(
        "DeepSea-bsuite",
        tuple(range(10, 51, 2)),
        lambda n: {"arguments": {"size": n}},
        lambda n: n,
    ),
    # A setting is the action, modulo 5, with the larger reward.
    "discounting_chain": Experiment(
        "DiscountingChain-bsuite",
        tuple(range(20)),
        lambda n: {"arguments": {"mapping_seed": n % 5}},
        lambda n: 100,
        episodes=1_000,
    ),
    # A setting is the length of the memory.
    "memory_len": Experiment(
        "MemoryChain-bsuite",
        LENGTHS,
        lambda n: {"options": {"memory_length": n}},
        lambda n: n + 1,
    ),
    # A setting is the length of the chain.
    "umbrella_length": Experiment(
        "UmbrellaChain-bsuite",
        LENGTHS,
        lambda n: {"options": {"chain_length": n}, "arguments": {"n_distractor": 20}},
        lambda n: n,
    ),
}


class Bsuite(Gymnax):
    """An environment of the suite at one of its settings.

    Args:
      id: of the experiment, a name of `EXPERIMENTS`.
      setting: one of those of its sweep; None takes the first.
    """

    def __init__(self, id: str, setting: int | None = None) -> None:
        if id not in EXPERIMENTS:
            raise unknown("experiment of bsuite", id, EXPERIMENTS)
        experiment = EXPERIMENTS[id]
        setting = experiment.settings[0] if setting is None else setting
        if setting not in experiment.settings:
            raise UserError(
                f"environment.setting: bsuite's {id} has {', '.join(map(str, experiment.settings))}"
                f", not {setting}"
            )
        # Gymnax draws the bandit's rewards anew for each episode: here all begin by one key.
        self._begin = jax.random.key(setting) if id == "bandit" else None
        super().__init__(experiment.id, **experiment.fields(setting))

    def reset(self, key: Array) -> tuple[Any, Array]:
        """The state and observation with which an episode begins."""
        return super().reset(key if self._begin is None else self._begin)

    def step(self, state: Any, action: Array, key: Array) -> Step:
        """What an action leads to; in the suite, the longest episode's end is an end."""
        step = super().step(state, action, key)
        return step.replace(  # type: ignore[attr-defined]
            terminated=step.terminated | step.truncated, truncated=jnp.zeros_like(step.truncated)
        )
