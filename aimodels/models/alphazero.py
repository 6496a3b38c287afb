"""The network of AlphaGo Zero and AlphaZero: a residual tower with a policy and a value.

Silver et al., "Mastering the game of Go without human knowledge", Nature 2017, methods, "neural
network architecture"; the same in Silver et al., "A general reinforcement learning algorithm that
masters chess, shogi, and Go through self-play", Science 2018.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.modules import BatchNorm, Conv, Dense


class AlphaZeroNetwork(nn.Module):
    """A policy, and the value for the player to move, from the picture of a board.

    Convolutions are 3x3, those of the heads 1x1, each with batch normalisation and ReLU; a block is
    two of them, the input being added before the last ReLU. The paper has 256 channels and 19
    blocks. Statistics of batch normalisation are the running ones unless `train`.

    Attributes:
        num_actions: A, given by the game.
        channels: of the tower.
        blocks: residual ones, after a first convolution.
        policy_channels: of the policy's head, before its Dense layer.
        value_channels: of the value's head.
        value_features: width of the value's hidden Dense layer.
        initializer: a name of `aimodels.modules.initializers`.
        implementation: of the convolutions, see `aimodels.modules.Conv`.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_actions: int
    channels: int = 256
    blocks: int = 19
    policy_channels: int = 2
    value_channels: int = 1
    value_features: int = 256
    initializer: str = "lecun"
    implementation: str = "auto"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> tuple[jax.Array, jax.Array]:
        """[B, H, W, C] -> the policy's logits [B, A] and the value [B], -1 to 1."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}

        def convolution(hidden: jax.Array, channels: int, window: int, name: str) -> jax.Array:
            hidden = Conv(
                channels,
                kernel_size=(window, window),
                use_bias=False,
                initializer=self.initializer,
                implementation=self.implementation,
                name=name,
                **dtypes,
            )(hidden)
            return BatchNorm(name=f"{name}_norm", **dtypes)(hidden, use_running_average=not train)

        def dense(hidden: jax.Array, features: int, name: str) -> jax.Array:
            return Dense(features, initializer=self.initializer, name=name, **dtypes)(hidden)

        hidden = nn.relu(convolution(inputs.astype(self.dtype), self.channels, 3, "first"))
        for index in range(self.blocks):
            inner = nn.relu(convolution(hidden, self.channels, 3, f"block_{index}_a"))
            hidden = nn.relu(hidden + convolution(inner, self.channels, 3, f"block_{index}_b"))

        policy = nn.relu(convolution(hidden, self.policy_channels, 1, "policy"))
        logits = dense(policy.reshape(len(policy), -1), self.num_actions, "policy_head")
        value = nn.relu(convolution(hidden, self.value_channels, 1, "value"))
        value = nn.relu(dense(value.reshape(len(value), -1), self.value_features, "value_hidden"))
        return logits, jnp.tanh(dense(value, 1, "value_head")[:, 0])
