"""Random erasing: Zhong, Zheng, Kang, Li & Yang, "Random erasing data augmentation", 2020."""

import dataclasses
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp

from aimodels.data.augmentations.crops import random_boxes
from aimodels.data.transforms import Batch, Transform, images_of
from aimodels.errors import UserError


@dataclasses.dataclass(frozen=True)
class RandomErasing(Transform):
    """A random box of an image overwritten (algorithm 1 of the paper; its settings are ours).

    The shape's logarithm is uniform, as in torchvision. If none of 10 boxes drawn fits into the
    image, it stays whole.

    Attributes:
      probability: of an image that loses a box.
      area: least and largest share of the image's area.
      ratio: least and largest width / height.
      value: "random", each number drawn on its own: uniform over 0 to 255 in uint8, standard normal
        in floats (put it behind 'standardize'); or "zero".
    """

    random: ClassVar[bool] = True
    probability: float = 0.5
    area: tuple[float, float] = (0.02, 0.4)
    ratio: tuple[float, float] = (0.3, 1 / 0.3)
    value: Literal["random", "zero"] = "random"

    def __post_init__(self) -> None:
        if not 0 < self.area[0] <= self.area[1] <= 1 or not 0 < self.ratio[0] <= self.ratio[1]:
            raise UserError(
                f"transform random_erasing: area {self.area} must lie between 0 and 1, ratio "
                f"{self.ratio} above 0, each from low to high"
            )

    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """Inputs [B, H, W, C]."""
        images = images_of(batch, "random_erasing")
        count, height, width, _ = images.shape
        whether_key, box_key, value_key = jax.random.split(key, 3)

        boxes, found = random_boxes(box_key, count, (height, width), self.area, self.ratio)
        found &= jax.random.bernoulli(whether_key, self.probability, (count,))
        erased = inside(boxes, (height, width)) & found[:, None, None]
        if self.value == "zero":
            values = jnp.zeros((), images.dtype)
        elif jnp.issubdtype(images.dtype, jnp.integer):
            values = jax.random.bits(value_key, images.shape, jnp.uint8).astype(images.dtype)
        else:
            values = jax.random.normal(value_key, images.shape, images.dtype)
        return batch | {"inputs": jnp.where(erased[..., None], values, images)}


def inside(boxes: tuple[jax.Array, ...], size: tuple[int, int]) -> jax.Array:
    """Which pixels lie in each image's box: bool [B, H, W].

    Args:
      boxes: top, left, height and width, [B] each.
      size: (H, W).
    """
    top, left, height, width = (side[:, None] for side in boxes)
    rows, columns = jnp.arange(size[0]), jnp.arange(size[1])
    in_rows = (rows >= top) & (rows < top + height)
    in_columns = (columns >= left) & (columns < left + width)
    return in_rows[:, :, None] & in_columns[:, None, :]
