"""Masked language modelling: words that are hidden, from those on both sides."""

import dataclasses
from typing import Any

import clu.metrics
import flax.struct
import jax
import jax.numpy as jnp

from aimodels.models.bert import PretrainingLogits
from aimodels.tasks.base import Batch, State
from aimodels.tasks.classification_metrics import Accuracy
from aimodels.tasks.language_model import LanguageMetrics, LanguageModel, by_targets
from aimodels.tasks.losses import softmax_cross_entropy

Array = jax.Array


def hide(
    inputs: Array,
    key: Array,
    *,
    candidates: Array,
    mask_token: int,
    vocabulary: int,
    share: float = 0.15,
) -> dict[str, Array]:
    """Chooses tokens to predict and hides them: Devlin et al. 2019, section 3.1, and their code.

    Of each row's candidates a share, rounded, is chosen, at least one; 80 % of these become the
    mask token, 10 % any token, 10 % stay.

    Args:
      inputs: ids [B, T].
      key: decides all.
      candidates: [B, T], True where a token may be chosen.
      mask_token: the id that hides.
      vocabulary: V, ids to draw from.
      share: of the candidates.

    Returns:
      `inputs` [B, T] with some hidden; `places` [B, P] of the chosen, P being the most that there
      can be, and `targets` [B, P], the ids that were there; the first `target_lengths` [B] count.
    """
    places_key, kind_key, token_key = jax.random.split(key, 3)
    batch, time = inputs.shape
    most = max(1, round(share * time))
    order = jnp.where(candidates, jax.random.uniform(places_key, inputs.shape), 2.0)
    places = jnp.argsort(order, axis=1)[:, :most]
    available = candidates.sum(1)
    count = jnp.minimum(jnp.maximum(jnp.round(share * available), 1).astype(jnp.int32), available)
    targets = jnp.take_along_axis(inputs, places, axis=1)
    kind = jax.random.uniform(kind_key, places.shape)
    other = jax.random.randint(token_key, places.shape, 0, vocabulary, inputs.dtype)
    shown = jnp.where(kind < 0.8, mask_token, jnp.where(kind < 0.9, other, targets))
    # What is not chosen goes out of range, which is dropped.
    where = jnp.where(jnp.arange(most) < count[:, None], places, time)
    hidden = inputs.at[jnp.arange(batch)[:, None], where].set(
        shown.astype(inputs.dtype), mode="drop"
    )
    return {"inputs": hidden, "places": places, "targets": targets, "target_lengths": count}


@flax.struct.dataclass
class PretrainingMetrics(LanguageMetrics):
    """Those of the hidden tokens, and how often the next sentence is told from another."""

    next_sentence: Accuracy

    def compute(self) -> dict[str, Array]:
        """`loss`, `bits`, `perplexity`, `accuracy`; and `next_sentence`, an accuracy too."""
        return {**super().compute(), "next_sentence": self.next_sentence.compute()}


@dataclasses.dataclass(frozen=True)
class MaskedLanguageModel(LanguageModel):
    """Learns hidden tokens of `inputs` [B, T], by BERT with a head that predicts words.

    What is hidden follows from the key in training, so each epoch hides others; in evaluation it
    is the same each time. With `next_sentence` [B] in the batch and BERT's head "pretraining", the
    loss of that class is added, as data set `sentence_pairs` has it.

    Attributes:
      mask_token: the id that hides; the defaults are those of BERT's English vocabulary.
      special_tokens: ids that are never hidden.
      share: of the tokens that are chosen.
    """

    mask_token: int = 103
    special_tokens: tuple[int, ...] = (0, 101, 102)
    share: float = 0.15

    def training_batch(self, batch: Batch, key: Array) -> Batch:
        """The batch with tokens hidden, as `hide` has it."""
        transform_key, hide_key = jax.random.split(key)
        return self._hidden(super().training_batch(batch, transform_key), hide_key)

    def keywords(self, batch: Batch) -> dict[str, Any]:
        """Lengths, token types and the places to predict."""
        return super().keywords(batch) | ({"places": batch["places"]} if "places" in batch else {})

    def loss(self, outputs: Any, batch: Batch) -> Array:
        """The loss of each example's hidden tokens, and of its next sentence, [B]."""
        tokens = super().loss(_tokens(outputs), by_targets(batch))
        if "next_sentence" not in batch:
            return tokens
        return tokens + softmax_cross_entropy(outputs.next_sentence, batch["next_sentence"])

    def eval_step(self, state: State, batch: Batch, key: Array) -> clu.metrics.Collection:
        """The metrics of one batch."""
        del key
        batch = self._hidden(self.transforms(batch, None, train=False), jax.random.key(0))
        outputs: Any = self.model.apply(state.variables, batch["inputs"], **self.keywords(batch))
        return self.metrics(outputs, batch)

    def metrics(self, outputs: Any, batch: Batch) -> LanguageMetrics:
        """Loss, bits, perplexity and accuracy of the hidden tokens; accuracy of next sentences."""
        tokens = super().metrics(_tokens(outputs), by_targets(batch))
        if "next_sentence" not in batch:
            return tokens
        known = {"targets": batch["next_sentence"], "mask": batch.get("mask")}
        accuracy = Accuracy.from_model_output(outputs=outputs.next_sentence, **known)
        return PretrainingMetrics(next_sentence=accuracy, **vars(tokens))

    def _hidden(self, batch: Batch, key: Array) -> Batch:
        inputs = jnp.asarray(batch["inputs"])
        candidates = ~jnp.isin(inputs, jnp.asarray(self.special_tokens, inputs.dtype))
        if "lengths" in batch:
            candidates &= jnp.arange(inputs.shape[1]) < batch["lengths"][:, None]
        model: Any = self.model
        return batch | hide(
            inputs,
            key,
            candidates=candidates,
            mask_token=self.mask_token,
            vocabulary=model.vocabulary,
            share=self.share,
        )


def _tokens(outputs: Any) -> Array:
    return outputs.tokens if isinstance(outputs, PretrainingLogits) else outputs
