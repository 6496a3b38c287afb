"""Text from a trained language model, a few tokens at a time."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aimodels.data.text.tokenizers import Tokenizer, from_json
from aimodels.errors import UserError
from aimodels.models.generation import PLAIN, Sampling, advance, begin
from aimodels.training.load import Loaded

# Tokens in one call of the device: few enough to see a text grow.
PIECE = 16


def tokenizer_of(workdir: str | Path) -> Tokenizer:
    """The tokenizer that a run keeps. Raises `UserError` if it keeps none."""
    file = Path(workdir) / "tokenizer.json"
    try:
        return from_json(file.read_text())
    except FileNotFoundError:
        raise UserError(
            f"{workdir} keeps no tokenizer.json: it was not trained on text; "
            "takes the work folder of a language model"
        ) from None


def beginning(tokenizer: Tokenizer) -> str:
    """What a text begins behind: a new line, or a full stop where that is no token."""
    return "\n" if tokenizer.decode(tokenizer.encode("\n")) == "\n" else "."


def stream(
    loaded: Loaded,
    tokenizer: Tokenizer,
    prompt: str,
    *,
    tokens: int = 500,
    sampling: Sampling = PLAIN,
    seed: int = 0,
) -> Iterator[str]:
    """The text behind a prompt, in pieces as they are made: what joins them to it comes first.

    What the model can't read any more, since it is longer than its context, is forgotten but for
    the last half of the context.

    Args:
      loaded: a trained language model.
      tokenizer: of its run.
      prompt: what the text begins with.
      tokens: how many to make.
      sampling: how they are chosen.
      seed: of chance.

    Raises:
      UserError: the prompt is empty or has what the tokenizer lacks, or the model makes no text.
    """
    model: Any = getattr(loaded.task, "model", None)
    if not hasattr(model, "empty_cache"):
        raise UserError(
            f"the run's model, {type(model).__name__}, makes no text; takes that of a language "
            "model, such as GPT"
        )
    ids = tokenizer.encode(prompt).tolist()
    if not ids:
        raise UserError("the prompt is empty; a text begins with at least one token")
    reading = jax.jit(partial(begin, model, sampling=sampling))
    going_on = jax.jit(partial(advance, model, sampling=sampling))
    variables, key = loaded.state.variables, jax.random.key(seed)
    first, room = len(ids), 0
    given = len(tokenizer.decode(ids))  # characters of the text that are out
    decoding: Any = None
    while len(ids) < first + tokens:
        key, begin_key, advance_key = jax.random.split(key, 3)
        if room == 0:
            context = ids if len(ids) < model.max_length else ids[-max(model.max_length // 2, 1) :]
            padded = np.zeros((1, model.max_length), np.int32)  # one shape, one program
            padded[0, : len(context)] = context
            lengths = jnp.array([len(context)])
            decoding = reading(variables, padded, begin_key, lengths=lengths)
            room = model.max_length - len(context)
        count = min(PIECE, room)
        decoding, new = going_on(variables, decoding, jax.random.split(advance_key, count))
        room -= count
        ids += new[0].tolist()
        text = tokenizer.decode(ids[: first + tokens])
        # Bytes that are no whole character yet may become one.
        whole = (
            len(text.rstrip("\N{REPLACEMENT CHARACTER}"))
            if len(ids) < first + tokens
            else len(text)
        )
        yield text[given:whole]
        given = max(given, whole)
