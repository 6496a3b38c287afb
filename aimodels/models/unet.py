"""U-Net, for segmentation.

Ronneberger, Fischer & Brox, "U-Net: convolutional networks for biomedical image segmentation",
MICCAI 2015. Convolutions start from N(0, 2 / N), N being the inputs of one neuron (section 3).
"""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.models.inputs import as_images
from aimodels.modules import Conv, ConvNormActivation, Dropout, max_pool
from aimodels.modules.blocks import divided
from aimodels.modules.resizing import UpConv, middle


class UNet(nn.Module):
    """A contracting and an expanding path, with a map handed over at each size (figure 1).

    >>> UNet()                                   # 31,030,658 parameters, as published, one channel
    >>> UNet(padding="same", batch_norm=True)    # outputs as large as the image
    >>> UNet(base_features=16, num_levels=4)     # a small one

    Parameters: `down_1_conv_1` ... `down_5_conv_2` along the contracting path; `up_4`,
    `up_4_conv_1` ... `up_1_conv_2` along the expanding one; `head`. Sown as intermediates: the maps
    "down_1" ... and "up_4" ... "up_1".

    Attributes:
        num_classes: outputs for each pixel.
        base_features: channels of the first level; each lower one has twice as many.
        num_levels: levels, the lowest included.
        padding: "valid" convolves without padding, so that the outputs are for the middle of the
            image (572x572 -> 388x388; `aimodels.tasks.tiling` covers whole images); "same" pads
            with zeros.
        batch_norm: after each 3x3 convolution, which then has no bias; not in the paper.
        dropout_rate: at the end of the contracting path, after the two lowest levels (section
            3.1, which gives no rate; the authors' Caffe file has 0.5). May be traced.
        initializer: of all kernels, a name of `aimodels.modules.initializers`.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_classes: int = 2
    base_features: int = 64
    num_levels: int = 5
    padding: Literal["valid", "same"] = "valid"
    batch_norm: bool = False
    dropout_rate: float = 0.5
    initializer: str = "he"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, H, W, C] -> [B, H', W', num_classes]; with padding "same" H' is H and W' is W."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        hidden = as_images("UNet", inputs, lengths, self.dtype)
        self._check(hidden.shape)

        def convs(hidden: jax.Array, name: str, features: int) -> jax.Array:
            for number in (1, 2):
                hidden = ConvNormActivation(
                    features,
                    padding=1 if self.padding == "same" else 0,
                    batch_norm=self.batch_norm,
                    initializer=self.initializer,
                    name=f"{name}_conv_{number}",
                    **dtypes,
                )(hidden, train=train)
            return divided(hidden)

        handed: list[jax.Array] = []
        for level in range(1, self.num_levels + 1):
            if level > 1:
                hidden = max_pool(hidden, (2, 2))
            hidden = convs(hidden, f"down_{level}", self.base_features * 2 ** (level - 1))
            self.sow("intermediates", f"down_{level}", hidden)
            if level >= self.num_levels - 1:
                hidden = Dropout(self.dropout_rate)(hidden, deterministic=not train)
            handed.append(hidden)
        for level in range(self.num_levels - 1, 0, -1):
            features = self.base_features * 2 ** (level - 1)
            up = UpConv(features, initializer=self.initializer, name=f"up_{level}", **dtypes)
            hidden = up(hidden)
            beside = middle(handed[level - 1], (hidden.shape[1], hidden.shape[2]))
            hidden = convs(jnp.concatenate([beside, hidden], -1), f"up_{level}", features)
            self.sow("intermediates", f"up_{level}", hidden)
        head = Conv(self.num_classes, (1, 1), initializer=self.initializer, name="head", **dtypes)
        return head(hidden)

    @nn.nowrap
    def margin(self) -> int:
        """How many pixels on each side of the image the outputs leave out."""
        if self.padding == "same":
            return 0
        # Two convolutions lose 2 pixels on each side at every level, down and, but lowest, up.
        lost = sum(4 * 2**level for level in range(self.num_levels - 1))
        return lost + 2 * 2 ** (self.num_levels - 1)

    @nn.nowrap
    def _check(self, shape: tuple[int, ...]) -> None:
        """Refuses images that some pooling could not halve."""
        for axis, size in zip("HW", shape[1:3], strict=True):
            left, fits = size, True
            for level in range(self.num_levels):
                left -= 4 if self.padding == "valid" else 0
                last = level == self.num_levels - 1
                fits = fits and left > 0 and (last or left % 2 == 0)
                left //= 1 if last else 2
            if not fits or size <= 2 * self.margin():
                raise UserError(
                    f"UNet: images have {axis} = {size}, and {self.num_levels} levels with padding"
                    f" {self.padding!r} take {self._sizes_near(size)}"
                )

    @nn.nowrap
    def _sizes_near(self, size: int) -> str:
        step = 2 ** (self.num_levels - 1)
        # What the convolutions above the lowest level take away is no multiple of the step.
        rest = (
            0
            if self.padding == "same"
            else sum(4 * 2**level for level in range(step.bit_length() - 1))
        )
        least = 2 * self.margin() + 1
        least += (rest - least) % step
        below = max(size - (size - rest) % step, least)
        return f"{below}, {below + step} and so on in steps of {step}"
