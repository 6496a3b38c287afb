"""Vision transformers: patches, a class token or the mean, learned positions, pre-norm blocks.

Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021, table 1 (B and L); Touvron et al.,
"Training data-efficient image transformers", ICML 2021, table 1 (Ti and S). The epsilon of norms is
torchvision's, 1e-6. Parameters start as in the first paper's code: Glorot's uniform in the blocks,
LeCun's normal for patches, N(0, 0.02²) for positions, zeros for the class token, the biases (there
N(0, 1e-6²) in the feed-forward) and the head.
"""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import unknown
from aimodels.models.inputs import as_images
from aimodels.modules import Dense, Dropout, PatchEmbedding
from aimodels.modules.positions import LearnedPositions
from aimodels.modules.transformer import Transformer, TransformerBlock

# Name -> width D, blocks, heads N. The feed-forward is 4 D wide.
SIZES: dict[str, tuple[int, int, int]] = {
    "Ti": (192, 12, 3),
    "S": (384, 12, 6),
    "B": (768, 12, 12),
    "L": (1024, 24, 16),
}


class VisionTransformer(nn.Module):
    """ViT-Ti, S, B and L.

    >>> VisionTransformer(size="B", patch_size=16)      # ViT-B/16: 86,567,656 parameters at 224x224
    >>> VisionTransformer(10, width=64, num_layers=6, num_heads=4, patch_size=4)   # for 32x32

    Parameters: `embedding`, `class_token` [D], `positions` [T, D], `encoder`, `head`. Sown as
    intermediates: "tokens" [B, T, D], what the encoder reads; "encoded" [B, T, D]; "pooled"
    [B, D], what the head reads; and the weights of each block's attention.

    Attributes:
        num_classes: outputs.
        size: "Ti", "S", "B" or "L": what the next three are unless they are given.
        width: D.
        num_layers: blocks.
        num_heads: N.
        mlp_width: of the feed-forward; 4 D when None.
        patch_size: 16 and 32 in the paper.
        readout: "class_token", a learned token put in front; or "mean" of the tokens.
        dropout_rate: on embeddings, in the feed-forward, and on what each sublayer adds; 0.1 in
            the paper's training from scratch on ImageNet. May be traced.
        attention_dropout_rate: on attention weights; may be traced.
        stochastic_depth_rate: the probability that an example skips what a sublayer of the last
            block adds; it grows linearly over the blocks (Huang et al. 2016; 0.1 in DeiT's
            recipe for S and B). May be traced.
        attention_implementation: see `MultiHeadAttention`.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_classes: int = 1000
    size: Literal["Ti", "S", "B", "L"] = "B"
    width: int | None = None
    num_layers: int | None = None
    num_heads: int | None = None
    mlp_width: int | None = None
    patch_size: int = 16
    readout: Literal["class_token", "mean"] = "class_token"
    dropout_rate: float = 0.0
    attention_dropout_rate: float = 0.0
    stochastic_depth_rate: float = 0.0
    attention_implementation: str = "direct"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, H, W, C] -> [B, num_classes]; H and W are multiples of the patch, always the same."""
        if self.size not in SIZES:
            raise unknown("size of VisionTransformer", self.size, SIZES)
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        defaults = SIZES[self.size]
        width = self.width or defaults[0]
        images = as_images("VisionTransformer", inputs, lengths, self.dtype)
        tokens = PatchEmbedding(width, self.patch_size, name="embedding", **dtypes)(images)
        if self.readout == "class_token":
            token = self.param(
                "class_token", nn.initializers.zeros_init(), (width,), self.param_dtype
            )
            token = jnp.broadcast_to(token.astype(self.dtype), (tokens.shape[0], 1, width))
            tokens = jnp.concatenate([token, tokens], axis=1)
        tokens = LearnedPositions(tokens.shape[1], name="positions", **dtypes)(tokens)
        self.sow("intermediates", "tokens", tokens)
        tokens = Dropout(self.dropout_rate)(tokens, deterministic=not train)
        block = TransformerBlock(
            implementation=self.attention_implementation,
            num_heads=self.num_heads or defaults[2],
            width=width,
            mlp_width=self.mlp_width,
            norm_position="pre",
            epsilon=1e-6,
            activation="gelu",
            dropout_rate=self.dropout_rate,
            attention_dropout_rate=self.attention_dropout_rate,
            initializer="glorot",
            parent=None,
            **dtypes,
        )
        encoder = Transformer(
            self.num_layers or defaults[1], block, self.stochastic_depth_rate, name="encoder"
        )
        hidden = encoder(tokens, train=train)
        self.sow("intermediates", "encoded", hidden)
        pooled = hidden[:, 0] if self.readout == "class_token" else hidden.mean(axis=1)
        self.sow("intermediates", "pooled", pooled)
        return Dense(self.num_classes, initializer="zeros", name="head", **dtypes)(pooled)
