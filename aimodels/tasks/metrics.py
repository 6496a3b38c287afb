"""Metrics that don't depend on how the data was cut into batches, padded or sharded.

Each is a `clu.metrics.Metric`: sums over the positions that count, `merge` adds them, `compute`
divides. All take `outputs`, `targets` and, where examples have positions or padding, `mask` [B] or
[B, T] and `lengths` [B]; other keywords are ignored, so a `Collection` gives all of them to all.
Sums of floats carry their rounding error along (Knuth's two-sum), so that a mean over a million
batches is as good as one over a single batch; counts are int32 (up to 2 · 10⁹ positions).

Shapes: B batch, T tokens, V classes, D outputs. Classification takes `outputs` [B, V] with class
ids [B] (tokens: [B, T, V] with [B, T]); one logit, [B] or [B, 1], is the second of two classes.
A metric over nothing is NaN.
"""

import functools
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import clu.metrics
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from aimodels.errors import UserError
from aimodels.tasks.losses import nan_outside, valid_positions

Array = jax.Array


@flax.struct.dataclass
class Mean(clu.metrics.Metric):
    """A mean of numbers. Attributes: total [2] (sum, its rounding error), count int32."""

    total: Array
    count: Array

    @classmethod
    def of(cls, values: Array, valid: Array) -> Self:
        """From values [...] and a mask of the same shape; what the mask hides may be NaN."""
        total = jnp.where(valid, values.astype(jnp.float32), 0).sum()
        return cls(total=_summed(total), count=valid.sum(dtype=jnp.int32))

    @classmethod
    def empty(cls) -> Self:
        """Of no numbers."""
        return cls(total=jnp.zeros(2), count=jnp.zeros((), jnp.int32))

    def merge(self, other: Self) -> Self:
        """Of both."""
        return type(self)(total=_add(self.total, other.total), count=self.count + other.count)

    def compute(self) -> Array:
        """The mean."""
        return self.total.sum() / self.count


@flax.struct.dataclass
class Loss(Mean):
    """The mean of `loss` [B] over examples."""

    @classmethod
    def from_model_output(cls, *, loss: Array, mask: Array | None = None, **_: Any) -> Self:
        """From losses [B] of examples, as `aimodels.tasks.losses` gives them."""
        if mask is not None and mask.ndim > 1:
            mask = mask.any(tuple(range(1, mask.ndim)))
        return cls.of(loss, valid_positions(loss.shape, mask=mask))


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


@functools.cache  # one class for one k, so that compiled programs are found again
def top_k_accuracy(k: int) -> type[Accuracy]:
    """The accuracy that counts the target among the k highest scores."""
    return flax.struct.dataclass(type(f"Top{k}Accuracy", (Accuracy,), {"k": k}))


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
            confidence=_summed(jnp.zeros(cls.bins).at[bin_].add(jnp.where(valid, confidence, 0.0))),
        )

    @classmethod
    def empty(cls) -> Self:
        """Of no examples."""
        counts = jnp.zeros(cls.bins, jnp.int32)
        return cls(count=counts, correct=counts, confidence=_summed(jnp.zeros(cls.bins)))

    def merge(self, other: Self) -> Self:
        """Of both."""
        return type(self)(
            count=self.count + other.count,
            correct=self.correct + other.correct,
            confidence=_add(self.confidence, other.confidence),
        )

    def compute(self) -> Array:
        """The error, between 0 and 1."""
        return jnp.abs(self.correct - self.confidence.sum(0)).sum() / self.count.sum()


@flax.struct.dataclass
class Regression(clu.metrics.Metric):
    """Errors of D outputs; made by `regression_errors`. `compute` gives "mse", "rmse", "mae", "r2".

    Means over D as well; rmse is the root of that mse; r2 is 1 - Σ error² / Σ (target - mean)² for
    each output, then the mean (one whose target is constant has 1 if it is met, else 0).
    The targets' spread is merged by means and squared deviations (Chan, Golub & LeVeque 1979):
    a sum of squares minus a squared sum would lose all its digits far from zero.

    Attributes: count int32; squared, absolute [2, D], sums of errors; mean [2, D] of the targets
    (with what rounding left out of it) and their squared deviations [D].
    """

    count: Array
    squared: Array
    absolute: Array
    mean: Array
    deviations: Array
    num_outputs: ClassVar[int]

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
        """From outputs and targets [B] or [B, ..., D]."""
        if outputs.ndim == 1:
            outputs = outputs[:, None]
        if targets.ndim == outputs.ndim - 1:
            targets = targets[..., None]
        expected = (*outputs.shape[:-1], cls.num_outputs)
        if targets.shape != outputs.shape or outputs.shape != expected:
            raise UserError(
                f"metrics: outputs {outputs.shape} and targets {targets.shape} must both be "
                f"[B, ..., {cls.num_outputs}]"
            )
        outputs, targets = outputs.astype(jnp.float32), targets.astype(jnp.float32)
        valid = valid_positions(outputs.shape[:-1], lengths, mask)
        axes = tuple(range(valid.ndim))
        count = valid.sum(dtype=jnp.int32)

        def total(values: Array) -> Array:
            return jnp.where(valid[..., None], values, 0).sum(axes)

        mean = total(targets) / jnp.maximum(count, 1)
        rest = total(targets - mean) / jnp.maximum(count, 1)  # what the first pass rounded away
        errors = outputs - targets
        return cls(
            count=count,
            squared=_summed(total(jnp.square(errors))),
            absolute=_summed(total(jnp.abs(errors))),
            mean=jnp.stack([mean, rest]),
            deviations=total(jnp.square(targets - mean - rest)),
        )

    @classmethod
    def empty(cls) -> Self:
        """Of no examples."""
        zeros = jnp.zeros(cls.num_outputs)
        sums = _summed(zeros)
        return cls(jnp.zeros((), jnp.int32), sums, sums, sums, zeros)

    def merge(self, other: Self) -> Self:
        """Of both."""
        count = self.count + other.count
        share = other.count / jnp.maximum(count, 1)
        apart = (other.mean - self.mean).sum(0)
        return type(self)(
            count=count,
            squared=_add(self.squared, other.squared),
            absolute=_add(self.absolute, other.absolute),
            mean=_add(self.mean, _summed(apart * share)),
            deviations=self.deviations + other.deviations + jnp.square(apart) * share * self.count,
        )

    def compute(self) -> dict[str, Array]:
        """Figures by name, see the class."""
        squared = self.squared.sum(0)
        constant = self.deviations == 0
        r2 = 1 - squared / jnp.where(constant, 1, self.deviations)
        r2 = jnp.where(constant, jnp.where(squared == 0, 1.0, 0.0), r2)
        mse = jnp.mean(squared / self.count)
        return {
            "mse": mse,
            "rmse": jnp.sqrt(mse),
            "mae": jnp.mean(self.absolute.sum(0) / self.count),
            "r2": jnp.where(self.count > 0, r2.mean(), jnp.nan),
        }


@functools.cache
def regression_errors(num_outputs: int = 1) -> type[Regression]:
    """The regression errors of `num_outputs` outputs."""
    fields = {"num_outputs": num_outputs}
    return flax.struct.dataclass(type(f"Regression{num_outputs}", (Regression,), fields))


@functools.cache
def classification(
    num_classes: int,
    top_k: Sequence[int] = (),
    confusion: bool = True,
    probabilities: bool = True,
) -> type[clu.metrics.Collection]:
    """A collection: loss, accuracy, precision, recall, F1, and how good the probabilities are.

    Args:
      num_classes: V; for a single logit, 2.
      top_k: a tuple of k, each giving "top_<k>_accuracy".
      confusion: False where a [V, V] table is too large (a vocabulary): accuracy only.
      probabilities: False where outputs are not logits (a hinge loss): no "nll", "brier",
        "calibration_error".
    """
    metrics: dict[str, Any] = {"loss": Loss}
    if confusion:
        metrics["confusion"] = confusion_matrix(num_classes)
    else:
        metrics["accuracy"] = Accuracy
    metrics |= {f"top_{k}_accuracy": top_k_accuracy(k) for k in top_k}
    if probabilities:
        metrics |= {"nll": NegativeLogLikelihood, "brier": Brier}
        metrics["calibration_error"] = CalibrationError
    return clu.metrics.Collection.create(**metrics)


@functools.cache
def regression(num_outputs: int = 1) -> type[clu.metrics.Collection]:
    """A collection: loss, mse, rmse, mae, r2."""
    return clu.metrics.Collection.create(loss=Loss, errors=regression_errors(num_outputs))


def compute_all(collection: clu.metrics.Collection) -> dict[str, float]:
    """The collection's scalars by name, e.g. {"loss": 0.3, "accuracy": 0.9, "f1/macro": 0.88}."""
    return {name: float(value) for name, value in _flat(collection).items() if value.ndim == 0}


def compute_arrays(collection: clu.metrics.Collection) -> dict[str, np.ndarray]:
    """What of the collection is no scalar: "confusion" [V, V], "f1/class" [V], ..."""
    return {name: value for name, value in _flat(collection).items() if value.ndim > 0}


def _flat(collection: clu.metrics.Collection) -> dict[str, np.ndarray]:
    """Results by name: those of one number by the field's, those of several by their own."""
    flat: dict[str, np.ndarray] = {}
    for field, result in jax.device_get(collection.compute()).items():
        named = result if isinstance(result, dict) else {field: result}
        if twice := flat.keys() & named.keys():
            raise ValueError(f"two metrics of the collection are called {sorted(twice)}")
        flat |= {name: np.asarray(value) for name, value in named.items()}
    return flat


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


def _summed(total: Array) -> Array:
    """A sum [...] with the rounding error 0 beside it, [2, ...]."""
    return jnp.stack([total, jnp.zeros_like(total)])


def _add(a: Array, b: Array) -> Array:
    """The sum of two [2, ...] sums, with what float32 rounded away (Knuth's two-sum)."""
    total = a[0] + b[0]
    part = total - a[0]
    error = (a[0] - (total - part)) + (b[0] - part) + (a[1] + b[1])
    rounded = total + error
    return jnp.stack([rounded, error - (rounded - total)])
