"""Boxes: formats, areas, overlaps, clipping. Parts of detectors, as pure functions.

A box is (x1, y1, x2, y2), left, top, right and bottom, in pixels whose first has its left edge at
0; it covers x1 ≤ x < x2. One with x2 ≤ x1 or y2 ≤ y1 is empty: its area is 0, and so is its overlap
with any other. Arrays of boxes have a fixed size, [B, N, 4], and a mask [B, N] that is False
where there is none; what the masked places hold is never looked at, but must not be NaN.

Shapes: B batch, H W image, N and M boxes; `...` stands for any leading axes.
"""

import jax
import jax.numpy as jnp

from aimodels.errors import unknown

FORMATS = ("xyxy", "xywh", "cxcywh")


def convert_boxes(boxes: jax.Array, source: str, target: str) -> jax.Array:
    """Boxes [..., 4] from one format to another.

    Args:
        boxes: [..., 4].
        source: theirs: "xyxy" (corners), "xywh" (left, top, width, height; COCO's files) or
            "cxcywh" (centre, width, height; YOLO's and SSD's papers).
        target: the wanted one.
    """
    for name in (source, target):
        if name not in FORMATS:
            raise unknown("box format", name, FORMATS)
    if source == target:
        return boxes
    first, second = boxes[..., :2], boxes[..., 2:]
    if source == "xywh":
        first, second = first, first + second
    elif source == "cxcywh":
        first, second = first - 0.5 * second, first + 0.5 * second
    if target == "xywh":
        first, second = first, second - first
    elif target == "cxcywh":
        first, second = 0.5 * (first + second), second - first
    return jnp.concatenate([first, second], axis=-1)


def area(boxes: jax.Array) -> jax.Array:
    """Areas [...] of boxes [..., 4]."""
    sides = jnp.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def intersection_and_union(first: jax.Array, second: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Areas [...] of what two boxes share, and of what they cover together.

    Args:
        first: boxes [..., 4].
        second: boxes whose shape broadcasts with it.
    """
    lower = jnp.maximum(first[..., :2], second[..., :2])
    upper = jnp.minimum(first[..., 2:], second[..., 2:])
    sides = jnp.maximum(upper - lower, 0)
    shared = sides[..., 0] * sides[..., 1]
    return shared, area(first) + area(second) - shared


def iou(first: jax.Array, second: jax.Array) -> jax.Array:
    """Intersection over union of boxes one by one: [..., 4] and [..., 4] -> [...], in [0, 1]."""
    shared, covered = intersection_and_union(first, second)
    return _ratio(shared, covered)


def giou(first: jax.Array, second: jax.Array) -> jax.Array:
    """Generalised IoU one by one: IoU - (|hull| - |union|) / |hull|, in [-1, 1].

    Rezatofighi et al. 2019, algorithm 1; the hull is the smallest box around both. It tells boxes
    that don't touch how far apart they are.
    """
    shared, covered = intersection_and_union(first, second)
    lower = jnp.minimum(first[..., :2], second[..., :2])
    upper = jnp.maximum(first[..., 2:], second[..., 2:])
    hull = area(jnp.concatenate([lower, upper], -1))
    return _ratio(shared, covered) - _ratio(hull - covered, hull)


def pairwise_iou(first: jax.Array, second: jax.Array) -> jax.Array:
    """IoU of every box with every other: [..., N, 4] and [..., M, 4] -> [..., N, M]."""
    return iou(first[..., :, None, :], second[..., None, :, :])


def pairwise_giou(first: jax.Array, second: jax.Array) -> jax.Array:
    """Generalised IoU of every box with every other: [..., N, 4], [..., M, 4] -> [..., N, M]."""
    return giou(first[..., :, None, :], second[..., None, :, :])


def clip_boxes(boxes: jax.Array, image_size: jax.Array | tuple[int, int]) -> jax.Array:
    """Boxes cut off at the image's border; one that is outside becomes empty.

    Args:
        boxes: [..., N, 4].
        image_size: (H, W), or [..., 2] where images of a batch have their own.
    """
    height, width = jnp.moveaxis(jnp.asarray(image_size, boxes.dtype), -1, 0)
    limits = jnp.stack([width, height, width, height], -1)[..., None, :]
    return jnp.clip(boxes, 0, limits)


def large_enough(boxes: jax.Array, smallest: float) -> jax.Array:
    """Which boxes [..., 4] have both sides of at least `smallest` pixels: a mask [...]."""
    return (boxes[..., 2:] - boxes[..., :2] >= smallest).all(-1)


def _ratio(part: jax.Array, whole: jax.Array) -> jax.Array:
    """Part / whole, and 0 with gradient 0 where the whole is empty."""
    some = whole > 0
    return jnp.where(some, part / jnp.where(some, whole, 1), 0)
