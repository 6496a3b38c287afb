"""Transformer classifiers of token sequences and their tokens, signals and images."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.models.inputs import masked_mean, with_channels
from aimodels.modules import Dense, Dropout, Embedding, PatchEmbedding
from aimodels.modules.positions import LearnedPositions, SinusoidalPositions
from aimodels.modules.transformer import Transformer, TransformerBlock


class TransformerClassifier(nn.Module):
    """A Transformer encoder (Vaswani et al. 2017), and one Dense layer on a summary of its tokens.

    What a token is follows from the fields and the inputs:

    - with `vocabulary`: ids [B, T] are looked up in an embedding;
    - with `patch_size`: images [B, H, W, C] or signals [B, T, C] or [B, T] are cut into patches
      (with positions="learned" and readout="class_token" a ViT, Dosovitskiy et al. 2021);
    - else: each time step of numbers [B, T, C], or [B, T] for one channel, goes through a Dense
      layer.

    Attributes:
        num_classes: outputs; 1 for the regression of a number.
        width: D.
        num_layers: blocks.
        num_heads: N.
        mlp_width: of the feed-forward; 4 D when None.
        vocabulary: V; None for numbers.
        patch_size: a number, or one for each axis; None for no patches.
        positions: "learned", "sinusoidal", "rotary" or "none".
        max_length: rows of learned positions, without the class token; None takes the length of
            the inputs at initialisation.
        readout: "class_token", a learned token put in front; "mean" of the valid tokens; "last" of
            them; or "each", for one class a token.
        norm_position: "pre" or "post".
        norm: "layer", "rms" or "none".
        activation: of the feed-forward.
        dropout_rate: on embeddings, attention weights, the feed-forward, and what each sublayer
            adds; may be traced.
        initializer: of the blocks, a name of `aimodels.modules.initializers`.
        attention_implementation: see `MultiHeadAttention`.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_classes: int
    width: int = 64
    num_layers: int = 2
    num_heads: int = 4
    mlp_width: int | None = None
    vocabulary: int | None = None
    patch_size: int | tuple[int, ...] | None = None
    positions: Literal["learned", "sinusoidal", "rotary", "none"] = "learned"
    max_length: int | None = None
    readout: Literal["class_token", "mean", "last", "each"] = "class_token"
    norm_position: Literal["pre", "post"] = "pre"
    norm: Literal["layer", "rms", "none"] = "layer"
    activation: str = "gelu"
    dropout_rate: float = 0.0
    initializer: str = "glorot"
    attention_implementation: str = "direct"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """Ids or numbers as above -> [B, num_classes]; `lengths` [B] of valid inputs.

        With readout="each", [B, T, num_classes].
        """
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        tokens, lengths = self._tokens(inputs, lengths)
        batch, time, _ = tokens.shape
        has_class = self.readout == "class_token"
        if has_class:
            token = self.param(
                "class_token", nn.initializers.normal(0.02), (self.width,), self.param_dtype
            )
            token = jnp.broadcast_to(token.astype(self.dtype), (batch, 1, self.width))
            tokens = jnp.concatenate([token, tokens], axis=1)
            lengths = None if lengths is None else lengths + 1
        if self.positions == "learned":
            rows = (self.max_length or time) + has_class
            tokens = LearnedPositions(rows, name="positions", **dtypes)(tokens)
        elif self.positions == "sinusoidal":
            tokens = SinusoidalPositions(dtype=self.dtype)(tokens)
        tokens = Dropout(self.dropout_rate)(tokens, deterministic=not train)

        block = TransformerBlock(
            implementation=self.attention_implementation,
            num_heads=self.num_heads,
            width=self.width,
            mlp_width=self.mlp_width,
            norm_position=self.norm_position,
            norm=self.norm,
            activation=self.activation,
            rotary="half" if self.positions == "rotary" else None,
            dropout_rate=self.dropout_rate,
            initializer=self.initializer,
            parent=None,
            **dtypes,
        )
        encoder = Transformer(self.num_layers, block, name="encoder")
        hidden = encoder(tokens, lengths=lengths, train=train)
        if has_class:
            hidden = hidden[:, 0]
        elif self.readout == "mean":
            hidden = masked_mean(hidden, lengths)
        elif self.readout == "last":
            places = jnp.full(batch, time - 1) if lengths is None else lengths - 1
            hidden = jnp.take_along_axis(hidden, places[:, None, None], axis=1)[:, 0]
        return Dense(self.num_classes, name="head", **dtypes)(hidden)

    def _tokens(
        self, inputs: jax.Array, lengths: jax.Array | None
    ) -> tuple[jax.Array, jax.Array | None]:
        """The inputs as vectors [B, T, D], and the valid ones in each row."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        if self.vocabulary is not None:
            if self.patch_size is not None:
                raise UserError("TransformerClassifier takes vocabulary or patch_size, not both.")
            # Sinusoids are of order 1, so the vectors must be too (√D · N(0, 1/D), as the paper).
            is_wide = self.positions == "sinusoidal"
            embedding = Embedding(
                self.vocabulary,
                self.width,
                standard_deviation=self.width**-0.5 if is_wide else 0.02,
                scale=is_wide,
                name="embedding",
                **dtypes,
            )
            return embedding(inputs), lengths
        if self.patch_size is None:
            inputs = with_channels(inputs, axes=1).astype(self.dtype)
            return Dense(self.width, name="embedding", **dtypes)(inputs), lengths
        axes = max(inputs.ndim - 2, 1)
        size = self.patch_size
        patch = (size,) * axes if isinstance(size, int) else tuple(size)
        if lengths is not None:
            if axes > 1:
                raise UserError("TransformerClassifier takes no lengths with images.")
            lengths = -(-lengths // patch[0])  # a patch counts if any of it does
        inputs = with_channels(inputs, axes).astype(self.dtype)
        return PatchEmbedding(self.width, patch, name="embedding", **dtypes)(inputs), lengths
