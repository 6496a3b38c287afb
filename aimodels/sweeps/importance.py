"""Which fields of a sweep the score depends on."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

FEWEST_SETTINGS = 8
TREES, PERMUTATIONS = 300, 5


@dataclass(frozen=True)
class Importance:
    """What `permutation_importance` found.

    Attributes:
      shares: one a field, >= 0, summing to 1 (all 0 where nothing helps).
      explained: R² of the forest on settings that its trees have not seen; at 0 or below the
        shares mean nothing.
    """

    shares: np.ndarray
    explained: float


def permutation_importance(
    columns: Sequence[Sequence[Any]], scores: np.ndarray, *, seed: int = 0
) -> Importance:
    """The fields' shares in what a random forest can predict of the scores.

    Breiman, "Random Forests" (2001), section 10: trees are grown on bootstrap samples of the
    settings; for the settings that a tree has not seen, one field's values are drawn anew from
    those of all settings, and the rise of the squared error is that field's importance,
    interactions included. Shares are the
    rises, those below 0 taken as 0, over their sum.

    A tree only splits an ordered scale, so a field on a logarithmic scale needs no special care.
    Numbers are taken as they are, anything else by the order of its text; a field that a setting
    doesn't have is missing (numbers) or a value of its own.

    Args:
      columns: one a field, each with a value a setting [S]; None where a setting has no such field.
      scores: [S], finite, at least `FEWEST_SETTINGS`.
      seed: of the forest and the shuffles.
    """
    from sklearn.ensemble import RandomForestRegressor  # here, for it takes a second

    inputs = np.stack([_encode(column) for column in columns], axis=1)
    targets = (scores - scores.mean()) / (scores.std() or 1.0)
    forest = RandomForestRegressor(TREES, random_state=seed).fit(inputs, targets)
    generator = np.random.default_rng(seed)
    seen_by = forest.estimators_samples_
    total, votes = np.zeros(len(targets)), np.zeros(len(targets))
    rises = np.zeros(len(columns))
    for tree, seen in zip(forest.estimators_, seen_by, strict=True):
        unseen = np.setdiff1d(np.arange(len(targets)), seen)
        if not len(unseen):
            continue
        rows, truth = inputs[unseen], targets[unseen]
        predicted = tree.predict(rows)
        total[unseen] += predicted
        votes[unseen] += 1
        error = np.square(predicted - truth).sum()
        for field in range(len(columns)):
            shuffled = np.repeat(rows[None], PERMUTATIONS, 0)
            # From all settings: the few that a tree hasn't seen may all have the same value.
            shuffled[:, :, field] = generator.choice(inputs[:, field], shuffled.shape[:2])
            wrong = tree.predict(shuffled.reshape(-1, len(columns))).reshape(PERMUTATIONS, -1)
            rises[field] += np.square(wrong - truth).sum(1).mean() - error
    told = votes > 0
    residual = targets[told] - total[told] / votes[told]
    variance = np.square(targets[told]).mean()
    explained = 1 - np.square(residual).mean() / variance if variance else 0.0
    rises = np.maximum(rises, 0)
    return Importance(rises / (rises.sum() or 1.0), float(explained))


def _encode(column: Sequence[Any]) -> np.ndarray:
    """A field's values as numbers [S]; NaN for a number that is missing."""
    present = [value for value in column if value is not None]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        return np.array([np.nan if value is None else float(value) for value in column])
    codes = {text: code for code, text in enumerate(sorted(set(map(str, column)), key=_natural))}
    return np.array([codes[str(value)] for value in column], float)


def _natural(text: str) -> list[tuple[float, str]]:
    """Sorts `(8,)` before `(16,)`: digits as the numbers that they are."""
    parts = re.split(r"(\d+)", text)
    return [(float(part), "") if part.isdigit() else (-1.0, part) for part in parts]
