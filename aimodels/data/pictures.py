"""A picture of a data set's examples, one kind for each kind of inputs."""

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from aimodels.data.base import Info
from aimodels.data.masks import colour_of, draw_masks

# Examples that a picture is drawn from: the first of the first split.
EXAMPLES = 2000
CLASSES = 12
COLUMNS = 10
SCENES = 6
PICTURES = 12  # with their masks
SIGNALS_A_CLASS = 12
FEATURES = 12
INK, FAINT = "#1b1f24", "#8c959f"
DPI = 130


def save_samples_picture(dataset: Any, path: str | Path) -> None:
    """Draw examples of a data set and write a PNG.

    Images [H, W, C]: a row a class; with their boxes, where they have them. Sequences [T, C]: a
    panel a class. Vectors [D]: for regression the target over each input, for classes the two main
    directions.

    Args:
      dataset: it must be ready.
      path: the file; the ending decides the format, as Matplotlib has it.

    Raises:
      UserError: the data are missing or damaged.
    """
    info: Info = dataset.info()
    split = "train" if "train" in info.splits else next(iter(info.splits), "train")
    source = dataset.load(split)
    batch = source.gather(np.arange(min(EXAMPLES, len(source))))
    inputs, targets = np.asarray(batch["inputs"]), batch.get("targets")
    if info.task == "detection":
        groups = {}
    elif info.task != "classification" or targets is None:
        groups = {"": inputs}
    else:
        shown = np.unique(targets)[:CLASSES]
        groups = {_class_name(info, label): inputs[targets == label] for label in shown}
    if info.task == "detection":
        figure = _boxes(info, batch)
    elif info.task == "segmentation" and targets is not None:
        examples = zip(inputs, targets, strict=True)
        figure = _images({"": np.stack([draw_masks(*one) for one in islice(examples, PICTURES)])})
    elif inputs.ndim == 5:  # of clips, the frames of the first of each class
        figure = _images({name: clips[0] for name, clips in groups.items()})
    elif inputs.ndim == 4:
        figure = _images(groups)
    elif inputs.ndim == 3:
        figure = _signals(groups)
    elif info.task == "regression" and targets is not None and inputs.ndim == 2:
        figure = _scatter_target(inputs, targets)
    else:
        figure = _scatter_classes({k: v.reshape(len(v), -1) for k, v in groups.items()})
    figure.suptitle(f"{info.title}: {split}", x=0.02, ha="left", color=INK, weight="bold")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, facecolor="white", bbox_inches="tight")


def _class_name(info: Info, label: int) -> str:
    return info.class_names[label] if info.class_names else f"class {label}"


def _figure(rows: int, columns: int, width: float, height: float) -> tuple[Any, np.ndarray]:
    from matplotlib.figure import Figure  # not pyplot: no global state, no window

    figure = Figure(figsize=(columns * width, rows * height + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
    return figure, axes


def _images(groups: dict[str, np.ndarray]) -> Any:
    """A row a class; without classes, rows of what comes."""
    if list(groups) == [""]:
        images = groups[""]
        rows = min(6, -(-len(images) // COLUMNS))
        groups = {" " * row: images[row * COLUMNS :] for row in range(rows)}
    figure, axes = _figure(len(groups), COLUMNS, 0.8, 0.8)
    for row, (name, images) in zip(axes, groups.items(), strict=True):
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", color=INK, fontsize=9)
        for axis, image in zip(row, images, strict=False):
            axis.imshow(_displayable(image), cmap="gray", interpolation="nearest")
    return figure


def _boxes(info: Info, batch: dict[str, np.ndarray]) -> Any:
    """The first images, with a box and a name around each object; below it their masks."""
    columns = min(SCENES, len(batch["inputs"]))
    masks = batch.get("targets")
    figure, axes = _figure(1 if masks is None else 2, columns, 2.2, 2.2)
    for number in range(columns):
        image, axis = batch["inputs"][number], axes[0, number]
        axis.imshow(_displayable(image), interpolation="nearest")
        labels = batch["labels"][number]
        objects = [
            {"class": _class_name(info, label), "box": [float(side) for side in box]}
            for box, label in zip(batch["boxes"][number], labels, strict=True)
            if label >= 0
        ]
        # As masks number them, whose class 0 is the background.
        colours = {_class_name(info, label): colour_of(label + 1) / 255 for label in set(labels)}
        draw_objects(axis, objects, colours)
        if masks is not None:
            white = np.full(image.shape, 255, np.uint8)
            drawn = draw_masks(white, masks[number], clear=(0,), opacity=1.0)
            axes[1, number].imshow(drawn, interpolation="nearest")
    return figure


def draw_objects(axis: Any, objects: list[dict[str, Any]], colours: dict[str, Any]) -> None:
    """A box around each object, with its class and, if it has one, score, in the class's colour.

    Args:
      axis: has the image already, in its pixels.
      objects: `{"class", "box": [left, top, right, bottom]}`, with a "score" or without; the first
        are drawn on top.
      colours: of the classes.
    """
    from matplotlib.patches import Rectangle

    for each in reversed(objects):
        left, top, right, bottom = (side - 0.5 for side in each["box"])
        colour = colours[each["class"]]
        sides = right - left, bottom - top
        axis.add_patch(Rectangle((left, top), *sides, fill=False, color=colour, linewidth=1.5))
        axis.text(
            left,
            top,
            f"{each['class']} {each['score']:.0%}" if "score" in each else each["class"],
            color="white",
            fontsize=6,
            va="bottom",
            clip_on=True,
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.8},
        )


def _displayable(image: np.ndarray) -> np.ndarray:
    """[H, W] or [H, W, 3] in [0, 1], whatever the range."""
    image = image[..., :3] if image.shape[-1] >= 3 else image[..., 0]
    if image.dtype == np.uint8:
        return image / 255
    low, high = image.min(), image.max()
    return (image - low) / (high - low if high > low else 1)


def _signals(groups: dict[str, np.ndarray]) -> Any:
    """A panel a class: some signals faint, one in ink; the first channel."""
    columns = min(5, len(groups))
    figure, axes = _figure(-(-len(groups) // columns), columns, 2.1, 1.5)
    for axis, (name, signals) in zip(axes.flat, groups.items(), strict=False):
        chosen = signals[:SIGNALS_A_CLASS, :, 0].T
        axis.plot(chosen, color=FAINT, alpha=0.35, linewidth=0.8)
        axis.plot(chosen[:, 0], color="#0969da", linewidth=1.8)
        axis.set_title(name, loc="left", fontsize=10, color=INK)
    return figure


def _scatter_target(inputs: np.ndarray, targets: np.ndarray) -> Any:
    """A panel an input: the target over it."""
    count = min(FEATURES, inputs.shape[1])
    columns = min(4, count)
    figure, axes = _figure(-(-count // columns), columns, 2.2, 1.9)
    target = targets if targets.ndim == 1 else targets[:, 0]
    for number, axis in enumerate(axes.flat[:count]):
        axis.scatter(inputs[:, number], target, s=5, alpha=0.4, color="#0969da", linewidths=0)
        axis.set_xlabel(f"input {number}", fontsize=8, color=INK)
        axis.spines[["left", "bottom"]].set_visible(True)
        axis.spines[["left", "bottom"]].set_color(FAINT)
    for axis in axes[:, 0]:
        axis.set_ylabel("target", fontsize=8, color=INK)
    return figure


def _scatter_classes(groups: dict[str, np.ndarray]) -> Any:
    """Each class's examples along the two main directions of all of them."""
    from matplotlib import colormaps

    figure, axes = _figure(1, 1, 5.0, 4.0)
    axis = axes[0, 0]
    everything = np.concatenate(list(groups.values())).astype(np.float64)
    center, spread = everything.mean(axis=0), everything.std(axis=0)
    spread[spread == 0] = 1
    directions = np.linalg.svd((everything - center) / spread, full_matrices=False)[2][:2].T
    for number, (name, inputs) in enumerate(groups.items()):
        places = ((inputs - center) / spread) @ directions
        places = np.pad(places, ((0, 0), (0, 2 - places.shape[1])))  # inputs of one number
        color = colormaps["tab20" if len(groups) > 10 else "tab10"](number)
        axis.scatter(*places.T, s=14, alpha=0.7, color=color, linewidths=0, label=name)
    axis.set_xlabel("first principal component", fontsize=9, color=INK)
    axis.set_ylabel("second principal component", fontsize=9, color=INK)
    axis.spines[["left", "bottom"]].set_visible(True)
    axis.spines[["left", "bottom"]].set_color(FAINT)
    if list(groups) != [""]:
        axis.legend(frameon=False, fontsize=8)
    return figure
