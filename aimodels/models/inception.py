"""Inception-v3, as torchvision has it.

Szegedy, Vanhoucke, Ioffe, Shlens & Wojna, "Rethinking the Inception architecture for computer
vision", CVPR 2016, table 1; where the paper is silent, the authors' published graph. Modules are
called 5b to 7c, as there. Kernels start from N(0, 0.1²). torchvision's weights were trained on
images scaled to [-1, 1].
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.models.inputs import as_images
from aimodels.modules import ConvNormActivation, Dense, Dropout, avg_pool, max_pool
from aimodels.modules.blocks import divided
from aimodels.modules.initializers import torch_uniform

# A convolution: its name, channels, kernel, and where they are not 1 and "VALID", stride and
# padding. A branch: one convolution after the other.
Layer = tuple[str, int, int | tuple[int, int], int, int | tuple[int, int]]
Branch = tuple[Layer, ...]

ROW, COLUMN = (1, 7), (7, 1)
ROW_PAD, COLUMN_PAD = (0, 3), (3, 0)

STEM: tuple[Layer, ...] = (
    ("conv_1a", 32, 3, 2, 0),
    ("conv_2a", 32, 3, 1, 0),
    ("conv_2b", 64, 3, 1, 1),
    ("conv_3b", 80, 1, 1, 0),
    ("conv_4a", 192, 3, 1, 0),
)
POOLED_AFTER = ("conv_2b", "conv_4a")


def module_a(pooled: int) -> tuple[Branch, ...]:
    """5b to 5d, figure 5 of the paper (with one 5x5 left as in the graph)."""
    return (
        (("branch1x1", 64, 1, 1, 0),),
        (("branch5x5_1", 48, 1, 1, 0), ("branch5x5_2", 64, 5, 1, 2)),
        (
            ("branch3x3dbl_1", 64, 1, 1, 0),
            ("branch3x3dbl_2", 96, 3, 1, 1),
            ("branch3x3dbl_3", 96, 3, 1, 1),
        ),
        (("branch_pool", pooled, 1, 1, 0),),
    )


MODULE_B: tuple[Branch, ...] = (  # 6a, a reduction (figure 10)
    (("branch3x3", 384, 3, 2, 0),),
    (
        ("branch3x3dbl_1", 64, 1, 1, 0),
        ("branch3x3dbl_2", 96, 3, 1, 1),
        ("branch3x3dbl_3", 96, 3, 2, 0),
    ),
    (),
)


def module_c(width: int) -> tuple[Branch, ...]:
    """6b to 6e: 7x7 as 1x7 and 7x1 (figure 6)."""
    return (
        (("branch1x1", 192, 1, 1, 0),),
        (
            ("branch7x7_1", width, 1, 1, 0),
            ("branch7x7_2", width, ROW, 1, ROW_PAD),
            ("branch7x7_3", 192, COLUMN, 1, COLUMN_PAD),
        ),
        (
            ("branch7x7dbl_1", width, 1, 1, 0),
            ("branch7x7dbl_2", width, COLUMN, 1, COLUMN_PAD),
            ("branch7x7dbl_3", width, ROW, 1, ROW_PAD),
            ("branch7x7dbl_4", width, COLUMN, 1, COLUMN_PAD),
            ("branch7x7dbl_5", 192, ROW, 1, ROW_PAD),
        ),
        (("branch_pool", 192, 1, 1, 0),),
    )


MODULE_D: tuple[Branch, ...] = (  # 7a, a reduction
    (("branch3x3_1", 192, 1, 1, 0), ("branch3x3_2", 320, 3, 2, 0)),
    (
        ("branch7x7x3_1", 192, 1, 1, 0),
        ("branch7x7x3_2", 192, ROW, 1, ROW_PAD),
        ("branch7x7x3_3", 192, COLUMN, 1, COLUMN_PAD),
        ("branch7x7x3_4", 192, 3, 2, 0),
    ),
    (),
)
# The branches of 7b and 7c; the middle two end in a pair side by side (figure 7).
MODULE_E: tuple[Branch, ...] = (
    (("branch1x1", 320, 1, 1, 0),),
    (("branch3x3_1", 384, 1, 1, 0),),
    (("branch3x3dbl_1", 448, 1, 1, 0), ("branch3x3dbl_2", 384, 3, 1, 1)),
    (("branch_pool", 192, 1, 1, 0),),
)
PAIRS_OF_E = {1: ("branch3x3_2a", "branch3x3_2b"), 2: ("branch3x3dbl_3a", "branch3x3dbl_3b")}

MODULES = {
    "5b": module_a(32),
    "5c": module_a(64),
    "5d": module_a(64),
    "6a": MODULE_B,
    "6b": module_c(128),
    "6c": module_c(160),
    "6d": module_c(160),
    "6e": module_c(192),
    "7a": MODULE_D,
    "7b": MODULE_E,
    "7c": MODULE_E,
}


class InceptionModule(nn.Module):
    """Branches side by side; the last one begins with pooling.

    Attributes:
        branches: see `MODULES`; an empty one is the pooling of a reduction, with stride 2.
        pairs: the branches that end in a 1x3 and a 3x1 convolution side by side, and their names.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    branches: tuple[Branch, ...]
    pairs: Any
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """[B, H, W, C] -> [B, H', W', the sum of the branches' channels]."""
        outputs = []
        for index, branch in enumerate(self.branches):
            hidden = inputs
            if index == len(self.branches) - 1:
                if branch:
                    hidden = avg_pool(hidden, (3, 3), strides=1, padding=1)
                else:
                    hidden = max_pool(hidden, (3, 3), strides=2)
            for layer in branch:
                hidden = convolution(self, layer)(hidden, train=train)
            if index in self.pairs:
                row, column = self.pairs[index]
                row = convolution(self, (row, 384, (1, 3), 1, (0, 1)))
                column = convolution(self, (column, 384, (3, 1), 1, (1, 0)))
                outputs += [row(hidden, train=train), column(hidden, train=train)]
            else:
                outputs.append(hidden)
        return jnp.concatenate(outputs, axis=-1)


def convolution(owner: Any, layer: Layer, deviation: float = 0.1) -> ConvNormActivation:
    """The convolution, its norm and its ReLU, in the dtypes of the module that has it."""
    name, features, size, strides, padding = layer
    return ConvNormActivation(
        features,
        size,
        strides=strides,
        padding=padding,
        epsilon=1e-3,
        kernel_init=nn.initializers.normal(deviation),
        dtype=owner.dtype,
        param_dtype=owner.param_dtype,
        name=name,
    )


class AuxiliaryHead(nn.Module):
    """Logits from behind module 6e, for the loss in training: [B, H, W, 768] -> [B, V].

    Attributes:
        num_classes: V.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_classes: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """[B, H, W, C] -> [B, num_classes]; H and W of 17 at least."""
        hidden = avg_pool(inputs, (5, 5), strides=3)
        hidden = convolution(self, ("conv_0", 128, 1, 1, 0))(hidden, train=train)
        hidden = convolution(self, ("conv_1", 768, 5, 1, 0), 0.01)(hidden, train=train)
        return Dense(
            self.num_classes,
            kernel_init=nn.initializers.normal(0.001),
            bias_init=torch_uniform(768),
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="head",
        )(hidden.mean(axis=(1, 2)))


class InceptionV3(nn.Module):
    """Five convolutions and eleven Inception modules, for images of 299x299.

    >>> InceptionV3()                              # 27,161,264 parameters, auxiliary head included
    >>> InceptionV3(auxiliary_head=False)          # 23,834,568

    Parameters: `conv_1a` to `conv_4a`, `module_5b` to `module_7c`, `auxiliary`, `head`. Sown as
    intermediates: "mixed_5b" to "mixed_7c", and "pooled" [B, 2048]. In training the logits
    [B, num_classes] of the auxiliary head are sown into the collection "auxiliary_outputs" if it
    is mutable, as "logits"; tasks add their loss.

    Attributes:
        num_classes: outputs.
        auxiliary_head: have it; in training it needs images of 299x299 or nearly.
        auxiliary_weight: how often its loss counts; 0.4 in torchvision's recipe.
        dropout_rate: before the head; may be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_classes: int = 1000
    auxiliary_head: bool = True
    auxiliary_weight: float = 0.4
    dropout_rate: float = 0.5
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, H, W, C] -> [B, num_classes]; H and W of 75 at least."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        hidden = as_images("InceptionV3", inputs, lengths, self.dtype)
        for layer in STEM:
            hidden = convolution(self, layer)(hidden, train=train)
            if layer[0] in POOLED_AFTER:
                hidden = max_pool(hidden, (3, 3), strides=2)
        for module, branches in MODULES.items():
            name, pairs = f"module_{module}", PAIRS_OF_E if branches is MODULE_E else {}
            hidden = InceptionModule(branches, pairs, name=name, **dtypes)(hidden, train=train)
            hidden = divided(hidden)
            self.sow("intermediates", f"mixed_{module}", hidden)
            if module == "6e" and self.auxiliary_head:
                self._auxiliary(hidden, train=train)
        pooled = hidden.mean(axis=(1, 2))
        self.sow("intermediates", "pooled", pooled)
        pooled = Dropout(self.dropout_rate)(pooled, deterministic=not train)
        return Dense(
            self.num_classes,
            kernel_init=nn.initializers.normal(0.1),
            bias_init=torch_uniform(2048),
            name="head",
            **dtypes,
        )(pooled)

    def _auxiliary(self, hidden: jax.Array, *, train: bool) -> None:
        """In training, sow the logits of the auxiliary head; at initialisation make its parameters.

        At initialisation a map of the smallest size stands in, so that images may be smaller.
        """
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        head = AuxiliaryHead(self.num_classes, name="auxiliary", **dtypes)
        if self.is_initializing():
            head(jnp.zeros((1, 17, 17, hidden.shape[-1]), hidden.dtype), train=False)
        elif train:
            self.sow("auxiliary_outputs", "logits", head(hidden, train=True))
