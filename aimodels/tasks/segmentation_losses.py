"""Losses of segmentation: pure functions of scores and labels that return one number an image, [B].

Shapes: B images, H W pixels, V classes. `valid` [B, H, W] says which pixels count, `weights`
[B, H, W] how much; an image in which none counts has loss 0. Scores are taken to float32 first.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

Array = jax.Array


def pixel_cross_entropy(
    scores: Array,
    labels: Array,
    valid: Array,
    weights: Array | None = None,
    class_weights: Sequence[float] = (),
) -> Array:
    """-Σ w log softmax(scores)_label / Σ w over the pixels of an image.

    With `weights` this is U-Net's equation 1, but a mean where that is a sum; with `class_weights`
    alone and B = 1 it is PyTorch's `cross_entropy`.

    Args:
      scores: [B, H, W, V].
      labels: [B, H, W] class ids; where `valid` is False they may be anything.
      valid: [B, H, W].
      weights: [B, H, W]; 1 when None.
      class_weights: one a class, by which the weights of its pixels are multiplied.
    """
    return _weighted_mean(_minus_log(scores, labels, valid), labels, valid, weights, class_weights)


def focal_loss(
    scores: Array,
    labels: Array,
    valid: Array,
    weights: Array | None = None,
    class_weights: Sequence[float] = (),
    gamma: float | Array = 2.0,
) -> Array:
    """-(1 - p)^γ log p at the label: Lin et al. 2017, equation 4, for a softmax.

    Args:
      scores: see `pixel_cross_entropy`.
      labels: see there.
      valid: see there.
      weights: see there.
      class_weights: the paper's α, one a class.
      gamma: γ; 0 is the cross-entropy. May be traced.
    """
    minus_log = _minus_log(scores, labels, valid)
    # 1 - p without cancellation; its gradient stays finite where p is 1.
    rest = jnp.maximum(-jnp.expm1(-minus_log), jnp.finfo(jnp.float32).tiny)
    return _weighted_mean(rest**gamma * minus_log, labels, valid, weights, class_weights)


def dice_loss(
    scores: Array,
    labels: Array,
    valid: Array,
    weights: Array | None = None,
    class_weights: Sequence[float] = (),
) -> Array:
    """1 - 2 Σ p g / (Σ p² + Σ g²), mean over the classes that an image has.

    Milletari, Navab & Ahmadi, "V-Net", 3DV 2016, section 3, for each of several classes. p is the
    softmax, g the label's one-hot vector, the sums are over an image's pixels.

    Args:
      scores: see `pixel_cross_entropy`.
      labels: see there.
      valid: see there.
      weights: of the pixels in all three sums.
      class_weights: of the classes in the mean.
    """
    V = scores.shape[-1]
    counts = valid.astype(jnp.float32)[..., None]
    if weights is not None:
        counts = counts * weights[..., None]
    p = jax.nn.softmax(scores.astype(jnp.float32))
    g = jax.nn.one_hot(jnp.where(valid, labels, V), V)
    both, left, right = (
        jnp.sum(jnp.where(valid[..., None], x, 0) * counts, (1, 2)) for x in (p * g, p * p, g)
    )
    has = (right > 0).astype(jnp.float32)
    if class_weights:
        has = has * jnp.asarray(class_weights, jnp.float32)
    values = 1 - 2 * both / jnp.where(has > 0, left + right, 1.0)
    total = has.sum(-1)
    return jnp.where(total > 0, (values * has).sum(-1) / jnp.where(total > 0, total, 1.0), 0.0)


def cross_entropy_and_dice(
    scores: Array,
    labels: Array,
    valid: Array,
    weights: Array | None = None,
    class_weights: Sequence[float] = (),
) -> Array:
    """The sum of both (Isensee et al. 2021, nnU-Net)."""
    given = (scores, labels, valid, weights, class_weights)
    return pixel_cross_entropy(*given) + dice_loss(*given)


LOSSES: dict[str, Callable[..., Array]] = {
    "cross_entropy": pixel_cross_entropy,
    "focal": focal_loss,
    "dice": dice_loss,
    "cross_entropy_and_dice": cross_entropy_and_dice,
}


def _minus_log(scores: Array, labels: Array, valid: Array) -> Array:
    """-log softmax(scores) at the label, [B, H, W]; 0 where the pixel does not count.

    A label outside 0..V-1 that counts gives NaN: indexing would quietly take another class.
    """
    log_p = jax.nn.log_softmax(scores.astype(jnp.float32))
    inside = (labels >= 0) & (labels < scores.shape[-1])
    safe = jnp.where(valid & inside, labels, 0).astype(jnp.int32)
    chosen = -jnp.take_along_axis(log_p, safe[..., None], -1)[..., 0]
    return jnp.where(valid, jnp.where(inside, chosen, jnp.nan), 0.0)


def _weighted_mean(
    values: Array,
    labels: Array,
    valid: Array,
    weights: Array | None,
    class_weights: Sequence[float],
) -> Array:
    counts = valid.astype(jnp.float32)
    if weights is not None:
        counts = counts * weights.astype(jnp.float32)
    if class_weights:
        table = jnp.asarray(class_weights, jnp.float32)
        counts = counts * table[jnp.where(valid, labels, 0).astype(jnp.int32)]
    total = counts.sum((1, 2))
    mean = jnp.where(valid, values * counts, 0).sum((1, 2)) / jnp.where(total > 0, total, 1.0)
    return mean
