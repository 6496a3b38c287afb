"""A game against a trained agent in the terminal, or one that it plays against itself."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from aimodels.environments.boards import board


def play(
    agent: Any,
    variables: Any,
    *,
    read: Callable[[str], str] | None,
    write: Callable[[str], None],
    simulations: int | None = None,
    second: bool = False,
    seed: int = 0,
) -> tuple[float, int] | None:
    """One game of a person, who types numbers of moves, against the agent.

    Args:
      agent: an `AlphaZero`, with its game and its search.
      variables: of the network.
      read: shows a prompt and returns a line; raises `EOFError` if there are no more. None lets
        the agent play both sides.
      write: shows a line.
      simulations: of the agent's search; None is its own.
      second: whether the agent begins.
      seed: of the agent.

    Returns:
      What the person got (without one, who began), 1, 0 or -1, and how many moves were made; None
      if the game was not finished.
    """
    game, player = agent.environment, agent.player(variables, simulations)
    choose = jax.jit(lambda state, key: player(jax.tree.map(lambda x: x[None], state), key)[0])
    step = jax.jit(game.step)
    key, begin_key = jax.random.split(jax.random.key(seed))
    state = jax.jit(game.init)(begin_key)
    first = int(state.current_player)
    person = 1 - first if second else first
    if read is not None:
        write(f"You are {'O' if second else 'X'}. A move is a number; quit ends the game.")
    number = 0
    while not bool(state.terminated):
        write("\n" + board(state, game.id))
        if read is not None and int(state.current_player) == person:
            action = _asked(np.flatnonzero(state.legal_action_mask).tolist(), read, write)
            if action is None:
                write("The game is not finished.")
                return None
        else:
            action = int(choose(state, jax.random.fold_in(key, number)))
            write(f"AlphaZero plays {action}.")
        state = step(state, action)
        number += 1
    write("\n" + board(state, game.id))
    result = float(state.rewards[person])
    won, lost = ("You win.", "AlphaZero wins.") if read is not None else ("X wins.", "O wins.")
    write(won if result > 0 else lost if result < 0 else "A draw.")
    return result, number


def _asked(
    legal: list[int], read: Callable[[str], str], write: Callable[[str], None]
) -> int | None:
    """A legal move; None for the end."""
    while True:
        try:
            text = read("Your move: ").strip().lower()
        except EOFError:
            return None
        if text in ("quit", "q", "exit"):
            return None
        if text.isdecimal() and int(text) in legal:
            return int(text)
        moves = ", ".join(map(str, legal))
        write(f"{text!r} is no move here; these are: {moves}; quit ends the game.")
