"""Faster R-CNN with a feature pyramid as one model, from images to what a loss or a picture needs.

Its parts are in `aimodels.models.faster_rcnn`. Shapes: B images, N anchors of all levels, M true
boxes of an image (padded), R regions, V classes with the background.
"""

import math
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from aimodels.errors import UserError
from aimodels.models.backbones import make_backbone
from aimodels.models.faster_rcnn import BoxHead, FeaturePyramid, ProposalHead, propose
from aimodels.models.inputs import as_images
from aimodels.modules.anchors import grid_anchors
from aimodels.modules.boxes import pairwise_iou
from aimodels.modules.matching import IGNORED, Samples, match_by_thresholds, sample
from aimodels.modules.roi_align import multiscale_roi_align

STRIDES = {"c2": 4, "c3": 8, "c4": 16, "c5": 32}


@flax.struct.dataclass
class FasterRCNNTargets:
    """What a training step learns from; see `aimodels.modules.matching`.

    Attributes:
      anchor_matches: [B, N].
      anchors: those that count, [B, S].
      region_matches: [B, R].
    """

    anchor_matches: jax.Array
    anchors: Samples
    region_matches: jax.Array


@flax.struct.dataclass
class FasterRCNNOutputs:
    """What both stages say.

    Attributes:
      objects: the first stage's logits, [B, N].
      object_codes: its boxes relative to the anchors, [B, N, 4].
      regions: what the second stage looks at, [B, R, 4] in pixels.
      region_mask: [B, R], which of them are there.
      logits: of each region's class, [B, R, V], class 0 being the background.
      codes: a box for each class, relative to the region, [B, R, V, 4].
      targets: in training; else None.
    """

    objects: jax.Array
    object_codes: jax.Array
    regions: jax.Array
    region_mask: jax.Array
    logits: jax.Array
    codes: jax.Array
    targets: FasterRCNNTargets | None = None


class FasterRCNN(nn.Module):
    """Faster R-CNN (Ren et al. 2015) with a feature pyramid (Lin et al. 2017).

    With ResNet-50, frozen norms and COCO's 91 ids it is torchvision's fasterrcnn_resnet50_fpn:
    41,755,286 parameters. In training it is called with the true boxes: it draws from the rng
    stream "dropout" which anchors and regions count. Sown as intermediates, beside the trunk's:
    "level_0" and so on, of the pyramid from the finest; "region_features" [B, R, P, Q, C]; and what
    the heads give, "objects", "object_codes", "logits" and "codes".

    Attributes:
      num_classes: V, the background being one of them.
      backbone: a name of `aimodels.models.backbones`.
      frozen_norm: the trunk's norms stay as they are; for a trunk that is trained already.
      levels: the trunk's maps that the pyramid has.
      extra_level: one more, every second place of the last: for the largest anchors alone.
      features: channels of the pyramid.
      anchor_sizes: for each level, roots of the areas in pixels.
      aspect_ratios: heights over widths of the anchors.
      hidden_features: of the box head.
      output_size: rows and columns of a region's features.
      candidates: of each level, in training and in evaluation.
      proposals: over all levels, in training and in evaluation.
      proposal_overlap: IoU above which the worse proposal goes.
      sampled_anchors: of an image that count in training, half of them with a target at most.
      sampled_regions: of an image in training, a quarter of them with a target at most.
      dtype: of the computation.
      param_dtype: of the parameters.
    """

    num_classes: int
    backbone: str = "resnet50"
    frozen_norm: bool = False
    levels: tuple[str, ...] = ("c2", "c3", "c4", "c5")
    extra_level: bool = True
    features: int = 256
    anchor_sizes: tuple[tuple[int, ...], ...] = ((32,), (64,), (128,), (256,), (512,))
    aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    hidden_features: int = 1024
    output_size: int = 7
    candidates: tuple[int, int] = (2000, 1000)
    proposals: tuple[int, int] = (2000, 1000)
    proposal_overlap: float = 0.7
    sampled_anchors: int = 256
    sampled_regions: int = 512
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        inputs: jax.Array,
        *,
        boxes: jax.Array | None = None,
        labels: jax.Array | None = None,
        lengths: jax.Array | None = None,
        train: bool = False,
    ) -> FasterRCNNOutputs:
        """[B, H, W, 3], in training with boxes [B, M, 4] and labels [B, M] (-1: none) -> outputs.

        In evaluation boxes and labels are not looked at.
        """
        images = as_images("FasterRCNN", inputs, lengths, self.dtype)
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        frozen = {"frozen_norm": True} if self.frozen_norm else {}
        trunk = make_backbone("FasterRCNN", self.backbone, **frozen, **dtypes)
        maps = trunk(images, train=train)
        pyramid = FeaturePyramid(self.features, self.extra_level, name="pyramid", **dtypes)
        levels = pyramid([maps[level] for level in self.levels])
        for number, level in enumerate(levels):
            self.sow("intermediates", f"level_{number}", level)
        image_size = images.shape[1], images.shape[2]
        per_place = len(self.anchor_sizes[0]) * len(self.aspect_ratios)
        objects, object_codes = ProposalHead(per_place, name="proposals", **dtypes)(levels)
        anchors = self.anchors(image_size)
        proposed = propose(
            objects.astype(jnp.float32),
            object_codes.astype(jnp.float32),
            jnp.asarray(anchors),
            level_sizes=[per_place * math.prod(level.shape[1:3]) for level in levels],
            image_size=image_size,
            candidates=self.candidates[0 if train else 1],
            max_proposals=self.proposals[0 if train else 1],
            threshold=self.proposal_overlap,
        )
        regions, mask, targets = proposed.boxes, proposed.mask, None
        if train:
            if boxes is None or labels is None:
                raise UserError(
                    "FasterRCNN learns from boxes: in training it is called with boxes and labels"
                )
            regions, mask, targets = self._targets(boxes, labels >= 0, anchors, regions, mask)
        features = multiscale_roi_align(
            levels[: len(self.levels)],
            regions,
            strides=[STRIDES[level] for level in self.levels],
            output_size=(self.output_size, self.output_size),
            first_level=int(self.levels[0][1:]),
        )
        head = BoxHead(self.num_classes, self.hidden_features, name="head", **dtypes)
        logits, codes = head(features)
        outputs = {"objects": objects, "object_codes": object_codes}
        outputs |= {"region_features": features, "logits": logits, "codes": codes}
        for name, array in outputs.items():
            self.sow("intermediates", name, array)
        return FasterRCNNOutputs(
            objects=objects,
            object_codes=object_codes,
            regions=regions,
            region_mask=mask,
            logits=logits,
            codes=codes,
            targets=targets,
        )

    @nn.nowrap
    def anchors(self, image_size: tuple[int, int]) -> np.ndarray:
        """The anchors [N, 4] in pixels of images of this size (H, W)."""
        strides = [STRIDES[level] for level in self.levels]
        strides += [2 * strides[-1]] * self.extra_level
        if len(strides) != len(self.anchor_sizes):
            raise UserError(
                f"FasterRCNN: anchor_sizes are for {len(self.anchor_sizes)} levels, and it has "
                f"{len(strides)}: {', '.join(self.levels)}{' and one more' * self.extra_level}"
            )
        grids = [(-(-image_size[0] // each), -(-image_size[1] // each)) for each in strides]
        return grid_anchors(image_size, grids, self.anchor_sizes, self.aspect_ratios)

    def _targets(
        self,
        boxes: jax.Array,
        there: jax.Array,
        anchors: np.ndarray,
        regions: jax.Array,
        region_mask: jax.Array,
    ) -> tuple[jax.Array, jax.Array, FasterRCNNTargets]:
        """The regions that count, which of them are there, and what all learn.

        The true boxes are among the regions, so that there is something to learn from the start
        (as in torchvision; the paper has none of it).
        """
        overlaps = pairwise_iou(boxes, jnp.asarray(anchors))
        anchor_matches = match_by_thresholds(overlaps, there, high=0.7, low=0.3, low_quality=True)
        key = self.make_rng("dropout")
        anchor_key, region_key = jax.random.split(key)
        chosen = sample(anchor_key, anchor_matches, self.sampled_anchors, 0.5)

        regions = jnp.concatenate([boxes, regions], 1)
        region_mask = jnp.concatenate([there, region_mask], 1)
        overlaps = pairwise_iou(boxes, regions)
        matches = match_by_thresholds(overlaps, there, high=0.5, low=0.5)
        matches = jnp.where(region_mask, matches, IGNORED)
        taken = sample(region_key, matches, self.sampled_regions, 0.25)
        regions = jnp.take_along_axis(regions, taken.index[..., None], 1)
        matches = jnp.where(taken.mask, jnp.take_along_axis(matches, taken.index, 1), IGNORED)
        regions = jnp.where(taken.mask[..., None], regions, 0)
        return regions, taken.mask, FasterRCNNTargets(anchor_matches, chosen, matches)
