"""Semantic segmentation: a class for each pixel."""

import dataclasses
from typing import Any, Literal

import clu.metrics
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.modules.resizing import middle
from aimodels.tasks.base import Batch, SupervisedTask
from aimodels.tasks.metrics import Loss
from aimodels.tasks.segmentation_losses import LOSSES
from aimodels.tasks.segmentation_metrics import pixel_confusion

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Segmentation(SupervisedTask):
    """Learns labels [B, H, W] of pixels from images [B, H, W, C].

    A model whose outputs are for the middle of the image, as U-Net's without padding, learns and is
    measured on the middle of the labels. A field `weights` [B, H, W] of the data weighs pixels in
    the loss, not in the metrics.

    Attributes:
      loss_name: `cross_entropy`, `focal`, `dice` (V-Net's), or `cross_entropy_and_dice`, their sum.
      ignore_label: pixels with it count neither in the loss nor in the metrics.
      class_weights: one a class, for the loss; () for none.
      focal_gamma: γ of the focal loss.
    """

    loss_name: Literal["cross_entropy", "focal", "dice", "cross_entropy_and_dice"] = "cross_entropy"
    ignore_label: int = 255
    class_weights: tuple[float, ...] = ()
    focal_gamma: float = 2.0

    def loss(self, outputs: Array, batch: Batch) -> Array:
        """The loss of each image, [B]."""
        labels, valid, weights = self._truth(outputs, batch)
        if self.class_weights and len(self.class_weights) != outputs.shape[-1]:
            raise UserError(
                f"config.task.class_weights: {len(self.class_weights)} weights for the model's "
                f"{outputs.shape[-1]} classes; give one a class"
            )
        given: dict[str, Any] = {"weights": weights, "class_weights": self.class_weights}
        if self.loss_name == "focal":
            given["gamma"] = self.focal_gamma
        return LOSSES[self.loss_name](outputs, labels, valid, **given)

    def train_metrics(self, outputs: Array, batch: Batch) -> dict[str, Array]:
        """The share of the batch's pixels that are right."""
        labels, valid, _ = self._truth(outputs, batch)
        right = (outputs.argmax(-1) == labels) & valid
        return {"pixel_accuracy": right.sum() / jnp.maximum(valid.sum(), 1)}

    def metrics(self, outputs: Array, batch: Batch) -> clu.metrics.Collection:
        """Loss, pixel accuracy, mean IoU, Dice."""
        labels, valid, _ = self._truth(outputs, batch)
        confusion = pixel_confusion(outputs.shape[-1])
        collection = clu.metrics.Collection.create(loss=Loss, confusion=confusion)
        return collection.single_from_model_output(
            outputs=outputs,
            targets=labels,
            mask=valid,
            loss=self.loss(outputs, batch),
        )

    def _truth(self, outputs: Array, batch: Batch) -> tuple[Array, Array, Array | None]:
        """Labels, which of them count, and weights: each [B, H', W'] as the outputs."""
        targets = jnp.asarray(batch["targets"])
        if outputs.ndim != 4 or targets.ndim != 3 or not jnp.issubdtype(targets.dtype, jnp.integer):
            raise UserError(
                f"task segmentation takes scores [B, H, W, V] and whole labels [B, H, W], got "
                f"{outputs.shape} and {targets.shape} {targets.dtype}"
            )
        size = (outputs.shape[1], outputs.shape[2])
        if any(want > have for want, have in zip(size, targets.shape[1:], strict=True)):
            raise UserError(
                f"task segmentation: scores {outputs.shape} are larger than the labels "
                f"{targets.shape}; images and labels need one size"
            )
        labels = middle(targets, size).astype(jnp.int32)
        valid = labels != self.ignore_label
        if "mask" in batch:
            valid &= batch["mask"].astype(bool)[:, None, None]
        weights = middle(jnp.asarray(batch["weights"]), size) if "weights" in batch else None
        return labels, valid, weights
