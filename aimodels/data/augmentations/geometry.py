"""Operations on the places of pixels of one image [H, W, C]: affine warps, and crops resized.

A place is (x, y) in pixels from the image's top left corner; pixel (column, row) has its centre at
(column + ½, row + ½). An affine map [2, 3] says where each place of the result comes from.
"""

import jax
import jax.numpy as jnp

Array = jax.Array
Number = Array | float


def shear_x(amount: Number) -> Array:
    """Map x to where it comes from, x + amount · y: rows slide, the top one least."""
    return _affine((1.0, amount, 0.0), (0.0, 1.0, 0.0))


def shear_y(amount: Number) -> Array:
    """Map y to where it comes from, y + amount · x: columns slide, the left one least."""
    return _affine((1.0, 0.0, 0.0), (amount, 1.0, 0.0))


def translate(x: Number, y: Number) -> Array:
    """The image moves by x pixels to the right and y down."""
    return _affine((1.0, 0.0, -x), (0.0, 1.0, -y))


def rotate(degrees: Number, size: tuple[int, int]) -> Array:
    """Around the middle of an image of `size` (H, W), against the clock."""
    angle = jnp.deg2rad(degrees)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    x, y = size[1] / 2, size[0] / 2
    return _affine((cos, -sin, x - cos * x + sin * y), (sin, cos, y - sin * x - cos * y))


def warp(image: Array, affine: Array, fill: float) -> Array:
    """Each pixel from the one nearest to where the map says it comes from.

    Args:
      image: [H, W, C].
      affine: [2, 3], result to image.
      fill: what comes from outside the image.

    Returns:
      [H, W, C] of the image's type.
    """
    height, width, channels = image.shape
    x, y = jnp.arange(width) + 0.5, (jnp.arange(height) + 0.5)[:, None]
    columns, rows = (jnp.floor(a * x + b * y + c).astype(jnp.int32) for a, b, c in affine)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    places = jnp.where(inside, rows * width + columns, 0)
    found = image.reshape(-1, channels)[places]
    return jnp.where(inside[..., None], found, jnp.asarray(fill, image.dtype))


def resized_crop(
    image: Array,
    top: Number,
    left: Number,
    height: Number,
    width: Number,
    size: tuple[int, int],
    *,
    antialias: bool = True,
) -> Array:
    """A box of the image, bilinearly resized; nothing outside the box is looked at.

    Args:
      image: [H, W, C].
      top: first row of the box, a whole number; may be traced, as the next three.
      left: first column.
      height: rows.
      width: columns.
      size: (H', W') of the result.
      antialias: widen the filter where the box gets smaller, as PIL does; else each pixel is
        interpolated from its four neighbours.

    Returns:
      [H', W', C] of the image's type, uint8 rounded.
    """
    rows = _weights(size[0], image.shape[0], top, height, antialias)
    columns = _weights(size[1], image.shape[1], left, width, antialias)
    # Two multiplications by matrices: fast everywhere, whatever the box.
    pixels = image.astype(jnp.promote_types(image.dtype, jnp.float32))
    resized = jnp.einsum("yh,hwc->ywc", rows, pixels)
    resized = jnp.einsum("xw,ywc->yxc", columns, resized)
    if jnp.issubdtype(image.dtype, jnp.integer):
        resized = jnp.round(resized)
    return resized.astype(image.dtype)


def _weights(count: int, length: int, start: Number, box: Number, antialias: bool) -> Array:
    """How much each of `length` pixels counts in each of `count`, [count, length]; rows sum to 1.

    A triangle around where the new pixel lies in the box, one pixel to each side, or as many as
    become one.
    """
    scale = jnp.asarray(box, jnp.float32) / count
    middles = start + (jnp.arange(count) + 0.5) * scale - 0.5
    reach = jnp.maximum(scale, 1.0) if antialias else 1.0
    pixels = jnp.arange(length)
    weights = jnp.maximum(0.0, 1.0 - jnp.abs(pixels - middles[:, None]) / reach)
    weights = jnp.where((pixels >= start) & (pixels < start + box), weights, 0.0)
    return weights / weights.sum(1, keepdims=True)


def _affine(*rows: tuple[Number, Number, Number]) -> Array:
    return jnp.stack([jnp.stack([jnp.asarray(v, jnp.float32) for v in row]) for row in rows])
