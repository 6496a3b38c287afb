"""Labels of pixels drawn over images."""

from collections.abc import Sequence

import numpy as np

from aimodels.errors import UserError


def draw_masks(
    image: np.ndarray,
    labels: np.ndarray,
    *,
    clear: Sequence[int] = (0, 255),
    opacity: float = 0.45,
    outline: bool = True,
) -> np.ndarray:
    """An image with each class in its colour over it.

    Args:
      image: [H, W], [H, W, 1] or [H, W, 3], uint8, or floats from 0 to 1.
      labels: [H, W] class ids.
      clear: classes that are not drawn: the background, and what is not labelled.
      opacity: of the colour, 0 to 1.
      outline: the pixels of a class beside another class are drawn in full.

    Returns:
      [H, W, 3] uint8.

    Raises:
      UserError: sizes differ, or the image has another number of channels or range.
    """
    labels = np.asarray(labels)
    picture = _as_rgb(image)
    if labels.shape != picture.shape[:2] or labels.dtype.kind not in "iu":
        raise UserError(
            f"draw_masks: an image of {picture.shape[:2]} takes whole class ids of the same size, "
            f"got {labels.shape} {labels.dtype}"
        )
    drawn = ~np.isin(labels, clear)
    colour = colour_of(labels)
    strength = np.where(drawn, opacity, 0.0)
    if outline:
        strength = np.where(drawn & _borders(labels), 1.0, strength)
    mixed = picture + strength[..., None] * (colour - picture)
    return np.round(mixed).astype(np.uint8)


def colour_of(class_ids: np.ndarray) -> np.ndarray:
    """Colours [..., 3], 0 to 255, of class ids; they repeat after twenty."""
    from matplotlib import colormaps

    table = 255 * np.asarray(colormaps["tab20"].colors)  # pyright: ignore[reportAttributeAccessIssue]
    # Strong ones first: neighbours in Matplotlib's table are a strong and a pale one of one hue.
    order = np.concatenate([np.arange(0, 20, 2), np.arange(1, 20, 2)])
    return table[order][(np.asarray(class_ids).astype(np.int64) - 1) % 20]


def _as_rgb(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    image = image[..., None] if image.ndim == 2 else image
    if image.ndim != 3 or image.shape[-1] not in (1, 3):
        raise UserError(f"draw_masks takes an image [H, W, 1 or 3], got {image.shape}")
    if image.dtype != np.uint8:
        if image.size and not (image.min() >= 0 and image.max() <= 1):
            raise UserError("draw_masks takes an image of uint8, or of floats from 0 to 1")
        image = 255 * image
    return np.broadcast_to(image.astype(np.float64), (*image.shape[:2], 3))


def _borders(labels: np.ndarray) -> np.ndarray:
    """Pixels with a neighbour, above, below or beside, of another class."""
    border = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        differs = np.diff(labels.astype(np.int64), axis=axis) != 0
        low = [slice(None)] * 2
        high = [slice(None)] * 2
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        border[tuple(low)] |= differs
        border[tuple(high)] |= differs
    return border
