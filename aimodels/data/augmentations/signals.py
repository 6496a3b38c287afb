"""Random changes of a batch of signals [B, T] or [B, T, C]."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from aimodels.data.transforms import Batch, Transform
from aimodels.errors import UserError


@dataclasses.dataclass(frozen=True)
class RandomTrend(Transform):
    """The straight line through a signal taken out, and another one put in.

    The line is that of least squares. The new one has a mean and a slope from normal distributions
    around 0; the deviations below are those of MNIST-1D's signals, as its authors measured them for
    this (Greydanus & Kobak 2024, notebook self-supervised-learning).

    Attributes:
      slope_std: of the rise from one time to the next.
      offset_std: of the mean.
      remove: take the old line out; False adds the new one to it.
    """

    random: ClassVar[bool] = True
    slope_std: float = 0.04
    offset_std: float = 0.3
    remove: bool = True

    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """Inputs [B, T] or [B, T, C], floats; the channels have one new line, each its old one."""
        signals = jnp.asarray(batch["inputs"])
        if signals.ndim not in (2, 3) or not jnp.issubdtype(signals.dtype, jnp.floating):
            raise UserError(
                f"transform random_trend takes signals [B, T] or [B, T, C] of floats, got "
                f"{signals.dtype} {signals.shape}"
            )
        length = signals.shape[1]
        times = jnp.arange(length, dtype=signals.dtype) - (length - 1) / 2
        means, slopes = jnp.zeros(()), jnp.zeros(())
        if self.remove:
            means = signals.mean(1)
            slopes = jnp.einsum("t,bt...->b...", times, signals) / (times**2).sum()
        shape = (len(signals),) + (1,) * (signals.ndim - 2)
        offset_key, slope_key = jax.random.split(key)
        new_offsets = self.offset_std * jax.random.normal(offset_key, shape, signals.dtype)
        new_slopes = self.slope_std * jax.random.normal(slope_key, shape, signals.dtype)
        times = times.reshape(-1, *(1,) * (signals.ndim - 2))
        offsets = jnp.expand_dims(new_offsets - means, 1)
        rises = jnp.expand_dims(new_slopes - slopes, 1)
        return batch | {"inputs": signals + offsets + times * rises}


@dataclasses.dataclass(frozen=True)
class RandomShift(Transform):
    """Shift sequences in time by up to `maximum` steps either way.

    Attributes:
      maximum: largest shift.
      minimum: smallest one, below 0 for the other way; None is -`maximum`.
      wrap: True brings what falls off one end in at the other; False brings zeros in.
    """

    random: ClassVar[bool] = True
    maximum: int = 4
    minimum: int | None = None
    wrap: bool = False

    def __post_init__(self) -> None:
        if self.minimum is not None and self.minimum > self.maximum:
            raise UserError(
                f"transform random_shift: minimum {self.minimum} is above maximum {self.maximum}"
            )

    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """Inputs [B, T] or [B, T, C]."""
        inputs = jnp.asarray(batch["inputs"])
        if inputs.ndim not in (2, 3):
            raise UserError(
                f"transform random_shift takes sequences [B, T] or [B, T, C], got {inputs.shape}"
            )
        minimum = -self.maximum if self.minimum is None else self.minimum
        shifts = jax.random.randint(key, inputs.shape[:1], minimum, self.maximum + 1)
        length = inputs.shape[1]

        def move(sequence: jax.Array, shift: jax.Array) -> jax.Array:
            places = jnp.arange(length) - shift
            moved = jnp.take(sequence, places % length, axis=0)
            if self.wrap:
                return moved
            inside = ((places >= 0) & (places < length)).reshape(-1, *(1,) * (moved.ndim - 1))
            return jnp.where(inside, moved, jnp.zeros((), moved.dtype))

        return batch | {"inputs": jax.vmap(move)(inputs, shifts)}
