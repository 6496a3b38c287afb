"""A language of nine words that is translated word by word, the first two words swapped."""

import dataclasses
import itertools
from typing import ClassVar

from aimodels.data.base import Info
from aimodels.data.text.parallel import Pairs, ParallelTexts

WORDS = (
    {"two": "zwei", "three": "drei", "no": "keine"},
    {"red": "rote", "big": "grosse", "old": "alte"},
    {"dogs": "Hunde", "cats": "Katzen", "hats": "Huete"},
)
SIZES = {"train": 18, "test": 9}


@dataclasses.dataclass(frozen=True)
class Toy(ParallelTexts):
    """27 phrases; the test phrases are none of the training's."""

    tokenizer: str = "spaced_words"
    vocabulary: int | None = None
    length: int = 6

    languages: ClassVar[tuple[str, ...]] = ("en", "de")

    @property
    def is_cut_into_words(self) -> bool:
        """They are."""
        return True

    def info(self) -> Info:
        """The facts."""
        return Info("toy", "a toy", "translation", self.features(), SIZES)

    def pairs(self, split: str) -> Pairs:
        """The phrases: those for the test have each word with each other one once."""
        sources, targets = [], []
        for places in itertools.product(range(3), repeat=3):
            if (sum(places) % 3 == 0) == (split == "test"):
                known = [list(words.items())[place] for words, place in zip(WORDS, places)]  # noqa: B905
                (first, erste), (second, zweite), (third, dritte) = known
                sources.append(f"{first} {second} {third}")
                targets.append(f"{zweite} {erste} {dritte}")
        return Pairs(sources, targets)
