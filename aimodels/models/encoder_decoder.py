"""Encoder-decoder models of text: a Transformer reads the source, another writes the target."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.modules import Dropout, Embedding
from aimodels.modules.positions import sinusoidal
from aimodels.modules.transformer import BlockCache, Transformer, TransformerBlock

Cache = tuple[BlockCache, ...]


def given_target(model: nn.Module, decoder_inputs: jax.Array | None) -> jax.Array:
    """The target's ids [B, T] of a model of two texts. Raises `UserError` if there are none."""
    if decoder_inputs is None:
        raise UserError(
            f"{type(model).__name__} reads a target too: decoder_inputs, ids [B, T]; the data or"
            " the task must give them"
        )
    return decoder_inputs


def shifted_right(targets: jax.Array, start: int) -> jax.Array:
    """What the decoder reads to predict targets [B, T]: the start token, then all but the last."""
    return jnp.pad(targets[:, :-1], ((0, 0), (1, 0)), constant_values=start)


class EncoderDecoder(nn.Module):
    """What such models have in common; a subclass makes the layers, and gives `embed` and `logits`.

    Cached decoding, also by `aimodels.models.generation` with `cache=`:

        cache = model.apply(variables, inputs, lengths=lengths, method="read")
        logits, cache = model.apply(variables, ids, cache, method="decode")
    """

    def __call__(
        self,
        inputs: jax.Array,
        *,
        decoder_inputs: jax.Array | None = None,
        lengths: jax.Array | None = None,
        train: bool = False,
    ) -> jax.Array:
        """Logits of the target's tokens.

        Args:
            inputs: the source's ids [B, S].
            decoder_inputs: the target's ids [B, T], `shifted_right`. Padding behind a target
                changes nothing before it.
            lengths: [B], valid ids of the source.
            train: dropout is on.

        Returns:
            [B, T, V], the t-th for the target's token t.
        """
        decoder_inputs = given_target(self, decoder_inputs)
        memory = self.encode(inputs, lengths=lengths, train=train)
        places = jnp.arange(decoder_inputs.shape[1])
        hidden = self.decoder(
            self.embed(decoder_inputs, places, is_target=True, train=train),
            memory,
            memory_lengths=lengths,
            bias=self.bias(places, places, is_target=True),
            train=train,
        )
        return self.logits(hidden, train=train)

    def encode(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """The source's ids [B, S], `lengths` [B] of them valid -> what is remembered, [B, S, D]."""
        places = jnp.arange(inputs.shape[1])
        hidden = self.encoder(
            self.embed(inputs, places, is_target=False, train=train),
            lengths=lengths,
            bias=self.bias(places, places, is_target=False),
            train=train,
        )
        return self.encoded(hidden, train=train)

    def read(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, capacity: int | None = None
    ) -> Cache:
        """The cache that `decode` starts from, after reading the source's ids [B, S].

        Args:
            inputs: [B, S].
            lengths: [B], valid ids of the source.
            capacity: tokens of the target that it has room for; max_length when None.
        """
        limit: Any = self.max_length  # type: ignore[attr-defined]
        cache = self.decoder.empty_cache(len(inputs), capacity or limit)
        return self.decoder.remember(cache, self.encode(inputs, lengths=lengths), lengths)

    def decode(
        self, inputs: jax.Array, cache: Cache, *, lengths: jax.Array | None = None
    ) -> tuple[jax.Array, Cache]:
        """The target's next T ids [B, T], `lengths` [B] of them valid -> logits [B, T, V]."""
        kept = cache[0].attention
        places = kept.lengths[:, None] + jnp.arange(inputs.shape[1])
        hidden, cache = self.decoder.decode(
            self.embed(inputs, places, is_target=True),
            cache,
            lengths=lengths,
            bias=self.bias(places, jnp.arange(kept.key.shape[1]), is_target=True),
        )
        return self.logits(hidden), cache

    def embed(
        self, ids: jax.Array, places: jax.Array, *, is_target: bool, train: bool = False
    ) -> jax.Array:
        """Ids [B, T] at places [T] or [B, T] -> vectors [B, T, D]."""
        raise NotImplementedError

    def bias(self, queries: jax.Array, keys: jax.Array, *, is_target: bool) -> jax.Array | None:
        """What is added to the logits of self-attention, for places [T] or [B, T] and [S]."""
        del queries, keys, is_target
        return None

    def encoded(self, hidden: jax.Array, *, train: bool = False) -> jax.Array:
        """The encoder's outputs [B, S, D] as the decoder sees them."""
        del train
        return hidden

    def logits(self, hidden: jax.Array, *, train: bool = False) -> jax.Array:
        """The decoder's outputs [B, T, D] -> [B, T, V]."""
        raise NotImplementedError


class EncoderDecoderTransformer(EncoderDecoder):
    """The Transformer of Vaswani et al. 2017, "Attention is all you need"; the base model.

    One table of vectors for the source, the target and, not scaled, the output logits (section
    3.4); sinusoidal positions; post-norm blocks. With V = 37,000 (section 5.1) it has 63,082,496
    parameters. Table 3 says 65 M; all its rows of other sizes agree with about 41,000 vectors:
    N = 2 (36 M), N = 8 (80 M), D = 256 (28 M), D = 1024 (168 M).

    Attributes:
        vocabulary: V, of both languages or of the source.
        target_vocabulary: V of the target, whose vectors are then its own; None shares them.
        width: D.
        num_layers: of the encoder, and of the decoder.
        num_heads: N.
        mlp_width: of the feed-forward; 4 D when None.
        norm_position: "post" as in the paper, or "pre".
        activation: of the feed-forward.
        max_length: tokens of a target that `read` makes room for.
        dropout_rate: on what each sublayer adds, and on the sums of vectors and positions; may be
            traced.
        attention_dropout_rate: on attention weights, and inside the feed-forward; may be traced.
        attention_implementation: see `MultiHeadAttention`.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    vocabulary: int
    target_vocabulary: int | None = None
    width: int = 512
    num_layers: int = 6
    num_heads: int = 8
    mlp_width: int | None = None
    norm_position: str = "post"
    activation: str = "relu"
    max_length: int = 256
    dropout_rate: float = 0.1
    attention_dropout_rate: float = 0.0
    attention_implementation: str = "direct"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self) -> None:
        """Make the layers."""

        def table(vocabulary: int) -> Embedding:
            # Sinusoids are of order 1, so the scaled vectors are too.
            return Embedding(
                vocabulary,
                self.width,
                standard_deviation=1 / math.sqrt(self.width),
                scale=True,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
            )

        self.embedding = table(self.vocabulary)
        if self.target_vocabulary is not None:
            self.target_embedding = table(self.target_vocabulary)
        block = TransformerBlock(
            implementation=self.attention_implementation,
            num_heads=self.num_heads,
            width=self.width,
            mlp_width=self.mlp_width,
            norm_position=self.norm_position,
            activation=self.activation,
            dropout_rate=self.dropout_rate,
            attention_dropout_rate=self.attention_dropout_rate,
            hidden_dropout_rate=self.attention_dropout_rate,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            parent=None,
        )
        self.encoder = Transformer(self.num_layers, block)
        self.decoder = Transformer(
            self.num_layers, block.copy(is_causal=True, cross_attention=True)
        )
        self.dropout = Dropout(self.dropout_rate)

    def embed(
        self, ids: jax.Array, places: jax.Array, *, is_target: bool, train: bool = False
    ) -> jax.Array:
        """Ids [B, T] at places [T] or [B, T] -> vectors [B, T, D]."""
        vectors = (self._target if is_target else self.embedding)(ids)
        vectors = vectors + sinusoidal(places, self.width).astype(vectors.dtype)
        return self.dropout(vectors, deterministic=not train)

    def logits(self, hidden: jax.Array, *, train: bool = False) -> jax.Array:
        """The decoder's outputs [B, T, D] -> [B, T, V]."""
        del train
        return self._target.attend(hidden)

    @property
    def _target(self) -> Embedding:
        return self.embedding if self.target_vocabulary is None else self.target_embedding
