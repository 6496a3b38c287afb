"""Games of two players who move in turn, where what one wins the other loses; and those of pgx.

Koyamada et al., "Pgx: Hardware-Accelerated Parallel Game Simulators for Reinforcement Learning",
NeurIPS 2023. Its games are written in JAX; nothing is downloaded.

Shapes: A actions, H W of the board, C channels.
"""

import abc
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from aimodels.environments.base import Environment, arrays
from aimodels.environments.extra import needed
from aimodels.errors import UserError, unknown

Array = jax.Array

# Games of pgx -> the most moves that one can last. Othello has 60 squares to fill, and at most one
# pass between two moves; pgx ends a game of Go after twice as many moves as there are points.
LONGEST = {"tic_tac_toe": 9, "connect_four": 42, "othello": 120, "go_9x9": 162}


class GameState(Protocol):
    """A position, a pytree; without a leading axis.

    Attributes:
      observation: [H, W, C], as the player who is to move sees it.
      legal_action_mask: bool [A], of that player; at the end of a game it says nothing.
      current_player: int32, 0 or 1, who is to move.
      rewards: float32 [2], what the move that led here gave to each; they sum to 0.
      terminated: bool, whether the game has ended.
    """

    observation: Array
    legal_action_mask: Array
    current_player: Array
    rewards: Array
    terminated: Array


class Game(abc.ABC):
    """A zero-sum game of two players with perfect information. All methods are pure.

    Players move in turn: one who can't do anything passes, which is an action. Nothing but the
    first player's number is left to chance.

    Attributes:
      id: its name.
      observation: shape and dtype of an observation.
      num_actions: A; an action is an int32 scalar, 0 to A - 1.
      max_steps: the most moves of a game.
    """

    id: str
    observation: jax.ShapeDtypeStruct
    num_actions: int
    max_steps: int

    @abc.abstractmethod
    def init(self, key: Array) -> Any:
        """The `GameState` with which a game begins."""

    @abc.abstractmethod
    def step(self, state: Any, action: Array) -> Any:
        """The `GameState` after a legal move; after the end of a game, the same with rewards 0."""

    def mirrored(self, observation: Array, policy: Array) -> tuple[Array, Array]:
        """The position in a mirror: observations [B, H, W, C] and what belongs to actions [B, A].

        Left and right are exchanged. Actions are the columns, or the squares row by row, which a
        pass may follow.
        """
        height, width = observation.shape[1:3]
        if self.num_actions == width:
            return observation[:, :, ::-1], policy[:, ::-1]
        squares, rest = jnp.split(policy, [height * width], 1)
        squares = squares.reshape(-1, height, width)[:, :, ::-1].reshape(len(policy), -1)
        return observation[:, :, ::-1], jnp.concatenate([squares, rest], 1)


class Pgx(Game):
    """A game of pgx by its id: tic_tac_toe, connect_four, othello or go_9x9.

    Args:
      id: of the game.
    """

    def __init__(self, id: str) -> None:
        if id not in LONGEST:
            raise unknown("game of pgx", id, LONGEST)
        self._game = needed("pgx", f"game {id}").make(id)
        self.id = id
        self.max_steps = LONGEST[id]
        state = jax.eval_shape(self._game.init, jax.eval_shape(lambda: jax.random.key(0)))
        seen = state.observation
        self.observation = jax.ShapeDtypeStruct(seen.shape, seen.dtype)
        self.num_actions = state.legal_action_mask.shape[0]

    def init(self, key: Array) -> Any:
        """The state with which a game begins."""
        return arrays(self._game.init(key))

    def step(self, state: Any, action: Array) -> Any:
        """The state after a move. An illegal one loses the game."""
        return arrays(self._game.step(state, action))


def check_single(agent: str, environment: Any) -> None:
    """Raises `UserError` if what an agent of one player is to act in is no `Environment`."""
    if isinstance(environment, Game):
        raise UserError(
            f"config.environment: {environment.id} is a game of two players, and {agent} acts "
            "alone; take task alphazero, or an environment such as gymnax CartPole-v1"
        )


def check_game(agent: str, environment: Any) -> None:
    """Raises `UserError` if what an agent is to play is no `Game`."""
    if not isinstance(environment, Game):
        kind = "an environment of one player" if isinstance(environment, Environment) else "no game"
        raise UserError(
            f"config.environment: {agent} plays games of two players, and "
            f"{getattr(environment, 'id', type(environment).__name__)} is {kind}; take e.g. "
            '{"name": "pgx", "id": "connect_four"}'
        )
