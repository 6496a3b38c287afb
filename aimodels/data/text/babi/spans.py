"""Those of the generated questions whose answers are words of their stories, for span readers."""

import dataclasses
import functools
import re
from collections.abc import Sequence

from aimodels.data.base import Info
from aimodels.data.text.babi.dataset import TEST_SIZE, check_tasks
from aimodels.data.text.babi.questions import TASKS, question
from aimodels.data.text.reading import Reading, ReadingTexts
from aimodels.errors import UserError

IN_STORY = tuple(number for number, kind in TASKS.items() if kind.in_story)


@dataclasses.dataclass(frozen=True)
class BabiSpans(ReadingTexts):
    """Generated questions of bAbI's kinds with the story so far as the text; see `Babi`.

    The answer to be found is the word in the first of the supporting sentences that has it.

    Attributes:
      tasks: their numbers, of those whose answers are words of the story.
      size: questions to train on, of each task; 1,000 each are there to test, drawn anew.
      seed: of all stories.
    """

    tasks: tuple[int, ...] = IN_STORY
    size: int = 1000
    seed: int = 0
    vocabulary: int | None = 400
    length: int = 128
    stride: int = 64
    question_length: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        check_tasks(self.tasks)
        if wrong := [number for number in self.tasks if number not in IN_STORY]:
            raise UserError(
                f"data.tasks: the answers of {wrong} are no words of the story; it takes "
                f"{', '.join(map(str, IN_STORY))}"
            )
        if self.size < 1:
            raise UserError(f"data.size is {self.size}; it takes 1 or more")

    def info(self) -> Info:
        """The facts."""
        return Info(
            name="babi_spans",
            title="bAbI's kinds of questions, generated, whose answers stand in the story",
            task="question answering",
            features=self.features(),
            splits={},
            licence="none needed",
            citation="Weston et al., Towards AI-complete question answering, arXiv:1502.05698",
            source="our own generator, after the paper; NumPy's Philox generator",
            how="generated, no download",
            notes="splits: train, test; not the published files",
        )

    @property
    def split_names(self) -> tuple[str, ...]:
        """Train and test."""
        return ("train", "test")

    def readings(self, split: str) -> Sequence[Reading]:
        """The questions of a whole split."""
        size = self.size if split == "train" else TEST_SIZE
        return _readings(self.tasks, size, split, self.seed)


@functools.lru_cache(maxsize=8)
def _readings(tasks: tuple[int, ...], size: int, split: str, seed: int) -> tuple[Reading, ...]:
    return tuple(_reading(task, row, split, seed) for task in tasks for row in range(size))


def _reading(task: int, number: int, split: str, seed: int) -> Reading:
    story, asked = question(task, number, split, seed)
    told = story.sentences[: asked.told]
    word = re.compile(rf"\b{asked.answer}\b", re.IGNORECASE)
    fact, found = next(
        (fact, match) for fact in asked.facts if (match := word.search(story.sentences[fact]))
    )
    before = sum(len(sentence) + 1 for sentence in told[:fact])
    return Reading(asked.text, " ".join(told), (found[0],), before + found.start())
