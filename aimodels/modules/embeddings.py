"""Embeddings of tokens and of image patches."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from aimodels.errors import UserError
from aimodels.modules.initializers import Initializer, bias_initializer, kernel_initializer


class Embedding(nn.Module):
    """A table of V vectors, looked up by token id, and used again for tied output logits.

    The parameter is embedding [V, D], as `flax.linen.Embed`'s.

    Attributes:
        vocabulary: V.
        features: D.
        standard_deviation: of the normal initial values: 0.02 is BERT's and GPT-2's; PyTorch's
            nn.Embedding has 1, Flax's nn.Embed 1/√D.
        scale: multiply what is looked up by √D (Vaswani et al. 2017, section 3.4); `attend` is not
            scaled.
        embedding_init: overrides the normal initial values.
        dtype: of the computation.
        param_dtype: of the table.
    """

    vocabulary: int
    features: int
    standard_deviation: float = 0.02
    scale: bool = False
    embedding_init: Initializer | None = None
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self) -> None:
        """Make the table."""
        self.embedding = self.param(
            "embedding",
            self.embedding_init or nn.initializers.normal(self.standard_deviation),
            (self.vocabulary, self.features),
            self.param_dtype,
        )

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Ids [...] -> [..., D]. An id of V or more gives NaN, so that it is noticed."""
        (table,) = promote_dtype(self.embedding, dtype=self.dtype, inexact=False)
        vectors = jnp.take(table, tokens, axis=0, mode="fill")
        return vectors * math.sqrt(self.features) if self.scale else vectors

    def attend(self, inputs: jax.Array) -> jax.Array:
        """[..., D] -> logits [..., V] by the same table (Press & Wolf 2017)."""
        inputs, table = promote_dtype(inputs, self.embedding, dtype=self.dtype)
        return jnp.dot(inputs, table.T)


class PatchEmbedding(nn.Module):
    """Cut images into patches side by side and map each to a vector.

    The first layer of a vision transformer (Dosovitskiy et al. 2021). The same as a convolution
    whose strides are its window, with its parameters (kernel [*patch_size, C, D], bias [D]), but
    computed as a reshape and one matrix product.

    Attributes:
        features: D.
        patch_size: an axis each; a plain number is a square.
        use_bias: add the bias.
        initializer: a name of `aimodels.modules.initializers`.
        kernel_init: overrides the name's kernel.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: int
    patch_size: int | tuple[int, ...] = 16
    use_bias: bool = True
    initializer: str = "lecun"
    kernel_init: Initializer | None = None
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """[B, H, W, C] -> [B, N, D]: the N patches row by row."""
        size = self.patch_size
        patch = (size, size) if isinstance(size, int) else tuple(size)
        rank = len(patch)
        if inputs.ndim != rank + 2:
            raise UserError(f"patch_size {patch} needs [B, *{rank} axes, C], got {inputs.shape}.")
        batch, *spatial, channels = inputs.shape
        if any(size % step for size, step in zip(spatial, patch, strict=True)):
            raise UserError(f"patch_size {patch} doesn't divide the inputs' {tuple(spatial)}.")
        kernel = self.param(
            "kernel",
            self.kernel_init or kernel_initializer(self.initializer),
            (*patch, channels, self.features),
            self.param_dtype,
        )
        fan_in = math.prod(patch) * channels
        bias = None
        if self.use_bias:
            bias_init = bias_initializer(self.initializer, fan_in)
            bias = self.param("bias", bias_init, (self.features,), self.param_dtype)
        inputs, kernel, bias = promote_dtype(inputs, kernel, bias, dtype=self.dtype)

        split = [n for size, step in zip(spatial, patch, strict=True) for n in (size // step, step)]
        blocks = inputs.reshape(batch, *split, channels)
        grid = [1 + 2 * axis for axis in range(rank)]
        within = [2 + 2 * axis for axis in range(rank)]
        patches = blocks.transpose(0, *grid, *within, blocks.ndim - 1).reshape(batch, -1, fan_in)
        outputs = jnp.dot(patches, kernel.reshape(fan_in, self.features))
        return outputs if bias is None else outputs + bias
