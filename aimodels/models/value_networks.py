"""Networks of agents: values of actions, policies."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.modules import Dense, activation


class QNetwork(nn.Module):
    """Values of actions from an observation.

    Attributes:
        num_actions: A, given by the environment.
        features: width of each hidden layer.
        activation: a name of `aimodels.modules.dense.ACTIVATIONS`.
        dueling: Q = V + advantage - its mean (Wang et al. 2016, equation 9).
        initializer: a name of `aimodels.modules.initializers`.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_actions: int
    features: tuple[int, ...] = (120, 84)
    activation: str = "relu"
    dueling: bool = False
    initializer: str = "torch"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """[B, ...] -> [B, A]."""

        def dense(features: int, name: str) -> Dense:
            return Dense(
                features,
                initializer=self.initializer,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=name,
            )

        hidden = inputs.reshape(len(inputs), -1).astype(self.dtype)
        for index, width in enumerate(self.features):
            hidden = activation(self.activation)(dense(width, f"dense_{index}")(hidden))
        advantage = dense(self.num_actions, "head")(hidden)
        if not self.dueling:
            return advantage
        value = dense(1, "value")(hidden)
        return value + advantage - advantage.mean(-1, keepdims=True)
