"""All positions of a small game, their exact values, and the lines that a player loses.

Shapes: S positions, A actions.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aimodels.environments.games import Array, Game
from aimodels.errors import UserError

# Tic-tac-toe has 5,478 positions.
MOST_POSITIONS = 20_000
# Moves that are made at once.
PART = 512


@dataclasses.dataclass(frozen=True, eq=False)
class GameTree:
    """The positions of a game, those of fewer moves first; number 0 is the beginning.

    Attributes:
      states: [S, ...] of the game, as NumPy arrays.
      children: int32 [S, A], the position that an action leads to, -1 where it is not legal.
      moves: int32 [S], made so far.
      terminated: bool [S].
      outcome: float32 [S], for the player to move, of those that are terminated; else 0.
    """

    states: Any
    children: np.ndarray
    moves: np.ndarray
    terminated: np.ndarray
    outcome: np.ndarray

    @functools.cached_property
    def values(self) -> np.ndarray:
        """What perfect play gives the player to move, float32 [S]: minimax."""
        values = self.outcome.copy()
        for number in reversed(range(len(values))):
            if not self.terminated[number]:
                children = self.children[number]
                values[number] = -values[children[children >= 0]].min()
        return values


@functools.cache
def game_tree(game: Game) -> GameTree:
    """All positions that can come up.

    Two with equal observations after equally many moves are taken to be the same.

    Raises:
      UserError: if there are more than MOST_POSITIONS.
    """
    with jax.ensure_compile_time_eval():  # it may be asked for while a step is traced
        return _explored(game)


def _explored(game: Game) -> GameTree:
    step = jax.jit(jax.vmap(game.step))
    level = jax.tree.map(lambda leaf: np.asarray(leaf)[None], game.init(jax.random.key(0)))
    parts, links, known = [], [], 0
    while len(level.terminated):
        size = len(level.terminated)
        if known + size > MOST_POSITIONS:
            raise UserError(
                f"config.task.exhaustive: {game.id} has more than {MOST_POSITIONS:,} positions; "
                "it is for games such as tic_tac_toe"
            )
        parents, actions = np.nonzero(level.legal_action_mask & ~level.terminated[:, None])
        children = np.full(level.legal_action_mask.shape, -1, np.int32)
        parts.append(level)
        links.append(children)
        if not len(parents):
            break
        after = _after(step, level, parents, actions)
        keys = after.observation.reshape(len(parents), -1)
        _, first, place = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        known += size
        children[parents, actions] = known + place.reshape(-1)
        level = jax.tree.map(lambda leaf, first=first: leaf[first], after)
    states = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    moves = [np.full(len(part.terminated), number) for number, part in enumerate(parts)]
    results = np.take_along_axis(states.rewards, states.current_player[:, None], 1)[:, 0]
    return GameTree(
        states=states,
        children=np.concatenate(links),
        moves=np.concatenate(moves).astype(np.int32),
        terminated=states.terminated,
        outcome=np.where(states.terminated, results, 0).astype(np.float32),
    )


def _after(step: Any, level: Any, parents: np.ndarray, actions: np.ndarray) -> Any:
    """What actions [E] lead to from the states of numbers [E], in parts that are compiled once."""
    number = len(parents)
    padded = -(-number // PART) * PART
    parents, actions = (np.resize(array, padded) for array in (parents, actions))
    parts = []
    for start in range(0, padded, PART):
        here = slice(start, start + PART)
        states = jax.tree.map(lambda leaf, rows=parents[here]: leaf[rows], level)
        parts.append(step(states, actions[here]))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:number], *parts)


def lost_lines(tree: GameTree, choices: Array) -> Array:
    """How many lines a player loses who takes one of the same actions whenever in a position.

    A line is a game with any of these actions, and against any moves of the opponent, good or bad,
    from the beginning and from each of the first moves, with the player on either side; int32.

    Args:
      tree: of the game.
      choices: which actions the player may take, bool [S, A], legal ones where the game goes on.
    """
    # Lines that are lost, if the player is to move, and if the opponent is.
    own = jnp.asarray(tree.terminated & (tree.outcome < 0), jnp.int32)
    others = jnp.asarray(tree.terminated & (tree.outcome > 0), jnp.int32)
    for number in reversed(range(tree.moves[-1] + 1)):
        places = np.flatnonzero((tree.moves == number) & ~tree.terminated)
        if not len(places):
            continue
        children = tree.children[places]
        after_own = jnp.where(choices[places], others[children], 0).sum(1)
        after_any = jnp.where(children >= 0, own[children], 0).sum(1)
        own, others = own.at[places].set(after_own), others.at[places].set(after_any)
    roots = np.flatnonzero(tree.moves <= 1)
    return (own[roots] + others[roots]).sum()
