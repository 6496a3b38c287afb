"""SQuAD by its name in TensorFlow Datasets: questions on paragraphs of Wikipedia."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from aimodels.data.base import Info
from aimodels.data.text.reading import Reading, ReadingTexts
from aimodels.data.tfds import Tfds


@dataclasses.dataclass(frozen=True)
class TfdsSquad(ReadingTexts):
    """SQuAD (Rajpurkar et al. 2016, 2018), prepared as ArrayRecord: see `Tfds` and `ReadingTexts`.

    Attributes:
      dataset: TFDS's name: squad/v1.1, or squad/v2.0 with questions that have no answer.
      data_dir: TFDS's folder.
    """

    dataset: str = "squad/v1.1"
    data_dir: str | None = None

    @classmethod
    def presets(cls) -> tuple[dict[str, str], ...]:
        """None: it must be downloaded."""
        return ()

    @property
    def _tfds(self) -> "_Squad":
        return _Squad(self.dataset, inputs="question", targets=None, data_dir=self.data_dir)

    @property
    def split_names(self) -> tuple[str, ...]:
        """Train, 87,599 questions (v2.0: 130,319); validation, 10,570 (11,873)."""
        return ("train", "validation")

    def info(self) -> Info:
        """The facts."""
        return Info(
            name=f"tfds_squad:{self.dataset}",
            title=f"SQuAD, {self.dataset} of TensorFlow Datasets",
            task="question answering",
            features=self.features(),
            splits={},
            licence="CC BY-SA 4.0",
            citation="Rajpurkar et al., SQuAD: 100,000+ questions, EMNLP 2016",
            source="tensorflow.org/datasets",
            how=f"aimodels data fetch tfds_squad:{self.dataset}",
            notes="splits: train, validation, in windows; the test set is not public",
        )

    def is_ready(self) -> bool:
        """Whether the set is prepared on this machine, and the tokenizer is here."""
        return super().is_ready() and self._tfds.is_ready()

    def fetch(self) -> str:
        """Download and prepare it as ArrayRecord."""
        return f"{super().fetch()}\n{self._tfds.fetch()}"

    def readings(self, split: str) -> Sequence[Reading]:
        """The questions of a whole split."""
        return _read(self._tfds, split)


class _Squad(Tfds):
    """The set as TFDS has it."""

    kind = "tfds_squad"

    def examples(self, split: str) -> Any:
        """The examples of a split, by random access."""
        return self.load_whole(split)._examples


@functools.lru_cache(maxsize=4)
def _read(dataset: _Squad, split: str) -> tuple[Reading, ...]:
    return readings_of(dataset.examples(split))


def readings_of(examples: Iterable[Mapping[str, Any]]) -> tuple[Reading, ...]:
    """Examples as TFDS has them: `question`, `context`, `answers` {`text`, `answer_start`}."""
    found = []
    for example in examples:
        answers = example["answers"]
        if not isinstance(answers, Mapping):  # a sequence of dicts, not a dict of sequences
            names = ("text", "answer_start")
            answers = {name: [each[name] for each in answers] for name in names}
        texts = tuple(_text(one) for one in answers["text"])
        starts = np.asarray(answers["answer_start"]).reshape(-1)
        start = int(starts[0]) if len(starts) else -1
        question, text = _text(example["question"]), _text(example["context"])
        found.append(Reading(question, text, texts, start))
    return tuple(found)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
