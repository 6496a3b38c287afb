"""The Rand score of a segmentation into regions, restricted to the foreground.

Arganda-Carreras et al., "Crowdsourcing the creation of image segmentation algorithms for
connectomics", Frontiers in Neuroanatomy 2015, section 2.4: of the ISBI 2012 challenge. On the host,
with SciPy. Shapes: H W pixels.
"""

from collections.abc import Iterable

import numpy as np

THRESHOLDS = tuple(step / 10 for step in range(1, 10))


def regions(inside: np.ndarray) -> np.ndarray:
    """The connected regions (over four neighbours) of a mask [H, W]: int32, 0 outside."""
    from scipy import ndimage

    found = np.zeros(inside.shape, np.int32)
    ndimage.label(inside, output=found)
    return found


def rand_score(truth: np.ndarray, found: np.ndarray) -> tuple[float, float, float]:
    """F-score, split score and merge score of regions found, over pairs of foreground pixels.

    A pixel counts where `truth` is not 0. With p_ij the share of pixels that lie in region i as
    found and in region j in truth, split is Σ p_ij² / Σ t_j² and merge Σ p_ij² / Σ s_i², t and s
    being the sums of p over i and j; the F-score is their harmonic mean, and the Rand error of the
    challenge 1 minus it. A pixel that was found in no region (0) is a region of its own.

    Args:
      truth: [H, W] region ids, 0 for what doesn't count.
      found: [H, W] region ids, 0 for none.

    Returns:
      (F, split, merge), each NaN if no pixel counts.
    """
    counts = truth > 0
    total = int(counts.sum())
    if total == 0:
        return float("nan"), float("nan"), float("nan")
    left, right = found[counts].astype(np.int64), truth[counts].astype(np.int64)
    alone = int((left == 0).sum())
    joint = _sizes(left[left > 0] * (int(truth.max()) + 1) + right[left > 0])
    both = float((joint**2).sum() + alone)
    as_found = float((_sizes(left[left > 0]) ** 2).sum() + alone)
    as_true = float((_sizes(right) ** 2).sum())
    split, merge = both / as_true, both / as_found
    return 2 * split * merge / (split + merge), split, merge


def best_rand_score(
    truth: Iterable[np.ndarray],
    probabilities: Iterable[np.ndarray],
    thresholds: Iterable[float] = THRESHOLDS,
) -> tuple[float, float]:
    """The largest mean F-score over images, of regions above a threshold; and that threshold.

    As the challenge did: one threshold for all images, the one that is best for them. On data whose
    truth is known it is chosen after the fact, so it is an upper bound.

    Args:
      truth: for each image [H, W] whether a pixel is inside a cell.
      probabilities: for each image [H, W] of being inside.
      thresholds: to try.
    """
    labelled = [regions(inside) for inside in truth]
    given = list(probabilities)
    best = (-1.0, float("nan"))
    for threshold in thresholds:
        scores = [
            rand_score(wanted, regions(p > threshold))[0]
            for wanted, p in zip(labelled, given, strict=True)
        ]
        best = max(best, (float(np.mean(scores)), threshold))
    return best


def _sizes(ids: np.ndarray) -> np.ndarray:
    """How many pixels each region has."""
    return np.unique(ids, return_counts=True)[1].astype(np.float64)
