"""LeNet-5 as it was published, with 60,000 trainable parameters.

LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 1998, section II.B, table I and appendix A. What is called LeNet-5 today
(every map of C3 sees all of S2, no weights in pooling, a softmax) is
`CNN((6, 16), 10, kernel_sizes=5, padding=(2, 0), activation="tanh", pooling="average",
dense_features=(120, 84))`, with 61,706.
"""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.dtypes import promote_dtype

from aimodels.errors import UserError
from aimodels.models.inputs import as_images
from aimodels.modules import Conv, Dense, avg_pool
from aimodels.modules.direct_convolution import direct_convolution
from aimodels.modules.initializers import Initializer, uniform

# Table I: the maps of S2 that each of the 16 maps of C3 sees; 60 connections in all.
CONNECTIONS = (
    *((n, (n + 1) % 6, (n + 2) % 6) for n in range(6)),
    *((n, (n + 1) % 6, (n + 2) % 6, (n + 3) % 6) for n in range(6)),
    *((n, (n + 1) % 6, (n + 3) % 6, (n + 4) % 6) for n in range(3)),
    (0, 1, 2, 3, 4, 5),
)


def squash(inputs: jax.Array) -> jax.Array:
    """1.7159 tanh(2 x / 3): f(±1) = ±1 (appendix A)."""
    return 1.7159 * jnp.tanh(inputs * (2 / 3))


def _start(fan_in: int) -> Initializer:
    """U(±2.4 / F), F being the inputs of a unit (appendix A)."""
    return uniform(2.4 / fan_in)


class Subsampling(nn.Module):
    """The sum over 2x2 places, times a coefficient, plus a bias: one of each for a map.

    The coefficient starts around the mean's, 1/4 for the sum; the paper doesn't say.
    """

    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """[B, H, W, C] -> [B, H / 2, W / 2, C]."""
        channels = inputs.shape[-1:]
        scale = self.param("scale", nn.initializers.constant(0.25), channels, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros_init(), channels, self.param_dtype)
        inputs, scale, bias = promote_dtype(inputs, scale, bias, dtype=self.dtype)
        return avg_pool(inputs, (2, 2)) * 4 * scale + bias


class SparseConv(nn.Module):
    """C3: a 5x5 convolution whose outputs see some of the inputs only.

    Parameters: kernel [5, 5, 60], one window for each connection of the table; bias [16].
    """

    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """[B, H, W, 6] -> [B, H - 4, W - 4, 16]."""
        seen = np.array([source for sources in CONNECTIONS for source in sources])
        seeing = np.repeat(np.arange(16), [len(sources) for sources in CONNECTIONS])
        fans = np.array([25 * len(CONNECTIONS[target]) for target in seeing])

        def initialize(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
            return uniform(1.0)(key, shape, dtype) * (2.4 / fans).astype(dtype)

        windows = self.param("kernel", initialize, (5, 5, len(seen)), self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros_init(), (16,), self.param_dtype)
        inputs, windows, bias = promote_dtype(inputs, windows, bias, dtype=self.dtype)
        kernel = jnp.zeros((5, 5, 6, 16), windows.dtype).at[:, :, seen, seeing].set(windows)
        pads = ((0, 0), (0, 0))
        outputs = direct_convolution(inputs, kernel, strides=(1, 1), pads=pads, dilation=(1, 1))
        return outputs + bias


def codes(num_classes: int) -> np.ndarray:
    """The ±1 vectors [num_classes, 84] that the output layer compares F6 with; never trained.

    The paper draws each digit on a bitmap of 7x12 and says that random signs would do; these are
    random, and always the same.
    """
    return np.random.default_rng(1998).choice([-1.0, 1.0], (num_classes, 84)).astype(np.float32)


class LeNet5(nn.Module):
    """C1, S2, C3, S4, C5, F6 and an output layer, for images of 32x32 with one channel.

    >>> LeNet5()                       # 60,000 parameters
    >>> LeNet5(readout="dense")        # 60,850: a Dense layer in place of the 840 fixed codes

    Images of 28x28 get 2 zeros around them. Kernels start from U(±2.4 / fan_in). Sown as
    intermediates: the states "c1_state", "s2_state", "c3_state", "s4_state" [B, H', W', C],
    "c5_state" [B, 120] and "f6_state" [B, 84].

    Attributes:
        num_classes: outputs.
        readout: "rbf": minus the squared distance of F6 from the class's code (equation 7), which
            as logits makes the paper's discriminative loss (equation 9) without its constant;
            "dense": a Dense layer.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_classes: int = 10
    readout: Literal["rbf", "dense"] = "rbf"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, 32, 32, 1], or 28x28, or without channels -> [B, num_classes]."""
        del train
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        images = as_images("LeNet5", inputs, lengths, self.dtype)
        if images.shape[1:] not in ((32, 32, 1), (28, 28, 1)):
            raise UserError(
                f"LeNet5 takes images of [32, 32, 1] or [28, 28, 1]; inputs are {inputs.shape}."
            )
        around = (32 - images.shape[1]) // 2

        def keep(name: str, hidden: jax.Array) -> jax.Array:
            self.sow("intermediates", f"{name}_state", hidden)
            return hidden

        first = Conv(
            6, kernel_size=(5, 5), padding=around, kernel_init=_start(25), name="c1", **dtypes
        )
        hidden = keep("c1", squash(first(images)))
        hidden = keep("s2", squash(Subsampling(name="s2", **dtypes)(hidden)))
        hidden = keep("c3", squash(SparseConv(name="c3", **dtypes)(hidden)))
        hidden = keep("s4", squash(Subsampling(name="s4", **dtypes)(hidden)))
        # C5 is a convolution whose window is the whole map of 5x5.
        hidden = hidden.reshape(hidden.shape[0], -1)
        hidden = keep(
            "c5", squash(Dense(120, kernel_init=_start(400), name="c5", **dtypes)(hidden))
        )
        hidden = keep("f6", squash(Dense(84, kernel_init=_start(120), name="f6", **dtypes)(hidden)))
        if self.readout == "dense":
            return Dense(self.num_classes, kernel_init=_start(84), name="head", **dtypes)(hidden)
        difference = hidden[:, None] - jnp.asarray(codes(self.num_classes), hidden.dtype)
        return -jnp.square(difference).sum(-1)
