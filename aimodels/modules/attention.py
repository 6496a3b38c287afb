"""Multi-head attention: self and cross, masked, grouped, rotary, cached.

Masks are boolean and True means "may attend". A query that may attend to nothing gets zeros.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from aimodels.errors import UserError, unknown
from aimodels.modules.dense import Dense
from aimodels.modules.dropout import Dropout
from aimodels.modules.initializers import (
    Initializer,
    divided_initializer,
    kernel_initializer,
)
from aimodels.modules.positions import rotate

IMPLEMENTATIONS = ("direct", "xla", "cudnn")


@struct.dataclass
class KeyValueCache:
    """The keys and values that attention has already computed. Rows may differ in length.

    Attributes:
        key: [B, S, M, K], S being the capacity and M the key-value heads.
        value: [B, S, M, K].
        lengths: [B] int32, how many of the S places of each row are filled.
    """

    key: jax.Array
    value: jax.Array
    lengths: jax.Array

    @classmethod
    def empty(
        cls, batch: int, capacity: int, heads: int, head_width: int, dtype: Any = jnp.float32
    ) -> "KeyValueCache":
        """A cache with room for `capacity` tokens in each of `batch` rows."""
        zeros = jnp.zeros((batch, capacity, heads, head_width), dtype)
        return cls(key=zeros, value=zeros, lengths=jnp.zeros(batch, jnp.int32))

    def append(
        self, key: jax.Array, value: jax.Array, lengths: jax.Array | None = None
    ) -> "KeyValueCache":
        """Write T more keys and values [B, T, M, K] behind those that are there.

        Only the first `lengths` [B] of them count (all, when None); what lies behind is overwritten
        by the next append. Tokens beyond the capacity are dropped: the caller makes it big enough.
        """
        batch, time = key.shape[:2]
        places = self.lengths[:, None] + jnp.arange(time)
        rows = jnp.arange(batch)[:, None]
        return KeyValueCache(
            key=self.key.at[rows, places].set(key.astype(self.key.dtype), mode="drop"),
            value=self.value.at[rows, places].set(value.astype(self.value.dtype), mode="drop"),
            lengths=self.lengths + (time if lengths is None else lengths.astype(jnp.int32)),
        )


def length_mask(lengths: jax.Array, size: int) -> jax.Array:
    """Which of `size` places are valid: lengths [B] -> [B, size], True before the length."""
    return jnp.arange(size) < lengths[:, None]


def combine_masks(
    time: int,
    size: int,
    *,
    is_causal: bool = False,
    lengths: jax.Array | None = None,
    attention_mask: jax.Array | None = None,
) -> jax.Array | None:
    """Who may attend to whom, of T queries and S keys, as one mask; None when everyone may.

    Args:
        time: T.
        size: S.
        is_causal: query t sees keys 0 .. t.
        lengths: [B], keys from there on are padding.
        attention_mask: boolean [T, S], [B, T, S] or [B, 1 or N, T, S]; axes of 1 broadcast.

    Returns:
        Boolean, broadcastable to [B, N, T, S], or None.
    """
    masks = []
    if is_causal:
        masks.append((jnp.arange(size) <= jnp.arange(time)[:, None])[None, None])
    if lengths is not None:
        masks.append(length_mask(lengths, size)[:, None, None])
    if attention_mask is not None:
        if attention_mask.dtype != jnp.bool_:
            raise UserError(
                f"attention_mask has dtype {attention_mask.dtype}; it takes booleans, True where a"
                " query may attend."
            )
        if attention_mask.ndim not in (2, 3, 4):
            raise UserError(
                f"attention_mask has shape {attention_mask.shape}; it takes [T, S], [B, T, S] or"
                " [B, N, T, S]."
            )
        axes = {2: (0, 1), 3: (1,), 4: ()}[attention_mask.ndim]
        masks.append(jnp.expand_dims(attention_mask, axes))
    if not masks:
        return None
    combined = masks[0]
    for mask in masks[1:]:
        combined = combined & mask
    return combined


def attention_weights(
    query: jax.Array,
    key: jax.Array,
    *,
    mask: jax.Array | None = None,
    bias: jax.Array | None = None,
    scale: float | None = None,
    may_be_empty: bool = True,
) -> jax.Array:
    """softmax(Q Kᵀ / √K + bias) over the keys that the mask allows.

    Args:
        query: [B, T, N, K].
        key: [B, S, M, K]; query heads m·N/M .. (m+1)·N/M - 1 share key head m (Ainslie et al.
            2023).
        mask: boolean, broadcastable to [B, N, T, S].
        bias: added to the logits, broadcastable to [B, N, T, S].
        scale: of Q Kᵀ, instead of 1 / √K.
        may_be_empty: False promises that the mask leaves every query a key, and saves a pass.

    Returns:
        [B, N, T, S], float32 or wider whatever the inputs' dtype. Rows without a key are zeros.
    """
    batch, time, heads, width = query.shape
    size, key_heads = key.shape[1:3]
    # Batch axes first, and the queries of a group on one axis: one plain batched matrix product,
    # which XLA's CPU backend runs up to twice as fast as the einsum over [B, T, N, K].
    query = jnp.moveaxis(query, 1, 2).reshape(batch, key_heads, heads // key_heads * time, width)
    logits = jnp.einsum(
        "bmqk,bmsk->bmqs",
        query * jnp.asarray(width**-0.5 if scale is None else scale, query.dtype),
        jnp.moveaxis(key, 1, 2),
        preferred_element_type=jnp.promote_types(query.dtype, jnp.float32),
    ).reshape(batch, heads, time, size)
    if bias is not None:
        logits = logits + bias
    if mask is None:
        return nn.softmax(logits)
    # A finite number: with -inf the row without a key would be NaN, and its gradient too.
    weights = nn.softmax(jnp.where(mask, logits, jnp.finfo(logits.dtype).min / 2))
    return jnp.where(mask, weights, 0.0) if may_be_empty else weights


def attend(weights: jax.Array, value: jax.Array) -> jax.Array:
    """The mean of the values under the weights: [B, N, T, S], [B, S, M, K] -> [B, T, N, K]."""
    batch, heads, time, size = weights.shape
    key_heads, width = value.shape[2:]
    grouped = weights.reshape(batch, key_heads, heads // key_heads * time, size)
    outputs = jnp.einsum("bmqs,bmsk->bmqk", grouped.astype(value.dtype), jnp.moveaxis(value, 1, 2))
    return jnp.moveaxis(outputs.reshape(batch, heads, time, width), 1, 2)


class MultiHeadAttention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, section 3.2.2) and its grouped form.

    Parameters: `query`, `key`, `value`, `out`, each a Dense. They are kept apart because a fused
    projection was no faster, and apart they shard by heads with grouped queries too.

    Rng stream: "dropout". If the collection "intermediates" is mutable, the weights [B, N, T, S]
    (before dropout) are sown there as "attention_weights".

    Attributes:
        num_heads: N.
        width: D of the outputs; N · K = D unless head_width says otherwise.
        head_width: K; D / N when None.
        num_key_value_heads: M, a divisor of N; N when None, 1 is multi-query attention.
        is_causal: query t sees keys 0 .. t only. For self-attention.
        rotary: turn queries and keys by their positions: "half" or "interleaved", see
            `aimodels.modules.positions.rotate`; None does not. For self-attention.
        rotary_base: the base of the rotary wavelengths.
        scaled: False leaves the logits as they are; instead of them, the initial kernel of the
            queries is divided by √K (Raffel et al. 2020's code).
        dropout_rate: on the weights; may be traced.
        use_bias: all four projections add a bias.
        implementation: "direct" (here), or jax.nn.dot_product_attention's "xla" or "cudnn" (flash
            attention: bfloat16 on NVIDIA GPUs). Weights that are dropped out or sown always take
            "direct"; the results agree.
        initializer: a name of `aimodels.modules.initializers`.
        kernel_init: overrides the name's kernel.
        out_kernel_init: overrides the kernel of `out` alone.
        dtype: of the computation; softmax is in float32 at least.
        param_dtype: of the parameters.
    """

    num_heads: int
    width: int
    head_width: int | None = None
    num_key_value_heads: int | None = None
    is_causal: bool = False
    rotary: str | None = None
    rotary_base: float = 10_000.0
    scaled: bool = True
    dropout_rate: float | jax.Array = 0.0
    use_bias: bool = True
    implementation: str = "direct"
    initializer: str = "glorot"
    kernel_init: Initializer | None = None
    out_kernel_init: Initializer | None = None
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self) -> None:
        """Make the four projections."""
        if self.implementation not in IMPLEMENTATIONS:
            raise unknown("implementation of attention", self.implementation, IMPLEMENTATIONS)
        if self.head_width is None and self.width % self.num_heads:
            raise UserError(f"num_heads is {self.num_heads}; it must divide width {self.width}.")
        if self.num_heads % self.key_value_heads:
            raise UserError(
                f"num_key_value_heads is {self.num_key_value_heads}; it must divide num_heads,"
                f" {self.num_heads}."
            )

        def dense(features: int, kernel_init: Initializer | None) -> Dense:
            return Dense(
                features,
                use_bias=self.use_bias,
                initializer=self.initializer,
                kernel_init=kernel_init,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
            )

        query_init = self.kernel_init
        if not self.scaled:
            query_init = divided_initializer(
                self.kernel_init or kernel_initializer(self.initializer), self.width_per_head**0.5
            )
        self.query = dense(self.num_heads * self.width_per_head, query_init)
        self.key = dense(self.key_value_heads * self.width_per_head, self.kernel_init)
        self.value = dense(self.key_value_heads * self.width_per_head, self.kernel_init)
        self.out = dense(self.width, self.out_kernel_init or self.kernel_init)
        self.dropout = Dropout(self.dropout_rate)

    @property
    def width_per_head(self) -> int:
        """K."""
        return self.head_width or self.width // self.num_heads

    @property
    def key_value_heads(self) -> int:
        """M."""
        return self.num_key_value_heads or self.num_heads

    def __call__(
        self,
        inputs: jax.Array,
        memory: jax.Array | None = None,
        *,
        lengths: jax.Array | None = None,
        attention_mask: jax.Array | None = None,
        bias: jax.Array | None = None,
        positions: jax.Array | None = None,
        train: bool = False,
    ) -> jax.Array:
        """Attend from the inputs to themselves, or to a memory.

        Args:
            inputs: [B, T, D].
            memory: [B, S, D'] for cross-attention; None for self-attention, where S = T.
            lengths: [B], valid tokens of what is attended to (memory, or the inputs).
            attention_mask: boolean [T, S], [B, T, S] or [B, 1 or N, T, S].
            bias: added to the logits, broadcastable to [B, N, T, S].
            positions: [T] or [B, T] for rotary; 0 .. T - 1 when None.
            train: dropout is on.

        Returns:
            [B, T, width]. A query with nothing to attend to gives the bias of `out` alone.
        """
        if memory is not None and (self.is_causal or self.rotary):
            raise UserError("cross-attention takes neither is_causal nor rotary.")
        key, value = self._keys_and_values(inputs if memory is None else memory)
        query = self._heads(self.query(inputs))
        if self.rotary:
            if positions is None:
                positions = jnp.arange(inputs.shape[1])
            query, key = self._rotate(query, positions), self._rotate(key, positions)
        mask = combine_masks(
            query.shape[1],
            key.shape[1],
            is_causal=self.is_causal,
            lengths=lengths,
            attention_mask=attention_mask,
        )
        may_be_empty = lengths is not None or attention_mask is not None
        return self._attend(query, key, value, mask, bias, may_be_empty=may_be_empty, train=train)

    @nn.nowrap
    def empty_cache(self, batch: int, capacity: int) -> KeyValueCache:
        """The cache that `decode` starts from, with room for `capacity` tokens a row.

        It needs no parameters: call it on the module itself.
        """
        return KeyValueCache.empty(
            batch, capacity, self.key_value_heads, self.width_per_head, self.dtype
        )

    def decode(
        self,
        inputs: jax.Array,
        cache: KeyValueCache,
        *,
        lengths: jax.Array | None = None,
        bias: jax.Array | None = None,
    ) -> tuple[jax.Array, KeyValueCache]:
        """Causal self-attention of T more tokens, behind those in the cache.

        A prompt, then one token at a time, gives what `__call__` gives for the whole sequence.

        Args:
            inputs: [B, T, D], the next tokens.
            cache: of the tokens before them, from `empty_cache` or the last call.
            lengths: [B], how many of the T are valid (all, when None): prompts padded at the end.
            bias: added to the logits, broadcastable to [B, N, T, S], S being the cache's capacity.

        Returns:
            [B, T, width] and the cache with the tokens added.
        """
        if not self.is_causal:
            raise UserError("decoding with a cache needs is_causal=True.")
        positions = cache.lengths[:, None] + jnp.arange(inputs.shape[1])
        query = self._heads(self.query(inputs))
        key, value = self._keys_and_values(inputs)
        if self.rotary:
            query, key = self._rotate(query, positions), self._rotate(key, positions)
        cache = cache.append(key, value, lengths)
        mask = jnp.arange(cache.key.shape[1]) <= positions[:, None, :, None]
        return self._attend(query, cache.key, cache.value, mask, bias, may_be_empty=False), cache

    def remember(self, memory: jax.Array, lengths: jax.Array | None = None) -> KeyValueCache:
        """The keys and values of a memory [B, S, D'], computed once for many `recall`s."""
        key, value = self._keys_and_values(memory)
        if lengths is None:
            lengths = jnp.full(memory.shape[0], memory.shape[1], jnp.int32)
        return KeyValueCache(key=key, value=value, lengths=lengths.astype(jnp.int32))

    def recall(self, inputs: jax.Array, memory: KeyValueCache) -> jax.Array:
        """Cross-attention of inputs [B, T, D] to what `remember` returned -> [B, T, width]."""
        mask = length_mask(memory.lengths, memory.key.shape[1])[:, None, None]
        query = self._heads(self.query(inputs))
        return self._attend(query, memory.key, memory.value, mask)

    def _heads(self, inputs: jax.Array) -> jax.Array:
        """[B, T, heads · K] -> [B, T, heads, K]."""
        return inputs.reshape(*inputs.shape[:-1], -1, self.width_per_head)

    def _keys_and_values(self, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        return self._heads(self.key(inputs)), self._heads(self.value(inputs))

    def _rotate(self, inputs: jax.Array, positions: jax.Array) -> jax.Array:
        return rotate(inputs, positions, layout=self.rotary or "half", base=self.rotary_base)

    def _attend(
        self,
        query: jax.Array,
        key: jax.Array,
        value: jax.Array,
        mask: jax.Array | None,
        bias: jax.Array | None = None,
        *,
        may_be_empty: bool = True,
        train: bool = False,
    ) -> jax.Array:
        sows = self.is_mutable_collection("intermediates")
        rate, scale = self.dropout_rate, None if self.scaled else 1.0
        drops = train and not (isinstance(rate, (int, float)) and rate == 0)
        if self.implementation == "direct" or sows or drops:
            weights = attention_weights(
                query, key, mask=mask, bias=bias, scale=scale, may_be_empty=may_be_empty
            )
            self.sow("intermediates", "attention_weights", weights)
            outputs = attend(self.dropout(weights, deterministic=not train), value)
        else:
            implementation: Any = self.implementation
            outputs = jax.nn.dot_product_attention(
                query,
                key,
                value,
                bias=bias,
                mask=mask,
                scale=scale,
                implementation=implementation,
            )
            if (
                mask is not None and may_be_empty
            ):  # a row without a key: the mean of all values there, zeros here
                rows = jnp.any(mask, axis=-1, keepdims=True)
                outputs = jnp.where(jnp.moveaxis(rows, 1, 2), outputs, 0)
        return self.out(outputs.reshape(*outputs.shape[:2], -1))
