"""Metrics of classification: accuracy, confusion, and how good the probabilities are.

They take `outputs` [B, V] with class ids `targets` [B] (tokens: [B, T, V] with [B, T]); one logit,
[B] or [B, 1], is the second of two classes. See `aimodels.tasks.metrics` for what all share.
"""

import functools
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import clu.metrics
import flax.struct
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.tasks.losses import nan_outside, valid_positions
from aimodels.tasks.metrics import Loss, Mean, added, summed

Array = jax.Array


class OfClasses(clu.metrics.Metric):
    """A metric of scores and class ids, given by `of_classes`."""

    @classmethod
    def of_classes(cls, scores: Array, targets: Array, valid: Array) -> Self:
        """From scores [B, ..., V], class ids and what counts [B, ...]."""
        raise NotImplementedError

    @classmethod
    def from_model_output(
        cls,
        *,
        outputs: Array,
        targets: Array,
        mask: Array | None = None,
        lengths: Array | None = None,
        **_: Any,
    ) -> Self:
        """From outputs [B, ..., V], or [B, ...] logits of the second of two classes."""
        valid = valid_positions(targets.shape, lengths, mask)
        return cls.of_classes(_scores(outputs, targets), targets, valid)


@flax.struct.dataclass
class NegativeLogLikelihood(OfClasses, Mean):
    """-log softmax(outputs) at the target; over all tokens alike, so exp of it is perplexity."""

    @classmethod
    def of_classes(cls, scores: Array, targets: Array, valid: Array) -> Self:
        """From scores [B, ..., V], class ids and what counts [B, ...]."""
        log_p = jax.nn.log_softmax(scores)
        chosen = jnp.take_along_axis(log_p, targets[..., None], -1)[..., 0]
        return cls.of(nan_outside(-chosen, targets, scores.shape[-1]), valid)


@flax.struct.dataclass
class Brier(OfClasses, Mean):
    """Σ_v (p_v - [v = y])² (Brier 1950), between 0 and 2 (with two classes, twice sklearn's)."""

    @classmethod
    def of_classes(cls, scores: Array, targets: Array, valid: Array) -> Self:
        """From scores [B, ..., V], class ids and what counts [B, ...]."""
        p = jax.nn.softmax(scores)
        values = jnp.square(p - jax.nn.one_hot(targets, p.shape[-1])).sum(-1)
        return cls.of(values, valid)


@flax.struct.dataclass
class Accuracy(OfClasses):
    """How often the target is among the k best classes. Ties go to the lower class id."""

    correct: Array
    count: Array
    k: ClassVar[int] = 1

    @classmethod
    def of_classes(cls, scores: Array, targets: Array, valid: Array) -> Self:
        """From scores [B, ..., V], class ids and what counts [B, ...]."""
        if cls.k > scores.shape[-1]:
            raise UserError(
                f"top-{cls.k} accuracy takes at least {cls.k} classes, got {scores.shape[-1]}"
            )
        best = jax.lax.top_k(scores, cls.k)[1] if cls.k > 1 else scores.argmax(-1, keepdims=True)
        hit = (best == targets[..., None]).any(-1) & valid
        return cls(correct=hit.sum(dtype=jnp.int32), count=valid.sum(dtype=jnp.int32))

    @classmethod
    def empty(cls) -> Self:
        """Of no examples."""
        return cls(correct=jnp.zeros((), jnp.int32), count=jnp.zeros((), jnp.int32))

    def merge(self, other: Self) -> Self:
        """Of both."""
        return type(self)(correct=self.correct + other.correct, count=self.count + other.count)

    def compute(self) -> Array:
        """The fraction."""
        return self.correct / self.count


@flax.struct.dataclass
class Error(Accuracy):
    """How often the target is not among the k best classes."""

    def compute(self) -> Array:
        """The fraction."""
        return (self.count - self.correct) / self.count


@functools.cache  # one class for one k, so that compiled programs are found again
def top_k_accuracy(k: int) -> type[Accuracy]:
    """The accuracy that counts the target among the k highest scores."""
    return flax.struct.dataclass(type(f"Top{k}Accuracy", (Accuracy,), {"k": k}))


@functools.cache
def top_k_error(k: int) -> type[Error]:
    """The error that counts the target among the k highest scores."""
    return flax.struct.dataclass(type(f"Top{k}Error", (Error,), {"k": k}))


@flax.struct.dataclass
class ConfusionMatrix(OfClasses):
    """How often class i was taken for class j: counts [V, V] int32; made by `confusion_matrix`.

    A target outside 0..V-1 is in no cell. `compute` gives, with 0 for 0 / 0 as scikit-learn does:
    "accuracy"; "precision/macro", "recall/macro", "f1/macro", means over the classes that occur in
    targets or predictions; the same "/micro", over all decisions, which for one class an
    example are all the accuracy; and the arrays "precision/class", "recall/class", "f1/class" [V]
    and "confusion" [V, V].
    """

    counts: Array
    num_classes: ClassVar[int]

    @classmethod
    def of_classes(cls, scores: Array, targets: Array, valid: Array) -> Self:
        """From scores [B, ..., V], class ids and what counts [B, ...]."""
        if scores.shape[-1] != cls.num_classes:
            raise UserError(
                f"confusion matrix of {cls.num_classes} classes, but the model's outputs are for "
                f"{scores.shape[-1]}"
            )
        predicted = scores.argmax(-1)
        # What doesn't count goes to a row out of range, which is dropped.
        rows = jnp.where(valid & (targets >= 0), targets, cls.num_classes)
        zeros = jnp.zeros((cls.num_classes, cls.num_classes), jnp.int32)
        return cls(counts=zeros.at[rows, predicted].add(1, mode="drop"))

    @classmethod
    def empty(cls) -> Self:
        """Of no examples."""
        return cls(counts=jnp.zeros((cls.num_classes, cls.num_classes), jnp.int32))

    def merge(self, other: Self) -> Self:
        """Of both."""
        return type(self)(counts=self.counts + other.counts)

    def compute(self) -> dict[str, Array]:
        """Figures by name, see the class."""
        hits = jnp.diagonal(self.counts)
        actual, predicted = self.counts.sum(1), self.counts.sum(0)
        accuracy = hits.sum() / self.counts.sum()
        by_class = {
            "precision": hits / jnp.maximum(predicted, 1),
            "recall": hits / jnp.maximum(actual, 1),
            "f1": 2 * hits / jnp.maximum(actual + predicted, 1),
        }
        occurs = actual + predicted > 0
        figures = {"accuracy": accuracy, "confusion": self.counts}
        for name, values in by_class.items():
            figures[f"{name}/macro"] = values.sum() / occurs.sum()
            figures[f"{name}/micro"] = accuracy
            figures[f"{name}/class"] = values
        return figures


@functools.cache
def confusion_matrix(num_classes: int) -> type[ConfusionMatrix]:
    """The confusion matrix of `num_classes` classes."""
    fields = {"num_classes": num_classes}
    return flax.struct.dataclass(type(f"ConfusionMatrix{num_classes}", (ConfusionMatrix,), fields))


@flax.struct.dataclass
class CalibrationError(OfClasses):
    """Expected calibration error over 15 bins ((m-1)/15, m/15] of confidence (Guo et al. 2017).

    Σ_m |B_m| / n · |accuracy(B_m) - confidence(B_m)|, where confidence is the highest probability.
    Attributes: count [15] and correct [15] int32, confidence [2, 15] (sums, rounding errors).
    """

    count: Array
    correct: Array
    confidence: Array
    bins: ClassVar[int] = 15

    @classmethod
    def of_classes(cls, scores: Array, targets: Array, valid: Array) -> Self:
        """From scores [B, ..., V], class ids and what counts [B, ...]."""
        p = jax.nn.softmax(scores)
        confidence = p.max(-1)
        hit = (p.argmax(-1) == targets) & valid
        bin_ = jnp.clip(jnp.ceil(confidence * cls.bins).astype(jnp.int32) - 1, 0, cls.bins - 1)
        counts = jnp.zeros(cls.bins, jnp.int32)
        return cls(
            count=counts.at[bin_].add(valid.astype(jnp.int32)),
            correct=counts.at[bin_].add(hit.astype(jnp.int32)),
            confidence=summed(jnp.zeros(cls.bins).at[bin_].add(jnp.where(valid, confidence, 0.0))),
        )

    @classmethod
    def empty(cls) -> Self:
        """Of no examples."""
        counts = jnp.zeros(cls.bins, jnp.int32)
        return cls(count=counts, correct=counts, confidence=summed(jnp.zeros(cls.bins)))

    def merge(self, other: Self) -> Self:
        """Of both."""
        return type(self)(
            count=self.count + other.count,
            correct=self.correct + other.correct,
            confidence=added(self.confidence, other.confidence),
        )

    def compute(self) -> Array:
        """The error, between 0 and 1."""
        return jnp.abs(self.correct - self.confidence.sum(0)).sum() / self.count.sum()


@functools.cache
def classification_metrics(
    num_classes: int,
    top_k: Sequence[int] = (),
    confusion: bool = True,
    probabilities: bool = True,
) -> type[clu.metrics.Collection]:
    """A collection: loss, accuracy, precision, recall, F1, and how good the probabilities are.

    Args:
      num_classes: V; for a single logit, 2.
      top_k: a tuple of k, each giving "top_<k>_accuracy" and "top_<k>_error".
      confusion: False where a [V, V] table is too large (a vocabulary): accuracy only.
      probabilities: False where outputs are not logits (a hinge loss): no "nll", "brier",
        "calibration_error".
    """
    metrics: dict[str, Any] = {"loss": Loss}
    if confusion:
        metrics["confusion"] = confusion_matrix(num_classes)
    else:
        metrics["accuracy"] = Accuracy
    for k in top_k:
        metrics |= {f"top_{k}_accuracy": top_k_accuracy(k), f"top_{k}_error": top_k_error(k)}
    if probabilities:
        metrics |= {"nll": NegativeLogLikelihood, "brier": Brier}
        metrics["calibration_error"] = CalibrationError
    return clu.metrics.Collection.create(**metrics)


def _scores(outputs: Array, targets: Array) -> Array:
    """Scores [B, ..., V] in float32; one logit s becomes two classes' (0, s)."""
    outputs = outputs.astype(jnp.float32)
    if outputs.ndim == targets.ndim:
        outputs = outputs[..., None]
    if outputs.shape[:-1] != targets.shape:
        raise UserError(
            f"metrics: outputs {outputs.shape} and targets {targets.shape}; classification takes "
            "scores [B, ..., V] and class ids [B, ...]"
        )
    if outputs.shape[-1] == 1:
        outputs = jnp.concatenate([jnp.zeros_like(outputs), outputs], -1)
    return outputs
