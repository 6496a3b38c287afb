"""RandAugment: operations on colours and places, drawn at random.

Cubuk, Zoph, Shlens & Le, "RandAugment: practical automated data augmentation with a reduced search
space", 2020.
"""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp

from aimodels.data.augmentations import colour, geometry
from aimodels.data.augmentations.each import for_each
from aimodels.data.transforms import Batch, Transform, images_of
from aimodels.errors import UserError

# The paper's 14, in its order (section 3).
OPERATIONS = (
    "identity",
    "autocontrast",
    "equalize",
    "rotate",
    "solarize",
    "color",
    "posterize",
    "contrast",
    "brightness",
    "sharpness",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
HIGHEST_MAGNITUDE = 30
BLACK_AND_WHITE = 255


@dataclasses.dataclass(frozen=True)
class RandAugment(Transform):
    """`num_operations` of the paper's 14 on each image, drawn with replacement, of one strength.

    The magnitude M, 0 to 30, goes from nothing to: rotate 30 degrees, shear 0.3, translate 150/331
    of the side, colour, contrast, brightness and sharpness by a factor of 1 ± 0.9, posterize to 4
    bits, solarize all values; autocontrast and equalize have no strength. Directions, and more or
    less, are drawn at random. These are torchvision's ranges; the nearest pixel is taken, as there
    and in PIL.

    Images are uint8, or floats in [0, 1], which are rounded to 256 levels: put it before
    'standardize'.

    Attributes:
      num_operations: N.
      magnitude: M; the paper's for ResNet-50 on ImageNet is 9, of 30.
      fill: the value, 0 to 255, of what comes from outside the image.
    """

    random: ClassVar[bool] = True
    num_operations: int = 2
    magnitude: int = 9
    fill: int = 128

    def __post_init__(self) -> None:
        if self.num_operations < 0 or not 0 <= self.magnitude <= HIGHEST_MAGNITUDE:
            raise UserError(
                f"transform rand_augment takes num_operations >= 0 and a magnitude of 0 to "
                f"{HIGHEST_MAGNITUDE}, got {self.num_operations} and {self.magnitude}"
            )
        if not 0 <= self.fill <= BLACK_AND_WHITE:
            raise UserError(f"transform rand_augment: fill {self.fill} must be 0 to 255")

    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """Inputs [B, H, W, 1 or 3]."""
        images = images_of(batch, "rand_augment", channels=(1, 3))
        dtype = images.dtype
        if dtype != jnp.uint8:
            images = jnp.round(jnp.clip(images, 0, 1) * BLACK_AND_WHITE).astype(jnp.uint8)
        operation_key, sign_key = jax.random.split(key)
        shape = (len(images), self.num_operations)
        operations = jax.random.randint(operation_key, shape, 0, len(OPERATIONS))
        signs = jax.random.rademacher(sign_key, shape, jnp.float32)

        def augment(image: jax.Array, operations: jax.Array, signs: jax.Array) -> jax.Array:
            for number in range(self.num_operations):
                image = operate(image, operations[number], signs[number], self.magnitude, self.fill)
            return image

        images = for_each(augment, images, operations, signs)
        if dtype != jnp.uint8:
            images = images.astype(dtype) / BLACK_AND_WHITE
        return batch | {"inputs": images}


def operate(
    image: jax.Array, operation: jax.Array, sign: jax.Array, magnitude: int, fill: int
) -> jax.Array:
    """One operation on one image.

    Args:
      image: [H, W, C] uint8.
      operation: its place in `OPERATIONS`; may be traced.
      sign: 1 or -1, for the directions; may be traced.
      magnitude: 0 to 30.
      fill: the value of what comes from outside.

    Returns:
      [H, W, C] uint8.
    """
    height, width, _ = image.shape
    share = magnitude / HIGHEST_MAGNITUDE
    factor = 1 + sign * 0.9 * share
    # Translations are by whole pixels.
    down, right = (sign * int(share * 150 / 331 * side) for side in (height, width))
    affine: dict[str, jax.Array] = {
        "rotate": geometry.rotate(sign * 30 * share, (height, width)),
        "shear_x": geometry.shear_x(sign * 0.3 * share),
        "shear_y": geometry.shear_y(sign * 0.3 * share),
        "translate_x": geometry.translate(right, 0.0),
        "translate_y": geometry.translate(0.0, down),
    }
    others: dict[str, Callable[[jax.Array], jax.Array]] = {
        "identity": lambda image: image,
        "autocontrast": colour.autocontrast,
        "equalize": colour.equalize,
        "solarize": lambda image: colour.solarize(image, 1 - share),
        "color": lambda image: colour.saturation(image, factor),
        "posterize": lambda image: colour.posterize(image, 8 - round(4 * share)),
        "contrast": lambda image: colour.contrast(image, factor),
        "brightness": lambda image: colour.brightness(image, factor),
        "sharpness": lambda image: colour.sharpness(image, factor),
    }
    # One branch for all warps: where all branches are computed, one warp is enough.
    maps = jnp.stack([affine[name] for name in OPERATIONS if name in affine])
    warps = [name for name in OPERATIONS if name in affine]
    which_map = jnp.array([warps.index(name) if name in affine else 0 for name in OPERATIONS])
    names = [*others, "warp"]
    which = jnp.array([names.index(name if name in others else "warp") for name in OPERATIONS])
    branches = [
        *others.values(),
        lambda image: geometry.warp(image, maps[which_map[operation]], fill),
    ]
    return jax.lax.switch(which[operation], branches, image)
