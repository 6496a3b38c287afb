"""Shows what a trained run finds in images: a picture, and the same as plain data."""

import dataclasses
import functools
import itertools
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from aimodels.config import call_section
from aimodels.data.detection import Resizing, resized, tile_starts
from aimodels.data.image_files import find_images, open_image
from aimodels.data.masks import colour_of
from aimodels.data.pictures import draw_objects
from aimodels.errors import UserError
from aimodels.modules.suppression import Detections, non_maximum_suppression
from aimodels.tasks.detection import Detection
from aimodels.tasks.segmentation import Segmentation
from aimodels.training.figures import (
    draw_file_name,
    draw_title,
    in_our_style,
    legend_mark,
    new_figure,
    picture_path,
    save,
)
from aimodels.training.load import Loaded, load
from aimodels.training.predict_pixels import find_masks


@dataclasses.dataclass(frozen=True)
class Shown:
    """What was found in an image.

    Attributes:
      about: plain data for JSON.
      draw: draws it onto axes that have the image already, in its pixels.
      colours: of the classes whose names aren't drawn, for the picture's legend.
    """

    about: dict[str, Any]
    draw: Callable[[Any], None]
    colours: dict[str, Any] = dataclasses.field(default_factory=dict)


# From a run, its data set, an image of Pillow and a threshold to what was found.
Finder = Callable[[Loaded, Any, Any, float], Shown]
# Boxes [K, 4] in pixels of the image, scores [K] and classes [K].
Found = tuple[np.ndarray, np.ndarray, np.ndarray]


def predict(
    workdir: str | os.PathLike,
    images: Iterable[str | os.PathLike],
    *,
    threshold: float = 0.5,
    output: str | os.PathLike | None = None,
    step: int | str = "latest",
    replica: int = 0,
) -> dict[str, Any]:
    """Draws images with what a trained detector or segmenter finds in them.

    Args:
      workdir: of the run.
      images: PNG or JPEG files, or folders of them; see `aimodels.data.image_files`.
      threshold: the score from which something is shown.
      output: a .png; by default `predict.png` in the work folder.
      step: of the checkpoint, `latest`, `best` or a number.
      replica: which one, counted from 0.

    Returns:
      `{"workdir", "step", "replica", "picture", "images": [{"file", "width", "height", "objects":
      [{"class", "score", "box": [left, top, right, bottom]}]}]}`, boxes in pixels of the file's
      image, by falling score; a segmenter has "classes": [{"class", "share"}] in place of
      "objects".

    Raises:
      UserError: the folder isn't a run that finds something in images of uint8, an image can't be
        read, or the threshold is no share.
    """
    picture = picture_path(output or Path(workdir) / "predict.png")
    if not 0 <= threshold <= 1:
        raise UserError(f"--threshold is {threshold}; it takes a score from 0 to 1")
    files = find_images(images)
    loaded = load(workdir, step=step, replica=replica)
    find = _finder(loaded)
    dataset = call_section("data", loaded.config.data.to_dict())
    pictures = [open_image(file) for file in files]
    shown = [find(loaded, dataset, image, threshold) for image in pictures]
    title = f"{loaded.config.model.name} of {Path(workdir).resolve().name}, step {loaded.step:,}"
    draw_predictions(picture, pictures, shown, [file.name for file in files], title=title)
    print(f"picture: {picture}", file=sys.stderr)
    return {
        "workdir": str(workdir),
        "step": loaded.step,
        "replica": replica,
        "picture": str(picture),
        "images": [
            {"file": str(file), "width": image.width, "height": image.height, **one.about}
            for file, image, one in zip(files, pictures, shown, strict=True)
        ],
    }


def find_objects(loaded: Loaded, dataset: Any, image: Any, threshold: float) -> Shown:
    """The objects that a detector finds in an image of Pillow.

    It sees the image as its data set made its own: brought to their size, or tile by tile.
    """
    how: Any = getattr(dataset, "resize", "stretch")
    look = _look_at_tiles if how == "tiles" else functools.partial(_look_at_whole, how=how)
    boxes, scores, labels = look(loaded, image, _image_size(loaded))
    boxes = np.clip(boxes, 0, [image.width, image.height] * 2)
    known = dataset.info().class_names
    names = [known[label] if label < len(known) else f"class {label}" for label in labels]
    objects = [
        {"class": name, "score": float(score), "box": [round(float(side), 2) for side in box]}
        for box, score, name in zip(boxes, scores, names, strict=True)
        if score >= threshold
    ]
    # As a segmenter numbers them, whose class 0 is the background.
    colours = dict(zip(names, colour_of(labels + 1) / 255, strict=True))
    return Shown({"objects": objects}, lambda axis: draw_objects(axis, objects, colours))


def _look_at_whole(loaded: Loaded, image: Any, size: tuple[int, int], *, how: Resizing) -> Found:
    """What is found in the image brought to a size."""
    corners = np.array([[0.0, 0.0, image.width, image.height]])
    pixels, corners = resized(image, corners, size, how)
    boxes, scores, labels = _found(loaded.predict(pixels[None]))
    return (
        boxes * np.array([image.width, image.height] * 2) / np.tile(corners[0, 2:], 2),
        scores,
        labels,
    )


def _look_at_tiles(loaded: Loaded, image: Any, size: tuple[int, int]) -> Found:
    """What is found in tiles that overlap by half, once: suppression goes over all of them."""
    pixels = np.asarray(image.convert("RGB"))
    missing = [max(0, side - have) for side, have in zip(size, pixels.shape, strict=False)]
    pixels = np.pad(pixels, (*((0, count) for count in missing), (0, 0)))
    starts = [tile_starts(have, side) for have, side in zip(pixels.shape, size, strict=False)]
    found = []
    for top, left in itertools.product(*starts):
        tile = pixels[top : top + size[0], left : left + size[1]]
        boxes, scores, labels = _found(loaded.predict(tile[None]))
        found.append((boxes + np.array([left, top] * 2), scores, labels))
    boxes, scores, labels = (np.concatenate(each) for each in zip(*found, strict=True))
    kept = non_maximum_suppression(
        jnp.asarray(boxes[None]),
        jnp.asarray(scores[None]),
        threshold=loaded.task.iou_threshold,  # pyright: ignore[reportAttributeAccessIssue]
        classes=jnp.asarray(labels[None]),
    )
    order = np.asarray(kept.index[0])[np.asarray(kept.mask[0])]
    return boxes[order], scores[order], labels[order]


def _found(detections: Detections) -> Found:
    """Boxes [K, 4], scores [K] and classes [K] of one image, by falling score."""
    found: Any = detections  # NumPy's arrays, out of `Loaded.predict`
    there = found.mask[0]
    return found.boxes[0][there], found.scores[0][there], found.classes[0][there]


def find_pixels(loaded: Loaded, dataset: Any, image: Any, threshold: float) -> Shown:
    """The classes that a segmenter finds in an image of Pillow, which may have any size."""
    return Shown(*find_masks(loaded, dataset, image, threshold))


# What a task is -> how its runs look at an image.
FINDERS: tuple[tuple[type, Finder], ...] = (
    (Detection, find_objects),
    (Segmentation, find_pixels),
)


def draw_predictions(
    path: Path, images: list[Any], shown: list[Shown], names: list[str], *, title: str
) -> Path:
    """Writes a picture of all images with what was found in them.

    Args:
      path: the .png.
      images: of Pillow.
      shown: for each image what was found.
      names: of the files.
      title: of the picture.
    """
    columns = min(len(images), 3)
    rows = -(-len(images) // columns)
    with in_our_style():
        figure, axes = new_figure(rows, columns, (max(6.4, 3.4 * columns), 3.1 * rows + 0.6))
        for axis in axes.flat:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        for axis, image, one, name in zip(axes.flat, images, shown, names, strict=False):
            axis.imshow(np.asarray(image), interpolation="nearest")
            one.draw(axis)
            draw_file_name(axis, name, 32)
        colours = {name: colour for one in shown for name, colour in one.colours.items()}
        handles = [legend_mark("s", name, color=colour) for name, colour in colours.items()]
        if handles:
            figure.legend(handles=handles, loc="outside lower left", ncols=2 + columns)
        draw_title(figure, title, "")
        return save(figure, path)


def _finder(loaded: Loaded) -> Finder:
    for kind, finder in FINDERS:
        if isinstance(loaded.task, kind):
            return finder
    raise UserError(
        f"a run of task {loaded.config.task.name!r} finds nothing to draw in images: aimodels "
        "predict takes a detector's or a segmenter's (aimodels explain a classifier's)"
    )


def _image_size(loaded: Loaded) -> tuple[int, int]:
    """The (H, W) of the run's data set."""
    inputs = loaded.batch["inputs"]
    if len(inputs.shape) != 4 or inputs.dtype != jnp.uint8 or inputs.shape[-1] != 3:
        raise UserError(
            f"the run's data set {loaded.config.data.name!r} has inputs {inputs.dtype} "
            f"{inputs.shape}, and image files are uint8 [B, H, W, 3]"
        )
    return inputs.shape[1:3]
