"""Elo ratings by maximum likelihood, with intervals, and tournaments that are rated so.

The model is that of Bradley & Terry, "Rank analysis of incomplete block designs", Biometrika 1952,
on Elo's scale: a player with d more points wins with probability 1 / (1 + 10^(-d / 400)). A draw is
half a win and half a loss.

Shapes: P players.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aimodels.errors import UserError

POINTS = 400 / math.log(10)  # Elo points in a natural logarithm of odds


@dataclasses.dataclass(frozen=True)
class Rating:
    """A player's rating.

    Attributes:
      player: its name.
      elo: points over the first player.
      low: of the interval of 95 %.
      high: of it.
      score: of its games, a draw being half a win.
      games: that it played.
    """

    player: str
    elo: float
    low: float
    high: float
    score: float
    games: int


def ratings(wins: np.ndarray, virtual_draws: float = 0.0) -> np.ndarray:
    """The ratings [P] that make the results likeliest; that of the first player is 0.

    Args:
      wins: [P, P], how often the row's player beat the column's, a draw being half for each.
      virtual_draws: that are added between any two that met. Without, who won all its games, or
        lost all, has no finite rating.

    Raises:
      UserError: if the ratings are not determined, as some never met, directly or not, or one
        group of players won all games against the others.
    """
    met = (wins + wins.T) > 0
    wins = wins + virtual_draws / 2 * met
    if not _connected(wins > 0):
        raise UserError(
            "the ratings have no finite values: some players won, or lost, all games against the "
            "others, or never met them; add virtual_draws or games"
        )
    games, players = wins + wins.T, len(wins)
    logits = np.zeros(players)
    for _ in range(200):  # Newton's method; the likelihood is concave
        chance = 1 / (1 + np.exp(logits[None] - logits[:, None]))
        gradient = (wins - games * chance).sum(1)
        weight = games * chance * (1 - chance)
        # What all have in common is free; the ones keep it where it is.
        curvature = np.diag(weight.sum(1)) - weight + 1 / players
        change = np.linalg.solve(curvature, gradient)
        change *= min(1, 1 / max(np.abs(change).max(), 1e-12))
        logits += change
        if np.abs(change).max() < 1e-10:
            break
    return (logits - logits[0]) * POINTS


def _connected(beat: np.ndarray) -> bool:
    """Whether each player can be reached from each other one along wins."""
    reached = beat | np.eye(len(beat), dtype=bool)
    for _ in range(len(beat)):
        reached = reached @ reached
    return bool(reached.all())


def rated(
    names: Sequence[str],
    results: dict[tuple[int, int], np.ndarray],
    seed: int = 0,
    resamples: int = 1000,
) -> list[Rating]:
    """Ratings with intervals, by resampling the games of each pair.

    One virtual draw between any two that met keeps the ratings of those who won all games finite,
    and moves all a little towards each other.

    Args:
      names: of the players; the first one's rating is 0.
      results: (row, column) -> [games], what the row's player got: 1, 0 or -1.
      seed: of the resampling.
      resamples: how often the games of all pairs are drawn again.
    """
    random = np.random.RandomState(seed)

    def table(draw: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        wins = np.zeros((len(names), len(names)))
        for (row, column), games in results.items():
            points = (1 + draw(games)).sum() / 2
            wins[row, column] += points
            wins[column, row] += len(games) - points
        return wins

    wins = table(lambda games: games)
    found = ratings(wins, 1.0)
    resampled = [
        ratings(table(lambda games: random.choice(games, len(games))), 1.0)
        for _ in range(resamples)
    ]
    low, high = np.percentile(resampled, (2.5, 97.5), axis=0)
    played = (wins + wins.T).sum(1)
    return [
        Rating(name, float(elo), float(a), float(b), float(won / number), int(number))
        for name, elo, a, b, won, number in zip(
            names, found, low, high, wins.sum(1), played, strict=True
        )
    ]


def tournament(
    agent: Any,
    checkpoints: dict[int, Any],
    *,
    games: int,
    opening_moves: int,
    simulations: int | None = None,
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> list[Rating]:
    """Each checkpoint against each other one, and all against plain Monte Carlo tree search.

    Args:
      agent: an `AlphaZero`, with its game and its search.
      checkpoints: step -> variables of the network.
      games: of each pair, even.
      opening_moves: random ones, so that games differ.
      simulations: of the checkpoints' searches; None is the agent's own.
      seed: of openings and Monte Carlo.
      say: is told how far it is.

    Returns:
      The ratings, that of plain Monte Carlo tree search first, which is 0.
    """
    import jax

    from aimodels.agents.matches import match
    from aimodels.agents.search import MonteCarlo

    game, steps = agent.environment, list(checkpoints)
    plain = MonteCarlo(game, agent.opponent_simulations)

    @jax.jit
    def against_plain(variables: Any, key: Any) -> Any:
        own = agent.player(variables, simulations)
        return match(game, own, plain.player(), games, key, opening_moves)

    @jax.jit
    def against(variables: Any, other: Any, key: Any) -> Any:
        one, two = agent.player(variables, simulations), agent.player(other, simulations)
        return match(game, one, two, games, key, opening_moves)

    results = {}
    pairs = list(itertools.combinations(range(len(steps) + 1), 2))
    for number, (left, right) in enumerate(pairs):
        key = jax.random.fold_in(jax.random.key(seed), number)
        strong = checkpoints[steps[right - 1]]
        if left == 0:
            found = against_plain(strong, key)
        else:
            found = against(strong, checkpoints[steps[left - 1]], key)
        results[right, left] = np.asarray(found)
        say(f"match {number + 1}/{len(pairs)}")
    names = [f"plain MCTS, {plain.simulations} simulations", *(f"step {step}" for step in steps)]
    return rated(names, results, seed)


def elo_text(found: Sequence[Rating]) -> str:
    """The ratings as a table."""
    width = max(len(rating.player) for rating in found)
    lines = [f"{'player':{width}}  {'Elo':>6}  {'95 % interval':>16}  {'score':>6}  games"]
    for rating in found:
        interval = f"{rating.low:+.0f} to {rating.high:+.0f}"
        lines.append(
            f"{rating.player:{width}}  {rating.elo:>+6.0f}  {interval:>16}  "
            f"{rating.score:>6.3f}  {rating.games}"
        )
    return "\n".join(lines)


def plot_elo(found: Sequence[Rating], steps: Sequence[int], path: Path) -> None:
    """A picture of ratings over training steps, with their intervals.

    Args:
      found: ratings, as `tournament` returns them.
      steps: of the checkpoints.
      path: of the PNG.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    first, *rest = found
    elo = np.array([rating.elo for rating in rest])
    around = [elo - [rating.low for rating in rest], [rating.high for rating in rest] - elo]
    axes.errorbar(steps, elo, yerr=np.maximum(around, 0), marker="o", capsize=3)
    axes.axhline(0, color="grey", linestyle="--", label=first.player)
    axes.set(xlabel="training step", ylabel="Elo")
    axes.legend()
    figure.savefig(path, dpi=150)
