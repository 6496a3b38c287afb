"""Matches of two players of a game, and their score.

Shapes: B games.
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from aimodels.agents.search import Player, random_legal
from aimodels.environments.base import expanded
from aimodels.environments.games import Array, Game
from aimodels.errors import UserError


@flax.struct.dataclass
class _Side:
    """Half of a match's games: their states, and what the one player has got so far."""

    states: Any
    own: Array  # the one player's number in each
    results: Array

    def moved(self, game: Game, player: Player, key: Array) -> "_Side":
        states = jax.vmap(game.step)(self.states, player(self.states, key))
        reward = jnp.take_along_axis(states.rewards, self.own[:, None], 1)[:, 0]
        return _Side(states, self.own, self.results + reward)


def match(
    game: Game, one: Player, other: Player, number: int, key: Array, opening_moves: int = 0
) -> Array:
    """Plays B = `number` games, half of which each player begins.

    Args:
      game: that is played.
      one: a player.
      other: another.
      number: B, even.
      key: for chance.
      opening_moves: random ones before the players' own, but for those that would end the game.
        Each opening is played twice, with exchanged sides.

    Returns:
      What `one` got, [B]: 1 won, 0 drawn, -1 lost. It begins the first half.

    Raises:
      UserError: if the number is odd.
    """
    if number % 2:
        raise UserError(
            f"a match of {number} games can't be divided between the two sides; take {number + 1} "
            "(config.evaluation.batch_size, or --games of aimodels elo)"
        )
    init_key, open_key, key = jax.random.split(key, 3)
    states = jax.vmap(game.init)(jax.random.split(init_key, number // 2))
    for time in range(opening_moves):
        opening = random_legal(states.legal_action_mask, jax.random.fold_in(open_key, time))
        after = jax.vmap(game.step)(states, opening)
        states = jax.tree.map(
            lambda new, old, ended=after.terminated: jnp.where(expanded(ended, old), old, new),
            after,
            states,
        )
    first, zeros = states.current_player, jnp.zeros(number // 2)

    # One half waits for `one`, the other half for `other`; after their moves they change places.
    def step(carry: tuple) -> tuple:
        time, ones, others = carry
        keys = jax.random.split(jax.random.fold_in(key, time))
        return time + 1, others.moved(game, other, keys[1]), ones.moved(game, one, keys[0])

    def goes_on(carry: tuple) -> Array:
        return ~(carry[1].states.terminated.all() & carry[2].states.terminated.all())

    carry = 0, _Side(states, first, zeros), _Side(states, 1 - first, zeros)
    time, ones, others = jax.lax.while_loop(goes_on, step, carry)
    results = jnp.stack([ones.results, others.results])
    return jnp.where(time % 2, results[::-1], results).reshape(-1)
