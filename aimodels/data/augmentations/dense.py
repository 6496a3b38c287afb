"""Changes of images together with what is known of their pixels.

Each changes `inputs` [B, H, W, C] and, alike, those of `targets` [B, H, W] (labels) and `weights`
[B, H, W] that the batch has. Labels are never mixed: a new pixel takes the label of the nearest.
"""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from aimodels.data.augmentations.geometry import resized_crop
from aimodels.data.transforms import PER_PIXEL, Batch, Transform, images_of
from aimodels.errors import UserError

Array = jax.Array


def pixels_of(batch: Batch, name: str) -> dict[str, Array]:
    """The fields [B, H, W] that go with the images of a batch, for the transform `name`.

    Raises:
      UserError: the inputs are no images, or labels have another size.
    """
    images = images_of(batch, name)
    found = {field: jnp.asarray(batch[field]) for field in PER_PIXEL if field in batch}
    for field, array in found.items():
        if array.shape != images.shape[:3]:
            raise UserError(
                f"transform {name}: images {images.shape} and {field} {array.shape}; it takes "
                "[B, H, W, C] and, for each pixel, [B, H, W]"
            )
    return {"inputs": images, **found}


@dataclasses.dataclass(frozen=True)
class RandomTranspose(Transform):
    """Exchanges rows and columns of square images and of their labels.

    Behind `horizontal_flip` and `vertical_flip` all eight symmetries of a square are equally
    likely.

    Attributes:
      probability: of an image that is changed.
    """

    random: ClassVar[bool] = True
    probability: float = 0.5

    def __call__(self, batch: Batch, key: Array) -> Batch:
        """Inputs [B, H, H, C]; targets and weights [B, H, H]."""
        fields = pixels_of(batch, "random_transpose")
        count, height, width, _ = fields["inputs"].shape
        if height != width:
            raise UserError(
                f"transform random_transpose: images of {(height, width)} can't be transposed"
            )
        coins = jax.random.bernoulli(key, self.probability, (count,))
        return batch | {
            name: jnp.where(
                coins.reshape(count, *(1,) * (array.ndim - 1)), jnp.swapaxes(array, 1, 2), array
            )
            for name, array in fields.items()
        }


@dataclasses.dataclass(frozen=True)
class DenseCrop(Transform):
    """A random box of each image and of its labels, resized to one size (as for VOC in DeepLab).

    The box has the shape of `size`, and 1 / s of its height and width, s being uniform; where the
    image is smaller than that, s is larger. In evaluation nothing is cut.

    Attributes:
      size: (height, width) of the result.
      scale: least and largest s: below 1 shrinks, above 1 enlarges.
    """

    random: ClassVar[bool] = True
    size: tuple[int, int]
    scale: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if min(self.size) < 1 or not 0 < self.scale[0] <= self.scale[1]:
            raise UserError(
                f"transform dense_crop: size {self.size} must be above 0, and scale {self.scale} "
                "go from a low to a high number above 0"
            )

    def __call__(self, batch: Batch, key: Array) -> Batch:
        """Inputs [B, H, W, C] -> [B, *size, C]; targets and weights [B, H, W] -> [B, *size]."""
        fields = pixels_of(batch, "dense_crop")
        count, H, W, _ = fields["inputs"].shape
        least = max(self.size[0] / H, self.size[1] / W)
        plain = self.scale == (1.0, 1.0)
        if plain and least > 1:
            raise UserError(
                f"transform dense_crop: images of {(H, W)} hold no box of {self.size}; take a "
                "smaller size, or a scale that enlarges"
            )
        scale_key, place_key = jax.random.split(key)
        low, high = self.scale
        s = jnp.maximum(jax.random.uniform(scale_key, (count,), minval=low, maxval=high), least)
        boxes = [
            jnp.clip(jnp.round(side / s), 1, whole).astype(jnp.int32)
            for side, whole in zip(self.size, (H, W), strict=True)
        ]
        room = jnp.stack([H - boxes[0], W - boxes[1]])
        places = jax.random.uniform(place_key, (2, count))
        top, left = jnp.minimum((places * (room + 1)).astype(jnp.int32), room)

        def cut(array: Array, top: Array, left: Array, height: Array, width: Array) -> Array:
            if plain:
                start = (top, left) + (0,) * (array.ndim - 2)
                return jax.lax.dynamic_slice(array, start, (*self.size, *array.shape[2:]))
            if array.ndim == 3:
                return resized_crop(array, top, left, height, width, self.size)
            rows, columns = (
                # Pixels whose middles are nearest to those that the image is sampled at.
                first + ((2 * jnp.arange(new) + 1) * box) // (2 * new)
                for first, box, new in zip((top, left), (height, width), self.size, strict=True)
            )
            return array[rows][:, columns]

        return batch | {
            name: jax.vmap(cut)(array, top, left, *boxes) for name, array in fields.items()
        }


@dataclasses.dataclass(frozen=True)
class MirrorPad(Transform):
    """The image goes on as in a mirror on all sides: U-Net, figure 2; in evaluation too.

    The new pixels have the label that does not count, and no weight. A network that convolves
    without padding then says something of every pixel of the image.

    Attributes:
      margin: pixels on each side.
      ignore_label: of the new pixels.
    """

    margin: int
    ignore_label: int = 255

    def __post_init__(self) -> None:
        if self.margin < 0:
            raise UserError(f"transform mirror_pad: margin is {self.margin}; it takes 0 or more")

    def __call__(self, batch: Batch, key: Array) -> Batch:
        """Inputs [B, H, W, C] -> [B, H + 2 margin, W + 2 margin, C]; targets, weights alike."""
        fields = pixels_of(batch, "mirror_pad")
        n = self.margin
        result = {}
        for name, array in fields.items():
            around = ((0, 0), (n, n), (n, n)) + ((0, 0),) * (array.ndim - 3)
            if name == "inputs":
                result[name] = jnp.pad(array, around, mode="reflect")
            else:
                fill = self.ignore_label if name == "targets" else 0
                result[name] = jnp.pad(array, around, constant_values=fill)
        return batch | result


@dataclasses.dataclass(frozen=True)
class ElasticDeformation(Transform):
    """Smooth random deformations: U-Net, section 3.1.

    Random displacements on a coarse grid, whose corners are the image's, are interpolated
    bicubically to every pixel. The image is interpolated bilinearly there, and goes on as in a
    mirror beyond its border.

    Attributes:
      std: standard deviation of a displacement along each axis, in pixels; the paper's is 10.
      grid: points of the grid along each axis; the paper's is 3.
    """

    random: ClassVar[bool] = True
    std: float = 10.0
    grid: int = 3

    def __post_init__(self) -> None:
        if self.std < 0 or self.grid < 2:
            raise UserError(
                f"transform elastic_deformation: std is {self.std} and grid {self.grid}; it takes "
                "numbers from 0 and from 2 on"
            )

    def __call__(self, batch: Batch, key: Array) -> Batch:
        """Inputs [B, H, W, C]; targets and weights [B, H, W]."""
        fields = pixels_of(batch, "elastic_deformation")
        B, H, W, _ = fields["inputs"].shape
        coarse = self.std * jax.random.normal(key, (B, self.grid, self.grid, 2))
        fine = jnp.einsum(
            "yg,bghd,xh->bdyx", cubic_weights(H, self.grid), coarse, cubic_weights(W, self.grid)
        )
        rows = jnp.arange(H)[:, None] + fine[:, 0]
        columns = jnp.arange(W) + fine[:, 1]
        result = {}
        for name, array in fields.items():
            sample: Callable[..., Array] = nearest if name == "targets" else bilinear
            result[name] = jax.vmap(sample)(array, rows, columns)
        return batch | result


def cubic_weights(count: int, points: int) -> np.ndarray:
    """How much each point of a line counts in each of `count` pixels, [count, points].

    Catmull and Rom's cubic (Keys 1981, a = -1/2) through points that lie evenly from the first
    pixel to the last; beyond the line its end is repeated.
    """
    places = np.linspace(0, points - 1, count) if count > 1 else np.zeros(1)
    first = np.minimum(np.floor(places).astype(int), points - 2)
    t = (places - first)[:, None]
    near = ((1.5 * t - 2.5) * t * t + 1, ((2 - 1.5 * t) * t + 0.5) * t)
    far = (((1 - 0.5 * t) * t - 0.5) * t, (0.5 * t - 0.5) * t * t)
    weights = np.zeros((count, points))
    for offset, values in ((-1, far[0]), (0, near[0]), (1, near[1]), (2, far[1])):
        at = np.clip(first + offset, 0, points - 1)
        np.add.at(weights, (np.arange(count), at), values[:, 0])
    return weights.astype(np.float32)


def nearest(array: Array, rows: Array, columns: Array) -> Array:
    """The pixels of [H, W, ...] nearest to places [H', W'], mirrored at the border."""
    at = (jnp.round(rows).astype(jnp.int32), jnp.round(columns).astype(jnp.int32))
    y, x = (_mirrored(place, size) for place, size in zip(at, array.shape[:2], strict=True))
    return array[y, x]


def bilinear(array: Array, rows: Array, columns: Array) -> Array:
    """[H, W, ...] interpolated at places [H', W'], mirrored at the border; uint8 rounded."""
    y, x = jnp.floor(rows), jnp.floor(columns)
    down, right = rows - y, columns - x
    values = array.astype(jnp.promote_types(array.dtype, jnp.float32))
    total = jnp.zeros((), values.dtype)
    for dy, weight_y in ((0, 1 - down), (1, down)):
        for dx, weight_x in ((0, 1 - right), (1, right)):
            at = [
                _mirrored((place + step).astype(jnp.int32), size)
                for place, step, size in zip((y, x), (dy, dx), array.shape[:2], strict=True)
            ]
            weight = (weight_y * weight_x).reshape(rows.shape + (1,) * (array.ndim - 2))
            total = total + weight * values[at[0], at[1]]
    if jnp.issubdtype(array.dtype, jnp.integer):
        total = jnp.round(total)
    return total.astype(array.dtype)


def _mirrored(places: Array, size: int) -> Array:
    """Whole places as they lie in an axis of `size`, which goes on as in a mirror."""
    if size == 1:
        return jnp.zeros_like(places)
    period = 2 * (size - 1)
    return jnp.abs((places + size - 1) % period - (size - 1))
