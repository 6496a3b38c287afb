"""Clips [B, T, H, W, C]: snippets of segments, and crops that are the same for all frames."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from aimodels.data.transforms import Batch, Transform
from aimodels.errors import UserError

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class SegmentSnippets(Transform):
    """A snippet of successive frames out of each of K equal segments, for a TSN.

    Wang et al. 2016, section 3.1: at a random place of its segment in training, in the middle of it
    in evaluation. A snippet longer than its segment reaches into the next ones; the last ones end
    with the clip. One segment with one frame is a single image: what a network learns of it says
    how much of a task is in single images.

    Attributes:
      segments: K.
      frames: of a snippet.
    """

    random: ClassVar[bool] = True
    segments: int = 3
    frames: int = 1

    def __post_init__(self) -> None:
        if self.segments < 1 or self.frames < 1:
            raise UserError(
                f"transform segment_snippets: {self.segments} segments of {self.frames} frames; "
                "both are 1 at least"
            )

    def __call__(self, batch: Batch, key: Array) -> Batch:
        """Inputs [B, T, H, W, C] -> [B, K, frames, H, W, C]."""
        clips = clips_of(batch, "segment_snippets")
        return batch | {"inputs": self._cut(clips, jax.random.uniform(key, self._places(clips)))}

    def in_evaluation(self, batch: Batch) -> Batch:
        """Inputs [B, T, H, W, C] -> [B, K, frames, H, W, C]."""
        clips = clips_of(batch, "segment_snippets")
        return batch | {"inputs": self._cut(clips, jnp.full(self._places(clips), 0.5))}

    def _places(self, clips: Array) -> tuple[int, int]:
        return len(clips), self.segments

    def _cut(self, clips: Array, shares: Array) -> Array:
        """The snippets that begin at shares [B, K] of the room in their segments."""
        T = clips.shape[1]
        if max(self.segments, self.frames) > T:
            raise UserError(
                f"transform segment_snippets: clips of {T} frames hold no {self.segments} segments "
                f"with snippets of {self.frames}"
            )
        first = jnp.arange(self.segments) * T // self.segments
        last = (jnp.arange(self.segments) + 1) * T // self.segments
        room = jnp.maximum(last - first - self.frames, 0)
        starts = first + jnp.minimum((shares * (room + 1)).astype(jnp.int32), room)
        starts = jnp.minimum(starts, T - self.frames)
        frames = starts[..., None] + jnp.arange(self.frames)
        return jax.vmap(lambda clip, places: clip[places])(clips, frames)


@dataclasses.dataclass(frozen=True)
class ClipCrop(Transform):
    """Pads the frames, then cuts the old size out at one random place for all of a clip.

    Attributes:
      padding: pixels on each side, which repeat those of the border.
      flip: mirror a clip left to right, every second time.
    """

    random: ClassVar[bool] = True
    padding: int = 4
    flip: bool = True

    def __call__(self, batch: Batch, key: Array) -> Batch:
        """Inputs [B, T, H, W, C]."""
        clips, n = clips_of(batch, "clip_crop"), self.padding
        coin_key, place_key = jax.random.split(key)
        padded = jnp.pad(clips, ((0, 0), (0, 0), (n, n), (n, n), (0, 0)), mode="edge")
        places = jax.random.randint(place_key, (len(clips), 2), 0, 2 * n + 1)

        def cut(clip: Array, place: Array) -> Array:
            return jax.lax.dynamic_slice(clip, (0, place[0], place[1], 0), clips.shape[1:])

        cropped = jax.vmap(cut)(padded, places)
        if self.flip:
            coins = jax.random.bernoulli(coin_key, 0.5, (len(clips), 1, 1, 1, 1))
            cropped = jnp.where(coins, cropped[:, :, :, ::-1], cropped)
        return batch | {"inputs": cropped}


def clips_of(batch: Batch, name: str) -> Array:
    """The clips [B, T, H, W, C] of a batch, for the transform `name`.

    Raises:
      UserError: the inputs are none.
    """
    clips = jnp.asarray(batch["inputs"])
    if clips.ndim != 5:
        raise UserError(f"transform {name} takes clips [B, T, H, W, C], got {clips.shape}")
    return clips
