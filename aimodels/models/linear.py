"""Linear and logistic regression."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.models.inputs import fixed_size
from aimodels.modules import Dense


class Linear(nn.Module):
    """One Dense layer on the flattened inputs: logistic regression with a cross-entropy loss.

    Attributes:
        num_classes: outputs; 1 for the regression of a number.
        use_bias: add the bias.
        initializer: a name of `aimodels.modules.initializers`.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_classes: int
    use_bias: bool = True
    initializer: str = "lecun"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, ...] -> [B, num_classes]."""
        del train  # no dropout here
        inputs = fixed_size("Linear", inputs, lengths)
        return Dense(
            self.num_classes,
            use_bias=self.use_bias,
            initializer=self.initializer,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="head",
        )(inputs.reshape(inputs.shape[0], -1))
