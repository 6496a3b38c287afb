"""Answers to sequences: a class at each of some places, and whether all of them are right."""

import dataclasses
from typing import Any, Self

import clu.metrics
import flax.struct
import jax
import jax.numpy as jnp

from aimodels.tasks.base import Batch, SupervisedTask
from aimodels.tasks.losses import softmax_cross_entropy, valid_positions
from aimodels.tasks.metrics import Loss, Mean

Array = jax.Array


@flax.struct.dataclass
class RightPlaces(Mean):
    """The mean over examples of the share of places whose best class is the target's."""

    @classmethod
    def from_model_output(
        cls, *, outputs: Array, targets: Array, counted: Array, mask: Array | None = None, **_: Any
    ) -> Self:
        """From outputs [B, T, V], targets [B, T] and the places that count [B, T]."""
        right = (outputs.argmax(-1) == targets) & counted
        share = right.sum(1) / jnp.maximum(counted.sum(1), 1)
        return cls.of(share, valid_positions(share.shape, mask=mask))


@flax.struct.dataclass
class RightAnswers(Mean):
    """The share of examples that are right at every place."""

    @classmethod
    def from_model_output(
        cls, *, outputs: Array, targets: Array, counted: Array, mask: Array | None = None, **_: Any
    ) -> Self:
        """From outputs [B, T, V], targets [B, T] and the places that count [B, T]."""
        right = ((outputs.argmax(-1) == targets) | ~counted).all(1)
        return cls.of(right, valid_positions(right.shape, mask=mask))


@flax.struct.dataclass
class AnswerMetrics(clu.metrics.Collection):
    """`loss`, `accuracy` (of places, then over examples) and `exact` (of whole answers)."""

    loss: Loss
    accuracy: RightPlaces
    exact: RightAnswers


@dataclasses.dataclass(frozen=True)
class SequenceAnswers(SupervisedTask):
    """Learns ids `targets` [B, T] at the places from `answer_starts` up to `answer_ends`, both [B].

    The model has a class for each step of `inputs` [B, T], as readout="each" gives them.
    """

    def loss(self, outputs: Array, batch: Batch) -> Array:
        """The mean loss of each example's places, [B]."""
        return softmax_cross_entropy(outputs, batch["targets"], mask=counted(batch))

    def train_metrics(self, outputs: Array, batch: Batch) -> dict[str, Array]:
        """The accuracy on the training batch."""
        measured = RightPlaces.from_model_output(
            outputs=outputs, targets=batch["targets"], counted=counted(batch)
        )
        return {"accuracy": measured.compute()}

    def metrics(self, outputs: Array, batch: Batch) -> AnswerMetrics:
        """Loss, accuracy and how many answers are wholly right."""
        return AnswerMetrics.single_from_model_output(
            outputs=outputs,
            targets=batch["targets"],
            loss=self.loss(outputs, batch),
            counted=counted(batch),
            mask=batch.get("mask"),
        )


def counted(batch: Batch) -> Array:
    """The places of the answers, bool [B, T]."""
    places = jnp.arange(batch["targets"].shape[1])
    return (places >= batch["answer_starts"][:, None]) & (places < batch["answer_ends"][:, None])
