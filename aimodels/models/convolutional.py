"""Small convolutional networks for signals, images and volumes."""

import math
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.models.inputs import fixed_size, with_channels
from aimodels.modules import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Identity,
    activation,
    avg_pool,
    max_pool,
)
from aimodels.modules.blocks import divided

Window = int | tuple[int, ...]


class CNN(nn.Module):
    """Layers of convolution, activation and pooling; then Dense layers.

    >>> CNN((25, 25, 25), 10, kernel_sizes=(5, 3, 3), strides=2, padding=1)     # MNIST-1D's: 5,210
    >>> CNN((6, 16), 10, kernel_sizes=5, padding=(2, 0), activation="tanh", pooling="average",
    ...     dense_features=(120, 84))                                          # LeNet-5: 61,706
    >>> CNN((32, 64), 10, pooling="max", dense_features=(128,), dropout_rate=0.5)

    A field that says "a layer each" takes one value for all layers or a tuple with one for each;
    in either, a number stands for all axes and a tuple gives each axis its own.

    Inputs are [B, *S, C], S being one axis (signals), two (images) or three (volumes). How many is
    read off the inputs: [B, T] is a signal of one channel, [B, T, C], [B, H, W, C] and
    [B, T, H, W, C] are what they are. Images without channels [B, H, W] need spatial_axes=2.

    What each activation function gives is the output of the module `features_<layer>`, and behind
    hidden Dense layers of `dense_features_<layer>`.

    Attributes:
        features: channels of each convolution.
        num_classes: outputs; 1 for the regression of a number.
        kernel_sizes: a layer each.
        strides: of the convolutions, a layer each.
        padding: of the convolutions, a layer each: "SAME", "VALID", or zeros on both sides.
        activation: after each convolution and hidden Dense layer.
        batch_norm: before each of the convolutions' activations; their biases are then left out.
        pooling: after each activation: "none", "max" or "average".
        pool_sizes: windows and strides of pooling, a layer each; 1 is no pooling there.
        readout: "flatten", or "mean" over space (global average pooling).
        dense_features: widths of hidden Dense layers between readout and outputs.
        dropout_rate: before each Dense layer; may be traced.
        spatial_axes: how many axes S has; None reads it off the inputs.
        initializer: a name of `aimodels.modules.initializers`.
        implementation: of the convolutions, see `aimodels.modules.Conv`.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: tuple[int, ...]
    num_classes: int
    kernel_sizes: int | tuple[int | tuple[int, ...], ...] = 3
    strides: int | tuple[int | tuple[int, ...], ...] = 1
    padding: str | int | tuple[str | int | tuple[int, ...], ...] = "SAME"
    activation: str = "relu"
    batch_norm: bool = False
    pooling: Literal["none", "max", "average"] = "none"
    pool_sizes: int | tuple[int | tuple[int, ...], ...] = 2
    readout: Literal["flatten", "mean"] = "flatten"
    dense_features: tuple[int, ...] = ()
    dropout_rate: float = 0.0
    spatial_axes: int | None = None
    initializer: str = "lecun"
    implementation: str = "auto"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, *S, C] or [B, *S] -> [B, num_classes]."""
        inputs = fixed_size("CNN", inputs, lengths)
        axes = self.spatial_axes or max(inputs.ndim - 2, 1)
        hidden = with_channels(inputs, axes).astype(self.dtype)
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        function = activation(self.activation)
        pool = {"max": max_pool, "average": avg_pool, "none": None}[self.pooling]
        kernel_sizes = self._each("kernel_sizes")
        strides, padding = self._each("strides"), self._each("padding")
        pool_sizes = self._each("pool_sizes")

        for index, channels in enumerate(self.features):
            hidden = Conv(
                channels,
                kernel_size=_window(kernel_sizes[index], axes),
                strides=strides[index],
                padding=padding[index],
                use_bias=not self.batch_norm,
                initializer=self.initializer,
                implementation=self.implementation,
                name=f"conv_{index}",
                **dtypes,
            )(hidden)
            if self.batch_norm:
                norm = BatchNorm(name=f"norm_{index}", **dtypes)
                hidden = norm(hidden, use_running_average=not train)
            hidden = Identity(name=f"features_{index}")(function(hidden))
            window = _window(pool_sizes[index], axes)
            if pool is not None and math.prod(window) > 1:
                hidden = pool(hidden, window)
            hidden = divided(hidden)

        if self.readout == "mean":
            hidden = hidden.mean(axis=tuple(range(1, axes + 1)))
        hidden = hidden.reshape(hidden.shape[0], -1)
        for index, width in enumerate((*self.dense_features, self.num_classes)):
            is_last = index == len(self.dense_features)
            hidden = Dropout(self.dropout_rate)(hidden, deterministic=not train)
            hidden = Dense(
                width,
                initializer=self.initializer,
                name="head" if is_last else f"dense_{index}",
                **dtypes,
            )(hidden)
            if not is_last:
                hidden = Identity(name=f"dense_features_{index}")(function(hidden))
        return hidden

    @nn.nowrap
    def _each(self, field: str) -> tuple[Any, ...]:
        """The field's value for each convolution."""
        value, layers = getattr(self, field), len(self.features)
        if not isinstance(value, tuple | list):
            return (value,) * layers
        if len(value) != layers:
            raise UserError(
                f"CNN.{field} is {value!r}; it takes one value, or one for each of the {layers}"
                " features."
            )
        return tuple(value)


def _window(size: Window, axes: int) -> tuple[int, ...]:
    return (size,) * axes if isinstance(size, int) else tuple(size)
