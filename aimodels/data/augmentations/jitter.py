"""Random colours and mirrors of a batch of images [B, H, W, C]."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from aimodels.data.augmentations import colour
from aimodels.data.augmentations.each import for_each
from aimodels.data.transforms import Batch, Transform, images_of, mirrored
from aimodels.errors import UserError


@dataclasses.dataclass(frozen=True)
class ColorJitter(Transform):
    """Brightness, contrast, saturation and hue changed by random factors, in a random order.

    Each of the first three is multiplied by a uniform factor of 1 - x to 1 + x (not below 0); the
    hue is turned by -x to x of the colour wheel, x being at most ½. Images are uint8, or floats in
    [0, 1]: put it before 'standardize'. What is 0 is left out.

    Attributes:
      brightness: its x.
      contrast: its x.
      saturation: its x; without effect on images of one channel.
      hue: its x; the same.
    """

    random: ClassVar[bool] = True
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        if min(dataclasses.astuple(self)) < 0 or self.hue > 0.5:
            raise UserError(
                f"transform color_jitter takes numbers >= 0, hue at most 0.5, got "
                f"{dataclasses.asdict(self)}"
            )

    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """Inputs [B, H, W, 1 or 3]."""
        images = images_of(batch, "color_jitter", channels=(1, 3))
        operations, lows, highs = [], [], []
        for name, x in dataclasses.asdict(self).items():
            if x > 0:
                operations.append(getattr(colour, name))
                lows.append(-x if name == "hue" else max(0.0, 1 - x))
                highs.append(x if name == "hue" else 1 + x)
        if not operations:
            return batch
        low, high = jnp.array(lows), jnp.array(highs)

        def change(image: jax.Array, key: jax.Array) -> jax.Array:
            factor_key, order_key = jax.random.split(key)
            factors = jax.random.uniform(factor_key, low.shape, minval=low, maxval=high)
            order = jax.random.permutation(order_key, len(operations))
            for which in order:
                image = jax.lax.switch(which, operations, image, factors[which])
            return image

        return batch | {"inputs": for_each(change, images, jax.random.split(key, len(images)))}


@dataclasses.dataclass(frozen=True)
class VerticalFlip(Transform):
    """Mirror images top to bottom, with their boxes and masks.

    Attributes:
      probability: of a mirrored image.
    """

    random: ClassVar[bool] = True
    probability: float = 0.5

    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """Inputs [B, H, W, C]."""
        images = images_of(batch, "vertical_flip")
        flip = jax.random.bernoulli(key, self.probability, (len(images), 1, 1, 1))
        return mirrored(batch, flip[:, 0, 0, 0], axis=1)
