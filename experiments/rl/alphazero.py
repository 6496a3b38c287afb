"""AlphaZero: Silver et al., Science 2018 (arXiv:1712.01815), on four board games.

aimodels train --config=experiments/rl/alphazero.py:tic_tac_toe --workdir=runs/tic_tac_toe
aimodels train --config=experiments/rl/alphazero.py:connect_four --workdir=runs/connect_four

aimodels reproduce experiments/rl/alphazero.py --rows all
aimodels elo --workdir=runs/connect_four
aimodels play --workdir=runs/connect_four

`test/score` is that of games against plain Monte Carlo tree search (UCT, values from random games)
with 10 times the simulations, half of them begun by each; a draw is half a win. `test/lost_lines`
are the lines of tic-tac-toe's whole tree that are lost.

Tic-tac-toe takes 3 to 6 min, Connect Four 1 h 17 min on two cores with other work beside it, for
1.2 million positions. It scored .57 after 150 steps, .65 after 300, .75 after 450, .73 after 600.
Othello and Go are for a GPU, and were not trained to the end.

The paper is "A general reinforcement learning algorithm that masters chess, shogi, and Go through
self-play". Its networks and 5,000 TPUs are out of reach: networks are smaller, and so are games at
once, simulations and batches. Its figures are of chess, shogi and Go against the champions of their
time; none is of a game here, so rows have no published figure.
"""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

import aimodels
from aimodels.config import load_experiment
from aimodels.reproduce import Row

VARIANTS = ("tic_tac_toe", "connect_four", "othello", "go_9x9")
# What makes steps of all of them small enough for a test.
SHRUNK = {
    "model.channels": "8",
    "model.blocks": "1",
    "task.games": "2",
    "task.moves": "10",
    "task.simulations": "2",
    "task.updates": "1",
    "task.batch_size": "4",
    "task.capacity": "324",
    "task.learning_starts": "1",
    "task.opponent_simulations": "2",
    "evaluation.batch_size": "2",
}
GAMES_OF_MATCH = 200


def get_config(variant: str = "tic_tac_toe") -> ConfigDict:
    """A game."""
    return ConfigDict(
        {
            "environment": {"name": "pgx", "id": variant},
            "execution": {"steps_per_dispatch": 1},
            **RECIPES[variant](),
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
            # More noise than the paper's, for what an opponent's worst moves lead to.
            "exploration": 2.5,
            "noise_fraction": 0.5,
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
        "evaluation": {"batch_size": GAMES_OF_MATCH, "every": 150},
        "checkpoint": {"every": 50, "keep": 12},
    }


def othello() -> dict[str, Any]:
    """The paper's search, with a tenth of its simulations; for a GPU."""
    return {
        "model": {"name": "AlphaZeroNetwork", "channels": 64, "blocks": 6},
        "task": {
            "name": "alphazero",
            "games": 256,
            "moves": 16,
            "simulations": 80,
            "search": "puct",
            "noise_concentration": 1.0,  # 10 over some ten legal moves
            "temperature_moves": 15,
            "updates": 16,
            "batch_size": 1024,
            "capacity": 256 * 1000,
            "learning_starts": 16_384,
            "opponent_simulations": 800,
            "opening_moves": 2,
        },
        "optimizer": PAPER,
        "training": {"steps": 2000, "log_every": 10},
        "evaluation": {"batch_size": 100, "every": 200},
        "checkpoint": {"every": 100, "keep": 20},
    }


def go_9x9() -> dict[str, Any]:
    """The paper's search, with an eighth of its simulations; for a GPU."""
    return {
        "model": {"name": "AlphaZeroNetwork", "channels": 128, "blocks": 6},
        "task": {
            "name": "alphazero",
            "games": 256,
            "moves": 16,
            "simulations": 100,
            "search": "puct",
            "noise_concentration": 0.13,  # the paper's 0.03 of 19x19, times 361 / 81
            "temperature_moves": 30,
            "updates": 16,
            "batch_size": 1024,
            "capacity": 256 * 1000,
            "learning_starts": 16_384,
            "opponent_simulations": 1000,
        },
        "optimizer": PAPER,
        "training": {"steps": 2000, "log_every": 10},
        "evaluation": {"batch_size": 100, "every": 200},
        "checkpoint": {"every": 100, "keep": 20},
    }


# Momentum and c = 1e-4 are the paper's, so are falls by 10 after 1/7, 3/7 and 5/7 of its training;
# the rate of 0.2 for batches of 4,096 is scaled with their size.
PAPER = {
    "name": "sgd",
    "learning_rate": 0.05,
    "momentum": 0.9,
    "l2": 2e-4,
    "schedule": {"name": "step", "boundaries": (286, 857, 1429), "factor": 0.1},
}
RECIPES = {
    "tic_tac_toe": tic_tac_toe,
    "connect_four": connect_four,
    "othello": othello,
    "go_9x9": go_9x9,
}


def connect_four_match(folder: Path) -> list[dict[str, float]]:
    """One training, which ends with the match."""
    config = load_experiment(__file__).config("connect_four")
    return [aimodels.train(config, folder / "run").results["replicas"][0]["metrics"]]


def published() -> list[Row]:
    """Rows of our own."""
    return [
        Row(
            name="Tic-tac-toe, lines lost of all",
            variant="tic_tac_toe",
            metric="test/lost_lines",
            published=None,
            source="of ours: each move of the opponent, from the empty board and all nine openings",
            higher_is_better=False,
        ),
        Row(
            name="Connect Four, score against plain MCTS with 10 times the simulations",
            variant="connect_four",
            metric="test/score",
            published=None,
            source=f"of ours: {GAMES_OF_MATCH} games after two random moves, each from both sides",
            test_examples=GAMES_OF_MATCH,
            run_all=connect_four_match,
            long=True,
        ),
    ]
