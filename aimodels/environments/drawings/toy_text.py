"""The grids of gymnasium's toy text: the lake, the cliff and the taxi's town.

On them the way of the agent in this episode, and what its policy does in each place.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from aimodels.environments.drawings.canvas import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PINK,
    RED,
    WHITE,
    YELLOW,
    Canvas,
)

# A direction as (columns to the right, rows down), in the order of each one's actions.
LEFT, DOWN, RIGHT, UP = (-1, 0), (0, 1), (1, 0), (0, -1)
LAKE, CLIFF = (LEFT, DOWN, RIGHT, UP), (UP, RIGHT, DOWN, LEFT)
TAXI = (DOWN, UP, RIGHT, LEFT)  # then to pick up and to drop off
GROUND = {"F": "#e8f1f8", "S": "#e8f1f8", "H": "#5d7f9d", "G": "#c5e8d8", "C": "#6b5344"}
WAY = "#9fd0ef"
LANDMARKS = {"R": RED, "G": GREEN, "Y": YELLOW, "B": BLUE}


@dataclasses.dataclass(frozen=True)
class Grid:
    """Places in a grid, of which the number of the state says which one: FrozenLake, CliffWalking.

    Attributes:
      letters: str [rows, columns]: S start, G goal, F free, H hole, C cliff.
      directions: of the actions.
    """

    letters: np.ndarray
    directions: tuple

    def draw(self, number: int, path: Sequence[int], policy: np.ndarray | None) -> np.ndarray:
        """With the agent in state `number`, after those of its path; see `Environment.draw`."""
        rows, columns = self.letters.shape
        canvas = _canvas(rows, columns)
        for (row, column), letter in np.ndenumerate(self.letters):
            box = column + 0.02, -row - 0.98, column + 0.98, -row - 0.02
            canvas.box(*box, GROUND[letter], rounded=4)
            if letter in "SG":
                canvas.text((column + 0.17, -row - 0.2), letter, 13, GREY)
        places = [(place % columns + 0.5, -(place // columns) - 0.5) for place in path]
        _way(canvas, places)
        for (row, column), letter in np.ndenumerate(self.letters):
            if letter in "SF" and policy is not None:
                action = int(policy[row * columns + column])
                _arrow(canvas, (column + 0.5, -row - 0.5), self.directions[action])
        here = number % columns + 0.5, -(number // columns) - 0.5
        canvas.circle(here, 0.24 * canvas.width / columns, ORANGE, WHITE)
        return canvas.pixels()


@dataclasses.dataclass(frozen=True)
class Town:
    """Taxi: where it is, where the passenger is and wants to go are all in the state's number.

    Attributes:
      desc: gymnasium's drawing in letters, [rows + 2, 2 · columns + 1].
      landmarks: (row, column) of each place to wait at.
    """

    desc: np.ndarray
    landmarks: tuple

    def draw(self, number: int, path: Sequence[int], policy: np.ndarray | None) -> np.ndarray:
        """With the taxi of state `number`, after those of its path; see `Environment.draw`."""
        rows, columns = self.desc.shape[0] - 2, self.desc.shape[1] // 2
        canvas = _canvas(rows, columns)
        cell = canvas.width / columns
        waits, goal = number // 4 % 5, number % 4
        for row in range(rows):
            for column in range(columns):
                letter = self.desc[row + 1, 2 * column + 1]
                box = column + 0.02, -row - 0.98, column + 0.98, -row - 0.02
                wanted = (row, column) == self.landmarks[goal]
                edge = PINK if wanted else None
                colour = LANDMARKS.get(letter)
                canvas.box(*box, "#f2f2f0", rounded=4, edge=edge, edge_width=4 * wanted)
                if colour:
                    canvas.circle((column + 0.2, -row - 0.2), 0.1 * cell, colour, GREY)
        for row, column in np.argwhere(self.desc[1:-1, 2:-1:2] == "|"):
            canvas.line([(column + 1, -row), (column + 1, -row - 1)], INK, 4)
        _way(canvas, [self._place(state, columns) for state in path])
        if policy is not None:
            # The passenger is and wants to go where it is now, wherever the taxi is.
            for state in range(number % 20, len(policy), 20):
                self._act(canvas, self._place(state, columns), int(policy[state]))
        x, y = self._place(number, columns)
        canvas.box(
            x - 0.27, y - 0.2, x + 0.27, y + 0.2, ORANGE, rounded=7, edge=WHITE, edge_width=1
        )
        if waits < 4:
            row, column = self.landmarks[waits]
            canvas.circle((column + 0.8, -row - 0.2), 0.11 * cell, PINK, WHITE)
        else:
            canvas.circle((x, y), 0.11 * cell, PINK, WHITE)
        return canvas.pixels()

    @staticmethod
    def _place(state: int, columns: int) -> tuple[float, float]:
        place = state // 20
        return place % columns + 0.5, -(place // columns) - 0.5

    @staticmethod
    def _act(canvas: Canvas, centre: tuple[float, float], action: int) -> None:
        if action < 4:
            _arrow(canvas, centre, TAXI[action])
        else:
            canvas.text(centre, "pick up" if action == 4 else "drop off", 11, GREY)


def drawing_of(environment: Any) -> Grid | Town | None:
    """How one of gymnasium's is drawn, from its own layout; None for one that isn't known here."""
    kind = type(environment).__name__
    if kind == "FrozenLakeEnv":
        return Grid(np.char.decode(environment.desc), LAKE)
    if kind == "TaxiEnv":
        return Town(np.char.decode(environment.desc), tuple(environment.locs))
    if kind == "CliffWalkingEnv":
        letters = np.where(environment._cliff, "C", "F")
        letters.flat[environment.start_state_index] = "S"
        letters[-1, -1] = "G"
        return Grid(letters, CLIFF)
    return None


def _canvas(rows: int, columns: int) -> Canvas:
    """A cell is a square of 44 to 80 pixels, and a unit long."""
    cell = min(80, max(44, 400 // columns))
    return Canvas(cell * columns, 0, columns, -rows, 0)


def _way(canvas: Canvas, places: Sequence[tuple[float, float]]) -> None:
    if len(places) > 1:
        canvas.line(places, WAY, 6)


def _arrow(canvas: Canvas, centre: tuple[float, float], direction: tuple[int, int]) -> None:
    """Of a policy, from the centre of a cell."""
    along = np.array([direction[0], -direction[1]])
    across = np.array([-along[1], along[0]])
    middle = np.array(centre)
    tip = middle + 0.3 * along
    canvas.line([tuple(middle - 0.22 * along), tuple(tip - 0.1 * along)], GREY, 2)
    corners = (tip, tip - 0.14 * along + 0.09 * across, tip - 0.14 * along - 0.09 * across)
    canvas.polygon([tuple(corner) for corner in corners], GREY)
