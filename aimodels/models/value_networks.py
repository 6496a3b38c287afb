"""Networks of agents: values of actions, policies."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.modules import Conv, Dense, activation
from aimodels.modules.initializers import orthogonal

# Features, window and stride of a convolution without padding.
Convolution = tuple[int, int, int]


def trunk(
    network: Any, inputs: jax.Array, convolutions: str, dense: str, **common: Any
) -> jax.Array:
    """The hidden layers of a network of this file: observations [B, ...] -> [B, D].

    Args:
        network: its fields `convolutions`, `features`, `scale` and activations say what they are.
        inputs: of whatever dtype.
        convolutions: the name of those layers, before their number.
        dense: that of the others.
        common: fields of all of them.
    """
    hidden = inputs.astype(network.dtype)
    if network.scale != 1:
        hidden = hidden / network.scale
    function = activation(network.convolution_activation or network.activation)
    for index, (features, window, stride) in enumerate(network.convolutions):
        name = f"{convolutions}_{index}"
        layer = Conv(
            features, (window, window), strides=stride, padding="VALID", name=name, **common
        )
        hidden = function(layer(hidden))
    hidden = hidden.reshape(len(inputs), -1)
    function = activation(network.activation)
    for index, width in enumerate(network.features):
        hidden = function(Dense(width, name=f"{dense}_{index}", **common)(hidden))
    return hidden


class QNetwork(nn.Module):
    """Values of actions from an observation.

    >>> QNetwork(4, convolutions=((32, 8, 4), (64, 4, 2), (64, 3, 1)), features=(512,),
    ...     scale=255)  # of Mnih et al. 2015, for [84, 84, 4]: 1,686,180 parameters

    Attributes:
        num_actions: A, given by the environment.
        features: width of each hidden layer.
        convolutions: before them, each as features, window, stride; for observations [H, W, C].
        scale: what observations are divided by, 255 for pictures.
        activation: a name of `aimodels.modules.dense.ACTIVATIONS`.
        convolution_activation: after the convolutions, if it is another one.
        dueling: Q = V + advantage - its mean (Wang et al. 2016, equation 9).
        initializer: a name of `aimodels.modules.initializers`.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_actions: int
    features: tuple[int, ...] = (120, 84)
    convolutions: tuple[Convolution, ...] = ()
    scale: float = 1.0
    activation: str = "relu"
    convolution_activation: str | None = None
    dueling: bool = False
    initializer: str = "torch"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """[B, ...] -> [B, A]."""
        common: dict[str, Any] = {
            "initializer": self.initializer,
            "dtype": self.dtype,
            "param_dtype": self.param_dtype,
        }
        hidden = trunk(self, inputs, "conv", "dense", **common)
        advantage = Dense(self.num_actions, name="head", **common)(hidden)
        if not self.dueling:
            return advantage
        value = Dense(1, name="value", **common)(hidden)
        return value + advantage - advantage.mean(-1, keepdims=True)


class ActorCritic(nn.Module):
    """A policy, and the value of following it, from an observation.

    By default initial weights are orthogonal, biases 0. The gains are those of OpenAI's Baselines,
    which CleanRL and Stable-Baselines3 took over: √2 in the hidden layers, 0.01 in the policy's
    head, so that all actions are about as likely at first, and 1 in the value's (Huang et al., "The
    37 Implementation Details of Proximal Policy Optimization", 2022, detail 2).

    Attributes:
        num_actions: A, given by the environment.
        features: width of each hidden layer.
        convolutions: before them, each as features, window, stride; for observations [H, W, C].
        scale: what observations are divided by, 255 for pictures.
        activation: a name of `aimodels.modules.dense.ACTIVATIONS`.
        convolution_activation: after the convolutions, if it is another one.
        shared: whether both have the same hidden layers, as in Mnih et al. 2016; else each has its
            own.
        initializer: a name of `aimodels.modules.initializers` for all layers, instead.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_actions: int
    features: tuple[int, ...] = (64, 64)
    convolutions: tuple[Convolution, ...] = ()
    scale: float = 1.0
    activation: str = "tanh"
    convolution_activation: str | None = None
    shared: bool = False
    initializer: str | None = None
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """[B, ...] -> the policy's logits [B, A] and the value [B]."""

        def common(gain: float) -> dict[str, Any]:
            weights: dict[str, Any] = {"kernel_init": orthogonal(gain)}
            if self.initializer is not None:
                weights = {"initializer": self.initializer}
            return {**weights, "dtype": self.dtype, "param_dtype": self.param_dtype}

        def hidden(name: str) -> jax.Array:
            return trunk(self, inputs, f"{name}_conv", name, **common(math.sqrt(2.0)))

        of_policy = hidden("shared" if self.shared else "policy")
        of_value = of_policy if self.shared else hidden("value")
        logits = Dense(self.num_actions, name="policy_head", **common(0.01))(of_policy)
        return logits, Dense(1, name="value_head", **common(1.0))(of_value)[:, 0]
