"""Networks of agents: values of actions, policies."""

import math
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


class ActorCritic(nn.Module):
    """A policy, and the value of following it, from an observation.

    Initial weights are orthogonal, biases 0. The gains are those of OpenAI's Baselines, which
    CleanRL and Stable-Baselines3 took over: √2 in the hidden layers, 0.01 in the policy's head, so
    that all actions are about as likely at first, and 1 in the value's (Huang et al., "The 37
    Implementation Details of Proximal Policy Optimization", 2022, detail 2).

    Attributes:
        num_actions: A, given by the environment.
        features: width of each hidden layer.
        activation: a name of `aimodels.modules.dense.ACTIVATIONS`.
        shared: whether both have the same hidden layers, as in Mnih et al. 2016; else each has its
            own.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_actions: int
    features: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    shared: bool = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """[B, ...] -> the policy's logits [B, A] and the value [B]."""
        inputs = inputs.reshape(len(inputs), -1).astype(self.dtype)

        def dense(features: int, gain: float, name: str) -> Dense:
            return Dense(
                features,
                kernel_init=nn.initializers.orthogonal(gain),
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=name,
            )

        def trunk(name: str) -> jax.Array:
            hidden = inputs
            for index, width in enumerate(self.features):
                layer = dense(width, math.sqrt(2.0), f"{name}_{index}")
                hidden = activation(self.activation)(layer(hidden))
            return hidden

        of_policy = trunk("shared" if self.shared else "policy")
        of_value = of_policy if self.shared else trunk("value")
        logits = dense(self.num_actions, 0.01, "policy_head")(of_policy)
        return logits, dense(1, 1.0, "value_head")(of_value)[:, 0]
