"""Stories while they are told: sentences, questions in between, and what chance decides."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from aimodels.data.sequences.generated import SPLITS

T = TypeVar("T")


class Question(NamedTuple):
    """A question.

    Attributes:
      text: as it is asked.
      answer: a word, or two with a comma between.
      told: how many sentences of the story come before it.
      facts: the numbers of the sentences that the answer is read from, without those that only tell
        that it still holds.
    """

    text: str
    answer: str
    told: int
    facts: tuple[int, ...]


class Story(NamedTuple):
    """Sentences, and the questions that are asked on the way."""

    sentences: tuple[str, ...]
    questions: tuple[Question, ...]


class Telling:
    """A story that grows, and the chance that it needs.

    Args:
      seed: of the data set.
      split: train, validation or test.
      task: 1 to 20; the same number gives other stories in other tasks.
      number: of the story.
    """

    def __init__(self, seed: int, split: str, task: int, number: int) -> None:
        counter = [0, 0, task, SPLITS[split]]
        self._chance = np.random.Generator(np.random.Philox(key=[seed, number], counter=counter))
        self._sentences: list[str] = []
        self._questions: list[Question] = []

    def tell(self, sentence: str) -> int:
        """One more sentence; returns its number. Its first letter becomes a capital."""
        self._sentences.append(f"{sentence[0].upper()}{sentence[1:]}.")
        return len(self._sentences) - 1

    def ask(self, text: str, answer: str, *facts: int) -> None:
        """A question after what was told so far."""
        question = f"{text[0].upper()}{text[1:]}?"
        told = len(self._sentences)
        self._questions.append(Question(question, answer, told, tuple(dict.fromkeys(facts))))

    @property
    def told(self) -> int:
        """How many sentences there are."""
        return len(self._sentences)

    @property
    def story(self) -> Story:
        """What was told."""
        return Story(tuple(self._sentences), tuple(self._questions))

    def one(self, items: Sequence[T]) -> T:
        """One of them, all equally probable."""
        return items[int(self._chance.integers(len(items)))]

    def several(self, items: Sequence[T], count: int) -> list[T]:
        """So many different ones, in an order that is drawn too."""
        left = list(items)
        return [left.pop(int(self._chance.integers(len(left)))) for _ in range(count)]

    def happens(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self._chance.random() < probability)


def capital(name: str) -> str:
    """A name within a sentence."""
    return name[0].upper() + name[1:]
