"""Losses: pure functions of outputs and targets that return one number an example, [B].

Masks, weights and the mean over the batch are applied by the caller. Shapes: B batch, T tokens,
D outputs, V classes; `...` stands for any positions inside an example (T tokens, or H, W pixels).
Where an example has positions, its loss is the mean over those that count: `lengths` [B] says how
many steps of the first axis, `mask` [B], [B, T] or [B, ...] which positions. An example without any
has loss 0. To weigh every token of a batch alike, use `counts` as weights.

Outputs are taken to float32 first, so that bfloat16 models have float32 losses.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from aimodels.errors import UserError

Array = jax.Array


def valid_positions(
    shape: tuple[int, ...], lengths: Array | None = None, mask: Array | None = None
) -> Array:
    """Which positions count, bool [B, ...].

    Args:
      shape: (B, ...) of the targets' positions. With (B,) there is no time axis, and `lengths`,
        which then belongs to the inputs, is ignored.
      lengths: [B] valid steps along axis 1.
      mask: [B] or more leading axes of `shape`; False doesn't count.
    """
    valid = jnp.ones(shape, bool)
    if lengths is not None and len(shape) > 1:
        valid &= _expand(jnp.arange(shape[1]) < lengths[:, None], len(shape))
    if mask is not None:
        valid &= _expand(mask.astype(bool), len(shape))
    return valid


def counts(
    shape: tuple[int, ...], lengths: Array | None = None, mask: Array | None = None
) -> Array:
    """How many positions of each example count, float32 [B]: weights for a mean over tokens."""
    valid = valid_positions(shape, lengths, mask)
    return valid.sum(tuple(range(1, valid.ndim)), dtype=jnp.float32)


def nan_outside(values: Array, class_ids: Array, num_classes: int) -> Array:
    """`values`, but NaN where the class id is none of 0..V-1."""
    # Indexing would take -1 as the last class, and a one-hot vector as no class: both silent.
    return jnp.where((class_ids >= 0) & (class_ids < num_classes), values, jnp.nan)


def softmax_cross_entropy(
    outputs: Array,
    targets: Array,
    *,
    lengths: Array | None = None,
    mask: Array | None = None,
    label_smoothing: float = 0.0,
) -> Array:
    """-Σ_v q_v log softmax(outputs)_v, with q = (1 - ε) target + ε / V (Szegedy et al. 2016).

    Args:
      outputs: [B, ..., V] logits.
      targets: [B, ...] class ids (one outside 0..V-1 gives NaN), or [B, ..., V] probabilities.
      lengths: see above.
      mask: see above.
      label_smoothing: ε; may be traced.
    """
    outputs = outputs.astype(jnp.float32)
    if targets.shape == outputs.shape and outputs.ndim > 1:
        values = optax.losses.softmax_cross_entropy(outputs, targets)
    else:
        _check_class_ids(outputs, targets)
        values = optax.losses.softmax_cross_entropy_with_integer_labels(outputs, targets)
        values = nan_outside(values, targets, outputs.shape[-1])
    if not (isinstance(label_smoothing, int | float) and label_smoothing == 0):
        uniform = -jax.nn.log_softmax(outputs).mean(-1)
        values = (1 - label_smoothing) * values + label_smoothing * uniform
    return _per_example(values, lengths, mask)


def multiclass_hinge(
    outputs: Array, targets: Array, *, lengths: Array | None = None, mask: Array | None = None
) -> Array:
    """max(0, 1 + max_{v≠y} s_v - s_y): the multi-class hinge of Crammer & Singer (2001).

    Args:
      outputs: [B, ..., V] scores s.
      targets: [B, ...] class ids y (one outside 0..V-1 gives NaN).
      lengths: see above.
      mask: see above.
    """
    outputs = outputs.astype(jnp.float32)
    _check_class_ids(outputs, targets)
    values = optax.losses.multiclass_hinge_loss(outputs, targets)
    return _per_example(nan_outside(values, targets, outputs.shape[-1]), lengths, mask)


def binary_hinge(
    outputs: Array, targets: Array, *, lengths: Array | None = None, mask: Array | None = None
) -> Array:
    """max(0, 1 - y s) with y = ±1 (Cortes & Vapnik 1995).

    Args:
      outputs: [B, ...] or [B, ..., 1] scores s; with [B, D], D separate decisions, averaged.
      targets: like outputs; positive is the one class, 0 or negative the other.
      lengths: see above.
      mask: see above.
    """
    outputs, targets = _alike(outputs, targets)
    signs = jnp.where(targets > 0, 1.0, -1.0)
    return _per_example(optax.losses.hinge_loss(outputs, signs), lengths, mask, features=True)


def binary_cross_entropy(
    outputs: Array, targets: Array, *, lengths: Array | None = None, mask: Array | None = None
) -> Array:
    """The log loss -y log σ(s) - (1 - y) log(1 - σ(s)), from logits s.

    Args:
      outputs: [B, ...] or [B, ..., 1] logits; with [B, D], D separate labels, averaged.
      targets: like outputs, 0 or 1 or a probability between.
      lengths: see above.
      mask: see above.
    """
    values = optax.losses.sigmoid_binary_cross_entropy(*_alike(outputs, targets))
    return _per_example(values, lengths, mask, features=True)


def squared_error(
    outputs: Array, targets: Array, *, lengths: Array | None = None, mask: Array | None = None
) -> Array:
    """(output - target)², without a factor ½, mean over D.

    Args:
      outputs: [B], [B, D] or [B, ..., D]; [B, 1] goes with targets [B].
      targets: like outputs.
      lengths: see above.
      mask: see above.
    """
    values = optax.losses.squared_error(*_alike(outputs, targets))
    return _per_example(values, lengths, mask, features=True)


def absolute_error(
    outputs: Array, targets: Array, *, lengths: Array | None = None, mask: Array | None = None
) -> Array:
    """|output - target|, mean over D; shapes as in `squared_error`."""
    outputs, targets = _alike(outputs, targets)
    return _per_example(jnp.abs(outputs - targets), lengths, mask, features=True)


def huber(
    outputs: Array,
    targets: Array,
    *,
    lengths: Array | None = None,
    mask: Array | None = None,
    delta: float = 1.0,
) -> Array:
    """½ e² where |e| <= δ, else δ (|e| - ½ δ) (Huber 1964), mean over D; shapes as above.

    Args:
      outputs: as in `squared_error`.
      targets: like outputs.
      lengths: see above.
      mask: see above.
      delta: δ; may be traced.
    """
    values = optax.losses.huber_loss(*_alike(outputs, targets), delta=delta)
    return _per_example(values, lengths, mask, features=True)


LOSSES: dict[str, Callable[..., Array]] = {
    "softmax_cross_entropy": softmax_cross_entropy,
    "multiclass_hinge": multiclass_hinge,
    "binary_hinge": binary_hinge,
    "binary_cross_entropy": binary_cross_entropy,
    "squared_error": squared_error,
    "absolute_error": absolute_error,
    "huber": huber,
}


def _per_example(
    values: Array, lengths: Array | None, mask: Array | None, features: bool = False
) -> Array:
    """The mean over the positions that count, [B], of values [B, ...].

    With `features`, the last axis of values [B, ..., D] is no position, and is averaged first.
    """
    if features and values.ndim > 1:
        values = values.mean(-1)
    if values.ndim == 1:
        return values
    valid = valid_positions(values.shape, lengths, mask)
    axes = tuple(range(1, values.ndim))
    total = jnp.where(valid, values, 0).sum(axes)
    return total / jnp.maximum(valid.sum(axes), 1)


def _alike(outputs: Array, targets: Array) -> tuple[Array, Array]:
    """Outputs and targets in float32 and of one shape; targets [B, ...] go with [B, ..., 1]."""
    if outputs.ndim == targets.ndim + 1 and outputs.shape[-1] == 1:
        targets = targets[..., None]
    if outputs.shape != targets.shape:
        raise UserError(
            f"loss: the model's outputs have shape {outputs.shape} and the targets "
            f"{targets.shape}; this loss takes equal shapes: set the model's number of outputs"
        )
    return outputs.astype(jnp.float32), targets.astype(jnp.float32)


def _check_class_ids(outputs: Array, targets: Array) -> None:
    if outputs.shape[:-1] != targets.shape or not jnp.issubdtype(targets.dtype, jnp.integer):
        raise UserError(
            f"loss: the model's outputs have shape {outputs.shape} and the targets "
            f"{targets.shape} {targets.dtype}; this loss takes scores [B, ..., V] and whole "
            "class ids [B, ...]"
        )


def _expand(array: Array, ndim: int) -> Array:
    return array.reshape(array.shape + (1,) * (ndim - array.ndim))
