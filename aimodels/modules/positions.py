"""Where a token stands: sinusoidal, learned and rotary positions.

Sinusoidal and learned positions are added to the tokens once, at the bottom of a Transformer;
rotary positions turn the queries and keys of every attention (`MultiHeadAttention(rotary=...)`).
All take explicit positions too, which decoding with a cache needs.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import UserError, unknown

ROTARY_LAYOUTS = ("half", "interleaved")


def wavelength_angles(
    positions: jax.Array, pairs: int, base: float | jax.Array = 10_000.0
) -> jax.Array:
    """The angles position · base^(-i / pairs) for i in 0 .. pairs - 1, in float32.

    Sinusoidal and rotary positions share them: wavelengths in a geometric progression from 2π to
    nearly 2π · base.

    Args:
        positions: [...] whole numbers.
        pairs: half the width of the encoding.
        base: the ratio of the longest wavelength to the shortest.

    Returns:
        [..., pairs] float32. In bfloat16 the positions above 256 would already collide.
    """
    exponents = jnp.arange(pairs, dtype=jnp.float32) / pairs
    return positions[..., None].astype(jnp.float32) * base**-exponents


def sinusoidal(positions: jax.Array, width: int, base: float = 10_000.0) -> jax.Array:
    """Vaswani et al. 2017, section 3.5: PE(p, 2i) = sin(p / base^(2i/D)), PE(p, 2i+1) = cos(same).

    Sines and cosines alternate, as in the paper (some ports put all the sines first).

    Args:
        positions: [...] whole numbers.
        width: D, even.
        base: 10,000 in the paper.

    Returns:
        [..., D] float32.
    """
    if width % 2:
        raise UserError(f"sinusoidal positions need an even width; width is {width}.")
    angles = wavelength_angles(positions, width // 2, base)
    pairs = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    return pairs.reshape(*angles.shape[:-1], width)


def rotate(
    inputs: jax.Array,
    positions: jax.Array,
    *,
    layout: str = "half",
    base: float = 10_000.0,
) -> jax.Array:
    """Rotary positions (Su et al. 2021, section 3.2.2): turn each pair of features by its angle.

    Pair i is turned by position · base^(-2i/K), so the product of a query and a key depends on the
    distance of their positions only. Which features make a pair is a convention that must match
    between checkpoints:

    - "half" (GPT-NeoX, Llama in `transformers`): features i and i + K/2;
    - "interleaved" (the paper, GPT-J, Llama's own code): features 2i and 2i + 1.

    Args:
        inputs: queries or keys [B, T, N, K], K even.
        positions: [T] or [B, T].
        layout: "half" or "interleaved".
        base: 10,000 in the paper.

    Returns:
        [B, T, N, K] in the dtype of the inputs; the turning itself is done in float32.
    """
    if layout not in ROTARY_LAYOUTS:
        raise unknown("layout of rotary positions", layout, ROTARY_LAYOUTS)
    width = inputs.shape[-1]
    if width % 2:
        raise UserError(f"rotary positions need heads of an even width; this one is {width}.")
    angles = wavelength_angles(positions, width // 2, base)[..., None, :]  # [(B,) T, 1, K/2]
    cosine, sine = jnp.cos(angles), jnp.sin(angles)
    wide = inputs.astype(jnp.promote_types(inputs.dtype, jnp.float32))
    if layout == "half":
        first, second = jnp.split(wide, 2, axis=-1)
    else:
        first, second = wide[..., 0::2], wide[..., 1::2]
    turned = (first * cosine - second * sine, first * sine + second * cosine)
    if layout == "half":
        outputs = jnp.concatenate(turned, axis=-1)
    else:
        outputs = jnp.stack(turned, axis=-1).reshape(inputs.shape)
    return outputs.astype(inputs.dtype)


class SinusoidalPositions(nn.Module):
    """Adds the fixed positions of `sinusoidal` to tokens [B, T, D]; no parameters.

    Attributes:
        base: the ratio of the longest wavelength to the shortest.
        dtype: of the computation.
    """

    base: float = 10_000.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, positions: jax.Array | None = None) -> jax.Array:
        """Add to inputs [B, T, D] their positions: [T] or [B, T], 0 .. T - 1 when None."""
        if positions is None:
            positions = jnp.arange(inputs.shape[-2])
        table = sinusoidal(positions, inputs.shape[-1], self.base)
        return inputs.astype(self.dtype) + table.astype(self.dtype)


class LearnedPositions(nn.Module):
    """Adds a learned row for each position to tokens [B, T, D].

    Attributes:
        max_length: rows; more tokens than these raise UserError (positions given explicitly are
            the caller's to keep below it).
        embedding_init: initial rows; N(0, 0.02²) by default (GPT-2, BERT, ViT).
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    max_length: int
    embedding_init: Callable[..., jax.Array] = nn.initializers.normal(0.02)
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, positions: jax.Array | None = None) -> jax.Array:
        """Add to inputs [B, T, D] the rows of their positions: [T] or [B, T], or 0 .. T - 1."""
        length, width = inputs.shape[-2:]
        if length > self.max_length:
            raise UserError(
                f"the inputs have {length} tokens, more than the {self.max_length} learned"
                " positions: raise max_length or cut the inputs."
            )
        table = self.param(
            "embedding", self.embedding_init, (self.max_length, width), self.param_dtype
        )
        rows = table[:length] if positions is None else jnp.take(table, positions, axis=0)
        return inputs.astype(self.dtype) + rows.astype(self.dtype)
