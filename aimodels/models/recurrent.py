"""Recurrent classifiers of sequences and of their steps, and language models."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.models.inputs import masked_mean, with_channels
from aimodels.modules import GRU, LSTM, RNN, Dense, Dropout, Embedding
from aimodels.modules.recurrent import Recurrent
from aimodels.modules.recurrent_scan import swapped

CELLS = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


class RecurrentClassifier(nn.Module):
    """Recurrent layers over a sequence, and one Dense layer on what they leave.

    Inputs are numbers [B, T, C], or [B, T] for one channel; or, with a vocabulary, ids [B, T].

    Attributes:
        features: H, the width of each direction's state.
        num_classes: outputs; 1 for the regression of a number.
        cell: "rnn" (tanh), "lstm" or "gru".
        num_layers: recurrent layers.
        bidirectional: a second state runs backwards.
        readout: what the Dense layer sees. "last": the last state (of both directions, each after
            its last step); "mean": the mean of the outputs over the valid steps; "flatten": all T
            outputs side by side, zero past the length, so that T is fixed; "each": every output,
            for one class a step.
        vocabulary: V; None for numbers.
        embedding_features: width of the token vectors.
        dropout_rate: on token vectors, between the layers, and before the Dense layer; may be
            traced.
        initializer: "standard" or "torch", see `aimodels.modules.recurrent`; the Dense layer has
            "lecun" or "torch".
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: int
    num_classes: int
    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    num_layers: int = 1
    bidirectional: bool = False
    readout: Literal["last", "mean", "flatten", "each"] = "last"
    vocabulary: int | None = None
    embedding_features: int = 64
    dropout_rate: float = 0.0
    initializer: Literal["standard", "torch"] = "standard"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, T, C], [B, T] or ids [B, T] -> [B, num_classes]; `lengths` [B] of valid steps.

        With readout="each", [B, T, num_classes].
        """
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        if self.vocabulary is None:
            hidden = with_channels(inputs, axes=1).astype(self.dtype)
        else:
            embedding = Embedding(
                self.vocabulary,
                self.embedding_features,
                standard_deviation=1.0 if self.initializer == "torch" else 0.02,
                name="embedding",
                **dtypes,
            )
            hidden = Dropout(self.dropout_rate)(embedding(inputs), deterministic=not train)
        outputs, state = CELLS[self.cell](
            self.features,
            num_layers=self.num_layers,
            bidirectional=self.bidirectional,
            dropout_rate=self.dropout_rate,
            initializer=self.initializer,
            name="recurrent",
            **dtypes,
        )(hidden, lengths=lengths, train=train)
        if self.readout == "flatten":
            hidden = outputs.reshape(outputs.shape[0], -1)
        elif self.readout == "mean":
            hidden = masked_mean(outputs, lengths)
        elif self.readout == "each":
            hidden = outputs
        else:
            last = state.hidden if self.cell == "lstm" else state  # [L, B, H], the top ones last
            hidden = jnp.concatenate(list(last[-2:] if self.bidirectional else last[-1:]), axis=-1)
        hidden = Dropout(self.dropout_rate)(hidden, deterministic=not train)
        return Dense(
            self.num_classes,
            initializer="torch" if self.initializer == "torch" else "lecun",
            name="head",
            **dtypes,
        )(hidden)


class RecurrentLanguageModel(nn.Module):
    """Predicts the next token at each place from a recurrent state (Mikolov et al. 2010).

    As in char-rnn (Karpathy 2015), recurrent layers read each token and a Dense layer gives its
    logits from the last one's output. All that was read is in the state, so that its cache, which
    serves `aimodels.models.generation` as GPT's, is as small however long the text.

    Attributes:
        vocabulary: V.
        features: H, the width of each layer's state.
        num_layers: L.
        cell: "lstm", "gru" or "rnn" (tanh).
        embedding_features: width of the token vectors; None reads a token as one of V places that
            is 1, as char-rnn.
        max_length: tokens of a prompt and what is made behind it, at once; it has no weights.
        dropout_rate: on token vectors, between layers, and before the logits; may be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    vocabulary: int
    features: int = 128
    num_layers: int = 2
    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    embedding_features: int | None = None
    max_length: int = 1024
    dropout_rate: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self) -> None:
        """Make the layers."""
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        if self.embedding_features is not None:
            self.embedding = Embedding(
                self.vocabulary, self.embedding_features, standard_deviation=0.1, **dtypes
            )
        self.recurrent = self._recurrent()
        self.head = Dense(self.vocabulary, **dtypes)
        self.dropout = Dropout(self.dropout_rate)

    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """Ids [B, T] -> logits [B, T, V], the t-th for the token after the t-th.

        Padding behind a row's length changes nothing before it, so `lengths` is for the loss only.
        """
        del lengths
        return self._read(inputs, None, None, train)[0]

    @nn.nowrap
    def empty_cache(self, batch: int) -> Any:
        """What `decode` starts from: the state, arrays [B, L, H]. It needs no parameters."""
        return swapped(self._recurrent(parent=None).initial_state(batch))

    def decode(
        self, inputs: jax.Array, cache: Any, *, lengths: jax.Array | None = None
    ) -> tuple[jax.Array, Any]:
        """The next T ids [B, T], `lengths` [B] of them valid -> logits [B, T, V] and the cache."""
        logits, state = self._read(inputs, swapped(cache), lengths, False)
        return logits, swapped(state)

    def _read(
        self, ids: jax.Array, state: Any, lengths: jax.Array | None, train: bool
    ) -> tuple[jax.Array, Any]:
        if self.embedding_features is None:
            vectors = jax.nn.one_hot(ids, self.vocabulary, dtype=self.dtype)
        else:
            vectors = self.dropout(self.embedding(ids), deterministic=not train)
        outputs, state = self.recurrent(vectors, lengths=lengths, state=state, train=train)
        return self.head(self.dropout(outputs, deterministic=not train)), state

    @nn.nowrap
    def _recurrent(self, **parent: Any) -> Recurrent:
        return CELLS[self.cell](
            self.features,
            num_layers=self.num_layers,
            dropout_rate=self.dropout_rate,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            **parent,
        )
