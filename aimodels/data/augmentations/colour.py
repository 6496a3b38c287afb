"""Operations on the colours of one image [H, W, C], with C = 1 or 3.

Images are uint8 or floats in [0, 1], and keep their type; as in torchvision, values between two
levels of uint8 are cut off, not rounded. Factors may be traced. A factor of 1 leaves an image as it
is; 0 takes all of the brightness, contrast, saturation or sharpness away.
"""

import jax
import jax.numpy as jnp

from aimodels.errors import UserError

Array = jax.Array
LEVELS = 256
LUMA = (0.2989, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601


def brightness(image: Array, factor: Array | float) -> Array:
    """Between black and the image (or beyond it)."""
    return _blend(image, jnp.zeros(()), factor)


def contrast(image: Array, factor: Array | float) -> Array:
    """Between the mean of the grey image and the image (or beyond it)."""
    return _blend(image, _grey(image).mean(), factor)


def saturation(image: Array, factor: Array | float) -> Array:
    """Between the grey image and the image (or beyond it); RandAugment's "Color"."""
    return image if image.shape[-1] == 1 else _blend(image, _grey(image), factor)


def sharpness(image: Array, factor: Array | float) -> Array:
    """Between a smoothed image and the image (or beyond it); the border pixels stay.

    The smoothing is PIL's: a pixel counts 5, its eight neighbours 1 each, of 13.
    """
    if min(image.shape[:2]) <= 2:
        return image
    pixels = image.astype(jnp.float32)
    rows = pixels[:-2] + pixels[1:-1] + pixels[2:]
    box = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    smooth = (box + 4 * pixels[1:-1, 1:-1]) / 13
    smooth = jnp.round(smooth) if _is_uint8(image) else smooth
    return _blend(image, pixels.at[1:-1, 1:-1].set(smooth), factor)


def hue(image: Array, shift: Array | float) -> Array:
    """The colour wheel turned by `shift` of a whole turn, -0.5 to 0.5."""
    if image.shape[-1] == 1:
        return image
    pixels = image.astype(jnp.float32) / _bound(image)
    high, low = pixels.max(-1), pixels.min(-1)
    chroma = high - low
    red, green, blue = jnp.moveaxis(pixels, -1, 0)
    safe = jnp.where(chroma > 0, chroma, 1)
    sextant = jnp.where(
        high == red,
        (green - blue) / safe,
        jnp.where(high == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    sextant = jnp.mod(sextant / 6 + shift, 1.0) * 6
    # A channel is at its highest within one sextant of its own hue, and falls over the next.
    distance = jnp.abs(jnp.mod(sextant[..., None] - jnp.array([0, 2, 4]) + 3, 6) - 3)
    turned = low[..., None] + chroma[..., None] * jnp.clip(2 - distance, 0, 1)
    if _is_uint8(image):
        turned = turned * (LEVELS - 1e-3)
    return turned.astype(image.dtype)


def posterize(image: Array, bits: int) -> Array:
    """Only the first `bits` (0 to 8) of each uint8."""
    _need_uint8(image, "posterize")
    return image & jnp.uint8(256 - 2 ** (8 - bits))


def solarize(image: Array, threshold: Array | float) -> Array:
    """Values of `threshold` (0 to 1) and above inverted."""
    bound = _bound(image)
    return jnp.where(image >= bound * threshold, (bound - image).astype(image.dtype), image)


def autocontrast(image: Array) -> Array:
    """Each channel stretched from its darkest and lightest values to all there are."""
    pixels, bound = image.astype(jnp.float32), _bound(image)
    low, high = pixels.min((0, 1)), pixels.max((0, 1))
    is_flat = low == high
    width = jnp.where(is_flat, 1.0, (high - low) * (1 / bound))
    stretched = (pixels - jnp.where(is_flat, 0.0, low)) / width
    return jnp.clip(stretched, 0, bound).astype(image.dtype)


def equalize(image: Array) -> Array:
    """Each uint8 channel mapped so that all values are about equally frequent, as PIL does it."""
    _need_uint8(image, "equalize")
    channels = image.shape[-1]
    flat = image.reshape(-1, channels).astype(jnp.int32)
    counts = jnp.zeros((channels, LEVELS), jnp.int32)
    counts = counts.at[jnp.arange(channels), flat].add(1)
    highest = flat.max(0)
    of_highest = jnp.take_along_axis(counts, highest[:, None], 1)
    step = (len(flat) - of_highest) // (LEVELS - 1)
    below = jnp.cumsum(counts, 1) - counts
    table = jnp.clip((below + step // 2) // jnp.maximum(step, 1), 0, LEVELS - 1)
    table = jnp.where(step == 0, jnp.arange(LEVELS), table)  # too few pixels: as they are
    mapped = table[jnp.arange(channels), flat]
    return mapped.astype(jnp.uint8).reshape(image.shape)


def _blend(image: Array, other: Array, factor: Array | float) -> Array:
    """`factor` of the image and `1 - factor` of the other, cut to what the type holds."""
    # In this form a pixel that is equal to the other one stays so, whatever the rounding.
    mixed = other + factor * (image.astype(jnp.float32) - other)
    return jnp.clip(mixed, 0, _bound(image)).astype(image.dtype)


def _grey(image: Array) -> Array:
    """[H, W, 1] float32 in the image's own unit."""
    pixels = image.astype(jnp.float32)
    if image.shape[-1] == 1:
        return pixels
    grey = (pixels * jnp.array(LUMA)).sum(-1, keepdims=True)
    return jnp.floor(grey) if _is_uint8(image) else grey


def _is_uint8(image: Array) -> bool:
    return image.dtype == jnp.uint8


def _bound(image: Array) -> int:
    return LEVELS - 1 if _is_uint8(image) else 1


def _need_uint8(image: Array, name: str) -> None:
    if not _is_uint8(image):
        raise UserError(f"{name} takes images of uint8, got {image.dtype}")
