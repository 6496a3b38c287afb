"""Metrics of regression: MSE, RMSE, MAE, R2. See `aimodels.tasks.metrics` for what all share."""

import functools
from typing import Any, ClassVar, Self

import clu.metrics
import flax.struct
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.tasks.losses import valid_positions
from aimodels.tasks.metrics import Loss, added, summed

Array = jax.Array


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
            squared=summed(total(jnp.square(errors))),
            absolute=summed(total(jnp.abs(errors))),
            mean=jnp.stack([mean, rest]),
            deviations=total(jnp.square(targets - mean - rest)),
        )

    @classmethod
    def empty(cls) -> Self:
        """Of no examples."""
        zeros = jnp.zeros(cls.num_outputs)
        sums = summed(zeros)
        return cls(jnp.zeros((), jnp.int32), sums, sums, sums, zeros)

    def merge(self, other: Self) -> Self:
        """Of both."""
        count = self.count + other.count
        share = other.count / jnp.maximum(count, 1)
        apart = (other.mean - self.mean).sum(0)
        return type(self)(
            count=count,
            squared=added(self.squared, other.squared),
            absolute=added(self.absolute, other.absolute),
            mean=added(self.mean, summed(apart * share)),
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
def regression_metrics(num_outputs: int = 1) -> type[clu.metrics.Collection]:
    """A collection: loss, mse, rmse, mae, r2."""
    return clu.metrics.Collection.create(loss=Loss, errors=regression_errors(num_outputs))
