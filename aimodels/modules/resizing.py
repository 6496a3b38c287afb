"""Maps made larger, bilinearly or by a transposed convolution; and cut to their middle."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from aimodels.modules.initializers import bias_initializer, kernel_initializer
from aimodels.modules.matmul import matmul


def resize_bilinear(inputs: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Maps [B, H, W, C] -> [B, *size, C], each new place from its four nearest.

    The middles of pixels lie at half numbers, as `align_corners=False` of PyTorch's interpolate.
    """
    if inputs.shape[1:3] == tuple(size):
        return inputs
    shape = (len(inputs), *size, inputs.shape[-1])
    return jax.image.resize(inputs, shape, "bilinear", antialias=False)


def middle(maps: jax.Array, size: tuple[int, int]) -> jax.Array:
    """The middle of maps [B, H, W, ...] -> [B, *size, ...]; an odd place stays at the end."""
    top, left = ((have - want) // 2 for have, want in zip(maps.shape[1:3], size, strict=True))
    return maps[:, top : top + size[0], left : left + size[1]]


class UpConv(nn.Module):
    """A transposed convolution whose windows lie side by side: the "up-convolution" of U-Net.

    It is a product with one matrix: each place becomes `factor` x `factor` places, which no other
    place adds to. PyTorch's ConvTranspose2d with kernel and stride of `factor` is the same.

    Parameters: kernel [factor, factor, C, features], bias [features].

    Attributes:
        features: output channels.
        factor: how many times larger H and W become.
        initializer: a name of `aimodels.modules.initializers`, for the C inputs that each output
            has.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: int
    factor: int = 2
    initializer: str = "lecun"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """[B, H, W, C] -> [B, factor H, factor W, features]."""
        B, H, W, C = inputs.shape
        n, F = self.factor, self.features

        def initial(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
            matrix = kernel_initializer(self.initializer)(key, (C, n * n * F), dtype)
            return jnp.moveaxis(matrix.reshape(C, n, n, F), 0, 2).reshape(shape)

        kernel = self.param("kernel", initial, (n, n, C, F), self.param_dtype)
        bias_init = bias_initializer(self.initializer, C)
        bias = self.param("bias", bias_init, (F,), self.param_dtype)
        inputs, kernel, bias = promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        matrix = jnp.moveaxis(kernel, 2, 0).reshape(C, n * n * F)
        places = matmul(inputs.reshape(-1, C), matrix).reshape(B, H, W, n, n, F)
        return places.transpose(0, 1, 3, 2, 4, 5).reshape(B, H * n, W * n, F) + bias
