"""Transforms of a batch, in JAX, inside the compiled step.

Each is a small frozen class: its fields are a config's, and calling it is a pure function
`(batch, key) -> batch`. Those with `random = True` run in training only, each example with a draw
of its own; the others run in training and in evaluation. The larger recipes for images are in
`aimodels.data.augmentations`. A config lists them in order:

    transforms=("scale", {"name": "random_crop", "padding": 4}, "horizontal_flip")

Letters: B batch, T time, H W image, C channels.
"""

import abc
import dataclasses
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp

from aimodels.errors import UserError

Batch = dict[str, Any]

TRANSFORMS: dict[str, str] = {
    # In training and in evaluation.
    "scale": "aimodels.data.transforms:Scale",
    "standardize": "aimodels.data.transforms:Standardize",
    "one_hot": "aimodels.data.transforms:OneHot",
    "flatten": "aimodels.data.transforms:Flatten",
    "pad_to": "aimodels.data.transforms:PadTo",
    "resize": "aimodels.data.augmentations.crops:Resize",
    "center_crop": "aimodels.data.augmentations.crops:CenterCrop",
    "mirror_pad": "aimodels.data.augmentations.dense:MirrorPad",
    # In training only.
    "horizontal_flip": "aimodels.data.transforms:HorizontalFlip",
    "random_shift": "aimodels.data.augmentations.signals:RandomShift",
    "gaussian_noise": "aimodels.data.transforms:GaussianNoise",
    "cutout": "aimodels.data.transforms:Cutout",
    "random_zoom": "aimodels.data.augmentations.zoom:RandomZoom",
    "vertical_flip": "aimodels.data.augmentations.jitter:VerticalFlip",
    "color_jitter": "aimodels.data.augmentations.jitter:ColorJitter",
    "lighting": "aimodels.data.augmentations.jitter:Lighting",
    "random_trend": "aimodels.data.augmentations.signals:RandomTrend",
    "rand_augment": "aimodels.data.augmentations.rand_augment:RandAugment",
    "random_erasing": "aimodels.data.augmentations.erasing:RandomErasing",
    "mixup": "aimodels.data.augmentations.mixing:Mixup",
    "cutmix": "aimodels.data.augmentations.mixing:CutMix",
    "mixup_or_cutmix": "aimodels.data.augmentations.mixing:MixupOrCutMix",
    "random_transpose": "aimodels.data.augmentations.dense:RandomTranspose",
    "dense_crop": "aimodels.data.augmentations.dense:DenseCrop",
    "clip_crop": "aimodels.data.augmentations.clips:ClipCrop",
    "elastic_deformation": "aimodels.data.augmentations.dense:ElasticDeformation",
    # In training; in evaluation the middle is cut out.
    "random_crop": "aimodels.data.transforms:RandomCrop",
    "random_resized_crop": "aimodels.data.augmentations.crops:RandomResizedCrop",
    "segment_snippets": "aimodels.data.augmentations.clips:SegmentSnippets",
}

# Those that move boxes with their image, or change no place; what else changes images refuses them.
KEEPS_BOXES = (
    "horizontal_flip",
    "vertical_flip",
    "random_zoom",
    "color_jitter",
    "lighting",
    "cutout",
    "random_erasing",
)
# As well of those that change labels of pixels, and their weights, with their image.
KEEPS_MASKS = (
    *KEEPS_BOXES,
    "random_transpose",
    "dense_crop",
    "elastic_deformation",
    "mirror_pad",
)
PER_PIXEL = ("targets", "weights")


class Transform(abc.ABC):
    """A pure function of a batch and a key.

    Attributes:
      random: True if it draws from the key; then it runs in training only.
    """

    random: ClassVar[bool] = False

    @abc.abstractmethod
    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """The transformed batch; fields that it does not name stay as they are."""

    def in_evaluation(self, batch: Batch) -> Batch:
        """What a random transform does in evaluation: most do nothing."""
        return batch


@dataclasses.dataclass(frozen=True)
class Scale(Transform):
    """`inputs / maximum` in float32: uint8 pixels to [0, 1].

    Attributes:
      maximum: what becomes 1.
    """

    maximum: float = 255.0

    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """Inputs of any shape and type."""
        return batch | {"inputs": jnp.asarray(batch["inputs"], jnp.float32) / self.maximum}


@dataclasses.dataclass(frozen=True)
class Standardize(Transform):
    """`(inputs - mean) / std`, for each channel (the last axis).

    Attributes:
      mean: one number, or one a channel.
      std: as `mean`, each above 0.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.mean or len(self.std) not in (1, len(self.mean)) or min(self.std) <= 0:
            raise UserError(
                f"transform standardize: mean {self.mean} and std {self.std} must be as many "
                "numbers, and each std above 0"
            )

    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """Inputs [B, ..., C]."""
        inputs = jnp.asarray(batch["inputs"], jnp.float32)
        if len(self.mean) not in (1, inputs.shape[-1]):
            raise UserError(
                f"transform standardize: {len(self.mean)} means for inputs with "
                f"{inputs.shape[-1]} channels"
            )
        mean, std = jnp.asarray(self.mean), jnp.asarray(self.std)
        return batch | {"inputs": (inputs - mean) / std}


@dataclasses.dataclass(frozen=True)
class OneHot(Transform):
    """Class ids [B] to one-hot rows [B, num_classes] float32.

    Attributes:
      num_classes: length of a row.
      field: which field holds the ids.
    """

    num_classes: int
    field: str = "targets"

    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """An id outside 0 ... num_classes - 1 gives a row of zeros."""
        return batch | {self.field: jax.nn.one_hot(batch[self.field], self.num_classes)}


@dataclasses.dataclass(frozen=True)
class Flatten(Transform):
    """Inputs [B, ...] to [B, D]."""

    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """Inputs of any shape."""
        inputs = jnp.asarray(batch["inputs"])
        return batch | {"inputs": inputs.reshape(inputs.shape[0], -1)}


@dataclasses.dataclass(frozen=True)
class PadTo(Transform):
    """Inputs [B, H, W, C] or [B, T, C] padded to a size, e.g. 28 x 28 to LeNet-5's 32 x 32.

    Attributes:
      size: (height, width) or (time,).
      value: what the new places hold.
      align: `center` puts the inputs in the middle (an odd place goes behind), `start` at 0.
    """

    size: tuple[int, ...]
    value: float = 0.0
    align: Literal["center", "start"] = "center"

    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """Inputs [B, *old size, C]."""
        inputs = jnp.asarray(batch["inputs"])
        if inputs.ndim == 4:
            images_of(batch, "pad_to")  # which refuses boxes and masks: they would not move
        old = inputs.shape[1:-1]
        missing = [new - have for new, have in zip(self.size, old, strict=False)]
        if len(self.size) != len(old) or min(missing, default=0) < 0:
            raise UserError(
                f"transform pad_to: inputs of size {old} can't be padded to {self.size}"
            )
        before = [count // 2 if self.align == "center" else 0 for count in missing]
        widths = [(first, count - first) for first, count in zip(before, missing, strict=True)]
        padded = jnp.pad(inputs, [(0, 0), *widths, (0, 0)], constant_values=self.value)
        return batch | {"inputs": padded}


@dataclasses.dataclass(frozen=True)
class RandomCrop(Transform):
    """Pad images with zeros on all sides, then cut the old size out at a random place.

    Krizhevsky & Hinton 2009; with `padding=4` the augmentation of He et al. 2015 on CIFAR-10. With
    `padding=0, size=224` that of Krizhevsky et al. 2012 on images of 256x256. With a `size`, in
    evaluation the middle is cut out.

    Attributes:
      padding: pixels on each side.
      size: (height, width) that is cut out, or one number for both; None for the old size.
    """

    random: ClassVar[bool] = True
    padding: int = 4
    size: int | tuple[int, int] | None = None

    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """Inputs [B, H, W, C] -> [B, *size, C]."""
        images = images_of(batch, "random_crop")
        pad, channels = self.padding, images.shape[3]
        padded = jnp.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        height, width = self._size_in(padded, images.shape[1:3])
        last = jnp.array([padded.shape[1] - height, padded.shape[2] - width])
        places = jax.random.randint(key, (images.shape[0], 2), 0, last + 1)

        def cut(image: jax.Array, place: jax.Array) -> jax.Array:
            return jax.lax.dynamic_slice(image, (place[0], place[1], 0), (height, width, channels))

        return batch | {"inputs": jax.vmap(cut)(padded, places)}

    def in_evaluation(self, batch: Batch) -> Batch:
        """The middle [B, *size, C]; without a size the inputs as they are."""
        if self.size is None:
            return batch
        images = images_of(batch, "random_crop")
        height, width = self._size_in(images, images.shape[1:3])
        top, left = (images.shape[1] - height) // 2, (images.shape[2] - width) // 2
        return batch | {"inputs": images[:, top : top + height, left : left + width]}

    def _size_in(self, images: jax.Array, old: tuple[int, ...]) -> tuple[int, int]:
        """(height, width) of what is cut out of images [B, H, W, C]."""
        size = old if self.size is None else self.size
        height, width = (size, size) if isinstance(size, int) else size
        if not (1 <= height <= images.shape[1] and 1 <= width <= images.shape[2]):
            raise UserError(
                f"transform random_crop: images of size {images.shape[1:3]} hold no box of "
                f"{(height, width)}"
            )
        return height, width


@dataclasses.dataclass(frozen=True)
class HorizontalFlip(Transform):
    """Mirror images left to right, with their boxes and masks.

    Attributes:
      probability: of a mirrored image.
    """

    random: ClassVar[bool] = True
    probability: float = 0.5

    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """Inputs [B, H, W, C]."""
        images = images_of(batch, "horizontal_flip")
        flip = jax.random.bernoulli(key, self.probability, (images.shape[0], 1, 1, 1))
        return mirrored(batch, flip[:, 0, 0, 0], axis=2)


@dataclasses.dataclass(frozen=True)
class GaussianNoise(Transform):
    """Add normal noise to every number of the inputs.

    Attributes:
      std: its standard deviation.
    """

    random: ClassVar[bool] = True
    std: float = 0.1

    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """Inputs of any shape, floats."""
        inputs = jnp.asarray(batch["inputs"])
        if not jnp.issubdtype(inputs.dtype, jnp.floating):
            raise UserError(
                f"transform gaussian_noise takes floats, got {inputs.dtype}; put 'scale' before it"
            )
        noise = jax.random.normal(key, inputs.shape, inputs.dtype)
        return batch | {"inputs": inputs + self.std * noise}


@dataclasses.dataclass(frozen=True)
class Cutout(Transform):
    """Zero a square of each image, around a random pixel, cut off at the border.

    DeVries & Taylor, "Improved regularization of convolutional neural networks with cutout", 2017.

    Attributes:
      size: side of the square.
    """

    random: ClassVar[bool] = True
    size: int = 8

    def __call__(self, batch: Batch, key: jax.Array) -> Batch:
        """Inputs [B, H, W, C]."""
        images = images_of(batch, "cutout")
        B, H, W, _ = images.shape
        centers = jax.random.randint(key, (2, B, 1), 0, jnp.array([H, W])[:, None, None])
        starts = centers - self.size // 2

        def covered(start: jax.Array, length: int) -> jax.Array:
            places = jnp.arange(length)
            return (places >= start) & (places < start + self.size)

        hole = covered(starts[0], H)[:, :, None] & covered(starts[1], W)[:, None, :]
        return batch | {"inputs": jnp.where(hole[..., None], jnp.zeros((), images.dtype), images)}


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """Transforms in order.

    Attributes:
      steps: the transforms.
    """

    steps: tuple[Transform, ...] = ()

    def __call__(self, batch: Batch, key: jax.Array | None, *, train: bool) -> Batch:
        """The batch after all transforms (`train`), or with the random ones as in evaluation.

        Args:
          batch: a dict with `inputs` and other fields.
          key: each random transform gets a key of its own from it; not needed to evaluate.
          train: whether random transforms run.
        """
        key = jax.random.key(0) if key is None else key
        for number, step in enumerate(self.steps):
            if train or not step.random:
                batch = step(batch, jax.random.fold_in(key, number))
            else:
                batch = step.in_evaluation(batch)
        return batch


def mirrored(batch: Batch, flip: jax.Array, axis: int) -> Batch:
    """The batch with some of its images mirrored, and with their boxes and masks.

    Args:
      batch: `inputs` [B, H, W, C]; `boxes` [B, N, 4], `targets` and `weights` [B, H, W], if there
        are any.
      flip: [B], which ones.
      axis: 1, top to bottom, or 2, left to right.
    """
    images = jnp.asarray(batch["inputs"])
    moved = {"inputs": jnp.where(flip[:, None, None, None], jnp.flip(images, axis), images)}
    if "boxes" in batch:
        boxes = jnp.asarray(batch["boxes"])
        near, far = (0, 2) if axis == 2 else (1, 3)
        size = images.shape[axis]
        other = boxes.at[..., near].set(size - boxes[..., far])
        other = other.at[..., far].set(size - boxes[..., near])
        there = flip[:, None] & (jnp.asarray(batch["labels"]) >= 0)
        moved["boxes"] = jnp.where(there[..., None], other, boxes)
    for name, pixels in per_pixel(batch).items():
        moved[name] = jnp.where(flip[:, None, None], jnp.flip(pixels, axis), pixels)
    return batch | moved


def per_pixel(batch: Batch) -> dict[str, jax.Array]:
    """The fields that have one number for each pixel of the images: labels, weights."""
    size = batch["inputs"].shape[:3]
    given = {name: jnp.asarray(batch[name]) for name in PER_PIXEL if name in batch}
    return {name: array for name, array in given.items() if array.shape == size}


def images_of(batch: Batch, name: str, channels: tuple[int, ...] = ()) -> jax.Array:
    """The inputs [B, H, W, C] of a batch, for the transform `name`, which takes so many channels.

    Raises:
      UserError: they are no images, or have other channels.
    """
    images = jnp.asarray(batch["inputs"])
    if images.ndim != 4:
        raise UserError(f"transform {name} takes images [B, H, W, C], got {images.shape}")
    if "boxes" in batch and name not in KEEPS_BOXES:
        raise UserError(
            f"transform {name} would leave boxes where they were; of those that change images with "
            f"boxes there are {', '.join(KEEPS_BOXES)}"
        )
    if name not in KEEPS_MASKS and per_pixel(batch):
        raise UserError(
            f"transform {name} would leave the labels of pixels where they were; of those that "
            f"change images with labels there are {', '.join(KEEPS_MASKS)}"
        )
    if channels and images.shape[-1] not in channels:
        raise UserError(
            f"transform {name} takes images of {' or '.join(map(str, channels))} channels, got "
            f"{images.shape}"
        )
    return images
