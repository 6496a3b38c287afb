"""Non-maximum suppression with fixed shapes, and the detections of a batch of images.

Shapes: B batch, N boxes, K kept boxes, V classes.
"""

import flax.struct
import jax
import jax.numpy as jnp

from aimodels.modules.boxes import area


@flax.struct.dataclass
class Kept:
    """The boxes that suppression leaves, by falling score.

    Attributes:
      index: int32 [B, K], places among the N boxes; 0 where there is none.
      mask: [B, K], whether there is one.
    """

    index: jax.Array
    mask: jax.Array


def non_maximum_suppression(
    boxes: jax.Array,
    scores: jax.Array,
    *,
    threshold: float,
    mask: jax.Array | None = None,
    classes: jax.Array | None = None,
    max_outputs: int | None = None,
) -> Kept:
    """Greedy suppression: the best box is kept, those that overlap it too much go, and so on.

    All images take a turn of the loop together, each for its own next box that is kept. So there
    are as many turns as the image with most kept boxes has, or `max_outputs`, and the IoU matrix is
    never made. Of equal scores the first box is the better one. IoU that equals the threshold is
    not too much.

    Args:
        boxes: [B, N, 4]; empty ones overlap nothing.
        scores: [B, N]; a NaN counts as masked.
        threshold: of IoU, in [0, 1].
        mask: [B, N], which boxes are there.
        classes: [B, N]; if given, a box is suppressed by those of its own class only.
        max_outputs: K; N when None.
    """
    size, most = boxes.shape[1], min(max_outputs or boxes.shape[1], boxes.shape[1])
    there = ~jnp.isnan(scores) if mask is None else mask & ~jnp.isnan(scores)
    _, order = jax.lax.top_k(jnp.where(there, scores, -jnp.inf), size)

    def sorted_(values: jax.Array) -> jax.Array:
        return jnp.take_along_axis(values, order, axis=1)

    columns = [sorted_(boxes[..., side]) for side in range(4)]
    columns.append(sorted_(area(boxes)))
    if classes is not None:
        columns.append(sorted_(classes))
    places = jnp.arange(size, dtype=jnp.int32)

    def first(alive: jax.Array) -> jax.Array:
        return jnp.where(alive, places, size).min(1)

    def goes_on(carry: tuple) -> jax.Array:
        turn, _, chosen, _ = carry
        return (turn < most) & (chosen < size).any()

    def keep_next(carry: tuple) -> tuple:
        turn, alive, chosen, kept = carry
        kept = jax.lax.dynamic_update_index_in_dim(kept, chosen, turn, 0)
        at = jnp.minimum(chosen, size - 1)[:, None]
        best = [jnp.take_along_axis(column, at, 1) for column in columns]
        suppressed = _overlaps(best, columns, threshold)
        alive = alive & ~suppressed & (places > chosen[:, None])
        return turn + 1, alive, first(alive), kept

    alive = sorted_(there)
    kept = jnp.full((most, len(boxes)), size, jnp.int32)
    *_, kept = jax.lax.while_loop(goes_on, keep_next, (0, alive, first(alive), kept))
    kept = kept.T
    mask = kept < size
    index = jnp.take_along_axis(order, jnp.where(mask, kept, 0), axis=1)
    return Kept(index=jnp.where(mask, index, 0).astype(jnp.int32), mask=mask)


@flax.struct.dataclass
class Detections:
    """What a detector found in a batch of images, by falling score.

    Attributes:
      boxes: [B, K, 4].
      scores: [B, K].
      classes: int32 [B, K].
      mask: [B, K]; where it is False, the others are 0.
    """

    boxes: jax.Array
    scores: jax.Array
    classes: jax.Array
    mask: jax.Array


def detect(
    boxes: jax.Array,
    scores: jax.Array,
    *,
    mask: jax.Array | None = None,
    score_threshold: float = 0.05,
    iou_threshold: float = 0.5,
    candidates: int = 400,
    max_detections: int = 100,
) -> Detections:
    """Detections from scores of all classes: a threshold, the best of each class, suppression.

    Args:
        boxes: [B, N, 4], or [B, N, V, 4] where each class has its own.
        scores: [B, N, V], without the background's.
        mask: [B, N], which boxes are there.
        score_threshold: what is not above it is no detection.
        iou_threshold: of suppression, class by class.
        candidates: how many of a class go into suppression (SSD: 400).
        max_detections: K, over all classes (SSD: 200; COCO: 100).
    """
    batch, size, classes = scores.shape
    scores = jnp.swapaxes(scores, 1, 2)
    if mask is not None:
        scores = jnp.where(mask[:, None], scores, -jnp.inf)
    best, index = jax.lax.top_k(scores, min(candidates, size))
    if boxes.ndim == 3:
        boxes = jnp.broadcast_to(boxes[:, None], (batch, classes, size, 4))
    else:
        boxes = jnp.swapaxes(boxes, 1, 2)
    boxes = jnp.take_along_axis(boxes, index[..., None], axis=2).reshape(batch, -1, 4)
    ids = jnp.broadcast_to(jnp.arange(classes, dtype=jnp.int32)[:, None], best.shape[1:])
    ids = jnp.broadcast_to(ids.reshape(-1), (batch, ids.size))
    best = best.reshape(batch, -1)
    kept = non_maximum_suppression(
        boxes,
        best,
        threshold=iou_threshold,
        mask=best > score_threshold,
        classes=ids,
        max_outputs=max_detections,
    )

    def taken(values: jax.Array) -> jax.Array:
        return jnp.where(kept.mask, jnp.take_along_axis(values, kept.index, 1), 0)

    chosen = jnp.take_along_axis(boxes, kept.index[..., None], axis=1)
    chosen = jnp.where(kept.mask[..., None], chosen, 0)
    return Detections(boxes=chosen, scores=taken(best), classes=taken(ids), mask=kept.mask)


def _overlaps(one: list[jax.Array], others: list[jax.Array], threshold: float) -> jax.Array:
    """Whether IoU is above the threshold; boxes as lists of columns [B, 1] and [B, N].

    Column by column, since XLA's CPU code is several times slower with the 4 sides innermost.
    """
    left, top, right, bottom, size, *kind = one
    lefts, tops, rights, bottoms, sizes, *kinds = others
    width = jnp.maximum(jnp.minimum(right, rights) - jnp.maximum(left, lefts), 0)
    height = jnp.maximum(jnp.minimum(bottom, bottoms) - jnp.maximum(top, tops), 0)
    shared = width * height
    # Divided as in the definition: shared > threshold · union rounds otherwise at the threshold.
    above = shared / (size + sizes - shared) > threshold
    return above & (kind[0] == kinds[0]) if kind else above
