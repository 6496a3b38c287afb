"""Recurrent classifiers of sequences and of their steps."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.models.inputs import masked_mean, with_channels
from aimodels.modules import GRU, LSTM, RNN, Dense, Dropout, Embedding

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
