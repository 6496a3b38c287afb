"""AlexNet in its one-tower form, as torchvision has it.

Krizhevsky, Sutskever & Hinton, "ImageNet classification with deep convolutional neural networks",
NeurIPS 2012; Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014,
which leaves out the response normalisation and the two groups. Parameters start as PyTorch's.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.models.inputs import as_images
from aimodels.modules import ConvNormActivation, Dense, Dropout, adaptive_avg_pool, max_pool
from aimodels.modules.blocks import divided

# Channels, kernel, stride and padding of each convolution, and whether max pooling follows.
LAYERS = (
    (64, 11, 4, 2, True),
    (192, 5, 1, 2, True),
    (384, 3, 1, 1, False),
    (256, 3, 1, 1, False),
    (256, 3, 1, 1, True),
)


class AlexNet(nn.Module):
    """Five convolutions, three poolings and three Dense layers.

    >>> AlexNet()            # 61,100,840 parameters

    Parameters: `conv_1` to `conv_5`, `dense_0`, `dense_1`, `head`. Sown as intermediates:
    "features_1" to "features_5" [B, H', W', C], behind each convolution's ReLU, and "pooled"
    [B, 6, 6, 256].

    Attributes:
        num_classes: outputs.
        dense_features: widths of the hidden Dense layers.
        dropout_rate: before each hidden Dense layer; may be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_classes: int = 1000
    dense_features: tuple[int, ...] = (4096, 4096)
    dropout_rate: float = 0.5
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, H, W, C] -> [B, num_classes]; H and W of 63 at least."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        hidden = as_images("AlexNet", inputs, lengths, self.dtype)
        for index, (features, size, strides, padding, pools) in enumerate(LAYERS, start=1):
            hidden = ConvNormActivation(
                features,
                size,
                strides=strides,
                padding=padding,
                batch_norm=False,
                initializer="torch",
                name=f"conv_{index}",
                **dtypes,
            )(hidden)
            self.sow("intermediates", f"features_{index}", hidden)
            hidden = divided(max_pool(hidden, (3, 3), strides=2) if pools else hidden)
        hidden = adaptive_avg_pool(hidden, (6, 6))
        self.sow("intermediates", "pooled", hidden)
        hidden = hidden.reshape(hidden.shape[0], -1)
        for index, width in enumerate(self.dense_features):
            hidden = Dropout(self.dropout_rate)(hidden, deterministic=not train)
            dense = Dense(width, initializer="torch", name=f"dense_{index}", **dtypes)
            hidden = nn.relu(dense(hidden))
        return Dense(self.num_classes, initializer="torch", name="head", **dtypes)(hidden)
