"""GPT: a causal Transformer language model, as nanoGPT has it."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.modules import Dropout, Embedding
from aimodels.modules.positions import LearnedPositions
from aimodels.modules.transformer import BlockCache, Transformer, TransformerBlock


class GPT(nn.Module):
    """Predicts the next token at each place: GPT-2 (Radford et al. 2019) in nanoGPT's form.

    Pre-norm blocks with GELU, learned positions, the embedding used again for the logits, and
    weights N(0, 0.02²), but N(0, 0.02² / 2L) where they feed the residual.

    Attributes:
        vocabulary: V.
        width: D.
        num_layers: L.
        num_heads: N.
        max_length: the longest sequence (nanoGPT's block_size).
        use_bias: in Dense layers and norms; nanoGPT's default is without, GPT-2 has them.
        activation: of the feed-forward; OpenAI's GPT-2 has "gelu_tanh".
        dropout_rate: on embeddings, attention weights, and what each sublayer adds; may be traced.
        attention_implementation: see `MultiHeadAttention`.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    vocabulary: int
    width: int = 128
    num_layers: int = 4
    num_heads: int = 4
    max_length: int = 64
    use_bias: bool = False
    activation: str = "gelu"
    dropout_rate: float = 0.0
    attention_implementation: str = "direct"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self) -> None:
        """Make the layers."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        self.embedding = Embedding(self.vocabulary, self.width, **dtypes)
        self.positions = LearnedPositions(self.max_length, **dtypes)
        self.decoder = self._decoder()
        self.dropout = Dropout(self.dropout_rate)

    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """Ids [B, T] -> logits [B, T, V], the t-th for the token after the t-th.

        Padding behind a row's length changes nothing before it, so `lengths` is for the loss only.
        """
        del lengths
        tokens = self.positions(self.embedding(inputs))
        tokens = self.dropout(tokens, deterministic=not train)
        return self.embedding.attend(self.decoder(tokens, train=train))

    @nn.nowrap
    def empty_cache(self, batch: int, capacity: int | None = None) -> tuple[BlockCache, ...]:
        """What `decode` starts from; capacity is max_length when None. It needs no parameters."""
        return self._decoder(parent=None).empty_cache(batch, capacity or self.max_length)

    def decode(
        self,
        inputs: jax.Array,
        cache: tuple[BlockCache, ...],
        *,
        lengths: jax.Array | None = None,
    ) -> tuple[jax.Array, tuple[BlockCache, ...]]:
        """The next T ids [B, T], `lengths` [B] of them valid -> logits [B, T, V] and the cache."""
        places = cache[0].attention.lengths[:, None] + jnp.arange(inputs.shape[1])
        # The padding of a prompt may stand past the last position: any row will do for it.
        places = jnp.minimum(places, self.max_length - 1)
        tokens = self.positions(self.embedding(inputs), places)
        hidden, cache = self.decoder.decode(tokens, cache, lengths=lengths)
        return self.embedding.attend(hidden), cache

    @nn.nowrap
    def _decoder(self, **parent: Any) -> Transformer:
        block = TransformerBlock(
            implementation=self.attention_implementation,
            num_heads=self.num_heads,
            width=self.width,
            norm_position="pre",
            activation=self.activation,
            is_causal=True,
            dropout_rate=self.dropout_rate,
            hidden_dropout_rate=0.0,
            use_bias=self.use_bias,
            kernel_init=nn.initializers.normal(0.02),
            out_kernel_init=nn.initializers.normal(0.02 / math.sqrt(2 * self.num_layers)),
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            parent=None,
        )
        return Transformer(self.num_layers, block, **parent)
