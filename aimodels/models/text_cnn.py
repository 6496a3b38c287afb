"""The convolutional classifier of sentences of Kim 2014."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.modules import Conv, Dense, Dropout, Embedding
from aimodels.modules.initializers import uniform


class TextCNN(nn.Module):
    """Windows of several widths over word vectors, the largest value of each feature, and a Dense.

    Kim, "Convolutional neural networks for sentence classification", EMNLP 2014, section 2, in the
    form CNN-rand. Initial values are those of the authors' code: word vectors U(±0.25), windows
    U(±0.01), the last layer zero. A window counts where it covers a word at least, so that
    padding changes nothing; the authors' code has some windows of padding alone as well. The
    paper's constraint on the last layer is the optimizer's: `max_norms=(("head/kernel", 3),)` of
    adadelta.

    Attributes:
        num_classes: outputs.
        vocabulary: V.
        embedding_features: D, width of a word vector.
        windows: how many words each kind of window covers.
        features: of each kind of window.
        dropout_rate: before the Dense layer; may be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_classes: int
    vocabulary: int
    embedding_features: int = 300
    windows: tuple[int, ...] = (3, 4, 5)
    features: int = 100
    dropout_rate: float = 0.5
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """Ids [B, T] -> [B, num_classes]; `lengths` [B] of valid words."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        words = Embedding(
            self.vocabulary,
            self.embedding_features,
            embedding_init=uniform(0.25),
            name="embedding",
            **dtypes,
        )(inputs)
        time = inputs.shape[1]
        if lengths is not None:
            valid = jnp.arange(time) < lengths[:, None]
            words = jnp.where(valid[..., None], words, 0)
        found = []
        for window in self.windows:
            hidden = Conv(
                self.features,
                window,
                padding=((window - 1, window - 1),),
                kernel_init=uniform(0.01),
                bias_init=nn.initializers.zeros_init(),
                name=f"window_{window}",
                **dtypes,
            )(words)
            if lengths is not None:
                covers = jnp.arange(time + window - 1) < lengths[:, None] + window - 1
                hidden = jnp.where(covers[..., None], hidden, jnp.finfo(hidden.dtype).min)
            found.append(nn.relu(hidden.max(axis=1)))  # the same as the largest after the ReLU
        hidden = Dropout(self.dropout_rate)(jnp.concatenate(found, -1), deterministic=not train)
        return Dense(self.num_classes, initializer="zeros", name="head", **dtypes)(hidden)
