"""The weights of a phrase-based model that translate best, by BLEU on texts held out.

Och, "Minimum error rate training in statistical machine translation", ACL 2003: translate the texts
and keep the n best of each; find weights by which the best of all that was kept score highest;
translate again by them. Och finds the best point of a line exactly; here a line is an axis, and
points are tried on it, which is as good where texts are few and the curve is rough. BLEU is
Papineni et al. 2002, of words as they are.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from aimodels.models.phrase_based.decoder import LONGEST_SENTENCE, Translation, n_best
from aimodels.models.phrase_based.model import WEIGHTS, PhraseModel

ORDER = 4
# Tried on both sides of a weight, as shares of it.
_STEPS = np.geomspace(0.02, 2.0, 14)
STEPS = np.concatenate([-_STEPS, _STEPS])
# Gains of BLEU, of 1, below which a search has ended.
ENOUGH = 1e-5


class Tuned(NamedTuple):
    """Weights that sum to 1 by magnitude, and the BLEU of each round in per cent."""

    weights: tuple[float, ...]
    rounds: tuple[float, ...]


def tune(
    model: PhraseModel,
    sources: Sequence[Sequence[str]],
    references: Sequence[Sequence[str]],
    *,
    weights: Sequence[float] = WEIGHTS,
    rounds: int = 6,
    count: int = 30,
    beam: int = 30,
    restarts: int = 4,
    seed: int = 0,
    distortion_limit: int = 6,
    told: Callable[[str], None] | None = None,
) -> Tuned:
    """The weights of the round whose translations had the highest BLEU.

    Args:
      model: made of other texts.
      sources: texts to translate, cut into words; those that are empty or longer than
        `LONGEST_SENTENCE` are left out.
      references: the translation of each.
      weights: of the first round.
      rounds: of translating, at most; the last is the first that finds nothing better.
      count: translations of a text that are kept in each round.
      beam: of the search.
      restarts: points to search from, beside the best so far.
      seed: decides those.
      distortion_limit: of the search.
      told: is given a line a round.
    """
    pairs = [
        (text, reference)
        for text, reference in zip(sources, references, strict=True)
        if 0 < len(text) <= LONGEST_SENTENCE
    ]
    texts, references = [text for text, _ in pairs], [reference for _, reference in pairs]
    generator = np.random.default_rng(seed)
    current = _normalised(np.array(weights))
    kept: list[dict[bytes, tuple[np.ndarray, np.ndarray]]] = [{} for _ in texts]
    tried, scores = [], []
    for number in range(rounds):
        found = n_best(
            model, texts, current, count=count, beam=beam, distortion_limit=distortion_limit
        )
        before = sum(map(len, kept))
        sums = np.zeros(2 + 2 * ORDER)
        for row, translations in enumerate(found):
            sums += _keep(kept[row], translations, references[row])
        tried.append(current)
        scores.append(float(bleu(sums)))
        if told is not None:
            told(f"round {number + 1}: BLEU {100 * scores[-1]:.2f}")
        if sum(map(len, kept)) == before:
            break
        features, statistics = _padded(kept)
        starts = [current, tried[int(np.argmax(scores))]]
        starts += [
            _normalised(current * generator.lognormal(0.0, 0.7, len(current)))
            for _ in range(restarts)
        ]
        searched = [search(features, statistics, start) for start in starts]
        current = _normalised(max(searched, key=lambda pair: pair[1])[0])
        if any(np.allclose(current, one, rtol=1e-3, atol=1e-4) for one in tried):
            break
    best = tried[int(np.argmax(scores))]
    return Tuned(tuple(best.tolist()), tuple(100 * score for score in scores))


def search(
    features: np.ndarray, statistics: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, float]:
    """Weights near these by which the best of the lists have the highest BLEU, and that of 1.

    One weight after the other is set to the best of those tried, until no one is better.

    Args:
      features: of K translations of S texts [S, K, F]; NaN where a text has fewer.
      statistics: those of `match` [S, K, 10].
      weights: to begin with [F].
    """
    weights = weights.copy()
    missing = np.isnan(features[:, :, 0])
    known = np.where(missing[:, :, None], 0.0, features)
    rows = np.arange(len(features))

    def chosen(scores: np.ndarray) -> np.ndarray:
        return statistics[rows, np.where(missing, -np.inf, scores).argmax(-1)].sum(-2)

    best = float(bleu(chosen(known @ weights)))
    while True:
        before = best
        for axis in range(len(weights)):
            base = known @ weights
            steps = STEPS * max(abs(weights[axis]), 0.02)
            sums = [chosen(base + step * known[:, :, axis]) for step in steps]
            values = bleu(np.array(sums))
            if values.max() > best:
                best = float(values.max())
                weights[axis] += steps[int(values.argmax())]
        if best - before < ENOUGH:
            return weights, best


def match(words: Sequence[str], reference: Sequence[str]) -> np.ndarray:
    """What BLEU sums over texts: words of both, then matches and n-grams of n = 1 to 4, [10]."""
    matches, totals = np.zeros(ORDER), np.zeros(ORDER)
    for n in range(1, ORDER + 1):
        ours, theirs = (
            Counter(zip(*(text[start:] for start in range(n)), strict=False))
            for text in (words, reference)
        )
        matches[n - 1] = sum((ours & theirs).values())
        totals[n - 1] = max(len(words) - n + 1, 0)
    return np.array([len(words), len(reference), *matches, *totals])


def bleu(sums: np.ndarray) -> np.ndarray:
    """BLEU, of 1, of sums of `match` [..., 10]; 0 where an order has no match."""
    matches, totals = sums[..., 2 : 2 + ORDER], sums[..., 2 + ORDER :]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(matches / totals).mean(-1)
        short = np.minimum(0.0, 1.0 - sums[..., 1] / sums[..., 0])
        return np.nan_to_num(np.exp(logs + short))


def _keep(
    kept: dict[bytes, tuple[np.ndarray, np.ndarray]],
    translations: Sequence[Translation],
    reference: Sequence[str],
) -> np.ndarray:
    """Adds those that are new; returns the statistics of the first."""
    first = np.zeros(2 + 2 * ORDER)
    for rank, translation in enumerate(translations):
        text = " ".join(translation.words).encode()
        key = text + translation.features.round(6).tobytes()
        if key not in kept or rank == 0:
            statistics = match(translation.words, reference)
            kept[key] = translation.features, statistics
            first = statistics if rank == 0 else first
    return first


def _padded(
    kept: Sequence[dict[bytes, tuple[np.ndarray, np.ndarray]]],
) -> tuple[np.ndarray, np.ndarray]:
    """Features [S, K, F], NaN where a text has fewer than K, and statistics [S, K, 10]."""
    most = max(map(len, kept))
    features = np.full((len(kept), most, len(WEIGHTS)), np.nan)
    statistics = np.zeros((len(kept), most, 2 + 2 * ORDER))
    for row, each in enumerate(kept):
        for column, (one, other) in enumerate(each.values()):
            features[row, column], statistics[row, column] = one, other
    return features, statistics


def _normalised(weights: np.ndarray) -> np.ndarray:
    return weights / np.abs(weights).sum()
