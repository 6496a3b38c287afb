"""Explains what a trained classifier sees in images, in one picture."""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aimodels.config import call_section
from aimodels.data.image_files import find_images, read_image
from aimodels.errors import UserError, unknown
from aimodels.interpret import (
    attention_rollout,
    grad_cam,
    integrated_gradients,
    occlusion,
    resized,
)
from aimodels.tasks.classification import Classification
from aimodels.training.figures import (
    COLOURS,
    GREY,
    INK,
    draw_file_name,
    draw_title,
    in_our_style,
    new_figure,
    picture_path,
    save,
)
from aimodels.training.load import Loaded, load

# Method -> what its colours mean.
METHODS = {
    "grad_cam": "Grad-CAM: orange is what the class is seen by",
    "integrated_gradients": "integrated gradients: orange speaks for the class, blue against it",
    "occlusion": "occlusion: hiding orange lowers the class's probability, hiding blue raises it",
    "attention_rollout": "attention rollout: orange is where the tokens come from",
}
WINDOWS_ACROSS = 7  # occlusion hides so large a part of the shorter side, and moves by half of it
BRIGHTEST = 99.5  # percentile of an image's heat that has the full colour: single pixels can glare


def explain(
    workdir: str | os.PathLike,
    images: Iterable[str | os.PathLike],
    *,
    method: str = "grad_cam",
    output: str | os.PathLike | None = None,
    class_id: int | None = None,
    step: int | str = "latest",
    replica: int = 0,
) -> dict[str, Any]:
    """Draws images, where a trained classifier sees their class, and what it predicts.

    Args:
      workdir: of the run.
      images: PNG or JPEG files, or folders of them; see `aimodels.data.image_files`.
      method: one of `METHODS`.
      output: a .png; by default `explain.png` in the work folder.
      class_id: the class to explain; by default the one that is predicted, of each image.
      step: of the checkpoint, `latest`, `best` or a number.
      replica: which one, counted from 0.

    Returns:
      `{"workdir", "step", "replica", "method", "picture", "images": [{"file", "prediction",
      "probability", "explained", "explained_probability"}]}`, classes by their names.

    Raises:
      UserError: the folder isn't a run that classifies images of uint8, an image can't be read, the
        method doesn't fit the model, or there is no such class.
    """
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    picture = picture_path(output or Path(workdir) / "explain.png")
    files = find_images(images)
    loaded = load(workdir, step=step, replica=replica)
    shape = _image_shape(loaded, workdir)
    raw = np.stack([read_image(file, shape) for file in files])
    inputs, probabilities, classes, maps = heat_maps(loaded, raw, method, class_id)
    names = _class_names(loaded, probabilities.shape[1])
    about = [
        {
            "file": str(file),
            "prediction": names[row.argmax()],
            "probability": float(row.max()),
            "explained": names[shown],
            "explained_probability": float(row[shown]),
        }
        for file, row, shown in zip(files, probabilities, classes, strict=True)
    ]
    # The raw image where the model sees all of it; else what transforms have left of it.
    seen = raw / 255 if raw.shape[:3] == inputs.shape[:3] else _unit_range(inputs)
    title = f"{loaded.config.model.name} of {Path(workdir).resolve().name}, step {loaded.step:,}"
    draw_explanations(picture, seen, maps, about, title=title, remark=METHODS[method])
    print(f"picture: {picture}", file=sys.stderr)
    return {
        "workdir": str(workdir),
        "step": loaded.step,
        "replica": replica,
        "method": method,
        "picture": str(picture),
        "images": about,
    }


def heat_maps(
    loaded: Loaded, raw: np.ndarray, method: str, class_id: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What a run's model sees in raw images.

    A hidden pixel, and the image that says nothing, are black.

    Args:
      loaded: a run that classifies images.
      raw: [B, H, W, C] as its data set has them.
      method: one of `METHODS`.
      class_id: the class to explain; that predicted, when None.

    Returns:
      The model's inputs [B, H', W', C], probabilities [B, V], the classes that are explained [B],
      and their maps [B, H', W'].

    Raises:
      UserError: the run is no classifier's, the method doesn't fit its model, or there is no such
        class.
    """
    task = _classifier(loaded)
    model, variables = task.model, loaded.state.variables
    inputs = task.transforms({"inputs": raw}, None, train=False)["inputs"]
    black = task.transforms({"inputs": np.zeros_like(raw[:1])}, None, train=False)["inputs"]
    if inputs.ndim != 4:
        raise UserError(
            f"aimodels explain takes models of images, and this one's inputs are {inputs.shape}"
        )
    inputs, black = (jnp.asarray(array, jnp.float32) for array in (inputs, black))

    def scores(inputs: jax.Array) -> jax.Array:
        outputs: Any = model.apply(variables, inputs, train=False)
        outputs = outputs.astype(jnp.float32).reshape(len(outputs), -1)
        if outputs.shape[1] > 1:
            return outputs
        # A single logit is that of the second of two classes.
        return jnp.concatenate([jnp.zeros_like(outputs), outputs], axis=1)

    def probabilities(inputs: jax.Array) -> jax.Array:
        return jax.nn.softmax(scores(inputs))

    found = np.asarray(jax.jit(probabilities)(inputs))
    if class_id is not None and not 0 <= class_id < found.shape[1]:
        raise UserError(f"class {class_id} does not exist: the model has 0 to {found.shape[1] - 1}")
    classes = found.argmax(1) if class_id is None else np.full(len(found), class_id)
    size = inputs.shape[1], inputs.shape[2]
    window = max(1, min(size) // WINDOWS_ACROSS)
    methods: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
        "grad_cam": lambda inputs, classes: resized(
            grad_cam(model, variables, inputs, classes), size
        ),
        "integrated_gradients": lambda inputs, classes: integrated_gradients(
            scores, inputs, classes, baseline=black
        ).sum(-1),
        "occlusion": lambda inputs, classes: occlusion(
            probabilities,
            inputs,
            classes,
            window=window,
            stride=max(1, window // 2),
            baseline=black,
        ),
        "attention_rollout": lambda inputs, _: resized(
            attention_rollout(model, variables, inputs), size
        ),
    }
    maps = jax.jit(methods[method])(inputs, jnp.asarray(classes))
    return np.asarray(inputs), found, classes, np.asarray(maps)


def draw_explanations(
    path: Path,
    images: np.ndarray,
    maps: np.ndarray,
    about: list[dict[str, Any]],
    *,
    title: str,
    remark: str,
) -> Path:
    """Writes a picture: each image, and beside it its heat over its grey self.

    Args:
      path: the .png.
      images: [B, H, W, C] in 0 to 1.
      maps: [B, H, W]; each is drawn relative to its own largest value.
      about: for each image what `explain` returns of it.
      title: of the picture.
      remark: what the colours mean.
    """
    columns = min(len(images), 4)
    rows = -(-len(images) // columns)
    with in_our_style():
        size = max(6.4, 3.1 * columns), 1.95 * rows + 0.6
        figure, axes = new_figure(rows, 2 * columns, size)
        for axis in axes.flat:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        for number, (image, heat, words) in enumerate(zip(images, maps, about, strict=True)):
            left, right = axes[number // columns, 2 * (number % columns) :][:2]
            shown = image if image.shape[-1] == 3 else image[..., :1].repeat(3, -1)
            for axis, picture in ((left, shown), (right, overlaid(shown, heat))):
                axis.imshow(picture, interpolation="nearest", vmin=0, vmax=1)
            said = f"{words['prediction']} {words['probability']:.0%}"
            left.set_title(said, color=INK, fontsize=9)
            draw_file_name(left, Path(words["file"]).name, 24)
            if words["explained"] != words["prediction"]:
                other = f"{words['explained']} {words['explained_probability']:.0%}"
                right.set_title(f"as {other}", color=INK, fontsize=9, weight="normal")
        draw_title(figure, title, "")
        figure.supxlabel(remark, x=0.01, ha="left", fontsize=8, color=GREY)
        return save(figure, path)


def overlaid(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The image [H, W, 3] in pale grey, coloured by heat [H, W]: orange above 0, blue below."""
    grey = 0.35 + 0.6 * image.mean(-1, keepdims=True)
    highest = np.percentile(np.abs(heat), BRIGHTEST) or np.abs(heat).max() or 1.0
    strength = np.clip(np.abs(heat) / highest, 0, 1)[..., None]
    warm, cold = (_rgb(COLOURS[number]) for number in (1, 0))
    colour = np.where(heat[..., None] > 0, warm, cold)
    return (1 - 0.85 * strength) * grey + 0.85 * strength * colour


def _rgb(hexadecimal: str) -> np.ndarray:
    return np.array([int(hexadecimal[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def _classifier(loaded: Loaded) -> Classification:
    if not isinstance(loaded.task, Classification):
        name = loaded.config.task.name
        raise UserError(f"a run of task {name!r} can't be explained: only a classifier's can")
    return loaded.task


def _image_shape(loaded: Loaded, workdir: str | os.PathLike) -> tuple[int, int, int]:
    """The (H, W, C) of the run's data set."""
    _classifier(loaded)
    inputs = loaded.batch["inputs"]
    if len(inputs.shape) != 4 or inputs.dtype != jnp.uint8:
        raise UserError(
            f"{workdir}: its data set {loaded.config.data.name!r} has inputs {inputs.dtype} "
            f"{inputs.shape}, and image files are uint8 [B, H, W, C]"
        )
    return inputs.shape[1:]


def _class_names(loaded: Loaded, count: int) -> tuple[str, ...]:
    names = call_section("data", loaded.config.data.to_dict()).info().class_names
    return names if len(names) == count else tuple(f"class {number}" for number in range(count))


def _unit_range(images: np.ndarray) -> np.ndarray:
    """Each image stretched to 0 ... 1."""
    low, high = images.min((1, 2, 3), keepdims=True), images.max((1, 2, 3), keepdims=True)
    return (images - low) / np.where(high > low, high - low, 1)
