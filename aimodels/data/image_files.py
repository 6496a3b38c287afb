"""Images in files, read to the size and channels that a data set has."""

import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from aimodels.errors import UserError

ENDINGS = (".png", ".jpg", ".jpeg")
MOST_IMAGES = 64


def find_images(paths: Iterable[str | os.PathLike]) -> list[Path]:
    """The files named, and those of the folders named (not below them) that end as images do.

    Raises:
      UserError: a path doesn't exist, a folder holds no image, or they are more than one picture
        shows.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in ENDINGS)
            if not inside:
                raise UserError(f"folder {path} holds no image that ends in {', '.join(ENDINGS)}")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"image {path} does not exist")
    if not found:
        raise UserError("no image is given")
    if len(found) > MOST_IMAGES:
        raise UserError(f"{len(found)} images are too many for one picture: {MOST_IMAGES} at most")
    return found


def open_image(path: str | os.PathLike, channels: int = 3) -> Any:
    """An image of Pillow, of 3 channels or 1.

    It is turned upright as its camera says, if that can be read, and put on white where it is
    transparent; of colours and one channel, one becomes the other.

    Args:
      path: a PNG or JPEG.
      channels: 1 or 3.

    Raises:
      UserError: the file is empty, damaged or no such image, or the channels are another number.
    """
    from PIL import Image, ImageOps

    path = Path(path)
    if channels not in (1, 3):
        raise UserError(f"image {path}: files have 1 or 3 channels, and {channels} are asked for")
    if path.stat().st_size == 0:
        raise UserError(f"image {path} is empty")
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as file:
            file.load()
            try:
                upright = ImageOps.exif_transpose(file)
            except struct.error:  # what Pillow raises of a damaged EXIF block
                upright = file
            image = _opaque(upright)
    except Image.UnidentifiedImageError as error:
        raise UserError(f"{path} is no PNG or JPEG image") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"image {path} is too large: {error}") from error
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises of damaged files
        raise UserError(f"image {path} is damaged: {error}") from error
    return image.convert("L" if channels == 1 else "RGB")


def read_image(path: str | os.PathLike, shape: tuple[int, int, int]) -> np.ndarray:
    """An image as uint8 [H, W, C]: its largest middle of the shape of H x W, resized to it.

    Args:
      path: a PNG or JPEG.
      shape: (H, W, C), C being 1 or 3.

    Raises:
      UserError: see `open_image`.
    """
    height, width, channels = shape
    image = middle_of(open_image(path, channels), (height, width))
    return np.asarray(image).reshape(height, width, channels)


def middle_of(image: Any, size: tuple[int, int]) -> Any:
    """The largest middle of a Pillow image of the shape of `size` (height, width), resized to it.

    Bilinear; nothing outside of the middle is looked at (Pillow's `ImageOps.fit` does look there).
    """
    from PIL import Image

    width, height = image.size
    share = min(height / size[0], width / size[1])
    rows, columns = max(1, round(size[0] * share)), max(1, round(size[1] * share))
    top, left = (height - rows) // 2, (width - columns) // 2
    middle = image.crop((left, top, left + columns, top + rows))
    return middle.resize((size[1], size[0]), Image.Resampling.BILINEAR)


def _opaque(image: Any) -> Any:
    """An image in 8 bits without transparency."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits
        return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")
