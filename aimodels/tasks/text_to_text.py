"""Text to text: each token of a target from the source and the target's tokens before it."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.struct
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.models.encoder_decoder import shifted_right
from aimodels.models.generation import beam_search, generate
from aimodels.tasks.base import Batch, State
from aimodels.tasks.buckets import Bucketed
from aimodels.tasks.language_model import LanguageMetrics, LanguageModel, by_targets
from aimodels.tasks.sequence_answers import RightAnswers
from aimodels.tasks.translation_metrics import TranslationScores, translation_scores_of

Array = jax.Array


@flax.struct.dataclass
class TextMetrics(LanguageMetrics):
    """Those of the targets' tokens, and `exact`: the share of targets that are right as a whole.

    A target is right where each token is the most probable one behind those before it: where
    greedy decoding writes just that text.
    """

    exact: RightAnswers

    def compute(self) -> dict[str, Array]:
        """`loss`, `bits`, `perplexity`, `accuracy`, `exact`."""
        return {**super().compute(), "exact": self.exact.compute()}


@flax.struct.dataclass
class TranslationMetrics(TextMetrics):
    """Those of the targets' tokens, and of the translations."""

    translations: TranslationScores

    def compute(self) -> dict[str, Array]:
        """`loss`, `bits`, `perplexity`, `accuracy`, `exact`, `bleu`, `chrf`, `nist`."""
        return {**super().compute(), **self.translations.compute()}


@dataclasses.dataclass(frozen=True)
class SelfFed(LanguageModel):
    """A target that is read in training, or what the model itself writes.

    Attributes:
      start: the token that a target begins behind; T5's is that of padding, 0.
      end: the token that ends a target; T5's and that of our data sets is 1.
      teacher_forcing: the share of examples whose decoder reads the target's own tokens in training
        (Williams & Zipser 1989); the others' reads what the model writes at this step, greedily and
        without dropout.
    """

    start: int = 0
    end: int = 1
    teacher_forcing: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.teacher_forcing <= 1:
            raise UserError(
                f"config.task.teacher_forcing is {self.teacher_forcing}; it takes 0 to 1"
            )

    def _gradients(self, state: State, batch: Batch, key: Array) -> Any:
        if self.teacher_forcing < 1:
            coin_key, key = jax.random.split(key)
            taught = jax.random.bernoulli(coin_key, self.teacher_forcing, (len(batch["inputs"]),))
            targets = batch["targets"]
            read = jax.lax.cond(
                taught.all(),
                lambda: targets,
                lambda: jnp.where(taught[:, None], targets, self.written(state, batch)),
            )
            batch = batch | {"decoder_inputs": shifted_right(read, self.start)}
        return super()._gradients(state, batch, key)

    def written(self, state: State, batch: Batch) -> Array:
        """What the model writes greedily for each source: int32 [B, T], T as the targets have."""
        inputs, steps = batch["inputs"], batch["targets"].shape[1]
        # Not the moving average of the weights: the model that is trained.
        variables = {"params": state.params, **state.collections}
        cache = self.model.apply(
            variables, inputs, lengths=batch.get("lengths"), capacity=steps, method="read"
        )
        begins = jnp.full((len(inputs), 1), self.start, jnp.int32)
        chosen: dict[str, Any] = {"temperature": 0.0, "stop": self.end, "cache": cache}
        return generate(self.model, variables, begins, steps, jax.random.key(0), **chosen)


@dataclasses.dataclass(frozen=True)
class TextToText(Bucketed, SelfFed):
    """Learns `targets` [B, T] from `inputs` [B, S], by T5 or a model of translation.

    `lengths` [B] are the sources', `target_lengths` [B] the targets'.

    Attributes:
      beams: how many texts a beam search follows; with 1 or more, evaluations translate too, and
        score the translations by BLEU, chrF and NIST.
      length_penalty: α of Wu et al. 2016, see `aimodels.models.generation.beam_search`.
      data_set: of the run; a `ParallelTexts` where evaluations translate.
    """

    beams: int = 0
    length_penalty: float = 0.6
    data_set: Any = None

    cut_fields: ClassVar[Mapping[str, str]] = {
        "inputs": "lengths",
        "targets": "target_lengths",
        "decoder_inputs": "target_lengths",
    }

    def __post_init__(self) -> None:
        Bucketed.__post_init__(self)
        SelfFed.__post_init__(self)
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
        """The loss of each example's target tokens, [B], as `LanguageModel.loss` has it."""
        return super().loss(outputs, by_targets(batch))

    def metrics(self, outputs: Array, batch: Batch) -> TextMetrics:
        """Loss, bits, perplexity and accuracy of the targets' tokens; and of whole targets."""
        targets = batch["targets"]
        counted = jnp.ones(targets.shape, bool)
        if "target_lengths" in batch:
            counted = jnp.arange(targets.shape[1]) < batch["target_lengths"][:, None]
        exact = RightAnswers.from_model_output(
            outputs=outputs, targets=targets, counted=counted, mask=batch.get("mask")
        )
        return TextMetrics(exact=exact, **vars(super().metrics(outputs, by_targets(batch))))

    def eval_step(self, state: State, batch: Batch, key: Array) -> TextMetrics:
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
        """The best translation that the beam finds of each source [B, S]: ids int32 [B, T].

        It ends with `end`, and has nothing else behind. T is that of the data set's targets;
        without a data set the model's `max_length`.
        """
        inputs = batch["inputs"]
        steps = self.model.max_length
        if self.data_set is not None:
            (steps,) = self.data_set.info().features["targets"].shape
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
