"""What all drawings are made with: shapes with smooth edges, in the units of what is drawn.

Shapes: H, W image.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Point = tuple[float, float]
# Okabe & Ito 2008: told apart with any kind of colour vision.
BLUE, RED, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, ORANGE, YELLOW = "#56B4E9", "#E69F00", "#F0E442"
INK, GREY, PALE, WHITE = "#222222", "#8a8a8a", "#dcdcdc", "#ffffff"
# Pillow's edges are hard: shapes are drawn so many times as large, and made smaller at the end.
FINE = 3
# A caption's width in pixels, at the least.
CAPTION = 420
# What shows small images is enlarged to about so many pixels.
ENLARGED = 336


class Canvas:
    """A white picture whose coordinates are those of the world: x to the right, y upwards.

    Args:
      width: W, in pixels.
      left: the x of its left edge.
      right: the x of its right edge.
      bottom: the y of its lower edge.
      top: the y of its upper edge; H follows, since a unit is as long upwards as to the right.
      background: its colour.
    """

    def __init__(
        self,
        width: int,
        left: float,
        right: float,
        bottom: float,
        top: float,
        background: str = WHITE,
    ) -> None:
        self._left, self._top = left, top
        self._scale = width / (right - left)
        self.width, self.height = width, round((top - bottom) * self._scale)
        size = FINE * self.width, FINE * self.height
        self._image = Image.new("RGB", size, background)
        self._draw = ImageDraw.Draw(self._image)

    def _place(self, point: Point) -> Point:
        scale = FINE * self._scale
        return (point[0] - self._left) * scale, (self._top - point[1]) * scale

    def line(self, points: Sequence[Point], colour: str, width: float) -> None:
        """Through all points, `width` pixels wide, with round ends."""
        places = [self._place(point) for point in points]
        self._draw.line(places, colour, max(1, round(FINE * width)), joint="curve")
        radius = FINE * width / 2
        for x, y in (places[0], places[-1]):
            self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), colour)

    def polygon(self, points: Sequence[Point], colour: str) -> None:
        """Filled."""
        self._draw.polygon([self._place(point) for point in points], colour)

    def box(
        self,
        left: float,
        bottom: float,
        right: float,
        top: float,
        colour: str | None,
        *,
        rounded: float = 0,
        edge: str | None = None,
        edge_width: float = 0,
    ) -> None:
        """A rectangle, with corners `rounded` and an edge `edge_width` pixels wide inside of it."""
        (x0, y0), (x1, y1) = self._place((left, top)), self._place((right, bottom))
        radius, width = FINE * rounded, round(FINE * edge_width)
        self._draw.rounded_rectangle((x0, y0, x1 - 1, y1 - 1), radius, colour, edge, width)

    def circle(self, centre: Point, radius: float, colour: str, edge: str | None = None) -> None:
        """Filled, its radius in pixels."""
        x, y = self._place(centre)
        r = FINE * radius
        self._draw.ellipse((x - r, y - r, x + r, y + r), colour, edge, FINE if edge else 0)

    def text(
        self, point: Point, words: str, size: float, colour: str = INK, anchor: str = "mm"
    ) -> None:
        """Words `size` pixels high; the anchor is Pillow's: `mm` the middle, `lm` the left end."""
        font = ImageFont.load_default(FINE * size)
        self._draw.text(self._place(point), words, colour, font, anchor)

    def pixels(self) -> np.ndarray:
        """The picture, uint8 [H, W, 3]."""
        return np.asarray(self._image.reduce(FINE))


def image(observation: Any) -> np.ndarray | None:
    """An observation that is an image, uint8 [H, W] or [H, W, C], enlarged; None if it is none.

    Three channels are a colour image; of others, such as stacked frames, the last one is shown.
    """
    pixels = np.asarray(observation)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
        return None
    if pixels.ndim == 3 and pixels.shape[-1] != 3:
        pixels = pixels[..., -1]
    if pixels.ndim == 2:
        pixels = np.stack([pixels] * 3, -1)
    times = max(1, round(ENLARGED / max(pixels.shape[:2])))
    return pixels.repeat(times, 0).repeat(times, 1)


def with_caption(picture: np.ndarray, left: str, right: str) -> np.ndarray:
    """A picture [H, W, 3] with a line of text under it.

    It gets as wide as the text may need, and its sides even, as films need them.
    """
    line = 26
    height = picture.shape[0]
    width = max(picture.shape[1] + picture.shape[1] % 2, CAPTION)
    whole = Image.new("RGB", (width, (height + line + 1) // 2 * 2), WHITE)
    whole.paste(Image.fromarray(picture), ((width - picture.shape[1]) // 2, 0))
    font = ImageFont.load_default(13)
    draw = ImageDraw.Draw(whole)
    middle = height + line / 2
    draw.text((8, middle), left, INK, font, "lm")
    draw.text((width - 8, middle), right, INK, font, "rm")
    return np.asarray(whole)
