"""RoIAlign: features of fixed size from regions of any size.

Shapes: B batch, H W feature map, C channels, R regions, P Q the output's rows and columns.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.modules.boxes import area

Size = tuple[int, int]


def roi_align(
    features: jax.Array,
    boxes: jax.Array,
    *,
    output_size: Size,
    stride: float = 1.0,
    sampling_ratio: int = 2,
    aligned: bool = False,
) -> jax.Array:
    """Means of bilinear samples in a grid of bins over each box (He et al. 2017, section 3).

    Args:
        features: [B, H, W, C].
        boxes: [B, R, 4], in pixels of the image.
        output_size: (P, Q).
        stride: pixels of the image for one of the feature map.
        sampling_ratio: samples of a bin along each axis. (torchvision's 0, as many as the box is
            large, has no fixed shape.)
        aligned: shift by half a pixel, so that a feature stands for its pixel's centre; without it
            (as in torchvision's Faster R-CNN) boxes are at least one feature wide and high.

    Returns:
        [B, R, P, Q, C]. A sample more than one feature outside of the map is 0.
    """
    return multiscale_roi_align(
        [features],
        boxes,
        strides=[stride],
        output_size=output_size,
        sampling_ratio=sampling_ratio,
        aligned=aligned,
    )


def pyramid_levels(boxes: jax.Array, lowest: int, highest: int) -> jax.Array:
    """The feature pyramid's level of each box [..., 4]: int32 [...], in lowest .. highest.

    ⌊4 + log₂(√(w h) / 224)⌋: Lin et al. 2017, equation 1; with torchvision's 1e-6 inside.
    """
    size = jnp.maximum(jnp.sqrt(area(boxes)), 1e-6)
    level = jnp.floor(4 + jnp.log2(size / 224) + 1e-6)
    return jnp.clip(level, lowest, highest).astype(jnp.int32)


def multiscale_roi_align(
    features: Sequence[jax.Array],
    boxes: jax.Array,
    *,
    strides: Sequence[float],
    output_size: Size,
    sampling_ratio: int = 2,
    aligned: bool = False,
    first_level: int = 2,
) -> jax.Array:
    """RoIAlign of each box on the level of a feature pyramid that fits its size.

    Args:
        features: of each level [B, H, W, C], sizes falling.
        boxes: [B, R, 4], in pixels of the image.
        strides: a level each.
        output_size: see `roi_align`.
        sampling_ratio: see `roi_align`.
        aligned: see `roi_align`.
        first_level: the number of the first map, 2 for one of stride 4; see `pyramid_levels`.

    Returns:
        [B, R, P, Q, C].
    """
    if sampling_ratio < 1:
        raise UserError(f"roi_align: sampling_ratio is {sampling_ratio}; it takes 1 or more")
    level = jnp.zeros(boxes.shape[:-1], jnp.int32)
    if len(features) > 1:
        level = pyramid_levels(boxes, first_level, first_level + len(features) - 1) - first_level
    # The levels stand one behind the other, so that there is one gather, not one a level.
    flat = jnp.concatenate([each.reshape(len(each), -1, each.shape[-1]) for each in features], 1)
    heights, widths = (jnp.array([each.shape[axis] for each in features]) for axis in (1, 2))
    begins = jnp.cumsum(heights * widths) - heights * widths
    stride = jnp.asarray(strides, boxes.dtype)[level][..., None]

    begin, end = jnp.split(boxes / stride - (0.5 if aligned else 0.0), 2, -1)
    span = end - begin if aligned else jnp.maximum(end - begin, 1.0)
    rows, row_weights = _samples(
        begin[..., 1], span[..., 1], output_size[0], sampling_ratio, heights[level]
    )
    columns, column_weights = _samples(
        begin[..., 0], span[..., 0], output_size[1], sampling_ratio, widths[level]
    )
    total = 0.0
    for row, row_weight in zip(rows, row_weights, strict=True):
        for column, column_weight in zip(columns, column_weights, strict=True):
            start, width = begins[level][..., None, None], widths[level][..., None, None]
            index = start + row[..., :, None] * width + column[..., None, :]
            seen = jax.vmap(lambda values, index: values[index])(flat, index)
            weight = row_weight[..., :, None] * column_weight[..., None, :]
            total = total + seen * weight[..., None].astype(seen.dtype)
    bins = (output_size[0], sampling_ratio, output_size[1], sampling_ratio)
    return jnp.reshape(total, (*boxes.shape[:2], *bins, -1)).mean((3, 5))


def _samples(
    begin: jax.Array, span: jax.Array, bins: int, ratio: int, size: jax.Array
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    """Along one axis: the two features next to each sample, and their weights.

    Args:
        begin: of the boxes, in features [B, R].
        span: their extent [B, R].
        bins: of the output.
        ratio: samples of a bin.
        size: of the map, [B, R].

    Returns:
        Indices and weights of the lower and of the upper, each [B, R, bins · ratio].
    """
    steps = (jnp.arange(bins * ratio, dtype=begin.dtype) + 0.5) / ratio
    place = begin[..., None] + steps * (span / bins)[..., None]
    size = size[..., None]
    inside = (place >= -1) & (place <= size)
    # Within one feature of the border the nearest one counts alone.
    place = jnp.clip(place, 0, size - 1)
    lower = jnp.floor(place).astype(jnp.int32)
    upper = jnp.minimum(lower + 1, size - 1)
    share = place - lower
    return (lower, upper), (jnp.where(inside, 1 - share, 0), jnp.where(inside, share, 0))
