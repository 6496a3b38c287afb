"""tokenizer.json of Hugging Face, in and out, and texts as encoders of BERT's kind read them."""

import json
from collections.abc import Sequence

import numpy as np

from aimodels.data.text.tokenizers import Subwords, Tokenizer, from_json
from aimodels.errors import UserError, unknown

# The model's type in their file -> our kind.
KINDS = {"BPE": "byte_bpe", "Unigram": "unigram", "WordLevel": "words", "WordPiece": "wordpiece"}


def as_ours(text: str, vocabulary: int) -> str:
    """tokenizer.json as a run keeps it; how it pads and cuts is left out.

    Args:
      text: of the file.
      vocabulary: V of the model that is to read its ids; it may be larger than the tokenizer's.

    Raises:
      UserError: it is no tokenizer, of another kind, or has more ids than the model.
    """
    try:
        content = json.loads(text)
        kind = content["model"]["type"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"this is no tokenizer.json of Hugging Face: {error!r}") from error
    if kind not in KINDS:
        raise unknown("type of tokenizer", kind, KINDS)
    vocab = content["model"].get("vocab", {})
    ids = list(vocab.values()) if isinstance(vocab, dict) else list(range(len(vocab)))
    ids += [token["id"] for token in content.get("added_tokens") or ()]
    if max(ids, default=0) >= vocabulary:
        raise UserError(
            f"tokenizer.json has ids up to {max(ids)}, and the model a vocabulary of {vocabulary}: "
            "they don't belong together"
        )
    content |= {"padding": None, "truncation": None}
    return json.dumps({"kind": KINDS[kind], "content": content}, ensure_ascii=False)


def as_theirs(text: str) -> str | None:
    """What a run keeps as tokenizer.json of theirs; None of characters and bytes."""
    found = json.loads(text)
    if found["kind"] not in KINDS.values():
        return None
    return json.dumps(found["content"], ensure_ascii=False)


def from_huggingface(text: str, vocabulary: int) -> Tokenizer:
    """The tokenizer that a tokenizer.json describes.

    Args:
      text: as in `as_ours`.
      vocabulary: as in `as_ours`.

    Raises:
      UserError: as `as_ours`; or the library can't read it.
    """
    ours = as_ours(text, vocabulary)
    try:
        return from_json(ours)
    except UserError:
        raise
    except Exception as error:  # the library raises no other
        raise UserError(f"this tokenizer.json can't be read: {error}") from error


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
