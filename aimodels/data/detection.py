"""What data sets of boxes share: padding, images brought to one size, annotations in VOC's XML.

A batch has `inputs` [B, H, W, 3] uint8; `boxes` [B, N, 4] float32, (x1, y1, x2, y2) in pixels of
the image, x1 ≤ x < x2; and `labels` [B, N] int32, the class from 0 on, or -1 where there is no box
(whose four numbers are then 0). N is one number for the whole data set. Sets with masks have
`targets` [B, H, W] uint8 too: 0 for the background, else class + 1.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from aimodels.data.base import Feature

Resizing = Literal["stretch", "pad"]


def detection_features(
    size: tuple[int, int], most: int, *, masks: bool = False
) -> dict[str, Feature]:
    """The fields of a batch.

    Args:
      size: (H, W).
      most: N.
      masks: whether there are `targets`.
    """
    features = {
        "inputs": Feature((*size, 3), "uint8"),
        "boxes": Feature((most, 4), "float32"),
        "labels": Feature((most,), "int32"),
    }
    return features | ({"targets": Feature(size, "uint8")} if masks else {})


def padded(
    boxes: np.ndarray, labels: np.ndarray, size: tuple[int, int], most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes cut off at the image's border, as many as a batch has room for.

    Boxes that the border leaves empty, that are no numbers, or that were empty before are left out;
    of more than `most` the largest stay.

    Args:
      boxes: [M, 4].
      labels: [M].
      size: (H, W) of the image.
      most: N.

    Returns:
      Boxes [N, 4] float32 and labels [N] int32.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    labels = np.asarray(labels, np.int64).reshape(-1)
    boxes = np.clip(boxes, 0, np.array([size[1], size[0]] * 2))
    sides = boxes[:, 2:] - boxes[:, :2]
    areas = np.where((sides > 0).all(1), sides.prod(1), 0)  # a NaN is not above 0
    order = np.argsort(-areas, kind="stable")[:most]
    kept = np.sort(order[areas[order] > 0])
    full = np.zeros((most, 4), np.float32)
    full[: len(kept)] = boxes[kept]
    classes = np.full(most, -1, np.int32)
    classes[: len(kept)] = labels[kept]
    return full, classes


def resized(
    image: Any, boxes: np.ndarray, size: tuple[int, int], how: Resizing = "stretch"
) -> tuple[np.ndarray, np.ndarray]:
    """An image and its boxes at another size.

    Args:
      image: of Pillow.
      boxes: [M, 4] in its pixels.
      size: (H, W).
      how: `stretch` makes it fill the size (SSD); `pad` keeps its shape and puts black below or on
        the right (Faster R-CNN).

    Returns:
      uint8 [H, W, 3] and the boxes [M, 4] in its pixels.
    """
    from PIL import Image

    width, height = image.size
    scale = np.array([size[1] / width, size[0] / height])
    if how == "pad":
        scale = np.full(2, scale.min())
    inner = max(1, round(width * scale[0])), max(1, round(height * scale[1]))
    scaled = image.convert("RGB").resize(inner, Image.Resampling.BILINEAR)
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[: inner[1], : inner[0]] = np.asarray(scaled)
    exact = np.array(inner) / (width, height)
    return pixels, np.asarray(boxes, np.float64).reshape(-1, 4) * np.tile(exact, 2)


def tile_starts(length: int, side: int) -> list[int]:
    """Where tiles begin that overlap by half, the last of which ends with the photograph.

    Args:
      length: of the photograph, `side` or more.
      side: of a tile.
    """
    return [*range(0, length - side, side // 2), length - side]


def read_voc(content: bytes, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The boxes [M, 4] and labels [M] of an annotation in PASCAL VOC's XML.

    Args:
      content: of the file.
      classes: their names; a box of another class is left out.

    Raises:
      ValueError: it is no such file; the message says what is wrong.
    """
    boxes, labels = [], []
    try:
        for item in ElementTree.fromstring(content).iter("object"):
            name = (item.findtext("name") or "").strip()
            if name in classes:
                corners = [item.findtext(f"bndbox/{each}") for each in _VOC_CORNERS]
                boxes.append([float(corner or "missing") for corner in corners])
                labels.append(classes.index(name))
    except ElementTree.ParseError as error:
        raise ValueError(f"it is no XML: {error}") from error
    return np.array(boxes, np.float64).reshape(-1, 4), np.array(labels, np.int64)


_VOC_CORNERS = ("xmin", "ymin", "xmax", "ymax")
