"""The questions as a data set: for memory networks, and for readers of one long text."""

import dataclasses
import functools
from typing import Literal

import numpy as np

from aimodels.data.base import Dataset, Feature, Info
from aimodels.data.source import ArraySource, Concatenated, Source
from aimodels.data.text.babi.questions import IDS, TASKS, VOCABULARY, question, words_of
from aimodels.errors import UserError

TEST_SIZE = 1000
# "The capacity of memory is restricted to the most recent 50 sentences", Sukhbaatar et al. 2015.
MEMORY = 50


@dataclasses.dataclass(frozen=True)
class Babi(Dataset):
    """Questions about little stories, in the 20 kinds of Weston et al. 2015; all fields int32.

    `targets` [B] is the answer, as an id of `VOCABULARY`: a word, or two with a comma between in
    tasks 8 and 19. With form="sentences", `inputs` [B, M, S] are the sentences told so far, the
    most recent last, `lengths` [B] how many there are, and `questions` [B, S]. With form="words",
    `inputs` [B, T] are the words of all of them and then of the question, `lengths` [B] of them.
    Ids of 0 are padding.

    These are not the published files: the generator is our own. It follows the paper's
    descriptions and examples of the tasks, and has the people, places, things and wordings that
    they show. What the paper leaves open is settled otherwise here: how long stories are, how
    often something is asked, which wordings there are. Stories are shorter (at most 33 sentences,
    where some of the published ones have hundreds), lists have two things at most, and all of a
    kind have one colour in task 16. A question is a function of (seed, split, number) alone.
    Where few stories are possible, splits share some: with seed 0, 90 of 1,000 test questions of
    task 4 are in its training part too, and none of another task.

    Attributes:
      tasks: their numbers, 1 to 20; several are told with one vocabulary, and `test_<number>` has
        the questions of one.
      size: questions to train on, of each task; the paper has 1,000 and 10,000.
      form: see above.
      seed: of all stories.
    """

    tasks: tuple[int, ...] = (1,)
    size: int = 1000
    form: Literal["sentences", "words"] = "sentences"
    seed: int = 0

    def __post_init__(self) -> None:
        check_tasks(self.tasks)
        for field, least in (("size", 1), ("seed", 0)):
            if getattr(self, field) < least:
                raise UserError(f"data.{field} is {getattr(self, field)}; it takes {least} or more")

    def info(self) -> Info:
        """The facts."""
        one = len(self.tasks) == 1
        title = TASKS[self.tasks[0]].title if one else f"{len(self.tasks)} tasks"
        sentences, words, text = sizes(self.tasks)
        number = Feature((), "int32")
        if self.form == "words":
            features = {"inputs": Feature((text,), "int32"), "lengths": number}
        else:
            features = {
                "inputs": Feature((sentences, words), "int32"),
                "lengths": number,
                "questions": Feature((words,), "int32"),
            }
        several = {} if one else {f"test_{number}": TEST_SIZE for number in self.tasks}
        return Info(
            name=f"babi:{self.tasks[0]}" if one else "babi",
            title=f"bAbI's kinds of questions, generated: {title}",
            task="classification",
            features=features | {"targets": number},
            splits={
                "train": self.size * len(self.tasks),
                "test": TEST_SIZE * len(self.tasks),
                **several,
            },
            num_classes=len(VOCABULARY),
            class_names=VOCABULARY,
            licence="none needed",
            citation="Weston et al., Towards AI-complete question answering, arXiv:1502.05698",
            source="our own generator, after the paper; NumPy's Philox generator",
            how="generated, no download",
            notes="not the published files: no figure on those is of the same questions",
        )

    def load_whole(self, split: str) -> Source:
        """The questions of a split, of several tasks one task behind the other."""
        name, _, only = split.partition("_")
        size = self.size if name == "train" else TEST_SIZE
        parts = [
            ArraySource(_encoded(task, size, name, self.seed, self.form, sizes(self.tasks)))
            for task in ((int(only),) if only else self.tasks)
        ]
        return parts[0] if len(parts) == 1 else Concatenated(parts)


def check_tasks(tasks: tuple[int, ...]) -> None:
    """Raises `UserError` where these are no numbers of tasks."""
    wrong = [number for number in tasks if number not in TASKS]
    if wrong or not tasks or len(set(tasks)) < len(tasks):
        raise UserError(
            f"data.tasks is {tasks}; it takes one or more of the numbers 1 to {len(TASKS)}, each "
            "once"
        )


def sizes(tasks: tuple[int, ...]) -> tuple[int, int, int]:
    """The most sentences that are kept of a story, words in one, and words in all with question."""
    kinds = [TASKS[number] for number in tasks]
    sentences = min(max(kind.sentences for kind in kinds), MEMORY)
    text = max((min(kind.sentences, MEMORY) + 1) * kind.words for kind in kinds)
    return sentences, max(kind.words for kind in kinds), text


@functools.lru_cache(maxsize=64)
def _encoded(
    task: int, size: int, split: str, seed: int, form: str, shape: tuple[int, int, int]
) -> dict[str, np.ndarray]:
    """The first questions of a task as arrays."""
    sentences, words, text = shape
    memory = np.zeros((size, *((text,) if form == "words" else (sentences, words))), np.int32)
    asked = np.zeros((size, words), np.int32)
    lengths, targets = np.zeros(size, np.int32), np.zeros(size, np.int32)
    for row in range(size):
        story, found = question(task, row, split, seed)
        told = [_ids(sentence) for sentence in story.sentences[: found.told][-sentences:]]
        wanted = _ids(found.text)
        targets[row] = IDS[found.answer]
        if form == "words":
            whole = [word for sentence in (*told, wanted) for word in sentence]
            memory[row, : len(whole)], lengths[row] = whole, len(whole)
            continue
        asked[row, : len(wanted)] = wanted
        lengths[row] = len(told)
        for place, sentence in enumerate(told):
            memory[row, place, : len(sentence)] = sentence
    arrays = {"inputs": memory, "lengths": lengths, "targets": targets}
    return arrays if form == "words" else arrays | {"questions": asked}


@functools.lru_cache(maxsize=100_000)
def _ids(text: str) -> tuple[int, ...]:
    return tuple(IDS[word] for word in words_of(text))
