"""The multi-layer perceptron."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.models.inputs import fixed_size
from aimodels.modules import Dense, Dropout, activation


class MLP(nn.Module):
    """Dense layers on the flattened inputs, an activation after each but the last.

    Attributes:
        features: width of each hidden layer; () is logistic regression.
        num_classes: outputs; 1 for the regression of a number.
        activation: a name of `aimodels.modules.dense.ACTIVATIONS`.
        residual: a hidden layer as wide as the one before it is h + activation(W h + b) (the MLP
            of the MNIST-1D paper).
        dropout_rate: after each activation; may be traced.
        input_dropout_rate: on the inputs; may be traced.
        use_bias: every layer adds a bias.
        initializer: a name of `aimodels.modules.initializers`.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: tuple[int, ...]
    num_classes: int
    activation: str = "relu"
    residual: bool = False
    dropout_rate: float = 0.0
    input_dropout_rate: float = 0.0
    use_bias: bool = True
    initializer: str = "lecun"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, ...] -> [B, num_classes]."""

        def dense(features: int, name: str) -> Dense:
            return Dense(
                features,
                use_bias=self.use_bias,
                initializer=self.initializer,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=name,
            )

        inputs = fixed_size("MLP", inputs, lengths)
        hidden = inputs.reshape(inputs.shape[0], -1).astype(self.dtype)
        hidden = Dropout(self.input_dropout_rate)(hidden, deterministic=not train)
        function = activation(self.activation)
        for index, width in enumerate(self.features):
            before = hidden
            hidden = function(dense(width, f"dense_{index}")(hidden))
            hidden = Dropout(self.dropout_rate)(hidden, deterministic=not train)
            if self.residual and index > 0 and before.shape == hidden.shape:
                hidden = before + hidden
        return dense(self.num_classes, "head")(hidden)
