"""MinAtar's games: each channel in a colour of its own, with a legend.

Young & Tian, "MinAtar: An Atari-Inspired Testbed for Thorough and Reproducible Reinforcement
Learning Experiments", arXiv:1903.03176, 2019; the channels' names are those of its source.
"""

from typing import Any

import numpy as np

from aimodels.environments.drawings.canvas import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PINK,
    RED,
    SKY,
    YELLOW,
    Canvas,
)

# In the order of the observation's channels, which all games begin with the player.
CHANNELS = {
    "Asterix-MinAtar": ("player", "enemy", "trail", "gold"),
    "Breakout-MinAtar": ("paddle", "ball", "trail", "brick"),
    "Freeway-MinAtar": (
        "chicken",
        "car",
        *(f"trail, speed {speed}" for speed in range(1, 6)),
    ),
    "Seaquest-MinAtar": (
        "submarine, front",
        "submarine, back",
        "own bullet",
        "trail",
        "enemy's bullet",
        "fish",
        "enemy submarine",
        "oxygen",
        "divers aboard",
        "diver",
    ),
    "SpaceInvaders-MinAtar": (
        "cannon",
        "alien",
        "alien, to the left",
        "alien, to the right",
        "own bullet",
        "alien's bullet",
    ),
}
COLOURS = (ORANGE, SKY, GREEN, YELLOW, RED, PINK, BLUE, "#b8b8b8", "#8c6d31", "#ffffff")
GROUND, RASTER = "#15181d", "#2a2e36"
CELL, LEGEND = 32, 150  # pixels


def draw(game: str, observation: Any) -> np.ndarray:
    """A game's observation, [10, 10, channels].

    Where several channels are set, each is a square within the one before; the player is innermost.
    """
    grid = np.asarray(observation) > 0
    rows, columns, channels = grid.shape
    width = columns + LEGEND / CELL
    canvas = Canvas(round(CELL * width), 0, width, -rows, 0)
    canvas.box(0, -rows, columns, 0, GROUND)
    for line in range(1, columns):
        canvas.line([(line, -rows), (line, 0)], RASTER, 1)
    for line in range(1, rows):
        canvas.line([(0, -line), (columns, -line)], RASTER, 1)
    for row, column in np.argwhere(grid.any(-1)):
        for depth, channel in enumerate(np.flatnonzero(grid[row, column])[::-1]):
            _cell(canvas, column, -row, channel, 0.04 + 0.15 * depth)
    for channel, name in enumerate(CHANNELS[game][:channels]):
        line = -0.25 - 0.75 * channel
        canvas.box(columns + 0.35, line - 0.5, columns + 0.85, line, GROUND, rounded=3)
        _cell(canvas, columns + 0.1, line + 0.25, channel, 0.31)
        canvas.text((columns + 1.05, line - 0.25), name, 12, INK, "lm")
    return canvas.pixels()


def _cell(canvas: Canvas, left: float, top: float, channel: int, inset: float) -> None:
    colour = COLOURS[channel % len(COLOURS)]
    canvas.box(left + inset, top - 1 + inset, left + 1 - inset, top - inset, colour, rounded=4)
