"""Mixtures of two images of a batch, and of their classes: mixup and CutMix.

The targets become the classes' shares: ids [B] (or shares [B, V] already) -> [B, V] float32. Each
example has a partner, by one random permutation of the batch, and a share λ of its own; the papers'
code draws one λ a batch, which is the same distribution for each example.

Label smoothing is the task's: it smooths the shares as it smooths a class.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from aimodels.data.augmentations.erasing import inside
from aimodels.data.transforms import Batch, Transform, images_of
from aimodels.errors import UserError


@dataclasses.dataclass(frozen=True)
class Mixup(Transform):
    """λ x + (1 - λ) x' and the same of the classes, λ ~ Beta(α, α).

    Zhang, Cisse, Dauphin & Lopez-Paz, "mixup: beyond empirical risk minimization", 2018.

    Attributes:
      num_classes: V.
      alpha: α; 0.1 to 0.4 on ImageNet, 1 on CIFAR-10 in the paper.
      probability: of an example that is mixed.
    """

    random: ClassVar[bool] = True
    num_classes: int
    alpha: float = 0.2
    probability: float = 1.0

    def __post_init__(self) -> None:
        _check("mixup", self.alpha, self.probability)

    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """Inputs [B, ...], uint8 rounded; targets [B] or [B, V]."""
        inputs = jnp.asarray(batch["inputs"])
        if inputs.ndim == 4:
            images_of(batch, "mixup")
        share_key, partner_key = jax.random.split(key)
        share = beta_shares(share_key, len(inputs), self.alpha, self.probability)
        partners = jax.random.permutation(partner_key, len(inputs))
        return mixed(batch, share, partners, share, self.num_classes)


@dataclasses.dataclass(frozen=True)
class CutMix(Transform):
    """A box of the partner pasted into each image; the classes' shares are those of the area.

    Yun et al., "CutMix: regularization strategy to train strong classifiers with localizable
    features", 2019: the box has √(1 - λ) of each side, λ ~ Beta(α, α), and a uniform middle; what
    lies outside the image is cut off.

    Attributes:
      num_classes: V.
      alpha: α, the paper's is 1.
      probability: of an image that is mixed.
    """

    random: ClassVar[bool] = True
    num_classes: int
    alpha: float = 1.0
    probability: float = 1.0

    def __post_init__(self) -> None:
        _check("cutmix", self.alpha, self.probability)

    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """Inputs [B, H, W, C]; targets [B] or [B, V]."""
        images = images_of(batch, "cutmix")
        share_key, box_key, partner_key = jax.random.split(key, 3)
        share = beta_shares(share_key, len(images), self.alpha, self.probability)
        kept = kept_pixels(box_key, share, (images.shape[1], images.shape[2]))
        partners = jax.random.permutation(partner_key, len(images))
        return mixed(batch, kept[..., None], partners, kept.mean((1, 2)), self.num_classes)


@dataclasses.dataclass(frozen=True)
class MixupOrCutMix(Transform):
    """One of the two for each example, as in the recipe of DeiT (Touvron et al. 2021, table 9).

    Attributes:
      num_classes: V.
      mixup_alpha: α of mixup.
      cutmix_alpha: α of CutMix.
      cutmix_probability: of CutMix, where an example is mixed.
      probability: of an example that is mixed.
    """

    random: ClassVar[bool] = True
    num_classes: int
    mixup_alpha: float = 0.8
    cutmix_alpha: float = 1.0
    cutmix_probability: float = 0.5
    probability: float = 1.0

    def __post_init__(self) -> None:
        _check("mixup_or_cutmix", min(self.mixup_alpha, self.cutmix_alpha), self.probability)
        _check("mixup_or_cutmix", 1.0, self.cutmix_probability)

    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """Inputs [B, H, W, C]; targets [B] or [B, V]."""
        images = images_of(batch, "mixup_or_cutmix")
        keys, count = jax.random.split(key, 5), len(images)
        partners = jax.random.permutation(keys[0], count)
        share = beta_shares(keys[1], count, self.mixup_alpha, self.probability)
        cut = beta_shares(keys[2], count, self.cutmix_alpha, self.probability)
        kept = kept_pixels(keys[3], cut, (images.shape[1], images.shape[2]))
        cuts = jax.random.bernoulli(keys[4], self.cutmix_probability, (count,))
        share_of_pixels = jnp.where(cuts[:, None, None], kept, share[:, None, None])
        share = jnp.where(cuts, kept.mean((1, 2)), share)
        return mixed(batch, share_of_pixels[..., None], partners, share, self.num_classes)


def beta_shares(key: jax.Array, count: int, alpha: float, probability: float) -> jax.Array:
    """λ ~ Beta(α, α) for each example, [B] float32; 1 for those that are not mixed."""
    share_key, whether_key = jax.random.split(key)
    share = jax.random.beta(share_key, alpha, alpha, (count,))
    return jnp.where(jax.random.bernoulli(whether_key, probability, (count,)), share, 1.0)


def kept_pixels(key: jax.Array, share: jax.Array, size: tuple[int, int]) -> jax.Array:
    """1.0 where CutMix keeps an image's own pixel, else 0.0: [B, H, W].

    Args:
      key: of the boxes' middles.
      share: λ, [B]; the share that is kept is larger where the image's border cuts the box off.
      size: (H, W).
    """
    sides = jnp.array(size)
    middle = jax.random.randint(key, (len(share), 2), 0, sides)
    cut = (sides * jnp.sqrt(1 - share)[:, None]).astype(jnp.int32)
    start = jnp.maximum(middle - cut // 2, 0)
    end = jnp.minimum(middle + cut // 2, sides)
    boxes = (*start.T, *(end - start).T)
    return 1.0 - inside(boxes, size)


def mixed(
    batch: Batch,
    share_of_inputs: jax.Array,
    partners: jax.Array,
    share: jax.Array,
    num_classes: int,
) -> Batch:
    """The batch with each example mixed with its partner.

    Args:
      batch: `inputs` [B, ...] and `targets`, ids [B] or shares [B, V].
      share_of_inputs: how much of an example's own numbers is kept, [B] or [B, H, W, 1].
      partners: [B], places in the batch.
      share: how much of its own class, [B].
      num_classes: V.
    """
    inputs, targets = jnp.asarray(batch["inputs"]), jnp.asarray(batch["targets"])
    if targets.ndim == 1 and jnp.issubdtype(targets.dtype, jnp.integer):
        targets = jax.nn.one_hot(targets, num_classes)
    if targets.ndim != 2 or targets.shape[1] != num_classes:
        raise UserError(
            f"mixup and cutmix take class ids [B], or shares of {num_classes} classes, as targets, "
            f"got {targets.dtype} {targets.shape}"
        )
    kept = share_of_inputs.reshape(
        share_of_inputs.shape + (1,) * (inputs.ndim - share_of_inputs.ndim)
    )
    result = kept * inputs + (1 - kept) * inputs[partners]
    if jnp.issubdtype(inputs.dtype, jnp.integer):
        result = jnp.round(result)
    share = share[:, None]
    return batch | {
        "inputs": result.astype(inputs.dtype),
        "targets": share * targets + (1 - share) * targets[partners],
    }


def _check(name: str, alpha: float, probability: float) -> None:
    if alpha <= 0 or not 0 <= probability <= 1:
        raise UserError(
            f"transform {name}: alpha {alpha:g} must be above 0, probability {probability:g} 0 to 1"
        )
