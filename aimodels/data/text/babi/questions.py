"""The 20 tasks by their numbers, their stories, and the words of all of them."""

import functools
import itertools
import re
from collections.abc import Callable
from typing import NamedTuple

from aimodels.data.text.babi import people, relations
from aimodels.data.text.babi.telling import Question, Story, Telling

PAD = "<pad>"


class Kind(NamedTuple):
    """A kind of task.

    Attributes:
      title: the paper's name of it.
      tell: tells a story with its questions.
      questions: of a story.
      sentences: at most, of a story.
      words: at most, of a sentence or a question.
      in_story: whether the answers are words of the sentences from which they follow.
    """

    title: str
    tell: Callable[[Telling], None]
    questions: int
    sentences: int
    words: int
    in_story: bool


TASKS: dict[int, Kind] = {
    1: Kind("single supporting fact", people.one_fact, 5, 10, 6, True),
    2: Kind("two supporting facts", people.two_facts, 5, 25, 6, True),
    3: Kind("three supporting facts", people.three_facts, 5, 33, 7, True),
    4: Kind("two argument relations", relations.two_arguments, 1, 2, 7, True),
    5: Kind("three argument relations", people.giving, 5, 30, 8, True),
    6: Kind("yes/no questions", people.yes_or_no, 5, 10, 6, False),
    7: Kind("counting", people.counting, 5, 20, 6, False),
    8: Kind("lists/sets", people.lists, 5, 20, 6, False),
    9: Kind("simple negation", people.negation, 5, 10, 7, False),
    10: Kind("indefinite knowledge", people.indefinite, 5, 10, 9, False),
    11: Kind("basic coreference", people.coreference, 5, 10, 8, True),
    12: Kind("conjunction", people.conjunction, 5, 10, 8, True),
    13: Kind("compound coreference", people.compound_coreference, 5, 10, 8, True),
    14: Kind("time reasoning", people.time, 5, 12, 8, True),
    15: Kind("basic deduction", relations.deduction, 4, 8, 5, False),
    16: Kind("basic induction", relations.induction, 1, 9, 4, True),
    17: Kind("positional reasoning", relations.positions, 8, 2, 11, False),
    18: Kind("size reasoning", relations.sizes, 5, 5, 9, False),
    19: Kind("path finding", relations.paths, 1, 5, 10, False),
    20: Kind("agent's motivations", relations.motives, 12, 12, 7, False),
}
# Answers of two words count as one word more, as in Sukhbaatar et al. 2015.
PAIRS = (
    *(",".join(pair) for pair in itertools.permutations(people.THINGS, 2)),
    *(
        f"{one[0]},{other[0]}"
        for one, other in itertools.product(relations.STEPS, repeat=2)
        if other != relations.OPPOSITE[one]
    ),
)
# Of the sentences and questions themselves.
GLUE = (
    "a afraid and are before bigger carrying color did do does either fit fits from get give go",
    "how in inside is longer many maybe no not nothing objects of or received than the there they",
    "to was what where who why will yes you",
)
VOCABULARY: tuple[str, ...] = (
    PAD,
    *sorted(
        {
            word
            for text in (
                *people.FOUR,
                *people.GIVERS,
                *people.OTHERS,
                *people.PLACES,
                *people.TOWN,
                *people.THINGS,
                *people.PRONOUNS.values(),
                *people.MOVES,
                *people.TAKES,
                *people.LEAVES,
                *people.GIVES,
                *people.THEN,
                *people.TIMES,
                *people.NUMBERS,
                *relations.STEPS,
                *relations.PLURALS,
                *relations.PLURALS.values(),
                *relations.WOMEN,
                *relations.KINDS,
                *relations.COLOURS,
                *relations.NAMES,
                *relations.SHAPES,
                *relations.SIDES,
                *relations.SMALL,
                *relations.LARGE,
                *relations.SCIENTISTS,
                *relations.MOTIVES,
                *(word for pair in relations.MOTIVES.values() for word in pair),
                *GLUE,
            )
            for word in text.split()
        }
    ),
    *PAIRS,
)
IDS = {word: index for index, word in enumerate(VOCABULARY)}


@functools.lru_cache(maxsize=100_000)
def story(task: int, number: int, split: str = "train", seed: int = 0) -> Story:
    """A story with its questions: a function of these four alone."""
    telling = Telling(seed, split, task, number)
    TASKS[task].tell(telling)
    return telling.story


def question(task: int, number: int, split: str, seed: int) -> tuple[Story, Question]:
    """A question, counted over all stories of a task, and its story."""
    which, place = divmod(number, TASKS[task].questions)
    found = story(task, which, split, seed)
    return found, found.questions[place]


def words_of(text: str) -> list[str]:
    """The words of a sentence or question, in lower case."""
    return re.findall(r"[a-z]+", text.lower())
