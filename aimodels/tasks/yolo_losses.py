"""YOLO's losses, an image each, and what their targets are.

Shapes: B images, M targets, S the grid's side, A boxes a cell, V classes, N places with priors.
"""

import jax
import jax.numpy as jnp
import optax

from aimodels.modules.box_coding import YoloPriors, decode_yolo
from aimodels.modules.boxes import convert_boxes, iou

Array = jax.Array


def yolov1_targets(
    boxes: Array, classes: Array, mask: Array, grid: int, image_size: tuple[int, int]
) -> tuple[Array, Array, Array]:
    """What each cell of YOLOv1's grid learns: the target whose centre is in it.

    Of several in one cell the last counts alone (the paper's limit: one class a cell).

    Args:
      boxes: [B, M, 4] in pixels.
      classes: [B, M] from 0.
      mask: [B, M].
      grid: S; the paper has 7.
      image_size: (H, W).

    Returns:
      Codes [B, S, S, 4], being the centre within the cell and the square roots of the sides as
      shares of the image; classes [B, S, S]; whether there is a target [B, S, S].
    """
    scale = jnp.array([image_size[1], image_size[0]], jnp.float32)
    center, size = jnp.split(convert_boxes(boxes, "xyxy", "cxcywh"), 2, -1)
    center = center / scale * grid
    cell = jnp.clip(jnp.floor(center), 0, grid - 1)
    codes = jnp.concatenate([center - cell, jnp.sqrt(jnp.maximum(size / scale, 0))], -1)
    place = (cell[..., 1] * grid + cell[..., 0]).astype(jnp.int32)
    is_here = (place[..., None] == jnp.arange(grid * grid)) & mask[..., None]
    last = jnp.where(is_here, jnp.arange(boxes.shape[1])[:, None], -1).max(1)
    index = jnp.maximum(last, 0)
    shape = (len(boxes), grid, grid)
    codes = jnp.take_along_axis(codes, index[..., None], 1).reshape(*shape, 4)
    return codes, jnp.take_along_axis(classes, index, 1).reshape(shape), (last >= 0).reshape(shape)


def yolov1_boxes(codes: Array, image_size: tuple[int, int]) -> Array:
    """Codes [B, S, S, A, 4] as in `yolov1_targets` -> boxes [B, S, S, A, 4] in pixels."""
    grid = codes.shape[1]
    row, column = jnp.indices((grid, grid))
    cell = jnp.stack([column, row], -1)[:, :, None]
    scale = jnp.array([image_size[1], image_size[0]], codes.dtype)
    center = (codes[..., :2] + cell) / grid * scale
    return convert_boxes(
        jnp.concatenate([center, jnp.square(codes[..., 2:]) * scale], -1), "cxcywh", "xyxy"
    )


def yolov1_loss(
    outputs: Array,
    codes: Array,
    classes: Array,
    is_target: Array,
    *,
    boxes_per_cell: int = 2,
    coordinates: float = 5.0,
    no_object: float = 0.5,
) -> dict[str, Array]:
    """The parts of YOLOv1's loss, an image each: Redmon et al. 2016, equation 3.

    All are squared differences. Of a cell's boxes the one with the highest IoU is responsible for
    the target, and its confidence learns that IoU; the others' learn 0. As in the authors' code the
    outputs are the sides' square roots, of which the paper takes the difference.

    Args:
      outputs: [B, S, S, A · 5 + V]: x, y, √w, √h and confidence of each box, then class
        probabilities.
      codes: [B, S, S, 4] of `yolov1_targets`.
      classes: [B, S, S].
      is_target: [B, S, S].
      boxes_per_cell: A.
      coordinates: the paper's λ_coord.
      no_object: λ_noobj.

    Returns:
      "box", "object", "no_object" and "class", each [B]; the loss is their sum.
    """
    outputs = outputs.astype(jnp.float32)
    size = 5 * boxes_per_cell
    predicted = outputs[..., :size].reshape(*outputs.shape[:-1], boxes_per_cell, 5)
    confidence, targets = predicted[..., 4], codes[..., None, :]
    # Overlap as shares of the image. It is a target here, so it has no gradient.
    unit = (1, 1)
    overlaps = iou(yolov1_boxes(predicted[..., :4], unit), yolov1_boxes(targets, unit))
    overlaps = jax.lax.stop_gradient(overlaps)
    best = jax.nn.one_hot(overlaps.argmax(-1), boxes_per_cell, dtype=bool)
    responsible = is_target[..., None] & best
    of_box = jnp.square(predicted[..., :4] - targets).sum(-1)
    of_class = jnp.square(outputs[..., size:] - jax.nn.one_hot(classes, outputs.shape[-1] - size))
    where = jnp.where
    return {
        "box": coordinates * where(responsible, of_box, 0).sum((1, 2, 3)),
        "object": where(responsible, jnp.square(confidence - overlaps), 0).sum((1, 2, 3)),
        "no_object": no_object * where(responsible, 0, jnp.square(confidence)).sum((1, 2, 3)),
        "class": where(is_target, of_class.sum(-1), 0).sum((1, 2)),
    }


def yolov3_loss(
    outputs: Array,
    code_targets: Array,
    classes: Array,
    matches: Array,
    priors: YoloPriors,
    image_size: tuple[int, int],
) -> dict[str, Array]:
    """The parts of YOLOv3's loss, an image each (Redmon & Farhadi 2018, sections 2.1 to 2.3).

    Squared differences of t_x, t_y, t_w, t_h, here of σ(t) for the place; binary cross-entropy of
    whether there is an object, and of each class, since classes may overlap. Boxes count by
    2 - w h / (W H), the small ones most, as in the authors' code.

    Args:
      outputs: raw, [B, N, 5 + V]: t_x, t_y, t_w, t_h, object, classes.
      code_targets: of `encode_yolo`, [B, N, 4].
      classes: [B, N] from 0; any where there is no target.
      matches: [B, N]; priors that overlap a target well but are not its best are IGNORED there: the
        paper's threshold is 0.5.
      priors: of the N places.
      image_size: (H, W).

    Returns:
      "box", "object" and "class", each [B]; the loss is their sum.
    """
    outputs = outputs.astype(jnp.float32)
    codes = jnp.concatenate([jax.nn.sigmoid(outputs[..., :2]), outputs[..., 2:4]], -1)
    is_target = matches >= 0
    code_targets = jnp.where(is_target[..., None], code_targets, 0)
    sides = jnp.exp(code_targets[..., 2:]) * priors.size
    weight = 2 - sides[..., 0] * sides[..., 1] / (image_size[0] * image_size[1])
    of_box = weight * jnp.square(codes - code_targets).sum(-1)
    cross_entropy = optax.losses.sigmoid_binary_cross_entropy
    of_object = cross_entropy(outputs[..., 4], is_target.astype(jnp.float32))
    wanted = jax.nn.one_hot(classes, outputs.shape[-1] - 5)
    of_class = cross_entropy(outputs[..., 5:], wanted).sum(-1)
    return {
        "box": jnp.where(is_target, of_box, 0).sum(-1),
        "object": jnp.where(matches >= -1, of_object, 0).sum(-1),
        "class": jnp.where(is_target, of_class, 0).sum(-1),
    }


def yolov3_boxes(outputs: Array, priors: YoloPriors) -> Array:
    """The boxes [B, N, 4] that raw outputs [B, N, 5 + V] stand for."""
    codes = jnp.concatenate([jax.nn.sigmoid(outputs[..., :2]), outputs[..., 2:4]], -1)
    return decode_yolo(codes, priors)
