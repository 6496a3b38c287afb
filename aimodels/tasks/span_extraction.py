"""Answers as spans of a text: where they begin and where they end."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import clu.metrics
import flax.struct
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.tasks.base import Batch, State
from aimodels.tasks.buckets import Bucketed
from aimodels.tasks.losses import softmax_cross_entropy
from aimodels.tasks.metrics import Loss
from aimodels.tasks.span_metrics import span_metrics_of

Array = jax.Array


@flax.struct.dataclass
class Spans:
    """The best span of each window.

    Attributes:
      start: its first place in the window, int32 [B].
      end: its last place.
      score: the sum of both logits, [B]; -inf where there is no text.
      null: the sum of both logits of [CLS], [B]: that there is no answer.
    """

    start: Array
    end: Array
    score: Array
    null: Array


def best_spans(logits: Array, text_starts: Array, lengths: Array, longest: int = 30) -> Spans:
    """The span with the largest sum of logits that lies in the text and is not too long.

    Args:
      logits: [B, T, 2], of a first and of a last token.
      text_starts: the first place of the text, [B].
      lengths: of the windows, [B]; the last place is that of [SEP].
      longest: tokens of a span, at most.
    """
    logits = logits.astype(jnp.float32)
    T = logits.shape[1]
    places = jnp.arange(T)
    in_text = (places >= text_starts[:, None]) & (places < lengths[:, None] - 1)
    start, end = (jnp.where(in_text, logits[..., side], -jnp.inf) for side in (0, 1))
    more = min(longest, T)
    ends = jnp.pad(end, ((0, 0), (0, more - 1)), constant_values=-jnp.inf)
    # [B, T, L]: the end that is so many tokens behind each start.
    sums = start[..., None] + ends[:, places[:, None] + jnp.arange(more)]
    flat = sums.reshape(len(sums), -1)
    best = flat.argmax(-1)
    begins = (best // more).astype(jnp.int32)
    return Spans(
        start=begins,
        end=begins + (best % more).astype(jnp.int32),
        score=flat.max(-1),
        null=logits[:, 0].sum(-1),
    )


@dataclasses.dataclass(frozen=True)
class SpanExtraction(Bucketed):
    """Learns `targets` [B, 2], the places of an answer's first and last token in `inputs` [B, T].

    Devlin et al. 2019, sections 4.2 and 4.3: the loss is the mean of the cross-entropies of both
    over a window's tokens; the answer is the best valid span over all windows of a question.

    Attributes:
      longest_answer: tokens of an answer, at most.
      no_answer: whether there are questions without an answer. Then "none" is said where the score
        of [CLS] is larger than the best span's plus `null_threshold` (τ, section 4.3).
      null_threshold: τ.
      data_set: of the run, a `ReadingTexts`.
    """

    longest_answer: int = 30
    no_answer: bool = False
    null_threshold: float = 0.0
    data_set: Any = None

    cut_fields: ClassVar[Mapping[str, str]] = {"inputs": "lengths", "token_types": "lengths"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.longest_answer < 1:
            raise UserError(
                f"config.task.longest_answer is {self.longest_answer}; it takes 1 or more"
            )
        if self.data_set is not None and not hasattr(self.data_set, "answers"):
            raise UserError(
                f"config.data: {type(self.data_set).__name__} has no answers in texts; task "
                "span_extraction takes a data set such as babi_spans or tfds_squad"
            )

    def keywords(self, batch: Batch) -> dict[str, Any]:
        """Lengths, and token types unless the model has none."""
        given = super().keywords(batch)
        if not getattr(self.model, "num_token_types", 1):
            given.pop("token_types", None)
        return given

    def loss(self, outputs: Array, batch: Batch) -> Array:
        """The mean of both cross-entropies, [B]; padding is no place."""
        there = jnp.arange(outputs.shape[1]) < batch["lengths"][:, None]
        logits = jnp.where(there[..., None], outputs.astype(jnp.float32), -jnp.inf)
        both = [softmax_cross_entropy(logits[..., n], batch["targets"][:, n]) for n in (0, 1)]
        return (both[0] + both[1]) / 2

    def train_metrics(self, outputs: Array, batch: Batch) -> dict[str, Array]:
        """How often both ends are right, among all places."""
        right = (outputs.argmax(1) == batch["targets"]).all(-1)
        return {"accuracy": right.mean(dtype=jnp.float32)}

    def metrics(self, outputs: Array, batch: Batch) -> clu.metrics.Collection:
        """The loss, and exact match and F1 of the answers where the data set is known."""
        spans = self.spans(outputs, batch)
        loss = self.loss(outputs, batch)
        if self.data_set is None:
            collection = clu.metrics.Collection.create(loss=Loss)
            return collection.single_from_model_output(loss=loss, mask=batch.get("mask"))
        moved = batch["firsts"] - batch["text_starts"]
        threshold = self.null_threshold if self.no_answer else None
        return span_metrics_of(self.data_set, threshold).single_from_model_output(
            loss=loss,
            first=spans.start + moved,
            last=spans.end + moved,
            score=spans.score,
            null=spans.null,
            number=batch["number"],
            mask=batch.get("mask"),
        )

    def spans(self, outputs: Array, batch: Batch) -> Spans:
        """The best span of each window."""
        return best_spans(outputs, batch["text_starts"], batch["lengths"], self.longest_answer)

    def predict(self, state: State, batch: Batch) -> Spans:
        """The best span of each window, `Spans`."""
        return self.spans(super().predict(state, batch), batch)
