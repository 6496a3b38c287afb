"""Detection: boxes and classes of objects, by SSD, YOLOv1 or YOLOv3 (Faster R-CNN: `faster_rcnn`).

A batch has `inputs` [B, H, W, 3], `boxes` [B, M, 4] in pixels, and `labels` [B, M], -1 where there
is no box; see `aimodels.data.detection`. An image without objects is one of background alone.

Shapes: B images, H W image, N places, M targets and K detections of an image, V classes.
"""

import abc
import dataclasses
import functools
from typing import Any

import clu.metrics
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.models.ssd import SSDOutputs
from aimodels.modules.box_coding import SSD_WEIGHTS, decode_boxes, encode_boxes, encode_yolo
from aimodels.modules.boxes import clip_boxes, large_enough, pairwise_iou
from aimodels.modules.matching import match_by_best, match_yolo, matched
from aimodels.modules.suppression import Detections, detect
from aimodels.tasks.base import Batch, State, SupervisedTask
from aimodels.tasks.detection_losses import ssd_loss
from aimodels.tasks.detection_metrics import FIGURES, average_precision_of
from aimodels.tasks.yolo_losses import (
    yolov1_boxes,
    yolov1_loss,
    yolov1_targets,
    yolov3_boxes,
    yolov3_loss,
)

Array = jax.Array

OVERALL = ("mAP", "mAP@0.5", "mAP@0.75", "recall@100")


@dataclasses.dataclass(frozen=True)
class Detection(SupervisedTask):
    """What all detectors have in common: detections from a model's outputs, and their precision.

    Metrics: COCO's "mAP", "mAP@0.5", "mAP@0.75" and "recall@100", and for each class "AP/class" and
    "AP@0.5/class". What has no target in the whole split is NaN.

    Attributes:
      score_threshold: what is not above it is no detection.
      iou_threshold: of suppression, class by class.
      max_detections: K, of an image.
      candidates: of each class that go into suppression.
      by_size: reports "mAP/small", "mAP/medium" and "mAP/large" too.
    """

    score_threshold: float = 0.05
    iou_threshold: float = 0.5
    max_detections: int = 100
    candidates: int = 100
    by_size: bool = False

    @property
    @abc.abstractmethod
    def num_classes(self) -> int:
        """V, without a background."""

    @abc.abstractmethod
    def scored_boxes(
        self, outputs: jax.Array, image_size: tuple[int, int]
    ) -> tuple[Array, Array, Array | None]:
        """What the outputs stand for.

        Returns:
          Boxes [B, N, 4], or [B, N, V, 4] where each class has its own, scores [B, N, V], and a
          mask [B, N] or None.
        """

    @abc.abstractmethod
    def losses(self, outputs: jax.Array, batch: Batch) -> dict[str, Array]:
        """The parts of the loss, each [B]."""

    def loss(self, outputs: Array, batch: Batch) -> Array:
        """Their sum, [B]."""
        return sum(self.losses(outputs, batch).values(), jnp.zeros(len(batch["inputs"])))

    def train_metrics(self, outputs: Array, batch: Batch) -> dict[str, Array]:
        """The means of the parts."""
        parts = self.losses(outputs, batch)
        return {f"{name}_loss": jnp.mean(part) for name, part in parts.items()}

    def detections(self, outputs: Array, image_size: tuple[int, int]) -> Detections:
        """What is found, by falling score, cut off at the image's border."""
        boxes, scores, mask = self.scored_boxes(outputs, image_size)
        # Box coding has no bounds, and a box that is no number must not hide others.
        boxes = clip_boxes(jnp.nan_to_num(boxes), image_size)
        return detect(
            boxes,
            scores,
            mask=mask,
            score_threshold=self.score_threshold,
            iou_threshold=self.iou_threshold,
            candidates=self.candidates,
            max_detections=self.max_detections,
        )

    def metrics(self, outputs: Array, batch: Batch) -> clu.metrics.Collection:
        """Average precision; see above."""
        boxes, labels = targets_of(batch, crowds=True)
        figures = tuple(FIGURES) if self.by_size else OVERALL
        collection = _collection(self.num_classes, figures)
        return collection.single_from_model_output(
            detections=self.detections(outputs, batch["inputs"].shape[1:3]),
            boxes=boxes,
            classes=jnp.maximum(labels, 0),
            box_mask=labels >= 0,
            crowd=batch.get("crowd"),
            mask=batch.get("mask"),
        )

    def predict(self, state: State, batch: Batch) -> Detections:
        """What is found in raw inputs [B, H, W, 3]; boxes in pixels of what the model sees."""
        seen = self.transforms({"inputs": batch["inputs"]}, None, train=False)["inputs"]
        outputs: Any = self.model.apply(state.variables, seen)
        return self.detections(outputs, seen.shape[1:3])


@dataclasses.dataclass(frozen=True)
class SSDDetection(Detection):
    """SSD: default boxes matched with targets, hard negatives, smooth L1 (Liu et al. 2016, 2.2).

    Attributes:
      match_threshold: IoU from which a default box learns from a target.
    """

    match_threshold: float = 0.5

    @property
    def num_classes(self) -> int:
        """Without the background, which the model counts."""
        return self.model.num_classes - 1  # pyright: ignore[reportAttributeAccessIssue]

    def losses(self, outputs: SSDOutputs, batch: Batch) -> dict[str, Array]:  # pyright: ignore
        """Of classes and of boxes, over the matched boxes of the whole batch."""
        boxes, labels = targets_of(batch)
        anchors = self._anchors(batch["inputs"].shape[1:3])
        there = labels >= 0
        matches = match_by_best(pairwise_iou(boxes, anchors), there, threshold=self.match_threshold)
        codes = encode_boxes(matched(boxes, matches), anchors, SSD_WEIGHTS)
        classes = matched(labels + 1, matches)
        of_classes, of_boxes = ssd_loss(outputs.logits, outputs.codes, classes, codes, matches)
        # The mean over images of what is divided here is the sum over all matched boxes.
        share = len(boxes) / jnp.maximum((matches >= 0).sum(), 1)
        return {"class": of_classes * share, "box": of_boxes * share}

    def scored_boxes(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, outputs: SSDOutputs, image_size: tuple[int, int]
    ) -> tuple[Array, Array, None]:
        """Decoded boxes [B, N, 4] and probabilities [B, N, V] without the background's."""
        scores = jax.nn.softmax(outputs.logits.astype(jnp.float32))[..., 1:]
        codes = outputs.codes.astype(jnp.float32)
        return decode_boxes(codes, self._anchors(image_size), SSD_WEIGHTS), scores, None

    def _anchors(self, image_size: tuple[int, int]) -> Array:
        return jnp.asarray(self.model.default_boxes(image_size))  # pyright: ignore


@dataclasses.dataclass(frozen=True)
class YOLOv1Detection(Detection):
    """YOLO: one target a cell, squared differences (Redmon et al. 2016, equation 3)."""

    @property
    def num_classes(self) -> int:
        """The model's."""
        return self.model.num_classes  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def _boxes_per_cell(self) -> int:
        return self.model.boxes_per_cell  # pyright: ignore[reportAttributeAccessIssue]

    def losses(self, outputs: Array, batch: Batch) -> dict[str, Array]:
        """Of boxes, objects, their absence, and classes."""
        boxes, labels = targets_of(batch)
        size = batch["inputs"].shape[1:3]
        targets = yolov1_targets(boxes, jnp.maximum(labels, 0), labels >= 0, outputs.shape[1], size)
        return yolov1_loss(outputs, *targets, boxes_per_cell=self._boxes_per_cell)

    def scored_boxes(
        self, outputs: Array, image_size: tuple[int, int]
    ) -> tuple[Array, Array, Array | None]:
        """A cell's boxes, with the class's probability times the box's confidence (equation 1)."""
        outputs = outputs.astype(jnp.float32)
        batch, rows, columns, _ = outputs.shape
        size = 5 * self._boxes_per_cell
        predicted = outputs[..., :size].reshape(batch, rows, columns, -1, 5)
        boxes = yolov1_boxes(predicted[..., :4], image_size)
        scores = predicted[..., 4:] * outputs[..., None, size:]
        return boxes.reshape(batch, -1, 4), scores.reshape(batch, -1, self.num_classes), None


@dataclasses.dataclass(frozen=True)
class YOLOv3Detection(Detection):
    """YOLOv3: one prior a target, logistic classes (Redmon & Farhadi 2018, sections 2.1 to 2.3).

    Attributes:
      ignored_above: predictions that overlap a target by more, and are not its best, don't count.
    """

    ignored_above: float = 0.5

    @property
    def num_classes(self) -> int:
        """The model's."""
        return self.model.num_classes  # pyright: ignore[reportAttributeAccessIssue]

    def losses(self, outputs: Array, batch: Batch) -> dict[str, Array]:
        """Of boxes, objects and classes, the sum over an image."""
        boxes, labels = targets_of(batch)
        size = batch["inputs"].shape[1:3]
        priors = self.model.yolo_priors(size)  # pyright: ignore[reportAttributeAccessIssue]
        found = jax.lax.stop_gradient(yolov3_boxes(outputs.astype(jnp.float32), priors))
        overlaps = pairwise_iou(boxes, found)
        matches = match_yolo(boxes, labels >= 0, priors, overlaps, ignored_above=self.ignored_above)
        codes = encode_yolo(matched(boxes, matches), priors)
        classes = matched(labels, matches)
        return yolov3_loss(outputs, codes, classes, matches, priors, size)

    def scored_boxes(
        self, outputs: Array, image_size: tuple[int, int]
    ) -> tuple[Array, Array, Array | None]:
        """Boxes, with the class's probability times the object's."""
        outputs = outputs.astype(jnp.float32)
        priors = self.model.yolo_priors(image_size)  # pyright: ignore[reportAttributeAccessIssue]
        scores = jax.nn.sigmoid(outputs[..., 4:5]) * jax.nn.sigmoid(outputs[..., 5:])
        return yolov3_boxes(outputs, priors), scores, None


def targets_of(batch: Batch, *, crowds: bool = False) -> tuple[Array, Array]:
    """The boxes [B, M, 4] and labels [B, M] of a batch, -1 also where a box is empty.

    Args:
      batch: with `crowd` [B, M], if some are regions of many objects.
      crowds: whether these are among them: not for learning (as in torchvision).

    Raises:
      UserError: the batch has no boxes or no labels.
    """
    if "boxes" not in batch or "labels" not in batch:
        raise UserError(
            "a detector learns from batches with 'boxes' and 'labels'; the data set's have "
            f"{', '.join(map(repr, sorted(batch)))}"
        )
    size = batch["inputs"].shape[1:3]
    boxes = clip_boxes(jnp.asarray(batch["boxes"], jnp.float32), size)
    labels = jnp.asarray(batch["labels"])
    there = (labels >= 0) & large_enough(boxes, 1e-3)
    if "crowd" in batch and not crowds:
        there &= ~jnp.asarray(batch["crowd"], bool)
    return jnp.where(there[..., None], boxes, 0), jnp.where(there, labels, -1)


@functools.cache
def _collection(num_classes: int, figures: tuple[str, ...]) -> type[clu.metrics.Collection]:
    precision = average_precision_of(num_classes, figures)
    return clu.metrics.Collection.create(average_precision=precision)
