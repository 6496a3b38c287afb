"""Rows of n-gram models in tables of language models: the same text, the same tokens judged."""

import math
import time
from typing import Any

import numpy as np

from aimodels.data.source import Windows
from aimodels.errors import UserError
from aimodels.models.kneser_ney import KneserNey


def kneser_ney(dataset: Any, order: int, split: str = "validation") -> dict[str, float]:
    """Fits an n-gram model to a text's training part and scores it on a split.

    The tokens that count are the targets of the split's windows, as for a language model; but each
    is predicted from the N - 1 tokens before it, where a language model sees those of its window.

    Args:
      dataset: an `aimodels.data.text.language_modelling.Text`.
      order: N.
      split: what is judged.

    Returns:
      "<split>/loss" in nats a token, "<split>/bits" and "<split>/perplexity", "ngrams" how many
      there are, "seconds" to fit.
    """
    parts = [dataset.load_whole(name) for name in ("train", split)]
    if not all(isinstance(part, Windows) for part in parts):
        raise UserError("an n-gram model takes running text, as the data set 'text' has it")
    train, judged = (part.arrays["tokens"] for part in parts)
    started = time.perf_counter()
    model = KneserNey.fit(train, dataset.made.vocabulary, order)
    seconds = time.perf_counter() - started
    targets = len(parts[1]) * dataset.length
    nats = -float(np.mean(model.log_probabilities(judged)[1 : targets + 1]))
    return {
        f"{split}/loss": nats,
        f"{split}/bits": nats / math.log(2),
        f"{split}/perplexity": math.exp(nats),
        "ngrams": float(sum(len(each.keys) for each in model.orders)),
        "seconds": seconds,
    }
