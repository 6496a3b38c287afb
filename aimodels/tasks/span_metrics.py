"""How good answers are: exact match and F1, as the scripts of SQuAD count.

Rajpurkar et al. 2016, section 6.1; Rajpurkar et al. 2018 for questions without an answer.
"""

import functools
import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import clu.metrics
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from aimodels.errors import UserError
from aimodels.tasks.metrics import Loss

Array = jax.Array
FIGURES = ("exact_match", "f1")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(answer: str) -> str:
    """In lower case, without punctuation and the articles a, an and the, a space between words."""
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", answer.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, reference: str) -> float:
    """1 if both are the same when normalized, else 0."""
    return float(normalized(answer) == normalized(reference))


def f1(answer: str, reference: str) -> float:
    """2 P R / (P + R) of the words that both have, counted as often as they come in both.

    Where one of them has no words it is 1 if the other has none either (the rule of SQuAD 2.0).
    """
    ours, theirs = normalized(answer).split(), normalized(reference).split()
    if not ours or not theirs:
        return float(ours == theirs)
    common = (Counter(ours) & Counter(theirs)).total()
    return 2 * common / (len(ours) + len(theirs))


def answer_scores(answers: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """The mean over questions of the best that an answer reaches with any of its references.

    Args:
      answers: one a question; empty for "there is none".
      references: the right ones of each; none where there is no answer.

    Returns:
      `exact_match` and `f1`, in per cent.

    Raises:
      UserError: there are no questions, or not as many of both.
    """
    if len(answers) != len(references) or not answers:
        raise UserError(
            f"there are {len(answers)} answers and {len(references)} references; takes as many of "
            "both, and at least one"
        )
    scores = [
        [max(score(answer, right) for right in known or ("",)) for score in (exact_match, f1)]
        for answer, known in zip(answers, references, strict=True)
    ]
    return dict(zip(FIGURES, (100 * np.mean(scores, axis=0)).tolist(), strict=True))


@flax.struct.dataclass
class SpanScores(clu.metrics.Metric):
    """The best spans of all windows of a split; made by `span_scores_of`.

    Attributes:
      first: number of the answer's first token in the text, int32 [B].
      last: of the last.
      score: of that span, [B].
      null: of there being no answer, [B].
      number: of the question, see `aimodels.data.text.reading`.
      mask: [B], which count.
      dataset: that has the texts and the right answers.
      null_threshold: see `SpanExtraction`.
    """

    first: Array
    last: Array
    score: Array
    null: Array
    number: Array
    mask: Array
    dataset: ClassVar[Any]
    null_threshold: ClassVar[float | None]

    @classmethod
    def from_model_output(
        cls,
        *,
        first: Array,
        last: Array,
        score: Array,
        null: Array,
        number: Array,
        mask: Array | None = None,
        **_: Any,
    ) -> Self:
        """From the best span of each window."""
        mask = jnp.ones(len(number), bool) if mask is None else mask.astype(bool)
        return cls(first=first, last=last, score=score, null=null, number=number, mask=mask)

    def merge(self, other: Self) -> Self:
        """Those of both, one behind the other."""
        return jax.tree.map(lambda *parts: jnp.concatenate(parts), self, other)

    def compute(self) -> dict[str, Array]:
        """`FIGURES`, by a call of the host where this is compiled; NaN over nothing."""
        shapes = {name: jax.ShapeDtypeStruct((), jnp.float32) for name in FIGURES}

        def on_host(*fields: Any) -> dict[str, Any]:
            mask = np.asarray(fields[-1])
            if not mask.any():
                return dict.fromkeys(FIGURES, np.float32(np.nan))
            chosen = best_of_windows(
                *(np.asarray(each)[mask] for each in fields[:-1]),
                null_threshold=self.null_threshold,
            )
            answers = [
                "" if span is None else self.dataset.answer(number, *span)
                for number, span in chosen.items()
            ]
            found = answer_scores(answers, [self.dataset.answers(number) for number in chosen])
            return {name: np.float32(value) for name, value in found.items()}

        fields = (self.first, self.last, self.score, self.null, self.number, self.mask)
        return jax.pure_callback(on_host, shapes, *fields, vmap_method="sequential")


def best_of_windows(
    first: np.ndarray,
    last: np.ndarray,
    score: np.ndarray,
    null: np.ndarray,
    number: np.ndarray,
    *,
    null_threshold: float | None,
) -> dict[int, tuple[int, int] | None]:
    """The best span over all windows of each question.

    Args:
      first: of each window's best span, [W].
      last: its end.
      score: its score.
      null: the score of [CLS], [W]; the lowest of a question's windows counts.
      number: whose window it is.
      null_threshold: see `SpanExtraction`; None for questions that have an answer.

    Returns:
      For each question its first and last token; None if it is said to have no answer.
    """
    best: dict[int, int] = {}
    lowest: dict[int, float] = {}
    for window, one in enumerate(number.tolist()):
        lowest[one] = min(lowest.get(one, np.inf), float(null[window]))
        if one not in best or score[window] > score[best[one]]:
            best[one] = window
    chosen: dict[int, tuple[int, int] | None] = {}
    for one, window in best.items():
        none = null_threshold is not None and lowest[one] > score[window] + null_threshold
        span = (int(first[window]), int(last[window]))
        chosen[one] = None if none or not np.isfinite(score[window]) else span
    return chosen


@flax.struct.dataclass
class SpanMetrics(clu.metrics.Collection):
    """`loss` over windows, and `exact_match` and `f1` over questions."""

    loss: Loss
    answers: SpanScores


@functools.lru_cache(maxsize=16)
def span_metrics_of(dataset: Any, null_threshold: float | None) -> type[SpanMetrics]:
    """The metrics for a `ReadingTexts`."""
    given = {"dataset": dataset, "null_threshold": null_threshold}
    scores = flax.struct.dataclass(type("SpanScoresOfDataset", (SpanScores,), given))
    annotations = {"__annotations__": {"loss": Loss, "answers": scores}}
    return flax.struct.dataclass(type("SpanMetricsOfDataset", (SpanMetrics,), annotations))
