"""Faster R-CNN: what its two stages learn (Ren et al. 2015, section 3.1.2).

Shapes: B images, N anchors, S samples, R regions, M targets, V classes with the background.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from aimodels.errors import UserError
from aimodels.models.faster_rcnn_model import FasterRCNNOutputs
from aimodels.modules.box_coding import (
    FASTER_RCNN_HEAD_WEIGHTS,
    FASTER_RCNN_RPN_WEIGHTS,
    decode_boxes,
    encode_boxes,
)
from aimodels.modules.boxes import clip_boxes
from aimodels.modules.matching import matched
from aimodels.tasks.base import Batch
from aimodels.tasks.detection import Detection, targets_of
from aimodels.tasks.detection_losses import smooth_l1_loss

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class FasterRCNNDetection(Detection):
    """Both stages at once: objects and boxes of sampled anchors, classes and boxes of regions.

    As in torchvision, each part is divided by how many were sampled in the whole batch.

    Attributes:
      beta: of the smooth L1 losses; torchvision's 1/9.
      smallest: the least side of a detection in pixels.
    """

    beta: float = 1 / 9
    smallest: float = 1e-2

    @property
    def num_classes(self) -> int:
        """Without the background, which the model counts."""
        return self.model.num_classes - 1  # pyright: ignore[reportAttributeAccessIssue]

    def keywords(self, batch: Batch) -> dict[str, Any]:
        """Boxes and labels, where there are any: the second stage is trained on samples of them."""
        if "boxes" not in batch:
            return {}
        boxes, labels = targets_of(batch)
        return {"boxes": boxes, "labels": labels}

    def losses(self, outputs: FasterRCNNOutputs, batch: Batch) -> dict[str, Array]:  # pyright: ignore
        """Of the first stage's objects and boxes, and of the second's classes and boxes."""
        targets = outputs.targets
        if targets is None:
            raise UserError("Faster R-CNN has a loss in training alone: it is one over samples")
        boxes, labels = targets_of(batch)
        anchors = jnp.asarray(self._anchors(batch["inputs"].shape[1:3]))
        chosen = targets.anchors

        def taken(values: Array) -> Array:
            index = chosen.index.reshape(*chosen.index.shape, *(1,) * (values.ndim - 2))
            return jnp.take_along_axis(values, index, 1)

        matches = taken(targets.anchor_matches)
        objects = optax.losses.sigmoid_binary_cross_entropy(
            taken(outputs.objects).astype(jnp.float32), chosen.positive.astype(jnp.float32)
        )
        wanted = encode_boxes(
            matched(boxes, matches), anchors[chosen.index], FASTER_RCNN_RPN_WEIGHTS
        )
        of_boxes = self._of_boxes(taken(outputs.object_codes), wanted, chosen.positive)

        matches = targets.region_matches
        classes = matched(labels + 1, matches)
        of_classes = optax.losses.softmax_cross_entropy_with_integer_labels(
            outputs.logits.astype(jnp.float32), classes
        )
        own = jnp.take_along_axis(outputs.codes, classes[..., None, None], 2)[:, :, 0]
        # Regions that aren't there are empty: they have no code.
        regions = jnp.where(outputs.region_mask[..., None], outputs.regions, jnp.arange(4.0))
        wanted = encode_boxes(matched(boxes, matches), regions, FASTER_RCNN_HEAD_WEIGHTS)
        of_regions = self._of_boxes(own, wanted, matches >= 0)

        def mean(values: Array, mask: Array) -> Array:
            """[B]: its mean over images is the mean over all samples of the batch."""
            share = len(mask) / jnp.maximum(mask.sum(), 1)
            return jnp.where(mask, values, 0).sum(1) * share

        return {
            "object": mean(objects, chosen.mask),
            "object_box": mean(of_boxes, chosen.mask),
            "class": mean(of_classes, outputs.region_mask),
            "box": mean(of_regions, outputs.region_mask),
        }

    def scored_boxes(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, outputs: FasterRCNNOutputs, image_size: tuple[int, int]
    ) -> tuple[Array, Array, Array]:
        """A box of each region for each class, and the classes' probabilities."""
        scores = jax.nn.softmax(outputs.logits.astype(jnp.float32))[..., 1:]
        codes = outputs.codes.astype(jnp.float32)[:, :, 1:]
        boxes = decode_boxes(codes, outputs.regions[:, :, None], FASTER_RCNN_HEAD_WEIGHTS)
        clipped = clip_boxes(boxes, image_size)
        sides = (clipped[..., 2:] - clipped[..., :2]).min(-1)
        return boxes, jnp.where(sides >= self.smallest, scores, 0), outputs.region_mask

    def _of_boxes(self, codes: Array, wanted: Array, positive: Array) -> Array:
        wanted = jnp.where(positive[..., None], wanted, 0)
        of_boxes = smooth_l1_loss(codes, wanted, beta=self.beta).sum(-1)
        return jnp.where(positive, of_boxes, 0)

    def _anchors(self, image_size: tuple[int, int]) -> Any:
        return self.model.anchors(image_size)  # pyright: ignore[reportAttributeAccessIssue]
