"""What a trained segmenter says of images of any size."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from aimodels.data.masks import colour_of, draw_masks
from aimodels.errors import UserError
from aimodels.tasks.segmentation import Segmentation
from aimodels.tasks.tiling import predict_tiles

if TYPE_CHECKING:
    from aimodels.training.load import Loaded

# The label of pixels whose class is not shown.
UNSURE = -1


def predict_pixels(
    loaded: "Loaded", images: np.ndarray, *, margin: int | None = None, batch_size: int = 1
) -> np.ndarray:
    """The probability of each class at each pixel.

    Images of the size that the run's data have are predicted whole, others by tiles of that size
    (`aimodels.tasks.tiling`).

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
    feature = loaded.batch["inputs"]
    height, width, channels = feature.shape[1:]
    if images.ndim != 4 or images.shape[-1] != channels or images.dtype != feature.dtype:
        raise UserError(
            f"the run takes images [B, H, W, {channels}] {feature.dtype}, got {images.shape} "
            f"{images.dtype}"
        )

    def probabilities(tiles: np.ndarray) -> jax.Array:
        return jax.nn.softmax(loaded.predict(tiles).astype(np.float32))

    tile = (height, width)
    example = jax.ShapeDtypeStruct((batch_size, height, width, channels), feature.dtype)
    scores = jax.eval_shape(loaded.task.predict, loaded.state, {"inputs": example})
    said = scores.shape[1:3]
    left_out = max(0, *(-(-(side - out) // 2) for side, out in zip(tile, said, strict=True)))
    if margin is None:
        whole = images.shape[1:3] == tile and left_out == 0
        margin = 0 if whole else max(left_out, min(tile) // 8)
    return predict_tiles(probabilities, images, tile, margin, batch_size)


def find_masks(
    loaded: "Loaded", dataset: Any, image: Any, threshold: float
) -> tuple[dict[str, Any], Callable[[Any], None], dict[str, np.ndarray]]:
    """The classes that a segmenter finds in an image of Pillow, and what draws them.

    Args:
      loaded: see `predict_pixels`.
      dataset: of the run, for its classes' names.
      image: of 3 channels or 1.
      threshold: pixels whose class is less probable are not shown.

    Returns:
      `{"classes": [{"class", "share"}]}`, shares of the image by falling size; a function that
      draws the masks onto axes; and the colours of the classes that it draws.
    """
    channels = loaded.batch["inputs"].shape[-1]
    pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    pixels = pixels.reshape(*pixels.shape[:2], channels)
    probabilities = predict_pixels(loaded, pixels[None])[0]
    labels = probabilities.argmax(-1)
    labels = np.where(probabilities.max(-1) >= threshold, labels, UNSURE)
    names = class_names(dataset, probabilities.shape[-1])
    counts = np.bincount(labels[labels != UNSURE], minlength=len(names))
    seen = [n for n in np.argsort(-counts, kind="stable") if counts[n]]
    about = [{"class": names[n], "share": float(counts[n] / labels.size)} for n in seen]
    drawn = draw_masks(pixels, labels, clear=(0, UNSURE))
    colours = {names[n]: colour_of(n) / 255 for n in sorted(seen) if n}
    return {"classes": about}, lambda axis: axis.imshow(drawn), colours


def class_names(dataset: Any, count: int) -> tuple[str, ...]:
    """A name for each of a model's classes; a data set of objects does not name the background."""
    names = tuple(dataset.info().class_names)
    if len(names) == count - 1:
        names = ("background", *names)
    return names if len(names) == count else tuple(f"class {number}" for number in range(count))
