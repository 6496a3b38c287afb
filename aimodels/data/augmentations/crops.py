"""Crops and sizes of a batch of images [B, H, W, C]."""

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp

from aimodels.data.augmentations.geometry import resized_crop
from aimodels.data.transforms import Batch, Transform, images_of
from aimodels.errors import UserError

Boxes = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


@dataclasses.dataclass(frozen=True)
class RandomResizedCrop(Transform):
    """A box of random area, shape and place, resized (Szegedy et al. 2015, section 6).

    In evaluation the middle of the image instead: of its largest box of the result's shape,
    `evaluation_crop` of each side (224 / 256, as is usual on ImageNet), resized.

    Attributes:
      size: side of the resulting square, or (height, width).
      area: least and largest share of the image's area.
      ratio: least and largest width / height, its logarithm being uniform.
      evaluation_crop: see above.
    """

    random: ClassVar[bool] = True
    size: int | tuple[int, int]
    area: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    evaluation_crop: float = 224 / 256

    def __post_init__(self) -> None:
        _pair(self.size, "random_resized_crop")
        if not 0 < self.area[0] <= self.area[1] <= 1 or not 0 < self.ratio[0] <= self.ratio[1]:
            raise UserError(
                f"transform random_resized_crop: area {self.area} must lie between 0 and 1, ratio "
                f"{self.ratio} above 0, each from low to high"
            )

    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """Inputs [B, H, W, C] -> [B, *size, C]."""
        images = images_of(batch, "random_resized_crop")
        height, width = images.shape[1:3]
        boxes, _ = random_boxes(key, len(images), (height, width), self.area, self.ratio)
        size = _pair(self.size, "random_resized_crop")
        cut = jax.vmap(
            lambda image, top, left, height, width: resized_crop(
                image, top, left, height, width, size
            )
        )
        return batch | {"inputs": cut(images, *boxes)}

    def in_evaluation(self, batch: Batch) -> Batch:
        """Inputs [B, H, W, C] -> [B, *size, C], the middle of each."""
        images = images_of(batch, "random_resized_crop")
        size = _pair(self.size, "random_resized_crop")
        height, width = images.shape[1:3]
        share = min(height / size[0], width / size[1]) * self.evaluation_crop
        rows, columns = (max(1, round(side * share)) for side in size)
        top, left = (height - rows) // 2, (width - columns) // 2
        cut = jax.vmap(lambda image: resized_crop(image, top, left, rows, columns, size))
        return batch | {"inputs": cut(images)}


def random_boxes(
    key: jax.Array,
    count: int,
    size: tuple[int, int],
    area: tuple[float, float],
    ratio: tuple[float, float],
    attempts: int = 10,
) -> tuple[Boxes, jax.Array]:
    """Random boxes in images of `size` (H, W): top, left, height and width, each [count] int32.

    Area and shape are drawn until a box fits. If none of the attempts does, which the second result
    tells, it is the largest box of a ratio within bounds, in the middle.
    """
    H, W = size
    area_key, ratio_key, place_key = jax.random.split(key, 3)
    low, high = area
    shape = (count, attempts)
    areas = H * W * jax.random.uniform(area_key, shape, minval=low, maxval=high)
    low, high = (math.log(value) for value in ratio)
    ratios = jnp.exp(jax.random.uniform(ratio_key, shape, minval=low, maxval=high))
    heights = jnp.round(jnp.sqrt(areas / ratios)).astype(jnp.int32)
    widths = jnp.round(jnp.sqrt(areas * ratios)).astype(jnp.int32)
    fits = (heights >= 1) & (heights <= H) & (widths >= 1) & (widths <= W)
    first, found = jnp.argmax(fits, axis=1)[:, None], fits.any(axis=1)
    fallback = (min(H, round(W / ratio[0])), min(W, round(H * ratio[1])))
    height = jnp.where(found, jnp.take_along_axis(heights, first, 1)[:, 0], fallback[0])
    width = jnp.where(found, jnp.take_along_axis(widths, first, 1)[:, 0], fallback[1])
    # A place between 0 and 1 in the room that is left, as a whole pixel.
    places = jax.random.uniform(place_key, (2, count))
    room = jnp.stack([H - height, W - width])
    places = jnp.minimum((places * (room + 1)).astype(jnp.int32), room)
    top, left = jnp.where(found, places, room // 2)
    return (top, left, height, width), found


@dataclasses.dataclass(frozen=True)
class Resize(Transform):
    """Images bilinearly resized, in training and in evaluation.

    Attributes:
      size: a number for the shorter side, the other following; or (height, width).
      antialias: see `geometry.resized_crop`.
    """

    size: int | tuple[int, int]
    antialias: bool = True

    def __post_init__(self) -> None:
        _pair(self.size, "resize")

    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """Inputs [B, H, W, C] -> [B, H', W', C]."""
        images = images_of(batch, "resize")
        height, width = images.shape[1:3]
        size = self.size
        if isinstance(size, int):
            shorter = min(height, width)
            size = (size * height // shorter, size * width // shorter)
        cut = jax.vmap(
            lambda image: resized_crop(image, 0, 0, height, width, size, antialias=self.antialias)
        )
        return batch | {"inputs": cut(images)}


@dataclasses.dataclass(frozen=True)
class CenterCrop(Transform):
    """The middle of images, in training and in evaluation.

    Attributes:
      size: side of the square, or (height, width).
    """

    size: int | tuple[int, int]

    def __post_init__(self) -> None:
        _pair(self.size, "center_crop")

    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """Inputs [B, H, W, C] -> [B, *size, C]."""
        images = images_of(batch, "center_crop")
        height, width = _pair(self.size, "center_crop")
        rest = images.shape[1] - height, images.shape[2] - width
        if min(rest) < 0:
            raise UserError(
                f"transform center_crop: images of size {images.shape[1:3]} hold no box of "
                f"{(height, width)}; put 'resize' before it"
            )
        top, left = round(rest[0] / 2), round(rest[1] / 2)
        return batch | {"inputs": images[:, top : top + height, left : left + width]}


def _pair(size: int | tuple[int, int], name: str) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise UserError(f"transform {name}: size {size} must be above 0")
    return height, width
