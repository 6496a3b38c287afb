"""YOLOv1: detection as one regression from the whole image."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.models.inputs import fixed_size
from aimodels.modules import Conv, Dense, Dropout, max_pool
from aimodels.modules.blocks import divided

# Redmon et al. 2016, figure 3: channels, window, stride; or a 2x2 max-pooling.
POOL = "pool"
LAYERS: tuple[tuple[int, int, int] | str, ...] = (
    (64, 7, 2),
    POOL,
    (192, 3, 1),
    POOL,
    *((128, 1, 1), (256, 3, 1), (256, 1, 1), (512, 3, 1)),
    POOL,
    *((256, 1, 1), (512, 3, 1)) * 4,
    *((512, 1, 1), (1024, 3, 1)),
    POOL,
    *((512, 1, 1), (1024, 3, 1)) * 2,
    *((1024, 3, 1), (1024, 3, 2), (1024, 3, 1), (1024, 3, 1)),
)


class YOLOv1(nn.Module):
    """YOLO (Redmon et al. 2016, figure 3): 24 convolutions and two Dense layers.

    Inputs of the paper are [B, 448, 448, 3]; the grid is a 64th of them. For 20 classes and two
    boxes a cell it has 271,703,550 parameters: figure 3 counted by hand, without norms, of which
    the paper has none. Sown as intermediates: "stage_1" to "stage_5", before each pooling and at
    the end of the convolutions, and "hidden", what the last layer sees.

    Attributes:
      num_classes: V.
      boxes_per_cell: A.
      hidden_features: of the first Dense layer.
      dropout_rate: behind it.
      initializer: of all kernels.
      dtype: of the computation.
      param_dtype: of the parameters.
    """

    num_classes: int
    boxes_per_cell: int = 2
    hidden_features: int = 4096
    dropout_rate: float = 0.5
    initializer: str = "he"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, 64 S, 64 S, 3] -> [B, S, S, A · 5 + V], see `aimodels.tasks.yolo_losses`."""
        inputs = fixed_size("YOLOv1", inputs, lengths)
        if inputs.ndim != 4 or inputs.shape[1] != inputs.shape[2] or inputs.shape[1] < 64:
            raise UserError(
                f"YOLOv1 takes square images [B, H, H, C] of 64 pixels or more, got {inputs.shape}"
            )
        given = {
            "initializer": self.initializer,
            "dtype": self.dtype,
            "param_dtype": self.param_dtype,
        }
        hidden, number, stage = inputs.astype(self.dtype), 0, 1
        for layer in LAYERS:
            if isinstance(layer, str):
                self.sow("intermediates", f"stage_{stage}", hidden)
                stage += 1
                hidden = max_pool(hidden, (2, 2))
                continue
            channels, size, stride = layer
            conv = Conv(
                channels,
                (size, size),
                strides=stride,
                padding=size // 2,
                name=f"conv_{number}",
                **given,
            )
            hidden = divided(nn.leaky_relu(conv(hidden), 0.1))
            number += 1
        self.sow("intermediates", f"stage_{stage}", hidden)
        rows, columns = hidden.shape[1:3]
        hidden = hidden.reshape(len(hidden), -1)
        hidden = nn.leaky_relu(Dense(self.hidden_features, name="dense", **given)(hidden), 0.1)
        hidden = Dropout(self.dropout_rate)(hidden, deterministic=not train)
        self.sow("intermediates", "hidden", hidden)
        outputs = self.boxes_per_cell * 5 + self.num_classes
        hidden = Dense(rows * columns * outputs, name="head", **given)(hidden)
        return hidden.reshape(-1, rows, columns, outputs)
