"""T5: text to text, by an encoder-decoder Transformer with relative positions."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.models.encoder_decoder import EncoderDecoder
from aimodels.modules import Dense, Dropout, Embedding
from aimodels.modules.positions import RelativePositionBias
from aimodels.modules.transformer import Transformer, TransformerBlock


class T5(EncoderDecoder):
    """Raffel et al. 2020, "Exploring the limits of transfer learning"; t5-small, 60,506,624.

    Pre-norm blocks with RMS norms and no biases; attention's logits are not divided by √K; relative
    positions, shared by the layers of a stack. T5 v1.1 (the authors' repository) is gated=True,
    activation="gelu_tanh", tied=False, and its own widths: small has 8 layers, 6 heads and
    mlp_width 1024.

    Attributes:
        vocabulary: V; 32,100 pieces, rounded up.
        width: D.
        num_layers: of the encoder.
        num_decoder_layers: of the decoder; num_layers when None.
        num_heads: N.
        head_width: K.
        mlp_width: of the feed-forward.
        activation: of the feed-forward.
        gated: multiply by a gate, see `aimodels.modules.transformer.FeedForward`.
        tied: the logits are by the table of vectors, from hidden states divided by √D.
        num_buckets: of distances, see `aimodels.modules.positions.relative_buckets`.
        max_distance: see there.
        max_length: tokens of a target that `read` makes room for.
        dropout_rate: on vectors, attention weights, the feed-forward, what each sublayer adds and
            the ends of both stacks; may be traced.
        epsilon: of the norms.
        attention_implementation: see `MultiHeadAttention`.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    vocabulary: int = 32_128
    width: int = 512
    num_layers: int = 6
    num_decoder_layers: int | None = None
    num_heads: int = 8
    head_width: int = 64
    mlp_width: int = 2048
    activation: str = "relu"
    gated: bool = False
    tied: bool = True
    num_buckets: int = 32
    max_distance: int = 128
    max_length: int = 512
    dropout_rate: float = 0.1
    epsilon: float = 1e-6
    attention_implementation: str = "direct"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self) -> None:
        """Make the layers."""
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        by_inputs = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
        self.embedding = Embedding(self.vocabulary, self.width, standard_deviation=1.0, **dtypes)
        block = TransformerBlock(
            implementation=self.attention_implementation,
            num_heads=self.num_heads,
            width=self.width,
            head_width=self.head_width,
            mlp_width=self.mlp_width,
            norm_position="pre",
            norm="rms",
            epsilon=self.epsilon,
            activation=self.activation,
            gated=self.gated,
            scaled=False,
            dropout_rate=self.dropout_rate,
            use_bias=False,
            kernel_init=by_inputs,
            parent=None,
            **dtypes,
        )
        self.encoder = Transformer(self.num_layers, block)
        self.decoder = Transformer(
            self.num_decoder_layers or self.num_layers,
            block.copy(is_causal=True, cross_attention=True),
        )

        def distances(both_ways: bool) -> RelativePositionBias:
            return RelativePositionBias(
                self.num_heads,
                self.num_buckets,
                self.max_distance,
                both_ways=both_ways,
                embedding_init=nn.initializers.normal(self.width**-0.5),
                **dtypes,
            )

        self.encoder_distances = distances(both_ways=True)
        self.decoder_distances = distances(both_ways=False)
        if not self.tied:
            self.head = Dense(self.vocabulary, use_bias=False, kernel_init=by_inputs, **dtypes)
        self.dropout = Dropout(self.dropout_rate)

    def embed(
        self, ids: jax.Array, places: jax.Array, *, is_target: bool, train: bool = False
    ) -> jax.Array:
        """Ids [B, T] -> vectors [B, T, D], of both sides alike and at all places."""
        del places, is_target
        return self.dropout(self.embedding(ids), deterministic=not train)

    def bias(self, queries: jax.Array, keys: jax.Array, *, is_target: bool) -> jax.Array:
        """Places of queries [T] or [B, T] and of keys [S] -> [N, T, S] or [B, N, T, S]."""
        return (self.decoder_distances if is_target else self.encoder_distances)(queries, keys)

    def encoded(self, hidden: jax.Array, *, train: bool = False) -> jax.Array:
        """The encoder's outputs [B, S, D] as the decoder sees them."""
        return self.dropout(hidden, deterministic=not train)

    def logits(self, hidden: jax.Array, *, train: bool = False) -> jax.Array:
        """The decoder's outputs [B, T, D] -> [B, T, V]."""
        hidden = self.dropout(hidden, deterministic=not train)
        return self.embedding.attend(hidden * self.width**-0.5) if self.tied else self.head(hidden)
