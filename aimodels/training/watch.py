"""Watches a trained agent: plays whole episodes, and makes a film of them."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aimodels.agents.alphazero import AlphaZero
from aimodels.agents.base import Agent
from aimodels.environments.base import Environment
from aimodels.environments.drawings.canvas import with_caption
from aimodels.errors import UserError
from aimodels.tasks.base import State
from aimodels.training.films import check_format, write_film
from aimodels.training.load import load

FRAMES_PER_SECOND = 25  # at most
MOST_FRAMES = 1000  # of all episodes together; longer ones are shown faster
REST = 1.5  # seconds for which an episode's end is shown


class Frames:
    """The frames of one episode, one for every so many steps; of a long one they get sparser.

    Args:
      every: steps from one frame to the next.
      most: frames that are kept.
    """

    def __init__(self, every: int, most: int = MOST_FRAMES) -> None:
        self.every, self._most = every, most
        self._kept: list[tuple[int, np.ndarray]] = []

    def add(self, time: int, draw: Callable[[], np.ndarray], last: bool) -> None:
        """The frame after `time` steps, if it is one to keep; the last one always is."""
        if time % self.every == 0 or last:
            self._kept.append((time, draw()))
        if len(self._kept) > self._most and not last:
            self.every *= 2
            self._kept = [(time, frame) for time, frame in self._kept if time % self.every == 0]

    @property
    def pictures(self) -> list[np.ndarray]:
        """In order, [H, W, 3] each."""
        return [frame for _, frame in self._kept]


def watch(
    workdir: str | os.PathLike,
    *,
    output: str | os.PathLike | None = None,
    episodes: int = 1,
    seed: int = 0,
    step: int | str = "latest",
    replica: int = 0,
) -> dict[str, Any]:
    """Plays what a run has learned, and writes a film of it.

    The agent acts as it is evaluated, without exploring. One of a game of two players plays both
    sides, and the boards are printed on standard error: there is no film of it.

    Args:
      workdir: of the run.
      output: a .gif or .mp4; by default `watch.gif` in the work folder.
      episodes: how many.
      seed: of chance: the same seed gives the same episodes.
      step: of the checkpoint, `latest`, `best` or a number.
      replica: which one, counted from 0.

    Returns:
      `{"workdir", "step", "replica", "film": path or None, "episodes": [{"return", "length"}]}`; of
      a game, the return is that of who began.

    Raises:
      UserError: the folder isn't an agent's run, has no such checkpoint, the environment has no
        picture, or the film can't be written.
    """
    film = Path(output) if output else Path(workdir) / "watch.gif"
    check_format(film)
    loaded = load(workdir, step=step, replica=replica)
    agent = loaded.task
    about = {"workdir": str(workdir), "step": loaded.step, "replica": replica}
    if isinstance(agent, AlphaZero):
        return {**about, "film": None, "episodes": _games(agent, loaded.state, episodes, seed)}
    if not isinstance(agent, Agent):
        name = loaded.config.task.name
        raise UserError(f"{workdir} is a run of task {name!r}: only an agent's can be watched")
    pace = agent.environment.steps_per_second
    every = max(1, round(pace / FRAMES_PER_SECOND))
    played, pictures, seconds = [], [], []
    for episode in range(episodes):
        number = f"episode {episode + 1} of {episodes}" if episodes > 1 else ""
        frames = Frames(every, max(2, MOST_FRAMES // episodes))
        key = jax.random.fold_in(jax.random.key(seed), episode)
        total, length = _play(agent, loaded.state, key, frames, number)
        played.append({"return": total, "length": length})
        pictures += frames.pictures
        seconds += [every / pace] * (len(frames.pictures) - 1) + [REST]
    write_film(film, pictures, seconds)
    print(f"{film}: {len(pictures)} frames, {sum(seconds):.0f} s", file=sys.stderr)
    return {**about, "film": str(film), "episodes": played}


def _games(agent: AlphaZero, state: State, number: int, seed: int) -> list[dict[str, float]]:
    """Games of an agent against itself, printed."""
    from aimodels.agents.play import play

    def write(line: str) -> None:
        print(line, file=sys.stderr)

    played = []
    for game in range(number):
        finished = play(agent, state.variables, read=None, write=write, seed=seed + game)
        assert finished is not None  # who plays itself does not quit
        played.append(dict(zip(("return", "length"), finished, strict=True)))
    return played


def _play(
    agent: Agent, state: State, key: jax.Array, frames: Frames, number: str
) -> tuple[float, int]:
    """One episode, whose pictures go to `frames`: its return and length."""
    environment = agent.environment
    copies = environment.copies(1)
    name = " · ".join(filter(None, (getattr(environment, "id", ""), number)))
    act = jax.jit(lambda seen, key: agent.act(state, seen, key))
    advance = jax.jit(
        lambda running, actions, key: copies.advance(running, actions, copies.chance(key))
    )
    policy = _policy(agent, environment, state, key)
    reset_key, key = jax.random.split(key)
    running = jax.jit(copies.reset)(reset_key)
    total, time, done = 0.0, 0, False
    path: list[Any] = []
    while True:
        now, observation = jax.tree.map(lambda x: x[0], (running.state, running.observation))
        if policy is not None:  # else it may be images, and long
            path.append(np.asarray(observation))
        caption = f"step {time}   return {total:g}"

        def draw(now: Any = now, observation: Any = observation, caption: str = caption) -> Any:
            picture = environment.draw(now, observation, path=path, policy=policy)
            return with_caption(picture, name, caption)

        frames.add(time, draw, done)
        if done:
            return total, time
        act_key, step_key = jax.random.split(jax.random.fold_in(key, time))
        actions = act(running.observation, act_key)
        running, transition = advance(running, actions, step_key)
        time += 1
        total = float(transition.episode_return[0])
        done = bool(transition.finished[0]) or time >= environment.max_steps


def _policy(
    agent: Agent, environment: Environment, state: State, key: jax.Array
) -> np.ndarray | None:
    """The agent's action in each state, where observations are numbers of states."""
    states = getattr(environment, "num_states", None)
    if states is None:
        return None
    return np.asarray(jax.jit(agent.act)(state, jnp.arange(states, dtype=jnp.int32), key))
