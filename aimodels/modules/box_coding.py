"""Box coding: what a detector's head predicts, a box relative to its anchor; and back.

See `aimodels.modules.boxes` for what a box is.
"""

import math

import flax.struct
import jax
import jax.numpy as jnp

from aimodels.modules.boxes import convert_boxes

# SSD's variances (0.1, 0.2) of centre and size (its code; the paper doesn't mention them) are
# weights 1 / variance, and the same as Fast R-CNN's for its box head.
FASTER_RCNN_RPN_WEIGHTS = (1.0, 1.0, 1.0, 1.0)
FASTER_RCNN_HEAD_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
SSD_WEIGHTS = (10.0, 10.0, 5.0, 5.0)

# The largest change of size that is decoded, e to this: 1000 / 16 (Detectron, torchvision).
LARGEST_LOG_RATIO = math.log(1000.0 / 16)
# Sides in pixels are at least this where a logarithm is taken: padding may be empty boxes.
SMALLEST_SIDE = 1e-6

Weights = tuple[float, float, float, float]


def encode_boxes(
    boxes: jax.Array, anchors: jax.Array, weights: Weights = FASTER_RCNN_RPN_WEIGHTS
) -> jax.Array:
    """Boxes relative to anchors: [..., 4] -> [..., 4].

    (w_x (x - x_a) / w_a, w_y (y - y_a) / h_a, w_w log(w / w_a), w_h log(h / h_a)), x and y being
    the centres: Ren et al. 2015, equation 2, with the weights of Fast R-CNN's and SSD's code.

    Args:
        boxes: what is to be predicted.
        anchors: boxes with sides > 0; the shapes broadcast.
        weights: factors of the four numbers.
    """
    center, size = jnp.split(convert_boxes(boxes, "xyxy", "cxcywh"), 2, -1)
    anchor_center, anchor_size = jnp.split(convert_boxes(anchors, "xyxy", "cxcywh"), 2, -1)
    shift = (center - anchor_center) / anchor_size
    ratio = jnp.log(jnp.maximum(size, SMALLEST_SIDE) / anchor_size)
    return jnp.concatenate([shift, ratio], -1) * jnp.asarray(weights, boxes.dtype)


def decode_boxes(
    codes: jax.Array, anchors: jax.Array, weights: Weights = FASTER_RCNN_RPN_WEIGHTS
) -> jax.Array:
    """The boxes that `encode_boxes` was given: codes [..., 4], anchors [..., 4] -> [..., 4].

    A box is at most 62.5 times as wide and high as its anchor.
    """
    shift, ratio = jnp.split(codes / jnp.asarray(weights, codes.dtype), 2, -1)
    anchor_center, anchor_size = jnp.split(convert_boxes(anchors, "xyxy", "cxcywh"), 2, -1)
    center = shift * anchor_size + anchor_center
    size = jnp.exp(jnp.minimum(ratio, LARGEST_LOG_RATIO)) * anchor_size
    return convert_boxes(jnp.concatenate([center, size], -1), "cxcywh", "xyxy")


@flax.struct.dataclass
class YoloPriors:
    """Where YOLO's predictions stand: N of them, level after level, row by row, prior by prior.

    Attributes:
      corner: [N, 2], x and y of the cell's upper left corner in pixels.
      size: [N, 2], width and height of the prior in pixels (the paper's p_w, p_h).
      stride: [N, 1], the cell's side in pixels.
    """

    corner: jax.Array
    size: jax.Array
    stride: jax.Array


def encode_yolo(boxes: jax.Array, priors: YoloPriors) -> jax.Array:
    """Boxes [..., N, 4] as YOLOv2's and v3's codes [..., N, 4]; see `decode_yolo`.

    The first two are in [0, 1] if the box's centre is in the cell.
    """
    center, size = jnp.split(convert_boxes(boxes, "xyxy", "cxcywh"), 2, -1)
    ratio = jnp.log(jnp.maximum(size, SMALLEST_SIDE) / priors.size)
    return jnp.concatenate([(center - priors.corner) / priors.stride, ratio], -1)


def decode_yolo(codes: jax.Array, priors: YoloPriors) -> jax.Array:
    """Codes (σ(t_x), σ(t_y), t_w, t_h) [..., N, 4] -> boxes [..., N, 4].

    b_x = σ(t_x) + c_x, b_y = σ(t_y) + c_y, b_w = p_w exp(t_w), b_h = p_h exp(t_h): Redmon & Farhadi
    2018, section 2.1. The caller applies σ, since its loss needs it too.
    """
    place, ratio = jnp.split(codes, 2, -1)
    center = place * priors.stride + priors.corner
    size = jnp.exp(jnp.minimum(ratio, LARGEST_LOG_RATIO)) * priors.size
    return convert_boxes(jnp.concatenate([center, size], -1), "cxcywh", "xyxy")
