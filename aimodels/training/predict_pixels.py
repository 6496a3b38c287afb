"""What a trained segmenter says of images of any size."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from aimodels.errors import UserError
from aimodels.tasks.segmentation import Segmentation
from aimodels.tasks.tiling import predict_tiles
from aimodels.training.build import abstract_batch

if TYPE_CHECKING:
    from aimodels.training.load import Loaded


def predict_pixels(
    loaded: "Loaded", images: np.ndarray, *, margin: int | None = None, batch_size: int = 1
) -> np.ndarray:
    """The probability of each class at each pixel.

    Images of the size that the run's data have are predicted whole. Others are predicted by tiles of
    that size (`aimodels.tasks.tiling`).

    Args:
      loaded: a run of the task segmentation.
      images: [B, H, W, C] as its data set gives them: of its dtype and channels, of any size.
      margin: pixels of a tile's border that are only looked at; by default an eighth of its side,
        or more where the model leaves more out.
      batch_size: images or tiles at a time.

    Returns:
      [B, H, W, V] float32.

    Raises:
      UserError: the run is no segmenter's, or the images have another dtype or other channels.
    """
    if not isinstance(loaded.task, Segmentation):
        raise UserError(
            f"pixels are predicted by runs of the task segmentation; this one's is "
            f"{loaded.config.task.name}"
        )
    feature = abstract_batch(loaded.config)["inputs"]
    height, width, channels = feature.shape[1:]
    if images.ndim != 4 or images.shape[-1] != channels or images.dtype != feature.dtype:
        raise UserError(
            f"the run takes images [B, H, W, {channels}] {feature.dtype}, got {images.shape} "
            f"{images.dtype}"
        )

    def probabilities(tiles: jax.Array) -> jax.Array:
        scores = loaded.task.predict(loaded.state, {"inputs": tiles})
        return jax.nn.softmax(scores.astype(jnp.float32))

    run = jax.jit(probabilities)
    tile = (height, width)
    example = jax.ShapeDtypeStruct((batch_size, height, width, channels), feature.dtype)
    said = jax.eval_shape(run, example).shape[1:3]
    left_out = max(0, *(-(-(side - out) // 2) for side, out in zip(tile, said, strict=True)))
    if margin is None:
        whole = images.shape[1:3] == tile and left_out == 0
        margin = 0 if whole else max(left_out, min(tile) // 8)
    return predict_tiles(run, images, tile, margin, batch_size)
