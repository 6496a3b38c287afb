"""tokenizer.json of Hugging Face, in and out, and texts as encoders of BERT's kind read them."""

import json
from collections.abc import Sequence

import numpy as np

from aimodels.data.text.tokenizers import (
    ByteBpe,
    Subwords,
    Tokenizer,
    Unigram,
    WordPiece,
    Words,
)
from aimodels.errors import UserError, unknown

# The model's type in their file -> our kind.
TYPES: dict[str, type[Subwords]] = {
    "BPE": ByteBpe,
    "Unigram": Unigram,
    "WordLevel": Words,
    "WordPiece": WordPiece,
}


def from_huggingface(text: str) -> Subwords:
    """The tokenizer that a tokenizer.json describes; how it pads and cuts is left out.

    Raises:
      UserError: it is no tokenizer, or of another kind.
    """
    try:
        content = json.loads(text)
        kind = content["model"]["type"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"this is no tokenizer.json of Hugging Face: {error!r}") from error
    if kind not in TYPES:
        raise unknown("type of tokenizer", kind, TYPES)
    try:
        return TYPES[kind].restore(content | {"padding": None, "truncation": None})
    except UserError:
        raise
    except Exception as error:  # the library raises no other
        raise UserError(f"this tokenizer.json can't be read: {error}") from error


def to_huggingface(tokenizer: Tokenizer) -> str | None:
    """tokenizer.json; None of characters and bytes, which have none."""
    if not isinstance(tokenizer, Subwords):
        return None
    return json.dumps(tokenizer.content(), ensure_ascii=False)


def encoder_inputs(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    seconds: Sequence[str] | None = None,
    *,
    max_length: int = 512,
) -> dict[str, np.ndarray]:
    """Texts, or pairs of them, with the special tokens that the tokenizer puts around them.

    Args:
      tokenizer: one of `from_huggingface`'s, whose file says what is put around.
      texts: B of them.
      seconds: the second text of each pair.
      max_length: longer ones are cut, of a pair the longer text first.

    Returns:
      `inputs` int32 [B, T], padded to the longest; `lengths` int32 [B]; `token_types` int32
      [B, T], 1 in a second text.
    """
    if not isinstance(tokenizer, Subwords):
        raise UserError(f"tokenizer {tokenizer.kind}: it puts no special tokens around texts")
    if not texts:
        raise UserError("there are no texts")
    inner = type(tokenizer).restore(tokenizer.content()).inner  # not the caller's: it is changed
    inner.enable_truncation(max_length)
    given = list(texts) if seconds is None else list(zip(texts, seconds, strict=True))
    encoded = inner.encode_batch(given)
    lengths = np.array([len(each.ids) for each in encoded], np.int32)
    inputs = np.zeros((len(encoded), max(lengths.max(), 1)), np.int32)
    types = np.zeros_like(inputs)
    for row, each in enumerate(encoded):
        inputs[row, : lengths[row]] = each.ids
        types[row, : lengths[row]] = each.type_ids
    return {"inputs": inputs, "lengths": lengths, "token_types": types}
