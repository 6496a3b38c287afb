"""Text to text: each token of a target from the source and the target's tokens before it."""

import dataclasses
from typing import Any

import jax

from aimodels.models.encoder_decoder import shifted_right
from aimodels.tasks.base import Batch
from aimodels.tasks.language_model import LanguageMetrics, LanguageModel, by_targets

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class TextToText(LanguageModel):
    """Learns `targets` [B, T] from `inputs` [B, S], by T5 or the Transformer of translation.

    `lengths` [B] are the sources', `target_lengths` [B] the targets'.

    Attributes:
      start: the token that a target begins behind; T5's is that of padding, 0.
    """

    start: int = 0

    def keywords(self, batch: Batch) -> dict[str, Any]:
        """The source's lengths, and the target as the decoder reads it."""
        given = super().keywords(batch)
        if "decoder_inputs" in batch:
            return given | {"decoder_inputs": batch["decoder_inputs"]}
        if "targets" in batch:
            return given | {"decoder_inputs": shifted_right(batch["targets"], self.start)}
        return given

    def loss(self, outputs: Array, batch: Batch) -> Array:
        """The mean loss of each example's target tokens, [B]."""
        return super().loss(outputs, by_targets(batch))

    def metrics(self, outputs: Array, batch: Batch) -> LanguageMetrics:
        """Loss, bits, perplexity and accuracy of the targets' tokens."""
        return super().metrics(outputs, by_targets(batch))
