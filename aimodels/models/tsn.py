"""Temporal segment networks: Wang, Xiong, Wang, Qiao, Lin, Tang & Van Gool, ECCV 2016.

A network for images scores a snippet out of each of K equal segments of a video; a consensus of the
scores is the video's. The snippets are cut out by the transform `segment_snippets`, at random
places in training. The paper's network is BN-Inception; here it is a ResNet. (Its freezing of all
norms but the first is not done.)

Letters: B batch, K segments, L frames of a snippet, H W image, C channels, V classes.
"""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.models.inputs import fixed_size
from aimodels.models.resnet import ResNetBackbone
from aimodels.modules import Dense, Dropout


class TSN(nn.Module):
    """One network of images for all snippets, and the consensus of what it says of them.

    >>> TSN(num_classes=101, depth=50)           # 23,714,981 parameters

    Parameters: `backbone`, a `ResNetBackbone`; `head`; `weights` [K] of the weighted consensus.
    Sown as intermediates: "pooled" [B, K, C] and "snippet_scores" [B, K, V].

    Attributes:
        num_classes: V.
        depth: of the ResNet.
        width: channels of the ResNet's first stage; 64 is the published one.
        stem: of the ResNet: "imagenet", or "cifar" for small images.
        modality: "rgb": a snippet is one frame (several are stacked along the channels);
            "rgb_difference": it is the L - 1 differences of successive frames, stacked (section
            3.2, figure 2).
        consensus: of the scores before the softmax: "average" (the paper's best, table 3),
            "maximum", or "weighted", with weights that are learned and sum to one.
        dropout_rate: before the head; may be traced. The paper has 0.8 for RGB, 0.7 else.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_classes: int = 101
    depth: int = 50
    width: int = 64
    stem: Literal["imagenet", "cifar"] = "imagenet"
    modality: Literal["rgb", "rgb_difference"] = "rgb"
    consensus: Literal["average", "maximum", "weighted"] = "average"
    dropout_rate: float = 0.8
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, K, L, H, W, C] -> [B, V]."""
        snippets = fixed_size("TSN", inputs, lengths)
        if snippets.ndim != 6:
            raise UserError(
                f"TSN takes snippets [B, K, L, H, W, C], got {snippets.shape}; put the transform "
                "segment_snippets behind clips [B, T, H, W, C]"
            )
        snippets = snippets.astype(self.dtype)
        if self.modality == "rgb_difference":
            if snippets.shape[2] < 2:
                raise UserError(
                    "TSN: a snippet of one frame has no differences; set the frames of "
                    "segment_snippets to 2 or more, 6 in the paper"
                )
            snippets = jnp.diff(snippets, axis=2)
        B, K, L, H, W, C = snippets.shape
        # [B K, H, W, L C]: the frames of a snippet one behind the other along the channels.
        images = jnp.moveaxis(snippets.reshape(B * K, L, H, W, C), 1, 3).reshape(B * K, H, W, L * C)
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        backbone = ResNetBackbone(
            self.depth, stem=self.stem, width=self.width, name="backbone", **dtypes
        )
        pooled = backbone(images, train=train)["c5"].mean((1, 2))
        self.sow("intermediates", "pooled", pooled.reshape(B, K, -1))
        pooled = Dropout(self.dropout_rate)(pooled, deterministic=not train)
        normal = nn.initializers.normal(0.001)
        head = Dense(self.num_classes, kernel_init=normal, name="head", **dtypes)
        scores = head(pooled).reshape(B, K, self.num_classes)
        self.sow("intermediates", "snippet_scores", scores)
        if self.consensus == "maximum":
            return scores.max(1)
        if self.consensus == "weighted":
            weights = self.param("weights", nn.initializers.zeros_init(), (K,), self.param_dtype)
            return jnp.einsum("k,bkv->bv", jax.nn.softmax(weights).astype(self.dtype), scores)
        return scores.mean(1)
