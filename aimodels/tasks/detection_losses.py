"""Losses of detectors, elementwise or an image each; YOLO's are in `aimodels.tasks.yolo_losses`.

Shapes: B images, N anchors, V classes; `...` stands for any leading axes. Masks choose what counts;
what they hide may be anything but NaN. All are computed in float32.
"""

import jax
import jax.numpy as jnp
import optax

from aimodels.modules.boxes import giou

Array = jax.Array


def sigmoid_focal_loss(
    logits: Array, targets: Array, *, alpha: float | None = 0.25, gamma: float = 2.0
) -> Array:
    """-α_t (1 - p_t)^γ log p_t for each of many decisions: Lin et al. 2017, equation 5.

    Args:
      logits: [...].
      targets: 0 or 1, [...].
      alpha: weight of the targets 1, 1 - α that of the targets 0; None weighs both alike.
      gamma: how much less an easy decision counts; 0 is cross-entropy.
    """
    logits, targets = logits.astype(jnp.float32), targets.astype(jnp.float32)
    # log p_t = log σ(±logit); 1 - p_t = σ(∓logit), without a difference that loses digits.
    sign = 2 * targets - 1
    losses = -jax.nn.log_sigmoid(sign * logits) * jax.nn.sigmoid(-sign * logits) ** gamma
    if alpha is None:
        return losses
    return (alpha * targets + (1 - alpha) * (1 - targets)) * losses


def smooth_l1_loss(outputs: Array, targets: Array, *, beta: float = 1.0) -> Array:
    """0.5 d² / β where d = |outputs - targets| < β, else d - 0.5 β; elementwise.

    Girshick 2015 (Fast R-CNN), equation 3, has β = 1; torchvision's Faster R-CNN has 1/9. β = 0 is
    the absolute difference.
    """
    distance = jnp.abs(outputs.astype(jnp.float32) - targets)
    if beta == 0:
        return distance
    return jnp.where(distance < beta, 0.5 * distance**2 / beta, distance - 0.5 * beta)


def giou_loss(boxes: Array, targets: Array) -> Array:
    """1 - GIoU of boxes [..., 4], one by one: [...]; Rezatofighi et al. 2019."""
    return 1 - giou(boxes.astype(jnp.float32), targets.astype(jnp.float32))


def hard_negatives(losses: Array, matches: Array, ratio: float = 3.0) -> Array:
    """SSD's hard negative mining: the backgrounds with the largest losses, `ratio` for a target.

    Liu et al. 2016, section 2.2. Of equal losses the first anchors are taken.

    Args:
      losses: of the classes, [B, N].
      matches: [B, N], see `aimodels.modules.matching`.
      ratio: backgrounds for each anchor with a target.

    Returns:
      A mask [B, N].
    """
    wanted = ratio * (matches >= 0).sum(-1, keepdims=True)
    hardness = jnp.where(matches == -1, jax.lax.stop_gradient(losses), -jnp.inf)
    order = jnp.argsort(-hardness, axis=-1, stable=True)
    rank = jnp.argsort(order, axis=-1)
    return (rank < wanted) & (matches == -1)


def ssd_loss(
    logits: Array, codes: Array, classes: Array, code_targets: Array, matches: Array
) -> tuple[Array, Array]:
    """SSD's two sums an image: of classes and of boxes (Liu et al. 2016, equations 1 to 3).

    The loss of a batch is their sum over its images divided by the matched anchors of all of them,
    at least 1, as in torchvision and the authors' code.

    Args:
      logits: [B, N, V + 1], class 0 being the background.
      codes: [B, N, 4].
      classes: [B, N], 0 where there is no target.
      code_targets: [B, N, 4].
      matches: [B, N].

    Returns:
      The classes' loss [B] over targets and hard negatives, and the boxes' loss [B] over targets.
    """
    is_target = matches >= 0
    of_classes = optax.losses.softmax_cross_entropy_with_integer_labels(
        logits.astype(jnp.float32), classes
    )
    counted = is_target | hard_negatives(of_classes, matches)
    of_boxes = smooth_l1_loss(codes, jnp.where(is_target[..., None], code_targets, 0)).sum(-1)
    return (
        jnp.where(counted, of_classes, 0).sum(-1),
        jnp.where(is_target, of_boxes, 0).sum(-1),
    )
