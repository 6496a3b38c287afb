"""Tasks along the Chomsky hierarchy, learned on short sequences and tested on long ones."""

import dataclasses

import numpy as np

from aimodels.data.base import Dataset, Feature, Info
from aimodels.data.sequences.chomsky_tasks import TASKS, Sequence
from aimodels.data.sequences.generated import Example, Generated, generator
from aimodels.errors import UserError, unknown


@dataclasses.dataclass(frozen=True)
class ChomskyHierarchy(Dataset):
    """A task of Delétang et al. 2023: ids `inputs` [B, T] and `targets` [B, T], int32.

    A sequence, then as many blanks (the id behind the last one) as there are places for the answer,
    which is read there: `lengths` [B] counts both. What counts of the targets are the places from
    `answer_starts` [B] up to `answer_ends` [B], which is before the last place where an answer is
    shorter than it could be.

    Training sequences have lengths that are drawn evenly from 1 to `train_longest`, as those of
    `validation` have. Those of `test` have each length from there to `test_longest` equally often,
    so that a mean over them is the paper's mean over lengths.

    Attributes:
      task: one of the fifteen, see `aimodels.data.sequences.chomsky_tasks`.
      train_longest: 40 in the paper.
      test_longest: 500 in the paper.
      train_size: sequences to train on; none costs memory.
      test_per_length: sequences of each length in `test`.
      seed: of all sequences.
    """

    task: str = "parity_check"
    train_longest: int = 40
    test_longest: int = 500
    train_size: int = 1_000_000
    test_per_length: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise unknown("task of the Chomsky hierarchy", self.task, TASKS)
        if not 1 <= self.train_longest < self.test_longest:
            raise UserError(
                f"data.test_longest is {self.test_longest}; it takes more than data.train_longest, "
                f"{self.train_longest}, which takes 1 or more"
            )

    @classmethod
    def presets(cls) -> tuple[dict[str, str], ...]:
        """Each of the tasks."""
        return tuple({"task": name} for name in TASKS)

    @property
    def blank(self) -> int:
        """The id that stands where an answer is to be given, and for padding."""
        return TASKS[self.task].inputs

    def info(self) -> Info:
        """The facts; `test` has longer rows than the others."""
        task = TASKS[self.task]
        ids, number = Feature((None,), "int32"), Feature((), "int32")
        return Info(
            name=f"chomsky_hierarchy:{self.task}",
            title=f"{self.task.replace('_', ' ')}, {task.level}",
            task="classification",
            features={
                "inputs": ids,
                "targets": ids,
                "lengths": number,
                "answer_starts": number,
                "answer_ends": number,
            },
            splits={
                "train": self.train_size,
                "validation": self.train_longest * self.test_per_length,
                "test": (self.test_longest - self.train_longest) * self.test_per_length,
            },
            num_classes=task.outputs,
            licence="none needed",
            citation="Deletang et al., Neural networks and the Chomsky hierarchy, ICLR 2023",
            source="NumPy's Philox generator",
            how="generated, no download",
            notes=f"test: lengths {self.train_longest + 1} to {self.test_longest}",
        )

    def load_whole(self, split: str) -> Generated:
        """A whole split."""
        longest = self.test_longest if split == "test" else self.train_longest
        # The number of places grows with the length.
        rows = longest + self._draw(split, 0, longest).places

        def make(index: int) -> Example:
            sequence = self._draw(split, index)
            read, answered = len(sequence.inputs), len(sequence.outputs)
            inputs = np.full(rows, self.blank, np.int32)
            inputs[:read] = sequence.inputs
            targets = np.zeros(rows, np.int32)
            targets[read : read + answered] = sequence.outputs
            return {
                "inputs": inputs,
                "targets": targets,
                "lengths": np.int32(read + sequence.places),
                "answer_starts": np.int32(read),
                "answer_ends": np.int32(read + answered),
            }

        return Generated(self.info().splits[split], make)

    def _draw(self, split: str, index: int, length: int | None = None) -> Sequence:
        draw = generator(self.seed, split, index)
        if length is None and split == "train":
            length = int(draw.integers(1, self.train_longest, endpoint=True))
        elif length is None:
            first = self.train_longest + 1 if split == "test" else 1
            count = self.test_longest - self.train_longest
            length = first + index % (count if split == "test" else self.train_longest)
        return TASKS[self.task].draw(draw, length)
