"""The residual networks of He et al. 2016 for images of 32x32: ResNet-20 to ResNet-110.

He, Zhang, Ren & Sun, "Deep residual learning for image recognition", CVPR 2016, section 4.2.
Kernels start from N(0, 2 / fan_in) (He et al. 2015), as the paper says.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.models.inputs import as_images
from aimodels.modules import ConvNormActivation, Dense, Dropout
from aimodels.modules.blocks import divided


def identity_shortcut(inputs: jax.Array, strides: int, features: int) -> jax.Array:
    """[B, H, W, C] -> [B, ceil(H / strides), ..., features]: "option A", without parameters.

    Every `strides`-th place is taken, and zeros are put behind the channels.
    """
    more = features - inputs.shape[-1]
    return jnp.pad(inputs[:, ::strides, ::strides], ((0, 0), (0, 0), (0, 0), (0, more)))


class CifarResNet(nn.Module):
    """A 3x3 convolution, three stages of (depth - 2) / 6 blocks with 16, 32, 64 channels, a head.

    >>> CifarResNet(depth=20)            # 269,722 parameters; the paper has "0.27M"

    A block is two 3x3 convolutions with norms; the shortcut is option A. Sown as intermediates:
    "stage_1" to "stage_3" [B, H', W', C], and "pooled" [B, C], what the head reads.

    Attributes:
        depth: 6 n + 2: 20, 32, 44, 56, 110 or 1202 in the paper.
        num_classes: outputs.
        width: channels of the first stage.
        zero_init_residual: the last norm of each block starts from 0 (Goyal et al. 2017).
        stochastic_depth_rate: the probability that an example skips the last block; it grows
            linearly over the blocks (Huang et al. 2016: 0.5 at depth 110). May be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    depth: int = 20
    num_classes: int = 10
    width: int = 16
    zero_init_residual: bool = False
    stochastic_depth_rate: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, H, W, C] -> [B, num_classes]."""
        count, rest = divmod(self.depth - 2, 6)
        if rest or count < 1:
            raise UserError(f"depth is {self.depth}; CifarResNet takes 6 n + 2, as 20, 56 or 110.")
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        start = nn.initializers.zeros_init() if self.zero_init_residual else None
        last: dict[str, Any] = {"activation": "identity"} | ({"scale_init": start} if start else {})

        def conv(hidden: jax.Array, name: str, features: int, **fields: Any) -> jax.Array:
            block = ConvNormActivation(features, initializer="he", name=name, **fields, **dtypes)
            return block(hidden, train=train)

        hidden = as_images("CifarResNet", inputs, lengths, self.dtype)
        hidden = conv(hidden, "stem", self.width)
        for stage in (1, 2, 3):
            features = self.width * 2 ** (stage - 1)
            for block in range(count):
                name = f"stage_{stage}_block_{block}"
                strides = 2 if stage > 1 and block == 0 else 1
                rate = self.stochastic_depth_rate * ((stage - 1) * count + block + 1) / (3 * count)
                added = conv(hidden, f"{name}_conv_1", features, strides=strides)
                added = conv(added, f"{name}_conv_2", features, **last)
                added = Dropout(rate, broadcast_dims=(1, 2, 3))(added, deterministic=not train)
                hidden = divided(nn.relu(added + identity_shortcut(hidden, strides, features)))
            self.sow("intermediates", f"stage_{stage}", hidden)
        pooled = hidden.mean(axis=(1, 2))
        self.sow("intermediates", "pooled", pooled)
        return Dense(self.num_classes, initializer="he", name="head", **dtypes)(pooled)
