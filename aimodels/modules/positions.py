"""Where a token stands: sinusoidal, learned, rotary and relative positions.

Sinusoidal and learned positions are added to the tokens once, at the bottom of a Transformer;
rotary positions turn the queries and keys of every attention (`MultiHeadAttention(rotary=...)`);
relative positions are added to the logits of every attention (its `bias`).
All take explicit positions too, which decoding with a cache needs.
"""

import math
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


def relative_buckets(
    distance: jax.Array, num_buckets: int = 32, max_distance: int = 128, *, both_ways: bool = True
) -> jax.Array:
    """The bucket of a distance, key's place - query's: Raffel et al. 2020, section 2.1, their code.

    Half of the buckets are of one distance each, the others grow logarithmically up to
    max_distance; what is further falls into the last one.

    Args:
        distance: [...] whole numbers.
        num_buckets: of both ways together.
        max_distance: from where on all are alike.
        both_ways: half of the buckets are for keys behind the query; else those count as distance
            0, since a causal query never sees them.

    Returns:
        [...] int32, 0 .. num_buckets - 1.
    """
    first = jnp.zeros_like(distance)
    if both_ways:
        num_buckets //= 2
        first = jnp.where(distance > 0, num_buckets, 0)
        distance = jnp.abs(distance)
    else:
        distance = jnp.maximum(-distance, 0)
    exact = num_buckets // 2
    share = jnp.log(jnp.maximum(distance, 1).astype(jnp.float32) / exact)
    share = share / math.log(max_distance / exact)
    far = exact + (share * (num_buckets - exact)).astype(jnp.int32)
    near = jnp.where(distance < exact, distance, jnp.minimum(far, num_buckets - 1))
    return (first + near).astype(jnp.int32)


class RelativePositionBias(nn.Module):
    """A learned number for each head and bucket of distances, to be added to attention's logits.

    Raffel et al. 2020, section 2.1; all layers of a stack share it. The parameter is embedding
    [num_buckets, N].

    Attributes:
        num_heads: N.
        num_buckets: see `relative_buckets`.
        max_distance: see `relative_buckets`.
        both_ways: see `relative_buckets`; False for causal attention.
        embedding_init: initial numbers.
        dtype: of the result.
        param_dtype: of the parameters.
    """

    num_heads: int
    num_buckets: int = 32
    max_distance: int = 128
    both_ways: bool = True
    embedding_init: Callable[..., jax.Array] = nn.initializers.normal(0.02)
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, queries: jax.Array, keys: jax.Array) -> jax.Array:
        """Places of queries [T] or [B, T] and of keys [S] -> [N, T, S] or [B, N, T, S]."""
        table = self.param(
            "embedding", self.embedding_init, (self.num_buckets, self.num_heads), self.param_dtype
        )
        buckets = relative_buckets(
            keys - queries[..., None],
            self.num_buckets,
            self.max_distance,
            both_ways=self.both_ways,
        )
        return jnp.moveaxis(jnp.asarray(table, self.dtype)[buckets], -1, -3)
