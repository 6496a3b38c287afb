"""Running text cut into stretches, each token to be predicted from those before it."""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from aimodels.data.base import Dataset, Feature, Info
from aimodels.data.source import Windows
from aimodels.data.text import corpora, tokenizer_training, tokenizers
from aimodels.errors import UserError


@dataclasses.dataclass(frozen=True)
class Text(Dataset):
    """A corpus as `inputs` [B, T] int32 and `targets` [B, T] int32, the token after each.

    Training examples begin at every token, so they overlap; those of other splits don't.

    Attributes:
      corpus: its name, such as tiny_shakespeare, or the path of a text file in UTF-8.
      tokenizer: characters, bytes, words, byte_bpe, wordpiece or unigram; made from the training
        part alone, but characters, which are those of the whole text.
      vocabulary: V, for the kinds that don't find it out by themselves.
      length: T.
      validation: the share of the text at its end that is not trained on; None takes the corpus's
        own, a tenth of a file.
    """

    corpus: str
    tokenizer: str = "characters"
    vocabulary: int | None = None
    length: int = 64
    validation: float | None = None

    def __post_init__(self) -> None:
        if self.length < 1:
            raise UserError(f"data.length is {self.length}; it takes 1 or more")
        if self.validation is not None and not 0 < self.validation < 1:
            raise UserError(
                f"data.validation is {self.validation}; it takes more than 0, less than 1"
            )
        corpora.of(self.corpus)

    @classmethod
    def presets(cls) -> tuple[dict[str, str], ...]:
        """Each named corpus."""
        return tuple({"corpus": name} for name in corpora.CORPORA)

    def info(self) -> Info:
        """The facts; of a file there are few before it is read."""
        tokens = Feature((self.length,), "int32")
        corpus = corpora.of(self.corpus)
        ready = self.is_ready()
        return Info(
            name=f"text:{self.corpus}",
            title=corpus.title,
            task="classification",
            features={"inputs": tokens, "targets": tokens},
            splits={split: len(self.load_whole(split)) for split in ("train", "validation")}
            if ready
            else {},
            num_classes=self.made.vocabulary if ready else None,
            licence=corpus.licence,
            citation=corpus.citation,
            source=corpus.source,
            how=corpus.how,
            notes=corpus.notes,
        )

    def is_ready(self) -> bool:
        """Whether the text is here."""
        return corpora.of(self.corpus).is_ready()

    def fetch(self) -> str:
        """Get the corpus."""
        return corpora.of(self.corpus).fetch()

    def load_whole(self, split: str) -> Windows:
        """The train or validation part."""
        stride = 1 if split == "train" else self.length
        try:
            return Windows(self._tokens[split], self.length, stride)
        except ValueError as error:
            raise UserError(f"data.length is {self.length}; in {split}, {error}") from error

    def files(self) -> Mapping[str, str]:
        """tokenizer.json, which a run keeps."""
        return {"tokenizer.json": self.made.to_json()}

    @functools.cached_property
    def _parts(self) -> dict[str, str]:
        corpus = corpora.of(self.corpus)
        text = corpus.read()
        share = corpus.validation if self.validation is None else self.validation
        middle = int(len(text) * (1 - share))
        return {"train": text[:middle], "validation": text[middle:]}

    @property
    def made(self) -> tokenizers.Tokenizer:
        """The tokenizer."""
        return self._encoded[0]

    @property
    def _tokens(self) -> dict[str, np.ndarray]:
        return dict(zip(self._parts, self._encoded[1], strict=True))

    @functools.cached_property
    def _encoded(self) -> tuple[tokenizers.Tokenizer, tuple[np.ndarray, ...]]:
        return _encode(self.tokenizer, self.vocabulary, tuple(self._parts.values()))


@functools.lru_cache(maxsize=2)  # a run makes its data set anew for each of its parts
def _encode(
    kind: str, vocabulary: int | None, parts: tuple[str, ...]
) -> tuple[tokenizers.Tokenizer, tuple[np.ndarray, ...]]:
    """The tokenizer made from the first part (characters: from all), and the ids of each part."""
    seen = list(parts) if kind == "characters" else parts[0].splitlines(keepends=True)
    made = tokenizer_training.kept(kind, seen, vocabulary)
    return made, tuple(made.encode_all(parts))
