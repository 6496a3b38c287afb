"""Dropout whose rate may be a traced number."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import UserError


class Dropout(nn.Module):
    """Zero each input with probability `rate` and scale the others by 1 / (1 - rate).

    Srivastava et al. 2014 in its inverted form, as `flax.linen.Dropout`, which however branches on
    the rate's value. Here the rate may be a JAX scalar, so that a sweep can vary it under `vmap`
    in one compiled program. A rate that is a Python number is checked and, at 0, costs nothing.

    The mask comes from the stream "dropout" (`apply(..., rngs={"dropout": key})`).

    Attributes:
        rate: probability of a zero, in [0, 1]; a Python number or a JAX scalar. At 1 the output
            and its gradient are all zero, not NaN.
        broadcast_dims: axes along which one mask is shared: (1,) on [B, T, D] drops whole
            features (Gal & Ghahramani 2016), (1, 2) on [B, H, W, C] drops channels.
        deterministic: True passes the inputs through; may be given in the call instead.
    """

    rate: float | jax.Array
    broadcast_dims: tuple[int, ...] = ()
    deterministic: bool | None = None

    @nn.compact
    def __call__(self, inputs: jax.Array, deterministic: bool | None = None) -> jax.Array:
        """Inputs of any shape; the output has the same shape and dtype."""
        deterministic = nn.merge_param("deterministic", self.deterministic, deterministic)
        if isinstance(self.rate, (int, float)) and not 0 <= self.rate <= 1:
            raise UserError(f"dropout rate is {self.rate}; it takes a probability from 0 to 1.")
        if deterministic or (isinstance(self.rate, (int, float)) and self.rate == 0):
            return inputs
        keep = 1.0 - jnp.asarray(self.rate, jnp.float32)
        shape = list(inputs.shape)
        for axis in self.broadcast_dims:
            shape[axis] = 1
        mask = jax.random.bernoulli(self.make_rng("dropout"), keep, tuple(shape))
        # Where keep is 0 the mask is all False; a finite scale keeps 0 · inf out of the gradient.
        scale = (1.0 / jnp.where(keep > 0, keep, 1.0)).astype(inputs.dtype)
        return jnp.where(mask, inputs * scale, jnp.zeros((), inputs.dtype))
