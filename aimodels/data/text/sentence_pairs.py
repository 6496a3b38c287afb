"""Pairs of stretches of text, of which the second follows the first or is from elsewhere: BERT's.

Devlin et al. 2019, section 3.1, task 2 and appendix A.2, and their code.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from aimodels.data.base import Dataset, Feature, Info, select_parts
from aimodels.data.cache import cache_folder
from aimodels.data.source import ArraySource, Source
from aimodels.data.text import corpora, tokenizer_training, tokenizers
from aimodels.errors import UserError

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # their ids are 0 to 4
CLS, SEP = SPECIAL.index("[CLS]"), SPECIAL.index("[SEP]")
FOLLOWS, RANDOM = 0, 1
SHORT = 0.1  # the share of pairs that are to be shorter than they could be

# Ids of sentences, of a document, and of a corpus.
Document = Sequence[np.ndarray]


@dataclasses.dataclass(frozen=True)
class SentencePairs(Dataset):
    """Pairs of a corpus: `inputs`, `token_types` [B, T], `lengths`, `next_sentence` [B], int32.

    A pair is [CLS] A [SEP] B [SEP]. A is one or more sentences of a document; in half of the pairs
    B is what follows (`next_sentence` 0), in the others it is from another document (1). Token
    types are 0 up to the first [SEP], and 1 behind it. Lines of the corpus are its sentences, and
    an empty line parts documents. `mask_token` of the task is 4, its `special_tokens` are 0, 2, 3.

    Attributes:
      corpus: its name, such as brown, or the path of a text file in UTF-8.
      vocabulary: V of WordPiece, made from the training part alone.
      length: T.
      validation: the share of the documents, at the end, that is not trained on.
      seed: decides the pairs.
    """

    corpus: str = "brown"
    vocabulary: int = 8000
    length: int = 128
    validation: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.length < 5:
            raise UserError(f"data.length is {self.length}; it takes 5 or more")
        if not 0 < self.validation < 1:
            raise UserError(
                f"data.validation is {self.validation}; it takes more than 0, less than 1"
            )
        corpora.of(self.corpus)

    def info(self) -> Info:
        """The facts; how many pairs there are is not known before they are made."""
        corpus = corpora.of(self.corpus)
        ids, one = Feature((self.length,), "int32"), Feature((), "int32")
        return Info(
            name="sentence_pairs",
            title=f"Pairs of stretches of {corpus.title}",
            task="pre-training",
            features={"inputs": ids, "token_types": ids, "lengths": one, "next_sentence": one},
            splits={},
            num_classes=2,
            class_names=("follows", "random"),
            licence=corpus.licence,
            citation=f"Devlin et al. 2019, appendix A.2; the text: {corpus.citation or 'your own'}",
            source=corpus.source,
            how="made from a corpus",
            notes="splits: train, validation",
        )

    def is_ready(self) -> bool:
        """Whether the text is here."""
        return corpora.of(self.corpus).is_ready()

    def fetch(self) -> str:
        """Get the corpus."""
        return corpora.of(self.corpus).fetch()

    def load(self, split: str) -> Source:
        """The examples of a split such as `train` or `validation[:100]`; see `Dataset`."""
        parts = _made(self, cache_folder())[1]
        sizes = {name: len(part["lengths"]) for name, part in parts.items()}
        return select_parts(split, dataclasses.replace(self.info(), splits=sizes), self.load_whole)

    def load_whole(self, split: str) -> ArraySource:
        """The pairs of the train or validation part."""
        return ArraySource(_made(self, cache_folder())[1][split])

    def files(self) -> Mapping[str, str]:
        """tokenizer.json, which a run keeps."""
        return {"tokenizer.json": self.made.to_json()}

    @property
    def made(self) -> tokenizers.Tokenizer:
        """The tokenizer."""
        return _made(self, cache_folder())[0]


@functools.lru_cache(maxsize=2)  # a run makes its data set anew for each of its parts
def _made(
    dataset: SentencePairs, folder: Path
) -> tuple[tokenizers.Tokenizer, dict[str, dict[str, np.ndarray]]]:
    """The tokenizer, and the arrays of each part."""
    del folder
    text = corpora.of(dataset.corpus).read()
    parts = [part.split("\n") for part in re.split(r"\r?\n\s*\r?\n", text)]
    documents = [[line for line in lines if line.strip()] for lines in parts]
    documents = [lines for lines in documents if lines]
    held_out = max(2, round(dataset.validation * len(documents)))
    if len(documents) - held_out < 2:
        raise UserError(
            f"data.corpus {dataset.corpus} has {len(documents)} documents, parted by empty "
            "lines; pairs take 4 or more"
        )
    parts = {"train": documents[:-held_out], "validation": documents[-held_out:]}
    seen = [line for lines in parts["train"] for line in lines]
    tokenizer = tokenizer_training.kept("wordpiece", seen, dataset.vocabulary, SPECIAL)
    arrays = {}
    for number, (split, part) in enumerate(parts.items()):
        encoded = [[ids for ids in tokenizer.encode_all(lines) if len(ids)] for lines in part]
        draw = np.random.Generator(np.random.Philox(key=[dataset.seed, number]))
        arrays[split] = as_arrays(
            pairs([lines for lines in encoded if lines], dataset.length, draw), dataset.length
        )
    return tokenizer, arrays


def pairs(
    documents: Sequence[Document], length: int, draw: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """Pairs that go through all documents once: A, B, and whether B is from elsewhere (1).

    Args:
      documents: two or more, each of one sentence or more.
      length: tokens of a pair at most, its three special ones among them.
      draw: decides all.
    """
    most, found = length - 3, []
    for number, document in enumerate(documents):
        at = 0
        while at < len(document):
            wanted = int(draw.integers(2, most + 1)) if draw.random() < SHORT else most
            chunk = _from(document, at, wanted)
            ends = int(draw.integers(1, len(chunk))) if len(chunk) > 1 else 1
            first = np.concatenate(chunk[:ends])
            if len(chunk) == 1 or draw.random() < 0.5:
                other = int(draw.integers(len(documents) - 1))
                elsewhere = documents[other + (other >= number)]
                begins = int(draw.integers(len(elsewhere)))
                second = np.concatenate(_from(elsewhere, begins, max(wanted - len(first), 1)))
                found.append((*_cut(first, second, wanted, draw), RANDOM))
                at += ends  # what was not used is used by the next pair
            else:
                second = np.concatenate(chunk[ends:])
                found.append((*_cut(first, second, wanted, draw), FOLLOWS))
                at += len(chunk)
    return found


def as_arrays(
    made: Sequence[tuple[np.ndarray, np.ndarray, int]], length: int
) -> dict[str, np.ndarray]:
    """Pairs as the fields of `SentencePairs`."""
    inputs = np.zeros((len(made), length), np.int32)
    types = np.zeros_like(inputs)
    lengths = np.zeros(len(made), np.int32)
    for row, (first, second, _) in enumerate(made):
        whole = np.concatenate([[CLS], first, [SEP], second, [SEP]])
        inputs[row, : len(whole)] = whole
        types[row, len(first) + 2 : len(whole)] = 1
        lengths[row] = len(whole)
    targets = np.array([target for _, _, target in made], np.int32)
    return {"inputs": inputs, "token_types": types, "lengths": lengths, "next_sentence": targets}


def _from(document: Document, at: int, wanted: int) -> Document:
    """Sentences from one on, until they have so many tokens or the document ends."""
    total, stop = 0, at
    while stop < len(document) and total < wanted:
        total += len(document[stop])
        stop += 1
    return document[at:stop]


def _cut(
    first: np.ndarray, second: np.ndarray, most: int, draw: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Both with `most` tokens at most: of the longer one, a token at either end, by chance."""
    while len(first) + len(second) > most:
        from_front = draw.random() < 0.5
        longer = first if len(first) > len(second) else second
        longer = longer[1:] if from_front else longer[:-1]
        first, second = (longer, second) if len(first) > len(second) else (first, longer)
    return first, second
