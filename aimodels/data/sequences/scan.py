"""SCAN: commands of a little grammar, and the actions that they mean.

Lake & Baroni, "Generalization without systematicity", ICML 2018, figures 6 and 7 (the grammar and
its meaning). The files of github.com/brendenlake/SCAN are what this generates, but for their order
and for the random split.
"""

import dataclasses
import functools
import itertools
from typing import Literal

import numpy as np

from aimodels.data.base import Dataset, Feature, Info
from aimodels.data.source import ArraySource

PRIMITIVES = ("walk", "look", "run", "jump")
DIRECTIONS = ("left", "right")
PAD, END = "<pad>", "<end>"
# A word's id is its place.
WORDS = (
    PAD,
    *PRIMITIVES,
    *DIRECTIONS,
    "turn",
    "opposite",
    "around",
    "twice",
    "thrice",
    "and",
    "after",
)
ACTIONS = (PAD, END, *(f"I_{name.upper()}" for name in PRIMITIVES), "I_TURN_LEFT", "I_TURN_RIGHT")
LONGEST_COMMAND, LONGEST_ACTIONS = 9, 48
LONGEST_TRAINED = 22  # actions in the training part of the split by length
# How often the training part has the one command of the new primitive: a tenth of it.
REPEATED = {"jump": 1467, "turn left": 2189}
SEED, SHARE_OF_TRAINING = 2018, 0.8

Command = tuple[tuple[str, ...], tuple[str, ...]]


@functools.cache
def commands() -> tuple[Command, ...]:
    """All 20,910 commands, each as its words and its actions."""
    phrases = [*_verbs()]
    phrases = [
        (f"{words}{suffix}", actions * times)
        for words, actions in phrases
        for suffix, times in (("", 1), (" twice", 2), (" thrice", 3))
    ]
    joined = [
        pair
        for (first, before), (second, behind) in itertools.product(phrases, phrases)
        for pair in (
            (f"{first} and {second}", before + behind),
            (f"{first} after {second}", behind + before),
        )
    ]
    return tuple((tuple(words.split()), actions) for words, actions in phrases + joined)


def _verbs() -> list[tuple[str, tuple[str, ...]]]:
    """The phrases of one action and a direction, V of the grammar."""
    found: list[tuple[str, tuple[str, ...]]] = [
        (primitive, (f"I_{primitive.upper()}",)) for primitive in PRIMITIVES
    ]
    for verb, direction in itertools.product((*PRIMITIVES, "turn"), DIRECTIONS):
        turn = (f"I_TURN_{direction.upper()}",)
        act = () if verb == "turn" else (f"I_{verb.upper()}",)
        found += [
            (f"{verb} {direction}", turn + act),
            (f"{verb} opposite {direction}", turn * 2 + act),
            (f"{verb} around {direction}", (turn + act) * 4),
        ]
    return found


@dataclasses.dataclass(frozen=True)
class Scan(Dataset):
    """Commands as ids of `WORDS`, `inputs` [B, 9]; actions as ids of `ACTIONS`, `targets` [B, 49].

    int32, padded by 0. `lengths` and `target_lengths` [B] count the valid ones; the targets end
    with END, which is counted.

    Attributes:
      split: how train and test differ. "simple": a random 80 % are trained on, our own draw;
        "length": those of up to 22 actions, tested on 24 to 48; "add_jump" and "add_turn_left":
        all without that primitive, and its bare command again and again; tested on all others that
        have it.
    """

    split: Literal["simple", "length", "add_jump", "add_turn_left"] = "simple"

    @classmethod
    def presets(cls) -> tuple[dict[str, str], ...]:
        """Each of the splits."""
        return tuple({"split": name} for name in ("simple", "length", "add_jump", "add_turn_left"))

    def info(self) -> Info:
        """The facts."""
        number = Feature((), "int32")
        return Info(
            name=f"scan:{self.split}",
            title=f"SCAN, {self.split.replace('_', ' ')} split",
            task="translation",
            features={
                "inputs": Feature((LONGEST_COMMAND,), "int32"),
                "lengths": number,
                "targets": Feature((LONGEST_ACTIONS + 1,), "int32"),
                "target_lengths": number,
            },
            splits={split: len(rows) for split, rows in self.rows().items()},
            num_classes=len(ACTIONS),
            licence="none needed; the published files BSD",
            citation="Lake & Baroni, Generalization without systematicity, ICML 2018",
            source="its grammar; github.com/brendenlake/SCAN",
            how="generated, no download",
            notes="the random split is our own, of the published sizes"
            if self.split == "simple"
            else "the published split",
        )

    def rows(self) -> dict[str, np.ndarray]:
        """The numbers in `commands()` of each part's examples."""
        known = commands()
        if self.split == "simple":
            draw = np.random.Generator(np.random.Philox(key=[SEED, len(known)]))
            order = draw.permutation(len(known))
            trained = int(SHARE_OF_TRAINING * len(known))
            return {"train": np.sort(order[:trained]), "test": np.sort(order[trained:])}
        if self.split == "length":
            short = np.array([len(actions) <= LONGEST_TRAINED for _, actions in known])
            return {"train": np.flatnonzero(short), "test": np.flatnonzero(~short)}
        new = self.split.removeprefix("add_").replace("_", " ")
        texts = [" ".join(words) for words, _ in known]
        has = np.array([new in text for text in texts])
        bare = texts.index(new)
        train = [np.flatnonzero(~has), np.full(REPEATED[new], bare)]
        test = np.flatnonzero(has)
        return {"train": np.concatenate(train), "test": test[test != bare]}

    def load_whole(self, split: str) -> ArraySource:
        """The train or test part."""
        everything = _encoded()
        rows = self.rows()[split]
        return ArraySource({name: array[rows] for name, array in everything.items()})


def decode(ids: np.ndarray) -> str:
    """The actions of a row of targets, or of a prediction, up to END."""
    actions = [ACTIONS[place] for place in ids]
    return " ".join(actions[: actions.index(END)] if END in actions else actions)


@functools.cache
def _encoded() -> dict[str, np.ndarray]:
    """All commands as arrays."""
    known = commands()
    inputs = np.zeros((len(known), LONGEST_COMMAND), np.int32)
    targets = np.zeros((len(known), LONGEST_ACTIONS + 1), np.int32)
    word_ids = {word: place for place, word in enumerate(WORDS)}
    action_ids = {action: place for place, action in enumerate(ACTIONS)}
    for row, (words, actions) in enumerate(known):
        inputs[row, : len(words)] = [word_ids[word] for word in words]
        ended = (*actions, END)
        targets[row, : len(ended)] = [action_ids[action] for action in ended]
    return {
        "inputs": inputs,
        "lengths": (inputs > 0).sum(1).astype(np.int32),
        "targets": targets,
        "target_lengths": (targets > 0).sum(1).astype(np.int32),
    }
