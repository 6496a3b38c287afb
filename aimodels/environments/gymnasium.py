"""Environments of Gymnasium, which run on the host.

Towers et al., "Gymnasium: A Standard Interface for Reinforcement Learning Environments", 2024.
"""

import functools
import importlib
import inspect
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aimodels.config.schema import Positive
from aimodels.environments.extra import needed
from aimodels.environments.host import LONGEST, History, HostEnvironment, Outcome
from aimodels.errors import UserError, unknown


class Gymnasium(HostEnvironment):
    """An environment by its id, such as CartPole-v1, or `package:Name-v0` of a package of yours.

    Observations are what it gives, in JAX's types (float32 for float64). A number of a state is
    shown one-hot as float32, and so are the parts of what is made of several, one after the other.

    Args:
      id: in the registry of Gymnasium.
      max_steps: after so many steps an episode is cut off; None is the limit of the registry, and
        LONGEST where it has none.
      options: of the environment, e.g. `{"map_name": "8x8"}` of FrozenLake-v1.
      one_hot: False shows the number of a state as it is, int32, as a table needs it.

    Attributes:
      num_states: if those are shown.
    """

    def __init__(
        self,
        id: str,
        max_steps: Positive | None = None,
        options: dict | None = None,
        one_hot: bool = True,
    ) -> None:
        self._gymnasium = needed("gymnasium", f"environment gymnasium {id}")
        self.id, self._options = id, dict(options or {})
        spec = self._spec()
        self.max_steps = spec.max_episode_steps or LONGEST if max_steps is None else max_steps
        made = self._made()
        spaces, actions, seen = self._gymnasium.spaces, made.action_space, made.observation_space
        if not isinstance(actions, spaces.Discrete):
            shape = tuple(actions.shape or ())
            raise UserError(
                f"environment {id}: its actions are {type(actions).__name__}{shape}; "
                "agents here choose from a number of actions, such as those of CartPole-v1"
            )
        self.num_actions, self.first_action = int(actions.n), int(actions.start)
        if not one_hot:
            if not isinstance(seen, spaces.Discrete):
                raise UserError(
                    f"environment.one_hot: {id} does not show the number of a state, but "
                    f"{type(seen).__name__}; leave it at True"
                )
            self.num_states, self._first_state = int(seen.n), int(seen.start)
            self.observation = jax.ShapeDtypeStruct((), jnp.int32)
        elif isinstance(seen, spaces.Box):
            dtype = jax.dtypes.canonicalize_dtype(seen.dtype)
            self.observation = jax.ShapeDtypeStruct(seen.shape, dtype)
        elif seen.is_np_flattenable:
            shape = spaces.flatten_space(seen).shape
            self.observation = jax.ShapeDtypeStruct(shape, jnp.float32)
        else:
            raise UserError(
                f"environment {id}: its observations are {type(seen).__name__}, of no fixed size"
            )
        self._space = seen
        made.close()

    def make(self) -> "GymnasiumGame":
        """A game, to be reset."""
        return GymnasiumGame(self, self._made())

    def draw(
        self,
        state: History,
        observation: Any,
        *,
        path: Sequence[Any] = (),
        policy: np.ndarray | None = None,
    ) -> np.ndarray:
        """What Gymnasium draws of the game, played again up to that state; uint8 [H, W, 3]."""
        if "rgb_array" not in self._drawn.metadata.get("render_modes", ()):
            return super().draw(state, observation, path=path, policy=policy)
        self._drawn.reset(seed=int(state.seed))
        for action in np.asarray(state.actions)[: int(state.time)]:
            self._drawn.step(self.first_action + int(action))
        return np.asarray(self._drawn.render(), np.uint8)

    @functools.cached_property
    def _drawn(self) -> Any:
        """A game to draw, if it can be drawn."""
        os.environ.setdefault("SDL_AUDIODRIVER", "dummy")  # pygame looks for a sound card
        return self._made(render_mode="rgb_array")

    def array(self, observation: Any) -> np.ndarray:
        """An observation of Gymnasium's as ours, a new array."""
        seen = self.observation
        if hasattr(self, "num_states"):
            observation = observation - self._first_state
        elif not isinstance(self._space, self._gymnasium.spaces.Box):
            observation = self._gymnasium.spaces.flatten(self._space, observation)
        return np.array(observation, seen.dtype, order="C").reshape(seen.shape)

    def _spec(self) -> Any:
        """What the registry says of the id."""
        module, _, name = self.id.rpartition(":")
        if module:
            try:
                importlib.import_module(module)
            except ModuleNotFoundError as error:
                raise UserError(f"environment {self.id}: no package {error.name!r}") from error
        known = self._gymnasium.registry
        if name not in known:
            raise unknown("environment", name, known)
        return known[name]

    def _made(self, **fields: Any) -> Any:
        """One of Gymnasium's, with its limit."""
        fields |= {"max_episode_steps": self.max_steps, "disable_env_checker": True}
        made = made_with(self._spec(), self._options, **fields)
        if any(kind.__name__ == "FunctionalJaxEnv" for kind in type(made.unwrapped).__mro__):
            raise UserError(
                f"environment {self.id}: it is written in JAX, which a compiled step can't call "
                "back; config.environment.name='gymnax' has such environments"
            )
        return made


class GymnasiumGame:
    """One of Gymnasium's environments.

    Args:
      of: says what is shown of it.
      environment: Gymnasium's.
    """

    def __init__(self, of: Gymnasium, environment: Any) -> None:
        self._of, self._environment = of, environment

    def reset(self, seed: int) -> np.ndarray:
        """Begins anew."""
        self._score = 0.0
        observation, _ = self._environment.reset(seed=seed)
        return self._of.array(observation)

    def step(self, action: int) -> Outcome:
        """Makes an action."""
        given, reward, terminated, truncated, _ = self._environment.step(
            self._of.first_action + action
        )
        self._score += float(reward)
        observation = self._of.array(given)
        following = None if terminated or truncated else observation
        return Outcome(
            observation, float(reward), self._score, bool(terminated), bool(truncated), following
        )


def made_with(spec: Any, options: Mapping[str, Any], **fields: Any) -> Any:
    """One of Gymnasium's environments.

    Args:
      spec: what its registry says of it.
      options: of the environment, from a config.
      fields: further ones of `gymnasium.make`.

    Raises:
      UserError: if it needs a package, or does not take these options.
    """
    import gymnasium

    errors = gymnasium.error
    try:
        return gymnasium.make(spec.id, **fields, **options)
    except (errors.DependencyNotInstalled, ImportError) as error:
        raise UserError(f"environment {spec.id}: {error}") from error
    except (errors.Error, TypeError, ValueError, AssertionError, KeyError) as error:
        known = _parameters(spec)
        for name in options:
            if known is not None and name not in known:
                raise UserError(f"environment.options: {unknown('field', name, known)}") from error
        said = str(error) or type(error).__name__
        raise UserError(f"environment {spec.id}, options {dict(options)}: {said}") from error


def _parameters(spec: Any) -> set[str] | None:
    """Names of an environment's options; None if it takes any."""
    from gymnasium.envs.registration import load_env_creator

    creator = spec.entry_point
    creator = creator if callable(creator) else load_env_creator(creator)
    parameters = inspect.signature(creator).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return None
    return set(parameters) - {"render_mode"}
