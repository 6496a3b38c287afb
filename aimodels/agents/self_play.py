"""Games of an agent with itself, and the memory of their positions.

Shapes: N games at once, R rows of the memory, M = R · N positions, B examples, A actions.
"""

from typing import Any, Self

import flax.struct
import jax
import jax.numpy as jnp

from aimodels.agents.search import Evaluate, TreeSearch
from aimodels.environments.base import expanded
from aimodels.environments.games import Array, Game


@flax.struct.dataclass
class Memory:
    """The last R positions of each of N games, oldest overwritten first.

    How a game ended is written to its positions when it ends; until then they are not `known`.

    Attributes:
      observation: [R, N, H, W, C], as who was to move saw it.
      policy: [R, N, A], what the search made of it.
      outcome: [R, N], of the game, for who was to move: 1 won, 0 drawn, -1 lost.
      known: bool [R, N], whether there is an outcome.
      added: int32, rows that were ever added.
    """

    observation: Array
    policy: Array
    outcome: Array
    known: Array
    added: Array

    @classmethod
    def empty(cls, game: Game, rows: int, games: int) -> Self:
        """For R = `rows` positions of each of N = `games`; R is a game's length at the least."""
        seen = game.observation
        return cls(
            observation=jnp.zeros((rows, games, *seen.shape), seen.dtype),
            policy=jnp.zeros((rows, games, game.num_actions)),
            outcome=jnp.zeros((rows, games)),
            known=jnp.zeros((rows, games), bool),
            added=jnp.zeros((), jnp.int32),
        )

    def add(self, observation: Array, policy: Array) -> Self:
        """With a position of each game: observations [N, ...] and policies [N, A]."""
        row = self.added % len(self.known)
        return self.replace(  # type: ignore[attr-defined]
            observation=self.observation.at[row].set(observation),
            policy=self.policy.at[row].set(policy),
            known=self.known.at[row].set(False),
            added=self.added + 1,
        )

    def ended(self, ended: Array, result: Array, length: Array) -> Self:
        """After games ended with the row that was added last.

        Args:
          ended: bool [N], which.
          result: [N], for who moved last.
          length: int32 [N], moves of the games.
        """
        rows = len(self.known)
        # 0 for the last move, 1 for the one before, which was the other player's.
        age = (self.added - 1 - jnp.arange(rows))[:, None] % rows
        of_game = ended & (age < length)
        return self.replace(  # type: ignore[attr-defined]
            outcome=jnp.where(of_game, result * (1 - 2 * (age % 2)), self.outcome),
            known=self.known | of_game,
        )

    def number(self) -> Array:
        """How many positions have an outcome."""
        return self.known.sum(dtype=jnp.int32)

    def sample(self, key: Array, number: int) -> dict[str, Array]:
        """B = `number` of the positions with an outcome, each equally likely."""
        counts = jnp.cumsum(self.known.reshape(-1))
        drawn = jax.random.randint(key, (number,), 0, jnp.maximum(counts[-1], 1))
        place = jnp.searchsorted(counts, drawn, side="right")
        fields = {
            "observation": self.observation,
            "policy": self.policy,
            "outcome": self.outcome,
        }
        return {name: array.reshape(-1, *array.shape[2:])[place] for name, array in fields.items()}


@flax.struct.dataclass
class Running:
    """Where N games stand.

    Attributes:
      state: of the games.
      length: int32 [N], moves so far.
    """

    state: Any
    length: Array

    @classmethod
    def begin(cls, game: Game, games: int, key: Array) -> Self:
        """All at the beginning."""
        state = jax.vmap(game.init)(jax.random.split(key, games))
        return cls(state, jnp.zeros(games, jnp.int32))


@flax.struct.dataclass
class Ended:
    """Of games that ended with a move: flags, and for those their lengths and results, all [N].

    Attributes:
      ended: bool.
      length: int32, in moves.
      first_score: of who began: 1, ½ or 0.
      drawn: bool.
    """

    ended: Array
    length: Array
    first_score: Array
    drawn: Array


def self_play(
    search: TreeSearch,
    evaluate: Evaluate,
    running: Running,
    memory: Memory,
    moves: int,
    temperature_moves: int,
    key: Array,
) -> tuple[Running, Memory, Ended]:
    """A number of moves in each of N games; where one ends, the next begins.

    Args:
      search: that finds the moves.
      evaluate: the network.
      running: where the games stand.
      memory: to which their positions go.
      moves: T.
      temperature_moves: of a game, that are drawn in proportion to visits; after them the most
        visited is taken.
      key: for chance.

    Returns:
      Where they stand then, the memory, and what is known of ends, [T, N].
    """
    game, games = search.game, len(running.length)

    def one(carry: tuple, key: Array) -> tuple:
        running, memory = carry
        search_key, begin_key = jax.random.split(key)
        temperature = jnp.where(running.length < temperature_moves, 1.0, 0.0)
        found = search(evaluate, running.state, search_key, temperature, noisy=True)
        memory = memory.add(running.state.observation, found.action_weights)
        state, length = jax.vmap(game.step)(running.state, found.action), running.length + 1
        player = running.state.current_player
        result = jnp.take_along_axis(state.rewards, player[:, None], 1)[:, 0]
        ended = state.terminated
        memory = memory.ended(ended, result, length)
        firsts = result * (1 - 2 * ((length - 1) % 2))
        about = Ended(ended, length, (1 + firsts) / 2, result == 0)
        fresh = Running.begin(game, games, begin_key)
        running = jax.tree.map(
            lambda new, old: jnp.where(expanded(ended, old), new, old),
            fresh,
            Running(state, length),
        )
        return (running, memory), about

    carry = running, memory
    (running, memory), about = jax.lax.scan(one, carry, jax.random.split(key, moves))
    return running, memory, about
