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
# Levels of the noise and the scale of rewards, each with four settings.
NOISES, SCALES = (0.1, 0.3, 1.0, 3.0, 10.0), (0.001, 0.03, 1.0, 30.0, 1000.0)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """An experiment of the suite, which is a sweep over settings.

    Attributes:
      id: gymnax's name of the environment.
      settings: that the sweep has; what they mean, `fields` says.
      fields: a setting -> fields of `Gymnax`.
      length: a setting -> steps of every episode.
      episodes: of a run.
      noise: a setting -> the deviation of the normal noise of each reward.
      scale: a setting -> what rewards are multiplied by.
    """

    id: str
    settings: tuple[int, ...]
    fields: Callable[[int], Mapping[str, Any]]
    length: Callable[[int], int]
    episodes: int = 10_000
    noise: Callable[[int], float] = lambda n: 0.0
    scale: Callable[[int], float] = lambda n: 1.0


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
    # A setting is how much is to be kept in mind, in bits.
    "memory_size": Experiment(
        "MemoryChain-bsuite",
        LENGTHS[:17],
        lambda n: {"options": {"memory_length": 2}, "arguments": {"num_bits": n}},
        lambda n: 3,
    ),
    # A setting is how many numbers are shown that mean nothing.
    "umbrella_distract": Experiment(
        "UmbrellaChain-bsuite",
        LENGTHS,
        lambda n: {"options": {"chain_length": 20}, "arguments": {"n_distractor": n}},
        lambda n: 20,
    ),
}
EXPERIMENTS |= {
    f"{name}_{change}": dataclasses.replace(EXPERIMENTS[name], **{change: level})
    for name in ("bandit", "catch")
    for change, level in (
        ("noise", lambda n: NOISES[n // 4]),
        ("scale", lambda n: SCALES[n // 4]),
    )
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
        bandit = experiment.id == "SimpleBandit-bsuite"
        self._begin = jax.random.key(setting) if bandit else None
        self._noise, self._scale = experiment.noise(setting), experiment.scale(setting)
        super().__init__(experiment.id, **experiment.fields(setting))

    def reset(self, key: Array) -> tuple[Any, Array]:
        """The state and observation with which an episode begins."""
        return super().reset(key if self._begin is None else self._begin)

    def step(self, state: Any, action: Array, key: Array) -> Step:
        """What an action leads to; in the suite, the longest episode's end is an end."""
        step = super().step(state, action, key)
        noise = jax.random.normal(jax.random.fold_in(key, 1)) if self._noise else 0.0
        return step.replace(  # type: ignore[attr-defined]
            reward=self._scale * step.reward + self._noise * noise,
            terminated=step.terminated | step.truncated,
            truncated=jnp.zeros_like(step.truncated),
        )
