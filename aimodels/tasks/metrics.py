"""Metrics that don't depend on how the data was cut into batches, padded or sharded.

Each is a `clu.metrics.Metric`: sums over the positions that count, `merge` adds them, `compute`
divides. All take `outputs`, `targets` and, where examples have positions or padding, `mask` [B] or
[B, T] and `lengths` [B]; other keywords are ignored, so a `Collection` gives all of them to all.
Sums of floats carry their rounding error along (Knuth's two-sum), so that a mean over a million
batches is as good as one over a single batch; counts are int32 (up to 2 · 10⁹ positions).

Shapes: B batch, T tokens, V classes, D outputs. A metric over nothing is NaN.
"""

from typing import Any, Self

import clu.metrics
import flax.struct
import jax
import jax.numpy as jnp

from aimodels.tasks.losses import valid_positions

Array = jax.Array


@flax.struct.dataclass
class Mean(clu.metrics.Metric):
    """A mean of numbers. Attributes: total [2] (sum, its rounding error), count int32."""

    total: Array
    count: Array

    @classmethod
    def of(cls, values: Array, valid: Array) -> Self:
        """From values [...] and a mask of the same shape; what the mask hides may be NaN."""
        total = jnp.where(valid, values.astype(jnp.float32), 0).sum()
        return cls(total=summed(total), count=valid.sum(dtype=jnp.int32))

    @classmethod
    def empty(cls) -> Self:
        """Of no numbers."""
        return cls(total=jnp.zeros(2), count=jnp.zeros((), jnp.int32))

    def merge(self, other: Self) -> Self:
        """Of both."""
        return type(self)(total=added(self.total, other.total), count=self.count + other.count)

    def compute(self) -> Array:
        """The mean."""
        return self.total.sum() / self.count


@flax.struct.dataclass
class Loss(Mean):
    """The mean of `loss` [B] over examples."""

    @classmethod
    def from_model_output(cls, *, loss: Array, mask: Array | None = None, **_: Any) -> Self:
        """From losses [B] of examples, as `aimodels.tasks.losses` gives them."""
        if mask is not None and mask.ndim > 1:
            mask = mask.any(tuple(range(1, mask.ndim)))
        return cls.of(loss, valid_positions(loss.shape, mask=mask))


def by_name(computed: dict[str, Any]) -> dict[str, Any]:
    """What `compute` gave: metrics of one number by their field, those of several by their own."""
    flat: dict[str, Any] = {}
    for field, result in computed.items():
        named = result if isinstance(result, dict) else {field: result}
        if twice := flat.keys() & named.keys():
            raise ValueError(f"two metrics of the collection are called {sorted(twice)}")
        flat |= named
    return flat


def summed(total: Array) -> Array:
    """A sum [...] with the rounding error 0 beside it, [2, ...]."""
    return jnp.stack([total, jnp.zeros_like(total)])


def added(a: Array, b: Array) -> Array:
    """The sum of two [2, ...] sums, with what float32 rounded away (Knuth's two-sum)."""
    total = a[0] + b[0]
    part = total - a[0]
    error = (a[0] - (total - part)) + (b[0] - part) + (a[1] + b[1])
    rounded = total + error
    return jnp.stack([rounded, error - (rounded - total)])
