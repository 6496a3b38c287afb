"""Dense layers: one matrix, and a stack of them."""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from aimodels.errors import unknown
from aimodels.modules.dropout import Dropout
from aimodels.modules.initializers import Initializer, bias_initializer, kernel_initializer
from aimodels.modules.matmul import matmul


def gelu_tanh(inputs: jax.Array) -> jax.Array:
    """GELU in its tanh form, 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))): GPT-2's and BERT's."""
    return nn.gelu(inputs, approximate=True)


def gelu(inputs: jax.Array) -> jax.Array:
    """GELU, x Φ(x) with the exact error function (Hendrycks & Gimpel 2016; PyTorch's default)."""
    return 0.5 * inputs * (1 + jax.lax.erf(inputs / math.sqrt(2)))


def dsilu(inputs: jax.Array) -> jax.Array:
    """The derivative of SiLU, σ(x) (1 + x (1 - σ(x))): Elfwing et al. 2018, equation 11."""
    gate = nn.sigmoid(inputs)
    return gate * (1 + inputs * (1 - gate))


def identity(inputs: jax.Array) -> jax.Array:
    """The inputs."""
    return inputs


ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "dsilu": dsilu,
    "elu": nn.elu,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "hard_swish": nn.hard_swish,
    "identity": identity,
    "leaky_relu": nn.leaky_relu,
    "mish": jax.nn.mish,
    "relu": nn.relu,
    "relu6": nn.relu6,
    "selu": nn.selu,
    "sigmoid": nn.sigmoid,
    "silu": nn.silu,
    "softplus": nn.softplus,
    "swish": nn.silu,
    "tanh": nn.tanh,
}


def activation(name: str) -> Callable[[jax.Array], jax.Array]:
    """The elementwise function called `name`; an unknown name raises UserError."""
    if name not in ACTIVATIONS:
        raise unknown("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]


class Dense(nn.Module):
    """y = x W + b on the last axis, with the parameters of `flax.linen.Dense`: kernel, bias.

    It differs from Flax's only in that initial values have a name, which sets the bias's too.

    Attributes:
        features: outputs.
        use_bias: add the bias.
        initializer: a name of `aimodels.modules.initializers`: "lecun", "torch", "he" ...
        kernel_init: overrides the name's kernel.
        bias_init: overrides the name's bias.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: int
    use_bias: bool = True
    initializer: str = "lecun"
    kernel_init: Initializer | None = None
    bias_init: Initializer | None = None
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """[..., D] -> [..., features]."""
        fan_in = inputs.shape[-1]
        kernel_init = self.kernel_init or kernel_initializer(self.initializer)
        kernel = self.param("kernel", kernel_init, (fan_in, self.features), self.param_dtype)
        bias = None
        if self.use_bias:
            bias_init = self.bias_init or bias_initializer(self.initializer, fan_in)
            bias = self.param("bias", bias_init, (self.features,), self.param_dtype)
        inputs, kernel, bias = promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        outputs = matmul(inputs, kernel)
        return outputs if bias is None else outputs + bias


class MLP(nn.Module):
    """Dense layers with an activation, then dropout, between them: none after the last.

    Attributes:
        features: the width of each layer, the last being the output's.
        activation: a name of `ACTIVATIONS`.
        dropout_rate: after each activation; may be traced.
        use_bias: every layer adds a bias.
        initializer: see `Dense`.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: tuple[int, ...]
    activation: str = "relu"
    dropout_rate: float | jax.Array = 0.0
    use_bias: bool = True
    initializer: str = "lecun"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """[..., D] -> [..., features[-1]]."""
        function = activation(self.activation)
        hidden = inputs
        for index, width in enumerate(self.features):
            if index > 0:
                hidden = Dropout(self.dropout_rate)(function(hidden), deterministic=not train)
            hidden = Dense(
                width,
                use_bias=self.use_bias,
                initializer=self.initializer,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=f"dense_{index}",
            )(hidden)
        return hidden
