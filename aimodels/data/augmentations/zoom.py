"""A random window of images [B, H, W, C], with their boxes and masks."""

import dataclasses
import math
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp

from aimodels.data.transforms import Batch, Transform, images_of, per_pixel
from aimodels.errors import UserError

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class RandomZoom(Transform):
    """A window of random size, shape and place becomes the image: scale jitter for detectors.

    A window that is smaller than the image zooms in, as SSD's crops do (Liu et al. 2016, section
    2.2), one that is larger zooms out, the image lying somewhere in it, as SSD's expansion (section
    3.6); YOLO's jitter is `scale=(0.8, 1.2)`. Shapes stay fixed, so the window is drawn once: SSD
    draws again until a crop overlaps an object by so much.

    A box is moved with its image and cut off at the border; one of which less is left than
    `least_visible` has no target any more.

    Attributes:
      scale: least and largest side of the window, as shares of the image's; uniform in the
        logarithm.
      ratio: least and largest width / height of the window, as shares of the image's.
      probability: of an image that is changed at all.
      least_visible: share of a box.
      fill: of the pixels around the image, in the unit of `inputs`.
      outside_label: of those pixels, whose weight is 0: the background, or a label that does not
        count.
    """

    random: ClassVar[bool] = True
    scale: tuple[float, float] = (0.6, 1.4)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    probability: float = 0.8
    least_visible: float = 0.3
    fill: float = 114.0
    outside_label: int = 0

    def __post_init__(self) -> None:
        for name, (low, high) in (("scale", self.scale), ("ratio", self.ratio)):
            if not 0 < low <= high:
                raise UserError(
                    f"transform random_zoom: {name} {(low, high)} must be above 0, from low to high"
                )
        if not 0 < self.least_visible <= 1:
            raise UserError(
                f"transform random_zoom: least_visible is {self.least_visible}; it takes a share "
                "above 0, at most 1"
            )

    def __call__(self, batch: Batch, key: Array) -> Batch:
        """Inputs [B, H, W, C], and boxes [B, N, 4] with labels, masks [B, H, W], if there."""
        images = images_of(batch, "random_zoom")
        batch_size, height, width, _ = images.shape
        size_key, shape_key, place_key, choice_key = jax.random.split(key, 4)

        def log_uniform(key: Array, bounds: tuple[float, float]) -> Array:
            low, high = (math.log(bound) for bound in bounds)
            return jnp.exp(jax.random.uniform(key, (batch_size,), minval=low, maxval=high))

        scale, ratio = log_uniform(size_key, self.scale), log_uniform(shape_key, self.ratio)
        sides = scale[:, None] * jnp.stack([1 / jnp.sqrt(ratio), jnp.sqrt(ratio)], 1)
        sides = sides * jnp.array([height, width])
        room = jnp.array([height, width]) - sides
        starts = jax.random.uniform(place_key, (batch_size, 2)) * room
        changed = jax.random.bernoulli(choice_key, self.probability, (batch_size, 1))
        sides = jnp.where(changed, sides, jnp.array([height, width], sides.dtype))
        starts = jnp.where(changed, starts, 0.0)

        fill = jnp.asarray(self.fill, jnp.float32)
        window = jax.vmap(_window, in_axes=(0, 0, 0, None))
        moved = {"inputs": window(images, starts, sides, fill)}
        if "boxes" in batch:
            moved |= self._moved_boxes(batch, starts, sides, (height, width))
        for name, pixels in per_pixel(batch).items():
            label = self.outside_label if name == "targets" else 0
            moved[name] = jax.vmap(partial(_mask_window, outside=label))(pixels, starts, sides)
        return batch | moved

    def _moved_boxes(
        self, batch: Batch, starts: Array, sides: Array, size: tuple[int, int]
    ) -> Batch:
        boxes, labels = jnp.asarray(batch["boxes"]), jnp.asarray(batch["labels"])
        limits = jnp.array([size[1], size[0]] * 2, boxes.dtype)
        start, side = (jnp.tile(each[:, ::-1], 2)[:, None] for each in (starts, sides))
        whole = (boxes - start) / side * limits
        cut = jnp.clip(whole, 0, limits)
        areas = [(each[..., 2:] - each[..., :2]).prod(-1) for each in (cut, whole)]
        there = (labels >= 0) & (areas[0] > 0) & (areas[0] >= self.least_visible * areas[1])
        return {
            "boxes": jnp.where(there[..., None], cut, 0),
            "labels": jnp.where(there, labels, -1),
        }


def _window(image: Array, start: Array, side: Array, fill: Array) -> Array:
    """The window of an image [H, W, C], bilinearly resized to [H, W, C]."""
    rows, rows_inside = _weights(image.shape[0], start[0], side[0])
    columns, columns_inside = _weights(image.shape[1], start[1], side[1])
    pixels = image.astype(jnp.promote_types(image.dtype, jnp.float32))
    resized = jnp.einsum("yh,hwc->ywc", rows, pixels)
    resized = jnp.einsum("xw,ywc->yxc", columns, resized)
    inside = rows_inside[:, None] & columns_inside
    resized = jnp.where(inside[..., None], resized, fill)
    if jnp.issubdtype(image.dtype, jnp.integer):
        resized = jnp.round(resized)
    return resized.astype(image.dtype)


def _weights(length: int, start: Array, side: Array) -> tuple[Array, Array]:
    """How much each pixel counts in each of the window's: [length, length]; which are inside."""
    scale = side / length
    middles = start + (jnp.arange(length) + 0.5) * scale - 0.5
    inside = (middles >= -0.5) & (middles < length - 0.5)
    nearest = jnp.clip(middles, 0, length - 1)
    reach = jnp.maximum(scale, 1.0)
    weights = jnp.maximum(0.0, 1.0 - jnp.abs(jnp.arange(length) - nearest[:, None]) / reach)
    return weights / weights.sum(1, keepdims=True), inside


def _mask_window(mask: Array, start: Array, side: Array, outside: int) -> Array:
    """The window of a mask [H, W], each pixel the nearest one's; `outside` where there is none."""

    def places(axis: int) -> tuple[Array, Array]:
        length = mask.shape[axis]
        place = jnp.floor(start[axis] + (jnp.arange(length) + 0.5) * side[axis] / length)
        inside = (place >= 0) & (place < length)
        return jnp.clip(place, 0, length - 1).astype(jnp.int32), inside

    (rows, rows_inside), (columns, columns_inside) = places(0), places(1)
    return jnp.where(rows_inside[:, None] & columns_inside, mask[rows][:, columns], outside)
