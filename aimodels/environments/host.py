"""Environments that run on the host, in Python or C++, as pure functions by replay.

A state is what has happened: the seed of a game and its actions so far. To step it, the host
looks for a game that stands there and makes the action in it. If there is none, since the run was
resumed or an old state is stepped again, a game is begun from the seed and the actions are made
again. So a checkpoint holds all there is, and a run that was resumed ends with the same bits, if a
game repeats itself from its seed; one that doesn't is noticed by a checksum.

Shapes: N environments, L steps of the longest game.
"""

import abc
import dataclasses
import functools
import threading
import zlib
from collections import OrderedDict
from typing import Any, NamedTuple, Protocol

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from aimodels.environments.base import Chances, Copies, Environment, Running, Step, Transition
from aimodels.errors import UserError

Array = jax.Array
# Games that are kept, at least: those of several replicas' training, and of an evaluation.
KEPT = 256
# An episode of an environment that has no limit; a policy that walks in circles would never end.
LONGEST = 1000
# Words of a call before the actions so far: whether another game is to follow one that is over, its
# seed, the action, and of the state its seed, time and place.
HEAD = 8


class Outcome(NamedTuple):
    """What an action led to.

    Attributes:
      observation: then.
      reward: to learn from.
      score: the sum of the game's own rewards since it began.
      terminated: whether the episode has ended.
      truncated: whether a limit has cut it off.
      following: the observation to act on next: the same one, or that with which the next episode
        of the same game begins; None if the game is over.
    """

    observation: np.ndarray
    reward: float
    score: float
    terminated: bool
    truncated: bool
    following: np.ndarray | None


class Game(Protocol):
    """One game on the host: from the same seed, the same actions lead to the same outcomes.

    Each observation is a new array.
    """

    def reset(self, seed: int) -> np.ndarray:
        """Begins a new one; its first observation."""
        ...

    def step(self, action: int) -> Outcome:
        """Makes an action, 0 to A - 1."""
        ...


@flax.struct.dataclass
class History:
    """The state of an environment on the host: what has happened in it.

    Attributes:
      seed: uint32, of the game.
      actions: [L], of the smallest unsigned type; those before `time` were made in this game.
      time: int32, how many.
      place: uint32 [3], a 64-bit hash of all this, and a checksum of the observation.
    """

    seed: Array
    actions: Array
    time: Array
    place: Array


class HostEnvironment(Environment):
    """An environment of games on the host. Others of the same class are independent of it.

    Attributes:
      id: its name, for messages.
    """

    id: str

    @abc.abstractmethod
    def make(self) -> Game:
        """A game, to be reset."""

    @functools.cached_property
    def games(self) -> "Games":
        """Those that go on."""
        return Games(self)

    def copies(self, number: int) -> "HostCopies":
        """N = `number` copies of it, all stepped by one call of the host."""
        return HostCopies(self, number)

    def reset(self, key: Array) -> tuple[History, Array]:
        """The state and observation with which a game begins."""
        return self.begin(jax.random.bits(key))

    def step(self, state: History, action: Array, key: Array) -> Step:
        """What an action leads to; chance is in the game's seed, not in the key."""
        del key
        after, state = self.advance(state, action)
        return Step(state, after.observation, after.reward, after.terminated, after.truncated)

    def begin(self, seed: Array) -> tuple[History, Array]:
        """The state and observation with which the game of a seed, uint32, begins."""
        shapes = self.observation, _shape(jnp.uint32, 3)
        observation, place = jax.pure_callback(
            self.games.begin, shapes, seed, vmap_method="broadcast_all"
        )
        dtype, each = self._actions
        longest = -(-self.max_steps // each) * each
        return History(seed, jnp.zeros(longest, dtype), jnp.int32(0), place), observation

    def advance(
        self, state: History, action: Array, next_seed: Array | None = None
    ) -> tuple["After", History]:
        """What an action leads to, and the state to act in next.

        Args:
          state: now.
          action: int32.
          next_seed: of the game that begins where this one is over; None if none is to.
        """
        begins = next_seed is not None
        seed = next_seed if begins else jnp.uint32(0)
        numbers = begins, seed, action, state.seed, state.time
        head = jnp.stack([jnp.asarray(number).astype(jnp.uint32) for number in numbers])
        _, each = self._actions
        actions = state.actions.reshape(-1, each) if each > 1 else state.actions
        # One array: of each that a call takes, JAX makes a copy, which costs 50 us.
        words = jnp.concatenate(
            [head, state.place, jax.lax.bitcast_convert_type(actions, jnp.uint32)]
        )
        seen, number, flag = self.observation, _shape(jnp.float32), _shape(jnp.bool_)
        shapes = (seen, seen, number, number, flag, flag, flag, _shape(jnp.uint32, 3))
        after = After._make(
            jax.pure_callback(self.games.step, shapes, words, vmap_method="broadcast_all")
        )
        renewed = after.game_over & begins
        return after, History(
            seed=jnp.where(renewed, seed, state.seed),
            actions=state.actions.at[state.time].set(action.astype(state.actions.dtype)),
            time=jnp.where(renewed, 0, state.time + 1),
            place=after.place,
        )

    @property
    def _actions(self) -> tuple[np.dtype, int]:
        """The type of an action in a history, and how many are in a word of 32 bits."""
        dtype = np.min_scalar_type(self.num_actions - 1)
        return dtype, max(4 // dtype.itemsize, 1)


class After(NamedTuple):
    """An `Outcome` in JAX; where a new game begins, `following` is its first observation.

    `place` is that of the state to act in next, as in `History`.
    """

    observation: Array
    following: Array
    reward: Array
    score: Array
    terminated: Array
    truncated: Array
    game_over: Array
    place: Array


@dataclasses.dataclass(frozen=True)
class HostCopies(Copies):
    """N copies of an environment on the host; a game begins where one is over, and only there."""

    environment: HostEnvironment

    def chances(self, key: Array, steps: int) -> Chances:
        """The seeds of games that may begin in T = `steps` steps."""
        return Chances(jax.random.bits(key, (steps, self.number)), begin=())  # type: ignore

    def step(
        self, running: Running, actions: Array, chances: Chances
    ) -> tuple[Running, Transition]:
        """One action [N] in each; where a game is over, another begins."""
        return self._after(running, actions, chances.keys)

    def advance(
        self, running: Running, actions: Array, chances: Chances
    ) -> tuple[Running, Transition]:
        """`step`, but a game that is over stays as it ended, and is not to be advanced again."""
        del chances
        return self._after(running, actions, None)

    def _after(
        self, running: Running, actions: Array, next_seeds: Array | None
    ) -> tuple[Running, Transition]:
        advance = jax.vmap(self.environment.advance, (0, 0, None if next_seeds is None else 0))
        after, state = advance(running.state, actions, next_seeds)
        transition = Transition(
            observation=running.observation,
            action=actions,
            reward=after.reward,
            terminated=after.terminated,
            truncated=after.truncated & ~after.terminated,
            next_observation=after.observation,
            episode_return=after.score,
            episode_length=running.episode_length + 1,
            game_over=after.game_over,
        )
        renewed = after.game_over & (next_seeds is not None)
        return Running(
            state=state,
            observation=after.following,
            episode_return=after.score * ~renewed,
            episode_length=transition.episode_length * ~(transition.done | renewed),
        ), transition


class Games:
    """The games that go on, a bounded number, by what has happened in them.

    The last outcomes are kept too: loops over several replicas ask for some a second time.

    Args:
      environment: makes games.
    """

    def __init__(self, environment: HostEnvironment) -> None:
        self._environment = environment
        self._live: OrderedDict[int, Game] = OrderedDict()  # by the hash of what happened
        self._outcomes: OrderedDict[int, Outcome] = OrderedDict()  # that led there
        self._idle: list[Game] = []
        self._kept = KEPT
        self._lock = threading.Lock()  # replicas may be on several devices

    def __len__(self) -> int:
        return len(self._live) + len(self._idle)

    def begin(self, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First observations [..., *shape] of games and places [..., 3], for seeds [...]."""
        seeds = np.asarray(seeds)
        with self._lock:
            self._make_room_for(seeds.size)
            begun = [self._begun(seed) for seed in seeds.reshape(-1).tolist()]
        observations = np.stack([observation for _, observation in begun])
        places = np.array([_place(*item) for item in begun], np.uint32)
        return _reshaped(seeds.shape, observations, places)

    def step(self, words: np.ndarray) -> tuple[np.ndarray, ...]:
        """What actions lead to, the fields of `After` [..., *shape].

        Args:
          words: uint32 [..., HEAD and those of the actions so far].
        """
        words = np.asarray(words)
        rows = words.reshape(-1, words.shape[-1])
        seen, number = self._environment.observation, len(rows)
        observation, following = np.empty((2, number, *seen.shape), seen.dtype)
        reward, score = np.empty((2, number), np.float32)
        terminated, truncated, game_over = np.empty((3, number), bool)
        place = np.empty((number, 3), np.uint32)
        with self._lock:
            self._make_room_for(number)
            for row, head in enumerate(rows[:, :HEAD].tolist()):
                begins, next_seed, action, *state = head
                history, outcome = self._stepped(action, state, rows[row, HEAD:])
                observation[row] = outcome.observation
                reward[row], score[row] = outcome.reward, outcome.score
                terminated[row], truncated[row] = outcome.terminated, outcome.truncated
                game_over[row] = outcome.following is None
                shown = outcome.following
                if shown is None and begins:
                    history, shown = self._begun(next_seed)
                elif shown is None:
                    shown = outcome.observation
                following[row], place[row] = shown, _place(history, shown)
        arrays = observation, following, reward, score, terminated, truncated, game_over, place
        return _reshaped(words.shape[:-1], *arrays)

    def _begun(self, seed: int) -> tuple[int, np.ndarray]:
        """The hash and the first observation of a game."""
        history = _mixed(0, seed)
        outcome = self._outcomes.get(history)
        if outcome is None:
            game = self._vacant()
            shown = game.reset(seed)
            outcome = Outcome(shown, 0.0, 0.0, False, False, shown)
            self._keep(history, outcome, game)
        return history, outcome.observation

    def _stepped(self, action: int, state: list[int], words: np.ndarray) -> tuple[int, Outcome]:
        """The hash after an action, and what it led to."""
        seed, time, high, low, checksum = state
        before = high << 32 | low
        history = _mixed(before, action)
        outcome = self._outcomes.get(history)
        if outcome is None:
            game = self._live.pop(before, None)
            if game is None:
                dtype, _ = self._environment._actions
                game = self._replayed(seed, words.view(dtype)[:time].tolist(), checksum)
            outcome = game.step(action)
            self._keep(history, outcome, game)
        return history, outcome

    def _replayed(self, seed: int, actions: list[int], checksum: int) -> Game:
        """A game in which these actions have been made."""
        game = self._vacant()
        shown: np.ndarray | None = game.reset(seed)
        for action in actions:
            if shown is not None:
                shown = game.step(action).following
        if shown is None or _checksum(shown) != checksum:
            raise UserError(
                f"environment {self._environment.id} does not repeat itself from its seed: it "
                f"shows something else after the same actions ({len(actions)} of them). This run "
                "can't be resumed exactly; begin it anew in another folder, or, if the environment "
                "was changed or updated since, go back to what it was"
            )
        return game

    def _vacant(self) -> Game:
        """A game that nobody needs, or has needed for the longest time, or a new one."""
        if self._idle:
            return self._idle.pop()
        if len(self._live) >= self._kept:
            return self._live.popitem(last=False)[1]
        return self._environment.make()

    def _keep(self, history: int, outcome: Outcome, game: Game) -> None:
        if outcome.following is None:
            self._idle.append(game)
        else:
            self._live[history] = game
        self._outcomes[history] = outcome
        while len(self._outcomes) > self._kept:
            self._outcomes.popitem(last=False)

    def _make_room_for(self, number: int) -> None:
        """For those of a call, those of training beside an evaluation, and what they leave."""
        self._kept = max(self._kept, 3 * number)


def _shape(dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def _place(history: int, observation: np.ndarray) -> tuple[int, int, int]:
    """`History.place`, from the hash and the observation."""
    return history >> 32, history & 0xFFFFFFFF, _checksum(observation)


def _checksum(observation: np.ndarray) -> int:
    return zlib.crc32(observation.tobytes())


def _mixed(history: int, number: int) -> int:
    """A hash of a hash and a number, 64 bits (SplitMix64: Steele et al., OOPSLA 2014)."""
    mask = (1 << 64) - 1
    value = ((history ^ number) + 0x9E3779B97F4A7C15) & mask
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & mask
    return value ^ value >> 31


def _reshaped(before: tuple[int, ...], *arrays: np.ndarray) -> tuple:
    """Arrays [rows, ...] as [*before, ...]."""
    return tuple(array.reshape((*before, *array.shape[1:])) for array in arrays)
