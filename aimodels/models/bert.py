"""BERT: a Transformer encoder of text, with the heads of its paper."""

from typing import Any, Literal, get_args

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from aimodels.errors import UserError, unknown
from aimodels.models.inputs import masked_mean
from aimodels.modules import Dense, Dropout, Embedding, activation
from aimodels.modules.positions import LearnedPositions
from aimodels.modules.transformer import Transformer, TransformerBlock

Head = Literal[
    "tokens",
    "pooled",
    "sentence",
    "masked_language_model",
    "pretraining",
    "classification",
    "tagging",
    "span",
]
# Heads that read the summary of the first token.
POOLING = ("pooled", "pretraining", "classification")
PREDICTING = ("masked_language_model", "pretraining")
CLASSES = {"classification": None, "tagging": None, "pretraining": 2, "span": 2}


@flax.struct.dataclass
class PretrainingLogits:
    """What BERT's two tasks of pre-training ask for.

    Attributes:
        tokens: [B, T, V], or [B, P, V] at the places asked for.
        next_sentence: [B, 2]; class 0 is that the second sentence follows the first.
    """

    tokens: jax.Array
    next_sentence: jax.Array


class BERT(nn.Module):
    """Devlin et al. 2019; the base model has 109,482,240 parameters with the pooler and no head.

    Vectors of words, positions and token types, a norm, post-norm blocks with GELU; weights
    N(0, 0.02²). DistilBERT (Sanh et al. 2019) is num_layers=6, num_token_types=0,
    pooler_activation="relu"; MiniLM (Wang et al. 2020) is BERT in other widths.

    What comes out is up to `head`:

    - "tokens": hidden states [B, T, D];
    - "pooled": the first token's through a Dense layer, [B, D];
    - "sentence": the mean of the valid tokens' at length 1, [B, D] (Reimers & Gurevych 2019,
      "Sentence-BERT", and their normalised models);
    - "masked_language_model": logits [B, T, V] of the words, by the same vectors;
    - "pretraining": `PretrainingLogits`, those and the next sentence's;
    - "classification": logits [B, num_classes], from the pooled;
    - "tagging": logits [B, T, num_classes];
    - "span": logits [B, T, 2] of being an answer's first and last token.

    Attributes:
        num_classes: of "classification" and "tagging".
        head: see above.
        vocabulary: V.
        width: D.
        num_layers: blocks.
        num_heads: N.
        mlp_width: of the feed-forward; 4 D when None.
        max_length: rows of positions.
        num_token_types: rows of token types: sentences A and B; 0 for none.
        activation: of the feed-forward and the masked language model; "gelu" is exact.
        pooler_activation: of the pooler.
        epsilon: of the norms.
        dropout_rate: on vectors, what each sublayer adds, and heads' inputs; may be traced.
        attention_dropout_rate: on attention weights; dropout_rate when None.
        attention_implementation: see `MultiHeadAttention`.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_classes: int | None = None
    head: Head = "pooled"
    vocabulary: int = 30_522
    width: int = 768
    num_layers: int = 12
    num_heads: int = 12
    mlp_width: int | None = None
    max_length: int = 512
    num_token_types: int = 2
    activation: str = "gelu"
    pooler_activation: str = "tanh"
    epsilon: float = 1e-12
    dropout_rate: float = 0.1
    attention_dropout_rate: float | None = None
    attention_implementation: str = "direct"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self) -> None:
        """Make the layers."""
        if self.head not in get_args(Head):
            raise unknown("head of BERT", self.head, get_args(Head))
        classes = CLASSES.get(self.head, 0)
        if (self.num_classes is not None) != (classes is None):
            does = "needs" if classes is None else "takes no"
            raise UserError(f"BERT with head {self.head!r} {does} num_classes")
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        normal = nn.initializers.normal(0.02)
        block = TransformerBlock(
            implementation=self.attention_implementation,
            num_heads=self.num_heads,
            width=self.width,
            mlp_width=self.mlp_width,
            epsilon=self.epsilon,
            activation=self.activation,
            dropout_rate=self.dropout_rate,
            attention_dropout_rate=self.attention_dropout_rate,
            hidden_dropout_rate=0.0,
            kernel_init=normal,
            parent=None,
            **dtypes,
        )
        self.embedding = Embedding(self.vocabulary, self.width, **dtypes)
        self.positions = LearnedPositions(self.max_length, **dtypes)
        if self.num_token_types:
            self.token_types = Embedding(self.num_token_types, self.width, **dtypes)
        self.norm = block.make_norm()
        self.encoder = Transformer(self.num_layers, block)
        self.dropout = Dropout(self.dropout_rate)
        if self.head in POOLING:
            self.pooler = Dense(self.width, kernel_init=normal, **dtypes)
        if self.head in PREDICTING:
            self.transform = Dense(self.width, kernel_init=normal, **dtypes)
            self.transform_norm = block.make_norm()
            zeros = nn.initializers.zeros_init()
            self.word_bias = self.param("word_bias", zeros, (self.vocabulary,), self.param_dtype)
        if self.head in CLASSES:
            self.classes = Dense(classes or self.num_classes or 0, kernel_init=normal, **dtypes)

    def __call__(
        self,
        inputs: jax.Array,
        *,
        token_types: jax.Array | None = None,
        places: jax.Array | None = None,
        lengths: jax.Array | None = None,
        train: bool = False,
    ) -> Any:
        """What the head says of ids.

        Args:
            inputs: ids [B, T].
            token_types: [B, T]; 0 when None.
            places: [B, P] of the tokens whose words are to be predicted; all when None.
            lengths: [B], valid ids.
            train: dropout is on.
        """
        hidden = self._encode(inputs, token_types, lengths, train=train)
        if self.head == "tokens":
            return hidden
        if self.head == "sentence":
            mean = masked_mean(hidden, lengths)
            return mean / jnp.maximum(jnp.linalg.norm(mean, axis=-1, keepdims=True), 1e-12)
        if self.head == "masked_language_model":
            return self._words(hidden, places)
        if self.head in POOLING:
            pooled = activation(self.pooler_activation)(self.pooler(hidden[:, 0]))
            if self.head == "pooled":
                return pooled
            if self.head == "pretraining":
                return PretrainingLogits(self._words(hidden, places), self.classes(pooled))
            hidden = pooled
        return self.classes(self.dropout(hidden, deterministic=not train))

    def _encode(
        self,
        inputs: jax.Array,
        token_types: jax.Array | None,
        lengths: jax.Array | None,
        *,
        train: bool,
    ) -> jax.Array:
        tokens = self.positions(self.embedding(inputs))
        if self.num_token_types:
            types = jnp.zeros_like(inputs) if token_types is None else token_types
            tokens = tokens + self.token_types(types)
        elif token_types is not None:
            raise UserError("this BERT has no token types (num_token_types is 0), but some came")
        tokens = self.dropout(self.norm(tokens), deterministic=not train)
        return self.encoder(tokens, lengths=lengths, train=train)

    def _words(self, hidden: jax.Array, places: jax.Array | None) -> jax.Array:
        if places is not None:
            hidden = jnp.take_along_axis(hidden, places[..., None], axis=1)
        hidden = self.transform_norm(activation(self.activation)(self.transform(hidden)))
        return self.embedding.attend(hidden) + self.word_bias.astype(self.dtype)
