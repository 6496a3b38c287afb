"""Average precision of detectors, as COCO defines and `pycocotools` computes it.

It is no mean over batches: all detections of a data set are ranked together. So the metric gathers
them, and its merge puts one behind the other. Each number of batches has its own shape, and so its
own compilation of the merge, of some 10 ms: take large batches for large sets.

Shapes: B images, K detections and M targets of an image (padded), V classes.
"""

import contextlib
import functools
import io
from typing import Any, ClassVar, Self

import clu.metrics
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from aimodels.errors import UserError
from aimodels.modules.suppression import Detections

Array = jax.Array

# Our name -> its place among the 12 figures of COCOeval. The sizes are in pixels of the image that
# the boxes are in: small images have no large ones.
FIGURES = {
    "mAP": 0,
    "mAP@0.5": 1,
    "mAP@0.75": 2,
    "mAP/small": 3,
    "mAP/medium": 4,
    "mAP/large": 5,
    "recall@1": 6,
    "recall@10": 7,
    "recall@100": 8,
}


def average_precision(
    detections: dict[str, np.ndarray], targets: dict[str, np.ndarray], num_classes: int
) -> dict[str, Any]:
    """Mean average precision and recall over images; on the host, by pycocotools.

    Args:
      detections: "boxes" [B, K, 4], "scores" [B, K], "classes" [B, K] from 0, "mask" [B, K].
      targets: "boxes" [B, M, 4], "classes" [B, M], "mask" [B, M]; "crowd" [B, M], if there, is True
        for regions of many objects, which are no miss if not found.
      num_classes: V.

    Returns:
      "mAP", the mean over classes and IoU of 0.5, 0.55 ... 0.95; "mAP@0.5", "mAP@0.75"; "mAP/small"
      (areas below 32² pixels), "/medium", "/large" (above 96²); "recall@1", "@10", "@100" with so
      many detections an image; "AP/class" [V], mean over IoU, and "AP@0.5/class" [V]. What has no
      target is NaN.
    """
    COCO, COCOeval = _pycocotools()
    images = [{"id": image} for image in range(len(targets["mask"]))]
    annotations = []
    crowd = targets.get("crowd", np.zeros_like(targets["mask"]))
    for number, (image, place) in enumerate(np.argwhere(targets["mask"]), start=1):
        box = _xywh(targets["boxes"][image, place])
        annotations.append(
            {
                "id": number,
                "image_id": int(image),
                "category_id": int(targets["classes"][image, place]),
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": int(crowd[image, place]),
            }
        )
    found = [
        {
            "image_id": int(image),
            "category_id": int(detections["classes"][image, place]),
            "bbox": _xywh(detections["boxes"][image, place]),
            "score": float(detections["scores"][image, place]),
        }
        for image, place in np.argwhere(detections["mask"])
    ]
    if not annotations:
        nothing = dict.fromkeys(FIGURES, np.float32(np.nan))
        each = np.full(num_classes, np.nan, np.float32)
        return {**nothing, "AP/class": each, "AP@0.5/class": each}
    with contextlib.redirect_stdout(io.StringIO()):  # it prints as it goes
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": images,
            "annotations": annotations,
            "categories": [{"id": each} for each in range(num_classes)],
        }
        truth.createIndex()
        if found:
            predicted = truth.loadRes(found)
        else:  # loadRes takes no empty list
            predicted = COCO()
            predicted.dataset = {**truth.dataset, "annotations": []}
            predicted.createIndex()
        evaluation = COCOeval(truth, predicted, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # -1 stands for figures of no target.
    figures: dict[str, Any] = {
        name: np.float32(np.nan if evaluation.stats[place] < 0 else evaluation.stats[place])
        for name, place in FIGURES.items()
    }
    # [10 IoU, 101 recall, V, all areas first, most detections last]
    precision = evaluation.eval["precision"][:, :, :, 0, -1].mean(1)
    for name, each in (("AP/class", precision.mean(0)), ("AP@0.5/class", precision[0])):
        figures[name] = np.where(each < 0, np.nan, each).astype(np.float32)
    return figures


@flax.struct.dataclass
class AveragePrecision(clu.metrics.Metric):
    """All detections and targets of a data set; made by `average_precision_of`.

    `compute` gives what `average_precision` does.

    Attributes:
      detections: see `average_precision`.
      targets: see there; images of padding have no target and no detection.
      num_classes: V.
      figures: which of `FIGURES` are given.
    """

    detections: dict[str, Array]
    targets: dict[str, Array]
    num_classes: ClassVar[int]
    figures: ClassVar[tuple[str, ...]]

    @classmethod
    def from_model_output(
        cls,
        *,
        detections: Detections,
        boxes: Array,
        classes: Array,
        box_mask: Array,
        crowd: Array | None = None,
        mask: Array | None = None,
        **_: Any,
    ) -> Self:
        """From detections and targets of a batch.

        Args:
          detections: of a batch.
          boxes: the targets', [B, M, 4], in the same pixels.
          classes: [B, M] from 0.
          box_mask: [B, M], which targets are there.
          crowd: [B, M], see `average_precision`.
          mask: [B], which images count.
          _: what other metrics take.
        """
        image = jnp.ones(len(boxes), bool) if mask is None else mask.astype(bool)
        found = {
            "boxes": detections.boxes,
            "scores": detections.scores,
            "classes": detections.classes,
            "mask": detections.mask & image[:, None],
        }
        crowd = jnp.zeros_like(box_mask) if crowd is None else crowd
        wanted = {
            "boxes": boxes,
            "classes": classes,
            "mask": box_mask & image[:, None],
            "crowd": crowd,
        }
        return cls(detections=found, targets=wanted)

    def merge(self, other: Self) -> Self:
        """Those of both, one behind the other."""
        return jax.tree.map(lambda *parts: jnp.concatenate(parts), self, other)

    def compute(self) -> dict[str, Array]:
        """The figures, by a call of the host where this is compiled."""
        shapes = {name: jax.ShapeDtypeStruct((), jnp.float32) for name in self.figures}
        for name in ("AP/class", "AP@0.5/class"):
            shapes[name] = jax.ShapeDtypeStruct((self.num_classes,), jnp.float32)

        def on_host(detections: dict[str, Any], targets: dict[str, Any]) -> dict[str, np.ndarray]:
            detections, targets = jax.tree.map(np.asarray, (detections, targets))
            found = average_precision(detections, targets, self.num_classes)
            return {name: found[name] for name in shapes}

        return jax.pure_callback(
            on_host, shapes, self.detections, self.targets, vmap_method="sequential"
        )


@functools.cache
def average_precision_of(
    num_classes: int, figures: tuple[str, ...] = tuple(FIGURES)
) -> type[AveragePrecision]:
    """The metric of `num_classes` classes, with some of `FIGURES` and the precision of each class.

    Raises:
      UserError: pycocotools is not installed; here, since it could not be raised as it is where the
        figures are computed, in a call from a compiled function.
    """
    _pycocotools()
    fields = {"num_classes": num_classes, "figures": figures}
    name = f"AveragePrecision{num_classes}"
    return flax.struct.dataclass(type(name, (AveragePrecision,), fields))


def _pycocotools() -> tuple[Any, Any]:
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise UserError(
            "average precision needs pycocotools: pip install 'aimodels[detection]'"
        ) from None
    return COCO, COCOeval


def _xywh(box: np.ndarray) -> list[float]:
    left, top, right, bottom = (float(side) for side in box)
    return [left, top, right - left, bottom - top]
