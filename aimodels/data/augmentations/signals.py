"""Random changes of a batch of signals [B, T] or [B, T, C]."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from aimodels.data.transforms import Batch, Transform
from aimodels.errors import UserError


@dataclasses.dataclass(frozen=True)
class RandomSlope(Transform):
    """The straight line through a signal taken out, and another one put in.

    The line is that of least squares, its mean stays. The new one rises by `scale` u over the
    signal, u uniform from -1/2 to 1/2: with 0.75, as MNIST-1D is made (Greydanus & Kobak 2024).

    Attributes:
      scale: from the steepest fall to the steepest rise; 0 only takes the old line out.
    """

    random: ClassVar[bool] = True
    scale: float = 0.75

    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """Inputs [B, T] or [B, T, C], floats; the channels have one new line, each its old one."""
        signals = jnp.asarray(batch["inputs"])
        if signals.ndim not in (2, 3) or not jnp.issubdtype(signals.dtype, jnp.floating):
            raise UserError(
                f"transform random_slope takes signals [B, T] or [B, T, C] of floats, got "
                f"{signals.dtype} {signals.shape}"
            )
        places = jnp.linspace(-0.5, 0.5, signals.shape[1], dtype=signals.dtype)
        slopes = jnp.einsum("t,bt...->b...", places, signals) / (places**2).sum()
        shape = (len(signals),) + (1,) * (signals.ndim - 2)
        new = self.scale * jax.random.uniform(key, shape, signals.dtype, -0.5, 0.5)
        rises = jnp.expand_dims(new - slopes, 1)
        places = places.reshape(-1, *(1,) * (signals.ndim - 2))
        return batch | {"inputs": signals + places * rises}
