"""Detection sets of TensorFlow Datasets, such as COCO, without TensorFlow."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from aimodels.data.base import Feature, Info
from aimodels.data.detection import Resizing, detection_features, padded, resized
from aimodels.data.source import check_indices
from aimodels.data.tfds import Tfds
from aimodels.errors import UserError


class TfdsDetectionSource:
    """Examples of a prepared TFDS split, read, decoded and resized when they are gathered."""

    def __init__(self, examples: Any, dataset: "TfdsDetection") -> None:
        self._examples, self._dataset = examples, dataset

    def __len__(self) -> int:
        return len(self._examples)

    def gather(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """The examples at `indices` [B]: field -> array [B, ...]."""
        indices = check_indices(indices, len(self))
        examples = self._examples.__getitems__([int(index) for index in indices])
        converted = [self._converted(example) for example in examples]
        return {
            name: np.stack([example[name] for example in converted])
            if converted
            else np.zeros((0, *map(int, feature.shape)), feature.dtype)  # pyright: ignore
            for name, feature in self._dataset.features().items()
        }

    def _converted(self, example: dict[str, Any]) -> dict[str, np.ndarray]:
        from PIL import Image

        dataset = self._dataset
        objects = example[dataset.objects]
        image = np.asarray(example[dataset.inputs])
        height, width = image.shape[:2]
        # TFDS has (top, left, bottom, right) as shares of the image.
        corners = np.asarray(objects["bbox"], np.float64).reshape(-1, 4)[:, [1, 0, 3, 2]]
        labels = np.asarray(objects["label"], np.int64).reshape(-1)
        crowd = np.asarray(objects.get("is_crowd", np.zeros(len(labels))), bool).reshape(-1)
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        boxes = corners * np.array([width, height] * 2)
        pixels, boxes = resized(picture, boxes, dataset.image_size, dataset.resize)
        # A crowd's label goes through the padding with its box: the lowest bit of a pair.
        pairs = labels * 2 + crowd
        full, kept = padded(boxes, pairs, dataset.image_size, dataset.most_boxes)
        there = kept >= 0
        return {
            "inputs": pixels,
            "boxes": full,
            "labels": np.where(there, kept // 2, -1).astype(np.int32),
            "crowd": there & (kept % 2 == 1),
        }


@dataclasses.dataclass(frozen=True)
class TfdsDetection(Tfds):
    """A detection set of TensorFlow Datasets, prepared as ArrayRecord: see `Tfds`.

    Batches are those of `aimodels.data.detection`, and `crowd` [B, N] bool: True for a region of
    many objects (COCO's `is_crowd`), from which nothing learns, and which is no miss if not found.

    Attributes:
      dataset: TFDS's name, such as `coco/2017` or `voc/2007`.
      inputs: the feature that becomes `inputs`.
      targets: not looked at.
      image_size: (H, W).
      data_dir: TFDS's folder.
      objects: the feature with `bbox` and `label` of each object.
      most_boxes: of an image; of more the largest stay.
      resize: `stretch`, or `pad` to keep the image's shape.
    """

    kind: ClassVar[str] = "tfds_detection"

    image_size: tuple[int, int] = (300, 300)
    targets: str | None = None
    objects: str = "objects"
    most_boxes: int = 100
    resize: Resizing = "stretch"

    def features(self) -> dict[str, Feature]:
        """The fields of a batch."""
        features = detection_features(self.image_size, self.most_boxes)
        return features | {"crowd": Feature((self.most_boxes,), "bool")}

    def info(self) -> Info:
        """The facts that the prepared folder holds; without one, the name alone."""
        builder = self._prepared()
        known: dict[str, Any] = {"splits": {}}
        if builder is not None:
            self._fields(builder)
            label = self._of_an_object(builder)["label"]
            sizes = {name: split.num_examples for name, split in builder.info.splits.items()}
            known = {
                "splits": sizes,
                "num_classes": label.num_classes,
                "class_names": tuple(label.names),
                "citation": builder.info.citation or "",
            }
        return Info(
            name=f"{self.kind}:{self.dataset}",
            title=f"{self.dataset} of TensorFlow Datasets, with boxes"
            + ("" if builder else " (not prepared here)"),
            task="detection",
            features=self.features(),
            source="tensorflow.org/datasets",
            how=self._command(),
            notes="sizes of boxes are those of the resized image",
            **known,
        )

    def load_whole(self, split: str) -> Any:
        """A whole split."""
        builder = self._builder()
        self._fields(builder)
        return TfdsDetectionSource(builder.as_data_source(split=split), self)

    def _fields(self, builder: Any) -> dict[str, str]:
        features = builder.info.features
        inner = self._of_an_object(builder)
        if self.inputs not in features or "bbox" not in inner or "label" not in inner:
            raise UserError(
                f"data: {self.dataset} has the features {', '.join(features)}; a detection set has "
                f"{self.inputs!r}, and {self.objects!r} with bbox and label"
            )
        return {"inputs": self.inputs}

    def _of_an_object(self, builder: Any) -> Any:
        """The features of one object: those within a sequence."""
        objects = dict(builder.info.features.items()).get(self.objects, {})
        return getattr(objects, "feature", objects)
