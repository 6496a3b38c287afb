"""C3D, 3-D convolutions for video.

Tran, Bourdev, Fergus, Torresani & Paluri, "Learning spatiotemporal features with 3D convolutional
networks", ICCV 2015, figure 3. Layers start from N(0, 0.01²), those hidden and Dense from
N(0, 0.005²), as in the authors' Caffe file; biases from 0 rather than from its constants.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.models.inputs import as_clips
from aimodels.modules import Conv, Dense, Dropout, ceil_padding, max_pool
from aimodels.modules.blocks import divided


class C3D(nn.Module):
    """Eight 3x3x3 convolutions, five poolings and two hidden Dense layers.

    >>> C3D()                                    # 79,991,015 parameters, Sports-1M's 487 classes
    >>> C3D(num_classes=101)                     # 78,409,573: "78.4M"
    >>> C3D(11, features=((8,), (16,), (32,)), dense_features=(64,))    # a small one

    Clips have 16 frames of 112x112 in the paper; the Dense layers read whatever size is left. The
    first pooling leaves the time alone, the others halve all three axes, and keep odd places.

    Parameters: `conv_1_1` ..., the second number counting within a stage, `dense_0`, `dense_1`,
    `head`. Sown as intermediates: "stage_1" ..., the maps before each pooling.

    Attributes:
        num_classes: outputs.
        features: channels of the convolutions of each stage.
        dense_features: widths of the hidden Dense layers.
        dropout_rate: behind each hidden Dense layer; may be traced.
        initializer: of all layers, a name of `aimodels.modules.initializers`; "" for the paper's.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_classes: int = 487
    features: tuple[tuple[int, ...], ...] = ((64,), (128,), (256, 256), (512, 512), (512, 512))
    dense_features: tuple[int, ...] = (4096, 4096)
    dropout_rate: float = 0.5
    initializer: str = ""
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, T, H, W, C] -> [B, num_classes]."""
        common: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        hidden = as_clips("C3D", inputs, lengths, self.dtype)

        def start(deviation: float) -> dict[str, Any]:
            if self.initializer:
                return {"initializer": self.initializer}
            return {"kernel_init": nn.initializers.normal(deviation)}

        for stage, channels in enumerate(self.features, start=1):
            for number, features in enumerate(channels, start=1):
                name = f"conv_{stage}_{number}"
                conv = Conv(features, (3, 3, 3), padding=1, name=name, **start(0.01), **common)
                hidden = divided(nn.relu(conv(hidden)))
            self.sow("intermediates", f"stage_{stage}", hidden)
            window = (1 if stage == 1 else min(2, hidden.shape[1]), 2, 2)
            pads = ceil_padding(hidden.shape[1:-1], window, window)
            hidden = max_pool(hidden, window, padding=pads)
        hidden = hidden.reshape(len(hidden), -1)
        for number, features in enumerate(self.dense_features):
            dense = Dense(features, name=f"dense_{number}", **start(0.005), **common)
            hidden = nn.relu(dense(hidden))
            hidden = Dropout(self.dropout_rate)(hidden, deterministic=not train)
        return Dense(self.num_classes, name="head", **start(0.01), **common)(hidden)
