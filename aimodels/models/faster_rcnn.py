"""What of Faster R-CNN with a feature pyramid stands on any backbone.

Its way: backbone -> `FeaturePyramid` -> `ProposalHead` -> `propose` -> `multiscale_roi_align` ->
`BoxHead` -> `detect`. Shapes: B batch, H W image, C channels, N anchors of all levels, R regions,
P Q a region's rows and columns, V classes.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from aimodels.modules import Conv, Dense
from aimodels.modules.box_coding import decode_boxes
from aimodels.modules.boxes import clip_boxes, large_enough
from aimodels.modules.suppression import non_maximum_suppression


class FeaturePyramid(nn.Module):
    """Feature pyramid (Lin et al. 2017, section 3): maps of several strides, all with one width.

    From the coarsest map on, each is brought to `features` channels by a 1x1 convolution, the
    coarser result, enlarged, is added, and a 3x3 convolution gives the level's output.

    Attributes:
      features: channels of all levels.
      extra_level: one more, every second place of the coarsest (the paper's P6, for the anchors of
        512 pixels).
      initializer: of all kernels; "lecun" has the variance of torchvision's U(±√(3 / fan_in)).
      dtype: of the computation.
      param_dtype: of the parameters.
    """

    features: int = 256
    extra_level: bool = True
    initializer: str = "lecun"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, maps: Sequence[jax.Array]) -> list[jax.Array]:
        """Maps [B, H, W, C] with sizes falling -> as many [B, H, W, features], or one more."""
        given = {
            "initializer": self.initializer,
            "dtype": self.dtype,
            "param_dtype": self.param_dtype,
        }
        levels, coarser = [], None
        for number in reversed(range(len(maps))):
            inner = Conv(self.features, (1, 1), name=f"inner_{number}", **given)(maps[number])
            if coarser is not None:
                inner = inner + _enlarged(coarser, inner.shape[1:3])
            coarser = inner
            outer = Conv(self.features, (3, 3), padding=1, name=f"outer_{number}", **given)
            levels.insert(0, outer(inner))
        return [*levels, levels[-1][:, ::2, ::2]] if self.extra_level else levels


def _enlarged(values: jax.Array, size: Sequence[int]) -> jax.Array:
    """Each place of [B, H', W', C] repeated, to [B, *size, C]; sizes need not be multiples."""
    rows, columns = (
        jnp.arange(new) * old // new for new, old in zip(size, values.shape[1:3], strict=True)
    )
    return values[:, rows][:, :, columns]


class ProposalHead(nn.Module):
    """The region proposal network's head, the same on every level: Ren et al. 2015, section 3.1.

    Attributes:
      anchors_per_place: how many boxes each place speaks of.
      dtype: of the computation.
      param_dtype: of the parameters.
    """

    anchors_per_place: int = 3
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, levels: Sequence[jax.Array]) -> tuple[jax.Array, jax.Array]:
        """Maps [B, H, W, C] -> logits of "there is an object" [B, N], and codes [B, N, 4]."""
        given = {
            "kernel_init": nn.initializers.normal(0.01),
            "dtype": self.dtype,
            "param_dtype": self.param_dtype,
        }
        width = levels[0].shape[-1]
        conv = Conv(width, (3, 3), padding=1, name="conv", **given)
        objects = Conv(self.anchors_per_place, (1, 1), name="objects", **given)
        boxes = Conv(4 * self.anchors_per_place, (1, 1), name="boxes", **given)
        logits, codes = [], []
        for features in levels:
            hidden = nn.relu(conv(features))
            logits.append(objects(hidden).reshape(len(hidden), -1))
            codes.append(boxes(hidden).reshape(len(hidden), -1, 4))
        return jnp.concatenate(logits, 1), jnp.concatenate(codes, 1)


@flax.struct.dataclass
class Proposals:
    """Regions that may have an object.

    Attributes:
      boxes: [B, R, 4], 0 where there is none.
      mask: [B, R].
    """

    boxes: jax.Array
    mask: jax.Array


def propose(
    logits: jax.Array,
    codes: jax.Array,
    anchors: jax.Array,
    *,
    level_sizes: Sequence[int],
    image_size: jax.Array | tuple[int, int],
    candidates: int = 1000,
    max_proposals: int = 1000,
    threshold: float = 0.7,
    smallest: float = 1e-3,
) -> Proposals:
    """The best boxes of each level, cut off at the border, after suppression within their level.

    Ren et al. 2015, section 3.3, with a pyramid as in Lin et al. 2017, section 4.1. They have no
    gradient: the box head takes them as they are.

    Args:
        logits: [B, N].
        codes: [B, N, 4].
        anchors: [N, 4].
        level_sizes: how many of the N belong to each level.
        image_size: (H, W), or [B, 2].
        candidates: of a level that go into suppression (training: 2000).
        max_proposals: R, over all levels (training: 2000).
        threshold: of IoU.
        smallest: the least side, in pixels.
    """
    logits, codes = jax.lax.stop_gradient((logits, codes))
    scores, boxes, levels, begin = [], [], [], 0
    for level, size in enumerate(level_sizes):
        part = slice(begin, begin + size)
        best, index = jax.lax.top_k(logits[:, part], min(candidates, size))
        chosen = jnp.take_along_axis(codes[:, part], index[..., None], 1)
        scores.append(best)
        boxes.append(decode_boxes(chosen, jnp.asarray(anchors[part])[index]))
        levels.append(jnp.full(best.shape, level))
        begin += size
    of_all = clip_boxes(jnp.concatenate(boxes, 1), image_size)
    kept = non_maximum_suppression(
        of_all,
        jnp.concatenate(scores, 1),
        threshold=threshold,
        mask=large_enough(of_all, smallest),
        classes=jnp.concatenate(levels, 1),
        max_outputs=max_proposals,
    )
    chosen = jnp.take_along_axis(of_all, kept.index[..., None], 1)
    return Proposals(boxes=jnp.where(kept.mask[..., None], chosen, 0), mask=kept.mask)


class BoxHead(nn.Module):
    """Two Dense layers, then classes and a box for each of them: Lin et al. 2017, section 4.2.

    Attributes:
      num_classes: V, class 0 being the background.
      hidden_features: of both layers.
      initializer: of their kernels.
      dtype: of the computation.
      param_dtype: of the parameters.
    """

    num_classes: int
    hidden_features: int = 1024
    initializer: str = "lecun"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, regions: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Features [B, R, P, Q, C] -> logits [B, R, V] and codes [B, R, V, 4]."""
        given = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        hidden = regions.reshape(*regions.shape[:2], -1)
        for name in ("dense_0", "dense_1"):
            layer = Dense(self.hidden_features, initializer=self.initializer, name=name, **given)
            hidden = nn.relu(layer(hidden))
        # Girshick 2015, section 4.1.
        init = nn.initializers.normal(0.01)
        logits = Dense(self.num_classes, kernel_init=init, name="classes", **given)(hidden)
        init = nn.initializers.normal(0.001)
        codes = Dense(4 * self.num_classes, kernel_init=init, name="boxes", **given)(hidden)
        return logits, codes.reshape(*codes.shape[:2], self.num_classes, 4)
