"""AlphaZero: Silver et al., "A general reinforcement learning algorithm that masters chess, shogi,
and Go through self-play", Science 2018.

aimodels train --config=experiments/rl/alphazero.py:tic_tac_toe --workdir=runs/tic_tac_toe
aimodels train --config=experiments/rl/alphazero.py:connect_four --workdir=runs/connect_four
"""

from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

VARIANTS = ("tic_tac_toe", "connect_four", "othello", "go_9x9")


def get_config(variant: str = "tic_tac_toe") -> ConfigDict:
    """A game."""
    return ConfigDict(
        {
            "environment": {"name": "pgx", "id": variant},
            "execution": {"steps_per_dispatch": 1},
            **GAMES[variant](),
        }
    )


def tic_tac_toe() -> dict[str, Any]:
    """By the paper's search; it has learned never to lose after a minute or two."""
    return {
        "model": {
            "name": "AlphaZeroNetwork",
            "channels": 32,
            "blocks": 2,
            "value_features": 32,
        },
        "task": {
            "name": "alphazero",
            "games": 128,
            "moves": 9,
            "simulations": 32,
            "search": "puct",
            "noise_concentration": 1.0,
            "temperature_moves": 9,
            "updates": 8,
            "batch_size": 256,
            "capacity": 128 * 160,
            "learning_starts": 1024,
            "mirror": True,
            "opponent_simulations": 320,
            "exhaustive": True,
        },
        "optimizer": {
            "name": "adam",
            "learning_rate": 3e-3,
            "l2": 1e-4,
            "schedule": "cosine",
        },
        "training": {"steps": 150, "log_every": 5},
        "evaluation": {"batch_size": 100, "every": 50},
        "checkpoint": {"every": 50, "keep": 4},
    }


def connect_four() -> dict[str, Any]:
    """Sized for 2 CPU cores: a small network, Gumbel AlphaZero's search, positions in a mirror."""
    return {
        "model": {
            "name": "AlphaZeroNetwork",
            "channels": 32,
            "blocks": 4,
            "policy_channels": 8,
            "value_channels": 4,
            "value_features": 64,
        },
        "task": {
            "name": "alphazero",
            "games": 256,
            "moves": 8,
            "simulations": 32,
            "search": "gumbel",
            "updates": 8,
            "batch_size": 512,
            "capacity": 256 * 400,
            "learning_starts": 4096,
            "mirror": True,
            "opponent_simulations": 320,
            "opening_moves": 2,
        },
        "optimizer": {
            "name": "adam",
            "learning_rate": 2e-3,
            "l2": 1e-4,
            "schedule": "cosine",
        },
        "training": {"steps": 600, "log_every": 5},
        "evaluation": {"batch_size": 100, "every": 60},
        "checkpoint": {"every": 60, "keep": 20},
    }


GAMES = {
    "tic_tac_toe": tic_tac_toe,
    "connect_four": connect_four,
}
