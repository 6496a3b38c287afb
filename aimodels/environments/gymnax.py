"""The environments of gymnax: classic control, MinAtar, bsuite, all written in JAX.

Lange, "gymnax: A JAX-based Reinforcement Learning Environment Library", 2022.
"""

import contextlib
import dataclasses
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aimodels.config.schema import Fraction, Positive
from aimodels.environments.base import Environment, Step, arrays
from aimodels.environments.extra import needed
from aimodels.errors import UserError, unknown

Array = jax.Array
# Steps a second when watched: CartPole's is its own time step, the others as in gymnasium.
PACES = {"CartPole-v1": 50, "Acrobot-v1": 15, "MountainCar-v0": 30}


class Gymnax(Environment):
    """An environment of gymnax by its name, such as CartPole-v1 or Breakout-MinAtar.

    Its observations are what the published environment shows.

    Args:
      id: the name.
      max_steps: after so many steps an episode is cut off; None is the environment's own limit.
      options: further fields of the environment's parameters, e.g. `{"gravity": 1.6}`.
      arguments: of the environment itself, e.g. `{"size": 20}` of DeepSea-bsuite, or
        `{"use_minimal_action_set": False}` for all six actions in a game of MinAtar.
      sticky_actions: how likely it is that the last action is done again instead of the new one
        (Machado et al. 2018, section 5; 0.1 in MinAtar).
    """

    def __init__(
        self,
        id: str,
        max_steps: Positive | None = None,
        options: dict | None = None,
        arguments: dict | None = None,
        sticky_actions: Fraction = 0.0,
    ) -> None:
        gymnax = needed("gymnax", f"environment gymnax {id}")
        known = gymnax.registered_envs
        if id not in known:
            raise unknown("environment", id, known)
        self.id = id
        arguments = dict(arguments or {})
        if arguments:
            takes = set(inspect.signature(type(gymnax.make(id)[0]).__init__).parameters) - {"self"}
            for name in arguments:
                if name not in takes:
                    raise UserError(f"environment.arguments: {unknown('argument', name, takes)}")
        changed = dict(options or {})
        given = f"environment {id}, arguments {arguments}, options {changed}"
        with _explained(given):
            self._environment, parameters = gymnax.make(id, **arguments)
        fields = {field.name for field in dataclasses.fields(parameters)}
        for name in changed:
            if name not in fields:
                raise UserError(f"environment.options: {unknown('field', name, fields)}")
        if max_steps is not None:
            changed["max_steps_in_episode"] = max_steps
        self._parameters: Any = parameters.replace(**changed)
        space = self._environment.action_space(self._parameters)
        if not hasattr(space, "n"):
            raise UserError(
                f"environment {id}: its actions are {type(space).__name__}{tuple(space.shape)}; "
                "agents here choose from a number of actions, such as those of CartPole-v1"
            )
        self.num_actions = int(space.n)
        # MinAtar's channels are zeros and ones: a quarter of the memory in a replay.
        self._sticky = sticky_actions
        self._dtype = jnp.bool_ if id.endswith("-MinAtar") else jnp.float32
        self.steps_per_second = PACES.get(id, self.steps_per_second)
        with _explained(given):
            self.max_steps = int(self._parameters.max_steps_in_episode)
            key = jax.eval_shape(lambda: jax.random.key(0))
            state, self.observation = jax.eval_shape(self.reset, key)
            jax.eval_shape(self.step, state, jax.ShapeDtypeStruct((), jnp.int32), key)

    def reset(self, key: Array) -> tuple[Any, Array]:
        """The state and observation with which an episode begins."""
        observation, state = self._environment.reset_env(key, self._parameters)
        state = arrays(state)
        if self._sticky:
            state = {"state": state, "action": jnp.zeros((), jnp.int32)}
        return state, jnp.asarray(observation, self._dtype)

    def step(self, state: Any, action: Array, key: Array) -> Step:
        """What an action leads to."""
        if self._sticky:
            key, sticky_key = jax.random.split(key)
            again = jax.random.bernoulli(sticky_key, self._sticky)
            action = jnp.where(again, state["action"], action).astype(jnp.int32)
            step = self._step(state["state"], action, key)
            return step.replace(  # type: ignore[attr-defined]
                state={"state": step.state, "action": action}
            )
        return self._step(state, action, key)

    def _step(self, state: Any, action: Array, key: Array) -> Step:
        observation, state, reward, terminated, _ = self._environment.step_env(
            key, state, action, self._parameters
        )
        return Step(
            state=arrays(state),
            observation=jnp.asarray(observation, self._dtype),
            reward=jnp.asarray(reward, jnp.float32),
            terminated=jnp.asarray(terminated, bool),
            truncated=self._environment.is_truncated(state, self._parameters),
        )

    def draw(
        self,
        state: Any,
        observation: Any,
        *,
        path: Sequence[Any] = (),
        policy: np.ndarray | None = None,
    ) -> np.ndarray:
        """Classic control and MinAtar as a picture, uint8 [H, W, 3]."""
        from aimodels.environments.drawings import classic_control, minatar

        state = state["state"] if self._sticky else state
        if self.id in classic_control.DRAWINGS:
            return classic_control.DRAWINGS[self.id](state, self._parameters)
        if self.id in minatar.CHANNELS:
            return minatar.draw(self.id, observation)
        return super().draw(state, observation, path=path, policy=policy)


@contextlib.contextmanager
def _explained(given: str) -> Iterator[None]:
    """Raises `UserError` for what gymnax raises of its arguments and parameters."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        said = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(f"{given}: {said}") from error
