"""Text to text: each token of a target from the source and the target's tokens before it."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.models.encoder_decoder import shifted_right
from aimodels.models.generation import beam_search
from aimodels.tasks.base import Batch, State
from aimodels.tasks.buckets import Bucketed
from aimodels.tasks.language_model import LanguageMetrics, LanguageModel, by_targets
from aimodels.tasks.translation_metrics import TranslationMetrics, translation_scores_of

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class TextToText(Bucketed, LanguageModel):
    """Learns `targets` [B, T] from `inputs` [B, S], by T5 or a model of translation.

    `lengths` [B] are the sources', `target_lengths` [B] the targets'.

    Attributes:
      start: the token that a target begins behind; T5's is that of padding, 0.
      end: the token that ends a target; T5's and that of our data sets is 1.
      beams: how many texts a beam search follows; with 1 or more, evaluations translate too, and
        score the translations by BLEU, chrF and NIST.
      length_penalty: α of Wu et al. 2016, see `aimodels.models.generation.beam_search`.
      data_set: of the run, a `ParallelTexts` where evaluations translate.
    """

    start: int = 0
    end: int = 1
    beams: int = 0
    length_penalty: float = 0.6
    data_set: Any = None

    cut_fields: ClassVar[Mapping[str, str]] = {
        "inputs": "lengths",
        "targets": "target_lengths",
        "decoder_inputs": "target_lengths",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beams < 0:
            raise UserError(f"config.task.beams is {self.beams}; it takes 0 or more")
        if self.beams and self.data_set is not None and not hasattr(self.data_set, "targets_of"):
            raise UserError(
                f"config.task.beams is {self.beams}, and the data have no texts to compare "
                "translations with; takes 0, or a data set such as multi30k"
            )

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

    def eval_step(self, state: State, batch: Batch, key: Array) -> LanguageMetrics:
        """The metrics of the targets' tokens, and those of translations if there are `beams`."""
        metrics: Any = super().eval_step(state, batch, key)
        if not self.beams or self.data_set is None:
            return metrics
        batch = self.transforms(batch, None, train=False)
        scores = translation_scores_of(self.data_set).from_model_output(
            ids=self.translate(state, batch), number=batch["number"], mask=batch.get("mask")
        )
        return TranslationMetrics(translations=scores, **vars(metrics))

    def translate(self, state: State, batch: Batch) -> Array:
        """The best translation that the beam finds of each source [B, T]: ids int32 [B, T].

        It ends with `end`, and has nothing else behind.
        """
        inputs = batch["inputs"]
        steps = inputs.shape[1]
        cache = self.model.apply(
            state.variables,
            inputs,
            lengths=batch.get("lengths"),
            capacity=steps,
            method="read",
        )
        begins = jnp.full((len(inputs), 1), self.start, jnp.int32)
        ids, _ = beam_search(
            self.model,
            state.variables,
            begins,
            steps,
            beams=max(self.beams, 1),
            stop=self.end,
            length_penalty=self.length_penalty,
            cache=cache,
        )
        return ids[:, 0]

    def predict(self, state: State, batch: Batch) -> Array:
        """Of sources alone their translations' ids [B, T]; with `decoder_inputs` the logits."""
        if {"targets", "decoder_inputs"} & batch.keys():
            return super().predict(state, batch)
        return self.translate(state, self.transforms(batch, None, train=False))
