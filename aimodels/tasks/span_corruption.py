"""Span corruption: stretches of a text that are left out, from what stands around them."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.tasks.base import Batch, State
from aimodels.tasks.text_to_text import TextMetrics, TextToText

Array = jax.Array


def counts(length: int, density: float = 0.15, mean_span: float = 3.0) -> tuple[int, int]:
    """How many of T tokens are left out, and in how many spans; the same for every text."""
    noise = min(max(round(length * density), 1), length - 1)
    spans = min(max(round(noise / mean_span), 1), noise, length - noise)
    return noise, spans


def noise_mask(key: Array, length: int, noise: int, spans: int) -> Array:
    """Which of T tokens are left out, bool [T]: `noise` of them in `spans` spans.

    Text and spans take turns; text comes first, and a span last. All such masks are equally likely
    (Raffel et al. 2020, section 3.3.4 and their code).
    """

    def parts(key: Array, total: int) -> Array:
        """`total` cut into `spans` lengths of one or more, [spans]."""
        cuts = jax.random.permutation(key, jnp.arange(total - 1) < spans - 1)
        part = jnp.cumsum(jnp.pad(cuts, (1, 0)).astype(jnp.int32))
        return jnp.zeros(spans, jnp.int32).at[part].add(1)

    text_key, noise_key = jax.random.split(key)
    lengths = jnp.stack([parts(text_key, length - noise), parts(noise_key, noise)], axis=1)
    ends = jnp.cumsum(lengths.reshape(-1))
    return jnp.searchsorted(ends, jnp.arange(length), side="right") % 2 == 1


def corrupt(
    tokens: Array, mask: Array, *, noise: int, spans: int, first_sentinel: int, end: int
) -> dict[str, Array]:
    """The text without its spans, and the spans: Raffel et al. 2020, figure 2 and their code.

    Each span is one sentinel in the inputs; in the targets it stands behind the same sentinel.
    Sentinels count down. Both sides end with `end`.

    Args:
      tokens: ids [T].
      mask: bool [T], as `noise_mask` has it.
      noise: how many are True.
      spans: how many stretches of True there are.
      first_sentinel: the id of the first span's.
      end: the id of the end.

    Returns:
      `inputs` [T - noise + spans + 1] and `targets` [noise + spans + 1].
    """
    before = jnp.pad(mask[:-1], (1, 0))
    begins, stops = mask & ~before, ~mask & before
    # Each stretch of text has the number of the span behind it.
    stops = stops.at[0].set(True)

    def side(kept: Array, marked: Array, count: int) -> Array:
        numbers = first_sentinel - (jnp.cumsum(marked) - 1)
        values = jnp.where(marked, numbers, tokens)
        places = jnp.nonzero(kept | marked, size=count)[0]
        return jnp.append(values[places], end).astype(tokens.dtype)

    return {
        "inputs": side(~mask, begins, len(tokens) - noise + spans),
        "targets": side(mask, stops, noise + spans),
    }


@dataclasses.dataclass(frozen=True)
class SpanCorruption(TextToText):
    """Learns spans that are left out of `inputs` [B, T], by T5 or another encoder-decoder.

    The texts have no padding. What is left out follows from the key in training, so each epoch
    leaves out others; in evaluation it is the same each time. `start`, `end` and the sentinels must
    be ids that no text has.

    Attributes:
      density: the share of the tokens that is left out.
      mean_span: tokens of a span in the mean.
      first_sentinel: the id of the first; the others count down from it. The last of the model's
        vocabulary when None.
    """

    density: float = 0.15
    mean_span: float = 3.0
    first_sentinel: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.density < 1:
            raise UserError(
                f"config.task.density is {self.density}; it takes more than 0, less than 1"
            )
        if self.mean_span < 1:
            raise UserError(f"config.task.mean_span is {self.mean_span}; it takes 1 or more")

    def training_batch(self, batch: Batch, key: Array) -> Batch:
        """The batch with spans left out."""
        transform_key, noise_key = jax.random.split(key)
        return self.corrupted(super().training_batch(batch, transform_key), noise_key)

    def eval_step(self, state: State, batch: Batch, key: Array) -> TextMetrics:
        """The metrics of one batch."""
        return super().eval_step(state, self.corrupted(batch, jax.random.key(0)), key)

    def corrupted(self, batch: Batch, key: Array) -> Batch:
        """Texts `inputs` [B, T] as `corrupt` has each of them."""
        if "lengths" in batch:
            raise UserError(
                "task span_corruption takes texts without padding, such as data set text; these "
                "have lengths"
            )
        texts = jnp.asarray(batch["inputs"])
        length = texts.shape[1]
        if length < 2:
            raise UserError(
                "task span_corruption takes texts of 2 tokens or more; data.length is 1"
            )
        noise, spans = counts(length, self.density, self.mean_span)
        model: Any = self.model
        first = model.vocabulary - 1 if self.first_sentinel is None else self.first_sentinel

        def one(text: Array, key: Array) -> dict[str, Array]:
            mask = noise_mask(key, length, noise, spans)
            return corrupt(text, mask, noise=noise, spans=spans, first_sentinel=first, end=self.end)

        return batch | jax.vmap(one)(texts, jax.random.split(key, len(texts)))
