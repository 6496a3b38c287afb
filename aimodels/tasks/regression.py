"""Regression: one or several numbers, with or without Monte Carlo dropout."""

import dataclasses
import functools
import math
from typing import Any, Literal

import clu.metrics
import jax
import jax.numpy as jnp

from aimodels.tasks import losses
from aimodels.tasks.base import Batch, State, SupervisedTask
from aimodels.tasks.metrics import Mean
from aimodels.tasks.regression_metrics import regression_metrics

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Regression(SupervisedTask):
    """Learns numbers [B] or [B, D] from inputs.

    Where a batch has `target_std` [B] (and its data set standardised the targets), errors are
    reported in the unit of the data.

    Attributes:
      loss_name: `squared_error`, `absolute_error` or `huber`.
      tolerance: reports `wrong`, the share of examples with an error of this size or more, in the
        unit of the data; None for no such report.
    """

    loss_name: Literal["squared_error", "absolute_error", "huber"] = "squared_error"
    tolerance: float | None = None

    def loss(self, outputs: Array, batch: Batch) -> Array:
        """The loss of each example, [B]."""
        return losses.LOSSES[self.loss_name](_like(outputs, batch["targets"]), batch["targets"])

    def metrics(self, outputs: Array, batch: Batch) -> clu.metrics.Collection:
        """Loss, MSE, RMSE, MAE and R2, and the share that is wrong."""
        targets = batch["targets"]
        outputs = _like(outputs, targets)
        loss = self.loss(outputs, batch)
        if "target_std" in batch:
            scale = batch["target_std"].reshape(-1, *[1] * (targets.ndim - 1))
            outputs, targets = outputs * scale, targets * scale
        collection = regression_metrics(1 if targets.ndim == 1 else targets.shape[-1])
        measured = collection.single_from_model_output(
            outputs=outputs, targets=targets, loss=loss, mask=batch.get("mask")
        )
        if self.tolerance is None:
            return measured
        errors = jnp.abs(outputs - targets).reshape(len(targets), -1).max(1)
        valid = batch.get("mask", jnp.ones(len(targets), bool))
        return _beside(measured, "wrong", Mean.of(errors >= self.tolerance, valid))


@dataclasses.dataclass(frozen=True)
class MCDropoutRegression(Regression):
    """Regression whose dropout stays on when it predicts: Gal & Ghahramani 2016, section 3.

    Reports, beside the errors of the mean prediction, `log_likelihood`, equation 8: the mean over
    examples of log 1/T Σ_t N(y; y_t, 1/τ), in the unit of the data.

    Attributes:
      samples: T, forward passes with dropout.
      noise_precision: τ, the inverse variance of the noise, in the unit of the data.
    """

    samples: int = 100
    noise_precision: float = 1.0

    def eval_step(self, state: State, batch: Batch, key: Array) -> clu.metrics.Collection:
        """The metrics of a batch over `samples` stochastic passes."""
        batch = self.transforms(batch, None, train=False)
        std = batch.get("target_std", jnp.ones(batch["targets"].shape[0]))
        log_normalizer = 0.5 * jnp.log(jnp.asarray(self.noise_precision) / (2 * math.pi))

        def sample(carry: tuple[Array, Array], index: Array) -> tuple[tuple[Array, Array], None]:
            total, log_sum = carry
            outputs: Any = self.model.apply(
                state.variables,
                batch["inputs"],
                train=True,
                rngs={"dropout": jax.random.fold_in(key, index)},
            )
            outputs = _like(outputs, batch["targets"])
            error = (outputs - batch["targets"]) * std
            log_density = log_normalizer - 0.5 * self.noise_precision * error**2
            return (total + outputs, jnp.logaddexp(log_sum, log_density)), None

        zeros = jnp.zeros(batch["targets"].shape, jnp.float32)
        nothing = jnp.full(batch["targets"].shape, -jnp.inf)
        (total, log_sum), _ = jax.lax.scan(sample, (zeros, nothing), jnp.arange(self.samples))
        log_likelihood = Mean.of(
            log_sum - math.log(self.samples),
            batch.get("mask", jnp.ones(batch["targets"].shape[0], bool)),
        )
        errors = self.metrics(total / self.samples, batch)
        return _beside(errors, "log_likelihood", log_likelihood)


def _beside(measured: clu.metrics.Collection, name: str, mean: Mean) -> clu.metrics.Collection:
    """A collection with one more metric, a mean."""
    return _with_mean(type(measured), name)(
        _reduction_counter=measured._reduction_counter,
        **{field: getattr(measured, field) for field in measured.__annotations__},
        **{name: mean},
    )


@functools.cache
def _with_mean(collection: type, name: str) -> type:
    return clu.metrics.Collection.create(**collection.__annotations__, **{name: Mean})


def _like(outputs: Array, targets: Array) -> Array:
    """Outputs [B, 1] as [B] where the targets are [B]."""
    return outputs[..., 0] if outputs.ndim == targets.ndim + 1 else outputs
