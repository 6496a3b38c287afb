"""Boards of games as text, for the terminal."""

from collections.abc import Callable
from typing import Any

import numpy as np

from aimodels.errors import unknown

# Who began, who answered, and nobody.
SIGNS = "XO."


def board(state: Any, game: str | None = None) -> str:
    """The board of a game's state, several lines without an end of line at the last.

    X began, O answered. The number of a move stands where it would go to: above the columns of
    Connect Four, else in the rows' and columns' heads, of which it is the sum. Passing, where there
    is such a move, is the number after the last square.

    Args:
      state: of a game, without a leading axis.
      game: its id; None is what the state says.

    Raises:
      UserError: for a game that has no board here.
    """
    name = game or state.env_id
    if name not in BOARDS:
        raise unknown("board of game", name, BOARDS)
    return BOARDS[name](state)


def _squares(signs: np.ndarray) -> str:
    """Signs [H, W] with heads: a row's first number, and a column's number."""
    height, width = signs.shape
    wide = len(str(height * width - 1))
    head = " ".join(f"{column:>{wide}}" for column in range(width))
    lines = [f"{'':{wide}}  {head}"]
    for row in range(height):
        cells = " ".join(f"{sign:>{wide}}" for sign in signs[row])
        lines.append(f"{row * width:>{wide}}  {cells}")
    return "\n".join(lines)


def _signs(first: np.ndarray, second: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Signs [H, W] from the flags [H · W] of each player's stones."""
    return np.select([first, second], [SIGNS[0], SIGNS[1]], SIGNS[2]).reshape(size)


def _tic_tac_toe(state: Any) -> str:
    stones = np.asarray(state._x.board)
    return _squares(_signs(stones == 0, stones == 1, (3, 3)))


def _connect_four(state: Any) -> str:
    stones = np.asarray(state._x.board)
    signs = _signs(stones == 0, stones == 1, (6, 7))
    return "\n".join([" ".join(map(str, range(7))), *(" ".join(row) for row in signs)])


def _othello(state: Any) -> str:
    # 1 are the stones of who is to move; `turn` is 0 for who began.
    stones = np.asarray(state._x.board) * (1 if int(state._x.turn) == 0 else -1)
    return _squares(_signs(stones > 0, stones < 0, (8, 8)))


def _go_9x9(state: Any) -> str:
    stones = np.asarray(state._x.board)
    return _squares(_signs(stones > 0, stones < 0, (9, 9)))


BOARDS: dict[str, Callable[[Any], str]] = {
    "tic_tac_toe": _tic_tac_toe,
    "connect_four": _connect_four,
    "othello": _othello,
    "go_9x9": _go_9x9,
}
