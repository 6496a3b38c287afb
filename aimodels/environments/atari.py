"""Atari 2600 games: Bellemare et al., "The Arcade Learning Environment", JAIR 2013, by ale-py.

With the preprocessing of Mnih et al., "Human-level control through deep reinforcement learning",
2015, and the sticky actions of Machado et al., "Revisiting the Arcade Learning Environment", JAIR
2018: an action is held for 4 frames; the last two are joined by their maximum, since sprites
flicker; gray, 84 x 84, the last four of these as the observation; up to 30 frames of doing nothing
at the beginning.

The emulator itself has no chance in it: all chance, the frames of doing nothing and the sticky
actions, is drawn here from the seed.
"""

import contextlib
import functools
import io
import math
from typing import Any

import jax
import numpy as np
from scipy.sparse import csr_matrix

from aimodels.environments.extra import needed
from aimodels.environments.host import HostEnvironment, Outcome
from aimodels.errors import UserError, unknown

SIZE, STACK = 84, 4


class Atari(HostEnvironment):
    """A game by its name, such as Pong or SpaceInvaders; observations are uint8 [84, 84, 4].

    The newest frame is the last. The first observation of an episode is its first frame, 4 times.

    Args:
      id: the name.
      sticky_actions: the probability that a frame has the action of the frame before it: 0.25 of
        Machado et al., 0 of Mnih et al.
      frame_skip: frames for which an action is held.
      max_no_ops: 1 to so many frames, each number equally likely, nothing is done at the beginning.
      life_is_episode: the loss of a life terminates an episode, and the next one goes on in the
        same game, as in OpenAI Baselines. Returns are still those of whole games.
      fire_at_begin: an episode begins with FIRE and the action after it, as in OpenAI Baselines: in
        some games nothing moves before.
      clip_rewards: only the signs of rewards are learned from. Returns are the game's own.
      all_actions: the 18 of the console; else those that do something in this game.
      max_frames: after so many frames of its actions, a game is truncated.
      mode: of the game; None is its first.
      difficulty: of the game; None is its first.
    """

    stacked_frames = STACK
    steps_per_second = 15  # of 4 frames each, at the console's 60 a second

    def __init__(
        self,
        id: str,
        sticky_actions: float = 0.25,
        frame_skip: int = 4,
        max_no_ops: int = 30,
        life_is_episode: bool = False,
        fire_at_begin: bool = False,
        clip_rewards: bool = True,
        all_actions: bool = False,
        max_frames: int = 108_000,
        mode: int | None = None,
        difficulty: int | None = None,
    ) -> None:
        self.id, self._rom = id, _rom(id)
        for name, value, least in (
            ("frame_skip", frame_skip, 1),
            ("max_no_ops", max_no_ops, 0),
            ("max_frames", max_frames, frame_skip),
        ):
            if value < least:
                raise UserError(f"environment.{name}: {value}; it takes {least} or more")
        if not 0 <= sticky_actions < 1:
            raise UserError(
                f"environment.sticky_actions: {sticky_actions}; it takes 0 to less than 1"
            )
        self.sticky_actions, self.frame_skip = sticky_actions, frame_skip
        self.max_no_ops, self.fire_at_begin = max_no_ops, fire_at_begin
        self.life_is_episode, self.clip_rewards = life_is_episode, clip_rewards
        self._mode, self._difficulty, self._all_actions = mode, difficulty, all_actions
        self.max_steps = max_frames // frame_skip
        self.observation = jax.ShapeDtypeStruct((SIZE, SIZE, STACK), np.uint8)
        self.num_actions = len(self.actions(self.emulator()))

    def emulator(self) -> Any:
        """A new one with the game in it, at its beginning."""
        ale = needed("ale_py", f"environment atari {self.id}")
        ale.ALEInterface.setLoggerMode(ale.LoggerMode.Error)
        emulator = ale.ALEInterface()
        emulator.setFloat("repeat_action_probability", 0.0)
        emulator.setInt("random_seed", 0)
        emulator.loadROM(self._rom)
        modes, difficulties = emulator.getAvailableModes(), emulator.getAvailableDifficulties()
        if self._mode is not None:
            self._check("mode", self._mode, modes)
            emulator.setMode(self._mode)
        if self._difficulty is not None:
            self._check("difficulty", self._difficulty, difficulties)
            emulator.setDifficulty(self._difficulty)
        emulator.reset_game()
        return emulator

    def actions(self, emulator: Any) -> list[Any]:
        """Those of the emulator that can be chosen, the first of which does nothing."""
        all_actions, minimal = emulator.getLegalActionSet, emulator.getMinimalActionSet
        return all_actions() if self._all_actions else minimal()

    def make(self) -> "AtariGame":
        """A game, to be reset."""
        return AtariGame(self)

    def _check(self, name: str, value: int, known: list[int]) -> None:
        if value not in known:
            takes = ", ".join(map(str, known))
            raise UserError(f"environment.{name}: {self.id} has no {name} {value}, only {takes}")


class AtariGame:
    """One emulator.

    Args:
      of: says how it is played.
    """

    def __init__(self, of: Atari) -> None:
        self._of, self._emulator = of, of.emulator()
        self._actions = of.actions(self._emulator)
        # Loading the ROM again takes 90 ms, restoring this 50 us; it restores all but the screen.
        self._begin = self._emulator.cloneState(include_rng=True)
        self._first = self._emulator.getScreenGrayscale()
        # The newest screen, and the one before it.
        self._screens = [np.zeros_like(self._first) for _ in range(2)]

    def reset(self, seed: int) -> np.ndarray:
        """Begins a game with no-ops; the first observation, uint8 [84, 84, 4]."""
        self._random = np.random.default_rng(seed)
        self._time, self._score = 0, 0.0
        self._restart()
        most = self._of.max_no_ops
        for _ in range(self._random.integers(1, most + 1) if most else 0):
            self._frames(0, 1)
            if self._emulator.game_over():
                self._restart()
        if not self._fires():  # a game that is over before it began
            self._restart()
        return self._begun()

    def step(self, action: int) -> Outcome:
        """Holds an action for the frames of a step."""
        of, before = self._of, self._score
        self._frames(action, of.frame_skip)
        self._time += 1
        gained = self._score - before
        over = self._emulator.game_over()
        truncated = self._time >= of.max_steps and not over
        # Baselines: in some games the last life is 0 for some frames before the game is over.
        lost = of.life_is_episode and 0 < self._emulator.lives() < self._lives
        self._lives = self._emulator.lives()
        observation = following = self._stack = _pushed(self._stack, self._frame())
        if over or truncated:
            following = None
        elif lost:
            # As Baselines' EpisodicLifeEnv: a step of doing nothing, and FIRE.
            self._frames(0, of.frame_skip)
            going = not self._emulator.game_over() and self._fires()
            following = self._begun() if going else None
        reward = float(np.sign(gained)) if of.clip_rewards else gained
        return Outcome(observation, reward, self._score, over or lost, truncated, following)

    def _restart(self) -> None:
        self._emulator.restoreState(self._begin)
        self._last = 0
        self._screens[0][:] = self._first

    def _fires(self) -> bool:
        """FIRE and the action after it, where that is wanted; whether the game goes on."""
        of = self._of
        if of.fire_at_begin and len(self._actions) > 2 and self._actions[1].name == "FIRE":
            for action in (1, 2):
                self._frames(action, of.frame_skip)
                if self._emulator.game_over():
                    return False
        return True

    def _frames(self, action: int, number: int) -> None:
        """So many frames, or up to the end of the game; keeps the last two screens."""
        sticky, emulator = self._of.sticky_actions, self._emulator
        for index in range(number):
            if not sticky or self._random.random() >= sticky:
                self._last = action
            self._score += emulator.act(self._actions[self._last])
            over = emulator.game_over()
            if index >= number - 2 or over:
                self._screens.reverse()
                emulator.getScreenGrayscale(self._screens[0])
            if over:
                break

    def _frame(self) -> np.ndarray:
        """The maximum of the last two screens, uint8 [84, 84]."""
        if self._of.frame_skip == 1:
            return resized(self._screens[0])
        return resized(np.maximum(*self._screens))

    def _begun(self) -> np.ndarray:
        """The first observation of an episode, the screen 4 times."""
        self._lives = self._emulator.lives()
        self._stack = np.repeat(resized(self._screens[0])[..., None], STACK, -1)
        return self._stack


def _pushed(stack: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """The stack [..., 4] without its oldest frame, and with a new one [...]."""
    new = np.empty_like(stack)
    new[..., :-1], new[..., -1] = stack[..., 1:], frame
    return new


def resized(screen: np.ndarray) -> np.ndarray:
    """A gray screen [H, W] as [84, 84], each pixel the mean of the area that it covers; uint8.

    It is exact: all numbers on the way are whole, and a half is rounded to the even number.
    """
    (rows, height), (columns, width) = (_areas(length) for length in screen.shape)
    summed = columns @ (rows @ screen.astype(np.float32)).T
    return np.rint(summed.T / (height * width)).astype(np.uint8)


@functools.cache
def _areas(length: int) -> tuple[csr_matrix, int]:
    """How much of each of `length` pixels is in each of SIZE, [SIZE, length], and a row's sum.

    In units in which all are whole numbers: pixels of both are so many units long.
    """
    common = math.gcd(length, SIZE)
    pixel, area = SIZE // common, length // common
    begin, start = np.arange(SIZE)[:, None] * area, np.arange(length) * pixel
    overlap = np.minimum(begin + area, start + pixel) - np.maximum(begin, start)
    return csr_matrix(np.maximum(overlap, 0), dtype=np.float32), area


def _rom(id: str) -> Any:
    """The file of a game; the names of ale-py's are as `space_invaders`."""
    needed("ale_py", f"environment atari {id}")
    roms: Any = needed("ale_py.roms", f"environment atari {id}")
    files = {_camel(name): name for name in roms.get_all_rom_ids()}
    if id not in files:
        raise unknown("Atari game", id, files)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints where it looks
            return roms.get_rom_path(files[id])
    except OSError as error:
        raise UserError(
            f"environment atari {id}: its ROM is missing or damaged ({error}). ale-py brings the "
            "ROMs of all its games: pip install --force-reinstall ale-py; if ALE_ROMS_DIR is set, "
            "it names the folder in which they are"
        ) from error


def _camel(name: str) -> str:
    """`space_invaders` as SpaceInvaders."""
    return "".join(part.capitalize() for part in name.split("_"))
