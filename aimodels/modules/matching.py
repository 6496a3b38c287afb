"""Which target a prediction learns from: matching anchors with true boxes, and sampling them.

A match is an int32 for each anchor: the target's index, `NEGATIVE` for background, or `IGNORED`.
Shapes: M targets, N anchors, S samples; `...` stands for any leading axes.
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from aimodels.modules.box_coding import YoloPriors
from aimodels.modules.boxes import convert_boxes

NEGATIVE = -1
IGNORED = -2


def match_by_thresholds(
    overlaps: jax.Array,
    mask: jax.Array,
    *,
    high: float,
    low: float,
    low_quality: bool = False,
) -> jax.Array:
    """Faster R-CNN's rule (Ren et al. 2015, section 3.1.2).

    An anchor learns from the target that it overlaps most if the IoU is at least `high`, is
    background below `low` and doesn't count between them.

    Args:
        overlaps: IoU [..., M, N].
        mask: which targets are there, [..., M].
        high: the region proposal network has 0.7, the box head 0.5.
        low: 0.3 and 0.5.
        low_quality: the anchors that overlap a target most, all of them if several are equal, are
            never background, whatever the IoU: each learns from the target that it overlaps most.
            A target that no anchor overlaps stays unmatched. (torchvision's would be given to all
            anchors that overlap nothing.)

    Returns:
        [..., N].
    """
    overlaps = jnp.where(mask[..., None], overlaps, -1)
    best, index = overlaps.max(-2), overlaps.argmax(-2).astype(jnp.int32)
    matches = jnp.where(best >= high, index, jnp.where(best >= low, IGNORED, NEGATIVE))
    if low_quality:
        highest = overlaps.max(-1, keepdims=True)
        is_best = ((overlaps == highest) & (highest > 0)).any(-2)
        matches = jnp.where(is_best, index, matches)
    return matches


def match_by_best(overlaps: jax.Array, mask: jax.Array, *, threshold: float = 0.5) -> jax.Array:
    """SSD's rule (Liu et al. 2016, section 2.2): every target gets an anchor, even a bad one.

    First each target takes the anchor that it overlaps most (of equal ones the first; if two
    targets want the same, the later one has it); then other anchors learn from the target that they
    overlap most, if the IoU is at least `threshold`.

    Args:
        overlaps: IoU [..., M, N].
        mask: which targets are there, [..., M].
        threshold: of IoU.

    Returns:
        [..., N].
    """
    matches = match_by_thresholds(overlaps, mask, high=threshold, low=threshold)
    return _with_one_each(overlaps.argmax(-1), mask, matches)


def match_yolo(
    boxes: jax.Array,
    mask: jax.Array,
    priors: YoloPriors,
    overlaps: jax.Array | None = None,
    *,
    ignored_above: float = 0.5,
) -> jax.Array:
    """YOLOv3's rule (Redmon & Farhadi 2018, section 2.1): every target gets one prior.

    It is, among those of the cells with the target's centre, the one whose shape overlaps the
    target's most (of two targets that want the same, the later one has it). Other predictions that
    overlap a target well don't count; the rest says that there is no object.

    Args:
        boxes: the targets, [..., M, 4]; one whose centre is outside of the image gets no prior.
        mask: which of them are there, [..., M].
        priors: of the N places.
        overlaps: IoU of the targets with what is predicted now, [..., M, N]. (YOLOv2 and v3 take
            the predicted boxes for that, not the priors.)
        ignored_above: that IoU.

    Returns:
        [..., N].
    """
    center, size = jnp.split(convert_boxes(boxes, "xyxy", "cxcywh")[..., None, :], 2, -1)
    place = (center - priors.corner) / priors.stride
    is_here = ((place >= 0) & (place < 1)).all(-1)
    shared = jnp.minimum(size, priors.size).prod(-1)
    shapes = shared / (size.prod(-1) + priors.size.prod(-1) - shared)
    matches = jnp.full(shapes.shape[:-2] + shapes.shape[-1:], NEGATIVE)
    if overlaps is not None:
        best = jnp.where(mask[..., None], overlaps, -1).max(-2)
        matches = jnp.where(best > ignored_above, IGNORED, matches)
    chosen = jnp.where(is_here, shapes, -1).argmax(-1)
    return _with_one_each(chosen, mask & is_here.any(-1), matches)


def _with_one_each(chosen: jax.Array, mask: jax.Array, matches: jax.Array) -> jax.Array:
    """The matches [..., N], but the anchor that each target has chosen, [..., M], has it."""
    anchors = matches.shape[-1]
    takes = jnp.where(mask, chosen, anchors)[..., None] == jnp.arange(anchors)
    taken_by = jnp.where(takes, jnp.arange(mask.shape[-1])[:, None], NEGATIVE).max(-2)
    return jnp.where(taken_by >= 0, taken_by, matches).astype(jnp.int32)


def matched(values: jax.Array, matches: jax.Array, fill: Any = 0) -> jax.Array:
    """What each anchor learns: values [..., M, *K] of the targets -> [..., N, *K], else `fill`."""
    inner = (1,) * (values.ndim - matches.ndim)
    index = jnp.maximum(matches, 0).reshape(*matches.shape, *inner)
    taken = jnp.take_along_axis(values, index, axis=matches.ndim - 1)
    return jnp.where(matches.reshape(index.shape) >= 0, taken, fill)


@flax.struct.dataclass
class Samples:
    """Anchors that a loss is taken over.

    Attributes:
      index: int32 [..., S]: which anchors, those with a target first.
      mask: [..., S]: False where there were not enough of them.
      positive: [..., S]: whether the anchor has a target.
    """

    index: jax.Array
    mask: jax.Array
    positive: jax.Array


def sample(key: jax.Array, matches: jax.Array, size: int, positive_fraction: float) -> Samples:
    """`size` anchors at random, at most a fraction of them with a target, the rest background.

    Ren et al. 2015, section 3.1.3: where targets are few, background fills up. Anchors with another
    match than these (`IGNORED`) are never taken. All subsets are equally likely.

    Args:
        key: of the randomness.
        matches: [..., N].
        size: S; the region proposal network has 256, the box head 512.
        positive_fraction: 0.5 and 0.25.
    """
    anchors = matches.shape[-1]
    size = min(size, anchors)
    most = int(size * positive_fraction)
    order = jax.random.uniform(key, matches.shape)
    is_positive = matches >= 0
    # The `most` positives with the highest numbers; of equal numbers top_k takes the first.
    highest, index = jax.lax.top_k(jnp.where(is_positive, order, -1), most)
    taken = jnp.zeros(matches.shape, bool)
    taken = jnp.put_along_axis(taken, index, highest >= 0, axis=-1, inplace=False)
    rank = jnp.where(taken, 2 + order, jnp.where(matches == NEGATIVE, 1 + order, 0))
    highest, index = jax.lax.top_k(rank, size)
    return Samples(index=index, mask=highest >= 1, positive=highest >= 2)
