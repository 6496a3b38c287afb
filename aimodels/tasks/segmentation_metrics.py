"""Metrics of segmentation, all from one table of confusions over the pixels of a whole split."""

import functools
from typing import ClassVar, Self

import flax.struct
import jax
import jax.numpy as jnp

from aimodels.tasks.classification_metrics import ConfusionMatrix

Array = jax.Array


@flax.struct.dataclass
class PixelConfusion(ConfusionMatrix):
    """How many pixels of class i were taken for class j; made by `pixel_confusion`.

    The counts [2, V, V] are two int32, of pixels and of 2²⁰ pixels, so that a split may have more
    than 2³¹ pixels. `compute` gives, over the classes that occur in labels or predictions:
    "pixel_accuracy" and "pixel_error", its complement; "mean_accuracy", of the classes' recalls;
    "miou", the mean of intersection over union (Long et al. 2015, section 5); "dice", the mean of
    2 TP / (2 TP + FP + FN); and the arrays "iou/class" and "dice/class" [V] (NaN for a class that
    does not occur), "confusion" [V, V] as shares of all pixels.
    """

    num_classes: ClassVar[int]

    @classmethod
    def of_classes(cls, scores: Array, targets: Array, valid: Array) -> Self:
        """From scores [B, H, W, V], labels and what counts [B, H, W]."""
        table = super().of_classes(scores, targets, valid).counts
        return cls(counts=_carried(jnp.stack([table, jnp.zeros_like(table)])))

    @classmethod
    def empty(cls) -> Self:
        """Of no pixels."""
        return cls(counts=jnp.zeros((2, cls.num_classes, cls.num_classes), jnp.int32))

    def merge(self, other: Self) -> Self:
        """Of both."""
        return type(self)(counts=_carried(self.counts + other.counts))

    def compute(self) -> dict[str, Array]:
        """Figures by name, see the class."""
        counts = self.counts[0] / CARRY + self.counts[1]
        hits = jnp.diagonal(counts)
        actual, predicted = counts.sum(1), counts.sum(0)
        occurs = actual + predicted > 0
        union = actual + predicted - hits

        def mean(values: Array, where: Array) -> Array:
            return jnp.where(where, values, 0).sum() / where.sum()

        iou = jnp.where(occurs, hits / jnp.where(occurs, union, 1), jnp.nan)
        dice = jnp.where(occurs, 2 * hits / jnp.where(occurs, actual + predicted, 1), jnp.nan)
        recall = hits / jnp.where(actual > 0, actual, 1)
        accuracy = hits.sum() / counts.sum()
        return {
            "pixel_accuracy": accuracy,
            "pixel_error": (counts.sum() - hits.sum()) / counts.sum(),
            "mean_accuracy": mean(recall, actual > 0),
            "miou": mean(iou, occurs),
            "dice": mean(dice, occurs),
            "iou/class": iou,
            "dice/class": dice,
            "confusion": counts / counts.sum(),
        }


CARRY = 2**20


def _carried(counts: Array) -> Array:
    """Counts [2, V, V] with less than 2²⁰ in the first."""
    return jnp.stack([counts[0] % CARRY, counts[1] + counts[0] // CARRY])


@functools.cache
def pixel_confusion(num_classes: int) -> type[PixelConfusion]:
    """The table of `num_classes` classes."""
    fields = {"num_classes": num_classes}
    return flax.struct.dataclass(type(f"PixelConfusion{num_classes}", (PixelConfusion,), fields))
