"""Sentences as vectors: those of like meaning lie close together."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aimodels.config import call_section, named_section
from aimodels.data.pretrained import WEIGHTS, pretrained
from aimodels.data.text.corpora import read_text
from aimodels.data.text.huggingface_tokenizers import encoder_inputs, from_huggingface
from aimodels.data.text.tokenizers import Tokenizer
from aimodels.errors import UserError
from aimodels.models import huggingface_configs
from aimodels.models.state_dicts import from_state_dict
from aimodels.weights import read_weights


@dataclasses.dataclass(frozen=True)
class SentenceEncoder:
    """A BERT with head "sentence", its variables and its tokenizer.

    Attributes:
      model: the module.
      variables: {"params": ...}.
      tokenizer: of its files.
      max_length: tokens of a text that are read; of the rest nothing is seen.
      batch_size: texts at a time.
    """

    model: Any
    variables: Any
    tokenizer: Tokenizer
    max_length: int = 256
    batch_size: int = 32

    def __post_init__(self) -> None:
        object.__setattr__(self, "_apply", jax.jit(self.model.apply))

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """B texts -> [B, D], each of length 1: a product of two is their cosine."""
        if not texts:
            raise UserError("there are no texts")
        # Those of like length together, in few sizes: little padding, few programs.
        order = np.argsort([len(text) for text in texts], kind="stable")
        vectors: dict[int, np.ndarray] = {}
        for start in range(0, len(order), self.batch_size):
            rows: list[int] = order[start : start + self.batch_size].tolist()
            batch = encoder_inputs(
                self.tokenizer, [texts[row] for row in rows], max_length=self.max_length
            )
            inputs, lengths = batch["inputs"], batch["lengths"]
            time = min(-(-inputs.shape[1] // 32) * 32, self.model.max_length)
            inputs = np.pad(inputs, ((0, self.batch_size - len(rows)), (0, time - inputs.shape[1])))
            lengths = np.pad(lengths, (0, self.batch_size - len(rows)))
            found = self._apply(self.variables, inputs, lengths=lengths)  # type: ignore[attr-defined]
            vectors |= dict(zip(rows, np.asarray(found), strict=False))
        return np.stack([vectors[row] for row in range(len(texts))])

    def nearest(self, query: str, texts: Sequence[str], count: int = 5) -> list[tuple[str, float]]:
        """The texts closest to the query, the closest first, with their cosines."""
        cosines = self.encode(texts) @ self.encode([query])[0]
        best: list[int] = np.argsort(-cosines, kind="stable")[:count].tolist()
        return [(texts[index], float(cosines[index])) for index in best]


def sentence_encoder(path: str = "minilm_l6_v2", **fields: Any) -> SentenceEncoder:
    """The encoder in a folder of Hugging Face's files, or of weights known by name.

    >>> encoder = sentence_encoder()                    # after: aimodels data fetch minilm_l6_v2
    >>> encoder.nearest("a cat", ["a kitten", "the stock market"], count=1)

    Args:
      path: a name, or a folder with config.json, model.safetensors and tokenizer.json of a BERT.
      fields: of `SentenceEncoder`, e.g. max_length.

    Raises:
      UserError: files are missing, damaged or of another model.
    """
    known = path in WEIGHTS and not Path(path).exists()
    file = pretrained(path) if known else Path(path) / "model.safetensors"
    section = huggingface_configs.read(file.with_name("config.json"))
    if section["name"] != "BERT":
        raise UserError(f"{path} is a {section['name']}; vectors of sentences are BERT's")
    section.pop("num_classes", None)
    section["head"] = "sentence"
    model = call_section("model", named_section("model", section, "model"))
    tokenizer = read_text(file.with_name("tokenizer.json"))
    ids = jax.ShapeDtypeStruct((1, 8), jnp.int32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), ids)
    variables = from_state_dict("huggingface", model, read_weights(file), shapes)
    return SentenceEncoder(
        model,
        jax.tree.map(jnp.asarray, variables),
        from_huggingface(tokenizer, model.vocabulary),
        **fields,
    )
