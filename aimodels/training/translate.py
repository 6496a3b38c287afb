"""Texts translated by a trained run, a batch at a time."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aimodels.data.text.parallel import PAD, padded, text_of
from aimodels.data.text.tokenizers import Tokenizer
from aimodels.errors import UserError
from aimodels.tasks.text_to_text import TextToText
from aimodels.training.load import Loaded


def translations_of_split(loaded: Loaded, split: str, *, batch_size: int = 100) -> list[str]:
    """The translations of a split of the run's own data, as its evaluations make them.

    Args:
      loaded: a run of task text_to_text on pairs of texts.
      split: such as `test`.
      batch_size: texts at a time: one shape, one program.
    """
    task: Any = loaded.task
    source = task.data_set.load(split)
    found = []
    for start in range(0, len(source), batch_size):
        # The last batch is filled up with its last text.
        rows = np.minimum(np.arange(start, start + batch_size), len(source) - 1)
        batch = source.gather(rows)
        ids = loaded.predict(batch["inputs"], lengths=batch["lengths"])
        wanted = min(batch_size, len(source) - start)
        found += [text_of(task.data_set.made, row) for row in ids[:wanted]]
    return found


def translated(
    loaded: Loaded,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    beams: int | None = None,
    length_penalty: float | None = None,
    batch_size: int = 32,
) -> Iterator[str]:
    """The translation of each text, in their order; of an empty text an empty one.

    Args:
      loaded: a run of task text_to_text.
      tokenizer: of its run.
      texts: as the run's data set has them, one sentence each.
      beams: W of the search; None takes the task's, or 4 where that is 0.
      length_penalty: α, see `aimodels.models.generation.beam_search`; None takes the task's.
      batch_size: texts at a time: one shape, one program.

    Raises:
      UserError: the run doesn't translate, there is no text, or one is longer than the model reads.
    """
    task: Any = loaded.task
    if not isinstance(task, TextToText) or "length" not in (loaded.config.data or {}):
        raise UserError(
            f"the run's task, {loaded.config.task.name}, doesn't translate; takes the work folder "
            "of a text_to_text run on pairs of texts, such as multi30k"
        )
    if not any(text.strip() for text in texts):
        raise UserError("there is no text to translate; give one by --text or on standard input")
    length = loaded.config.data.length
    task = dataclasses.replace(
        task,
        beams=(task.beams or 4) if beams is None else beams,
        length_penalty=task.length_penalty if length_penalty is None else length_penalty,
    )
    # One more than is read, so that a text that is too long is noticed before any is translated.
    ids, lengths = padded(tokenizer, texts, length + 1)
    for row in np.flatnonzero(lengths > length).tolist():
        tokens = len(tokenizer.encode(texts[row])) + 1
        raise UserError(
            f"text {row + 1} has {tokens} tokens with its end, and the model reads {length}: "
            f"cut it into sentences, one a line: {texts[row][:60]!r}"
        )
    predict = jax.jit(task.predict)
    for start in range(0, len(texts), batch_size):
        rows = range(start, min(start + batch_size, len(texts)))
        batch: dict[str, np.ndarray] = {
            "inputs": np.full((batch_size, length), tokenizer.id_of(PAD), np.int32)
        }
        batch["lengths"] = np.ones(batch_size, np.int32)
        batch["inputs"][: len(rows)] = ids[start : rows.stop, :length]
        batch["lengths"][: len(rows)] = lengths[start : rows.stop]
        found = np.asarray(predict(loaded.state, jax.tree.map(jnp.asarray, batch)))
        for row, ids_of_row in zip(rows, found, strict=False):
            yield text_of(tokenizer, ids_of_row) if texts[row].strip() else ""
