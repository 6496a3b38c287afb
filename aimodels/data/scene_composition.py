"""Scenes: cut-outs laid over photographs, with the exact boxes and masks of what is seen of them.

All is a pure function of the random stream, in NumPy and Pillow.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]

# The recipe. Sides are shares of the scene's side. A change makes another data set: see
# `aimodels.data.scenes.VERSION`.
MOST_OBJECTS = 8
OBJECT_SIDES = (0.2, 0.65)  # the longer side of an object, drawn evenly in its logarithm
LARGEST_TURN = 15.0  # degrees
BACKGROUND_SIDES = (0.35, 1.0)  # of the square that is cut out, as shares of a photo's shorter side
LEAST_VISIBLE = 0.4  # of an object, else it is laid elsewhere
OUTSIDE = 0.25  # of an object's side may lie beyond the border
ATTEMPTS = 8
OBJECT_LIGHT = (0.75, 1.25)
SCENE_LIGHT = (0.7, 1.25)
CONTRAST = (0.75, 1.2)
CAST = (0.93, 1.07)  # of each colour
BACKGROUND_CAST = (0.6, 1.3)
NOISE = 8.0  # the largest standard deviation, of 255
SOLID = 0.5  # the alpha from which a pixel belongs to the object


def compose(
    draw: np.random.RandomState,
    stamps: Sequence[Sequence[np.ndarray]],
    backgrounds: Sequence[np.ndarray],
    size: int,
) -> Arrays:
    """A scene of 1 to 8 objects.

    Args:
      draw: decides everything.
      stamps: for each class its cut-outs, uint8 [h, w, 4], cut to what is not transparent.
      backgrounds: photographs, uint8 [h, w, 3].
      size: the scene's side, H = W.

    Returns:
      inputs: uint8 [H, W, 3].
      boxes: float32 [8, 4], around what is visible of each object; 0 where there is none.
      labels: int32 [8], the class; -1 where there is none.
      targets: uint8 [H, W], each pixel's class + 1, and 0 for the background.
    """
    image = _background(draw, backgrounds, size)
    owner = np.full((size, size), -1, np.int64)
    areas: list[int] = []
    labels: list[int] = []
    for _ in range(draw.randint(1, MOST_OBJECTS + 1)):
        label = draw.randint(len(stamps))
        pixels = _varied(draw, stamps[label][draw.randint(len(stamps[label]))], size)
        place = _free_place(draw, pixels[..., 3] >= SOLID, owner, areas)
        if place is None:
            continue
        there, part = place
        alpha = pixels[part][..., 3:]
        image[there] += alpha * (pixels[part][..., :3] - image[there])
        owner[there][alpha[..., 0] >= SOLID] = len(areas)
        areas.append(int((pixels[..., 3] >= SOLID).sum()))
        labels.append(label)
    classes = np.array([0, *(label + 1 for label in labels)], np.uint8)
    boxes = np.zeros((MOST_OBJECTS, 4), np.float32)
    for number in range(len(areas)):
        boxes[number] = box_of(owner == number)
    return {
        "inputs": _lit(draw, image),
        "boxes": boxes,
        "labels": np.array(labels + [-1] * (MOST_OBJECTS - len(labels)), np.int32),
        "targets": classes[owner + 1],
    }


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """The box (x1, y1, x2, y2) around a mask [H, W] that is True somewhere."""
    (rows,), (columns,) = np.nonzero(mask.any(1)), np.nonzero(mask.any(0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def _background(draw: np.random.RandomState, photos: Sequence[np.ndarray], size: int) -> np.ndarray:
    """A square of a photograph, float32 [H, W, 3] in 0 to 255."""
    from PIL import Image

    photo = photos[draw.randint(len(photos))]
    height, width = photo.shape[:2]
    side = max(1, int(min(height, width) * draw.uniform(*BACKGROUND_SIDES)))
    top, left = draw.randint(height - side + 1), draw.randint(width - side + 1)
    square = Image.fromarray(photo).resize(
        (size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)
    )
    pixels = np.asarray(square, np.float32) * draw.uniform(*BACKGROUND_CAST, size=3)
    pixels = np.minimum(pixels, 255).astype(np.float32)
    return np.ascontiguousarray(pixels[:, ::-1] if draw.randint(2) else pixels)


def _varied(draw: np.random.RandomState, stamp: np.ndarray, size: int) -> np.ndarray:
    """A cut-out scaled, turned, perhaps mirrored, in its own light: float32 [h, w, 4], alpha to 1.

    What is transparent all around is cut off.
    """
    from PIL import Image

    low, high = (math.log(share * size) for share in OBJECT_SIDES)
    scale = math.exp(draw.uniform(low, high)) / max(stamp.shape[:2])
    picture: Any = Image.fromarray(stamp)
    height, width = (max(4, round(side * scale)) for side in stamp.shape[:2])
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    angle = draw.uniform(-LARGEST_TURN, LARGEST_TURN)
    picture = picture.rotate(angle, Image.Resampling.BILINEAR, expand=True)
    pixels = np.array(picture, np.float32)
    pixels[..., 3] /= 255
    if draw.randint(2):
        pixels = pixels[:, ::-1]
    pixels[..., :3] *= draw.uniform(*OBJECT_LIGHT)
    solid = pixels[..., 3] >= SOLID
    if not solid.any():  # a line so thin that scaling made it faint
        return np.concatenate([pixels[..., :3], np.ones_like(pixels[..., 3:])], -1)
    left, top, right, bottom = box_of(solid)
    return pixels[top:bottom, left:right]


def _free_place(
    draw: np.random.RandomState, solid: np.ndarray, owner: np.ndarray, areas: list[int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Where an object can be laid so that it, and what is there, stay visible enough.

    Returns:
      Slices of the scene and of the object; None if no attempt found a place.
    """
    size = len(owner)
    height, width = solid.shape
    for _ in range(ATTEMPTS):
        over = int(height * OUTSIDE), int(width * OUTSIDE)
        top = draw.randint(-over[0], size - height + over[0] + 1)
        left = draw.randint(-over[1], size - width + over[1] + 1)
        rows = slice(max(top, 0), min(top + height, size))
        columns = slice(max(left, 0), min(left + width, size))
        part = (
            slice(rows.start - top, rows.stop - top),
            slice(columns.start - left, columns.stop - left),
        )
        seen = solid[part]
        if seen.sum() < LEAST_VISIBLE * solid.sum():
            continue
        after = owner.copy()
        after[rows, columns][seen] = len(areas)
        visible = np.bincount(after[after >= 0], minlength=len(areas))
        if all(visible[number] >= LEAST_VISIBLE * area for number, area in enumerate(areas)):
            return (rows, columns), part
    return None


def _lit(draw: np.random.RandomState, image: np.ndarray) -> np.ndarray:
    """The scene in one light, with noise: uint8 [H, W, 3]."""
    light, contrast = draw.uniform(*SCENE_LIGHT), draw.uniform(*CONTRAST)
    cast = draw.uniform(*CAST, size=3).astype(np.float32)
    noise = draw.uniform(0, NOISE) * draw.standard_normal(image.shape)
    mean = image.mean()
    lit = light * cast * (mean + contrast * (image - mean)) + noise.astype(np.float32)
    return np.clip(np.rint(lit), 0, 255).astype(np.uint8)
