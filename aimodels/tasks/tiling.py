"""Images larger than a network's input, tile by tile: U-Net's overlap-tile strategy.

Ronneberger et al. 2015, figure 2. Where a tile reaches beyond the image, the image goes on as in a
mirror. Shapes: B images, H W pixels, C channels, V classes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from aimodels.errors import UserError


def predict_tiles(
    predict: Callable[[np.ndarray], Any],
    images: np.ndarray,
    tile: tuple[int, int],
    margin: int,
    batch_size: int = 1,
) -> np.ndarray:
    """What a network says of whole images, put together of what it says of tiles.

    With a network that convolves without padding, and `margin` what it leaves out on each side
    (`UNet.margin()`), it is what the network would say of the whole image, mirrored at its border.
    With one that pads, what it says within `margin` of a tile's border is thrown away.

    Args:
      predict: [B, *tile, C] -> [B, h, w, V], for the tiles or for their middle.
      images: [B, H, W, C].
      tile: (height, width) of the network's inputs.
      margin: pixels on each side of a tile that are only looked at.
      batch_size: tiles that are predicted at a time; the last batch is filled up, so that `predict`
        meets one shape alone.

    Returns:
      [B, H, W, V].

    Raises:
      UserError: a tile is no larger than its margins, or `predict` gives less than its middle.
    """
    B, H, W, _ = images.shape
    step = (tile[0] - 2 * margin, tile[1] - 2 * margin)
    if min(step) < 1 or margin < 0:
        raise UserError(
            f"tiles of {tile} pixels with a margin of {margin} leave nothing of the image between; "
            f"take tiles of more than {2 * margin} pixels"
        )
    rows, columns = -(-H // step[0]), -(-W // step[1])
    down, across = rows * step[0] - H, columns * step[1] - W
    around = (0, 0), (margin, margin + down), (margin, margin + across), (0, 0)
    mirrored = np.pad(images, around, mode="reflect")
    places = [
        (image, row * step[0], column * step[1])
        for image in range(B)
        for row in range(rows)
        for column in range(columns)
    ]
    result = None
    for start in range(0, len(places), batch_size):
        here = places[start : start + batch_size]
        filled = here + [here[-1]] * (batch_size - len(here))
        tiles = [mirrored[i, y : y + tile[0], x : x + tile[1]] for i, y, x in filled]
        found = np.asarray(predict(np.stack(tiles)))
        if found.ndim != 4 or found.shape[1] < step[0] or found.shape[2] < step[1]:
            raise UserError(
                f"tiles of {tile} pixels with a margin of {margin} need predictions for the middle "
                f"{step} at least, got {found.shape}; take a larger margin"
            )
        top, left = (found.shape[1] - step[0]) // 2, (found.shape[2] - step[1]) // 2
        inner = found[:, top : top + step[0], left : left + step[1]]
        if result is None:
            result = np.zeros((B, rows * step[0], columns * step[1], found.shape[-1]), inner.dtype)
        for (image, y, x), piece in zip(here, inner, strict=False):
            result[image, y : y + step[0], x : x + step[1]] = piece
    if result is None:
        raise UserError("there is no image to predict")
    return result[:, :H, :W]
