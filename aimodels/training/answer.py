"""Answers from a folder of texts: passages that fit a question, and a reader that looks there."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aimodels.data.text.passages import BM25, passages_of
from aimodels.data.text.reading import Cut, cut, text_between
from aimodels.data.text.tokenizers import Tokenizer
from aimodels.errors import UserError
from aimodels.tasks.span_extraction import best_spans
from aimodels.training.generate import tokenizer_of
from aimodels.training.load import Loaded, config_of, load

BATCH_SIZE = 16


def answer(
    workdir: str | Path,
    folder: str | Path,
    question: str,
    *,
    passages: int = 10,
    count: int = 3,
    step: int | str = "latest",
    replica: int = 0,
) -> list[dict[str, Any]]:
    """The best answers to a question, each from another passage, the best first.

    Passages come by BM25. In each of them the reader finds its best span, whose score is the sum
    of the logits of its ends less those of [CLS], "no answer here"; answers are in its order.

    Args:
      workdir: of a reader: a BERT with head "span", trained or imported.
      folder: of text files; see `passages_of`.
      question: what is asked.
      passages: how many are read.
      count: of answers, at most.
      step: `latest`, `best` or a number.
      replica: which one, counted from 0.

    Returns:
      For each `answer`, `score`, `file`, `passage`, and `retrieval`, the score by BM25.

    Raises:
      UserError: the run is no reader, there is nothing to read, or no question.
    """
    if not question.strip():
        raise UserError("the question is empty; give one by --question")
    _check_reader(Path(workdir))
    found = passages_of(folder)
    chosen = BM25([passage.text for passage in found]).best(question, passages)
    tokenizer = tokenizer_of(workdir)
    loaded = load(workdir, step=step, replica=replica)
    spans = read(loaded, tokenizer, question, [found[number].text for number, _ in chosen])
    answers = [
        {
            "answer": text,
            "score": score,
            "file": str(found[number].file),
            "passage": found[number].text,
            "retrieval": round(retrieval, 4),
        }
        for (number, retrieval), (text, score) in zip(chosen, spans, strict=True)
        if text
    ]
    return sorted(answers, key=lambda each: -each["score"])[:count]


def read(
    loaded: Loaded, tokenizer: Tokenizer, question: str, texts: list[str]
) -> list[tuple[str, float]]:
    """The best span of each text and its score; an empty one where a text has no tokens."""
    task: Any = loaded.task
    model, data = task.model, loaded.config.data or {}
    fields = ("length", "stride", "question_length")
    # An imported reader has no data of its own: what Devlin et al. took, as far as it can read.
    sizes = dict(zip(fields, (min(384, model.max_length), 128, 64), strict=True))
    sizes |= {name: data[name] for name in fields if "stride" in data}
    windows = cut(tokenizer, [question] * len(texts), texts, **sizes)
    longest = getattr(task, "longest_answer", 30)

    @jax.jit
    def spans(inputs: Any, token_types: Any, lengths: Any, text_starts: Any) -> Any:
        types = {"token_types": token_types} if model.num_token_types else {}
        logits: Any = model.apply(loaded.state.variables, inputs, lengths=lengths, **types)
        return best_spans(logits, text_starts, lengths, longest)

    best = [("", -np.inf)] * len(texts)
    names = ("inputs", "token_types", "lengths", "text_starts")
    for start in range(0, len(windows.rows), BATCH_SIZE):
        rows = np.arange(start, start + BATCH_SIZE) % len(windows.rows)  # one shape, one program
        predicted = spans(*(jnp.asarray(getattr(windows, name)[rows]) for name in names))
        for row, *span in zip(rows, *map(np.asarray, jax.tree.leaves(predicted)), strict=True):
            _keep_best(best, windows, int(row), texts, *span)
    return best


def _keep_best(
    best: list[tuple[str, float]],
    windows: Cut,
    window: int,
    texts: list[str],
    start: Any,
    end: Any,
    score: Any,
    null: Any,
) -> None:
    which = int(windows.rows[window])
    moved = int(windows.firsts[window] - windows.text_starts[window])
    text = text_between(texts[which], windows.offsets[which], start + moved, end + moved)
    if text and score - null > best[which][1]:
        best[which] = (text, round(float(score - null), 4))


def _check_reader(workdir: Path) -> None:
    """Raises `UserError` where a run can't look for spans; nothing but its config is read."""
    model = config_of(workdir).model
    if model is None or model.name != "BERT" or model.head != "span":
        what = json.dumps({} if model is None else {"name": model.name, "head": model.get("head")})
        raise UserError(
            f"{workdir} is no reader of spans, its model is {what}; takes the work folder of a "
            "BERT with head 'span', such as experiments/language/reader.py trains"
        )
