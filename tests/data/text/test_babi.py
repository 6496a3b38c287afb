"""Generated bAbI questions: a frozen recipe, and answers that a second reader of the text finds."""

import hashlib
import json
import re
from collections import defaultdict

import numpy as np
import pytest

from aimodels.data import make
from aimodels.data.text.babi.questions import (
    IDS,
    TASKS,
    VOCABULARY,
    question,
    story,
    words_of,
)
from aimodels.errors import UserError

WENT = r"(?:journeyed to|moved to|travelled to|went back to|went to)"
TOOK, LEFT = r"(?:got|grabbed|picked up|took)", r"(?:discarded|dropped|left|put down)"
GAVE = r"(?:gave|handed|passed)"


# The reader knows sentences alone: it has no world that is told, but looks back through the text.


def place_of(lines, person):
    """Where the last sentence about a person says that they are."""
    for line in reversed(lines):
        found = re.fullmatch(rf"(\w+)(?: and (\w+))? (?:{WENT}|is in) the (\w+)", line)
        if found and person in found.groups()[:2]:
            return found[3]
    return None


def holder_of(lines, thing):
    """Who has a thing: whoever took or was given it last, unless it was left since."""
    for line in reversed(lines):
        if found := re.match(rf"(\w+) {TOOK} the {thing}\b", line):
            return found[1]
        if found := re.match(rf"\w+ {GAVE} the {thing} to (\w+)", line):
            return found[1]
        if re.match(rf"\w+ {LEFT} the {thing}\b", line):
            return None
    return None


def places_of(lines, thing):
    """The places where a thing was, one after another, by following it through the text."""
    visited = []
    for end in range(1, len(lines) + 1):
        holder = holder_of(lines[:end], thing)
        place = holder and place_of(lines[:end], holder)
        if place and visited[-1:] != [place]:
            visited.append(place)
    return visited


def carried(lines, person):
    things = [thing for thing in ("apple", "football", "milk") if holder_of(lines, thing) == person]

    def came(thing):
        about = [rf"{person} {TOOK} the {thing}", rf"\w+ {GAVE} the {thing} to {person}"]
        return max(n for n, line in enumerate(lines) if any(re.match(each, line) for each in about))

    return sorted(things, key=came)


def where(lines, asked):
    return place_of(lines, asked.split()[-1])


def where_thing(lines, asked):
    return places_of(lines, asked.split()[-1])[-1]


def where_before(lines, asked):
    thing, place = re.fullmatch(r"where was the (\w+) before the (\w+)", asked).groups()
    visited = places_of(lines, thing)
    last = len(visited) - 1 - visited[::-1].index(place)
    return visited[last - 1]


def direction(lines, asked):
    back = {"north": "south", "south": "north", "east": "west", "west": "east"}
    known = set()
    for line in lines:
        one, way, other = re.fullmatch(r"the (\w+) is (\w+) of the (\w+)", line).groups()
        known |= {(one, way, other), (other, back[way], one)}
    if found := re.fullmatch(r"what is (\w+) of the (\w+)", asked):
        (answer,) = {one for one, way, other in known if (way, other) == found.groups()}
    else:
        found = re.fullmatch(r"what is the (\w+) (\w+) of", asked)
        (answer,) = {other for one, way, other in known if (one, way) == found.groups()}
    return answer


def gift(lines, asked):
    gifts = [re.fullmatch(rf"(\w+) {GAVE} the (\w+) to (\w+)", line) for line in lines]
    gifts = [found.groups() for found in gifts if found][::-1]
    forms = {
        r"what did (\w+) give to (\w+)": ("AxB", 1),
        r"who did (\w+) give the (\w+) to": ("ATx", 2),
        r"who gave the (\w+) to (\w+)": ("xTB", 0),
        r"who gave the (\w+)": ("xTx", 0),
        r"who received the (\w+)": ("xTx", 2),
    }
    for pattern, (slots, wanted) in forms.items():
        if found := re.fullmatch(pattern, asked):
            known = [place for place, slot in enumerate(slots) if slot != "x"]
            for one in gifts:
                if tuple(one[place] for place in known) == found.groups():
                    return one[wanted]
    raise AssertionError(asked)


def whether(lines, asked):
    person, place = re.fullmatch(r"is (\w+) in the (\w+)", asked).groups()
    for line in reversed(lines):
        if not line.startswith(f"{person} ") or re.match(rf"\w+ ({TOOK}|{LEFT}) ", line):
            continue
        if found := re.fullmatch(r"\w+ is either in the (\w+) or the (\w+)", line):
            return "maybe" if place in found.groups() else "no"
        if found := re.fullmatch(r"\w+ is (?:not|no longer) in the (\w+)", line):
            assert found[1] == place  # else nobody could know
            return "no"
        return "yes" if line.endswith(f" {place}") else "no"
    raise AssertionError(asked)


def how_many(lines, asked):
    person = re.fullmatch(r"how many objects is (\w+) carrying", asked)[1]
    return ("none", "one", "two", "three")[len(carried(lines, person))]


def what_carried(lines, asked):
    person = re.fullmatch(r"what is (\w+) carrying", asked)[1]
    return ",".join(carried(lines, person)) or "nothing"


def where_of_pronouns(lines, asked):
    """By pairs of lines: the second says where those of the first are."""
    person = asked.split()[-1]
    for first, second in reversed(list(zip(lines[::2], lines[1::2], strict=True))):
        if person in first.split()[: first.split().index("to")]:
            return second.split()[-1]
    raise AssertionError(asked)


def when(lines, asked):
    person, place = re.fullmatch(r"where was (\w+) before the (\w+)", asked).groups()
    times = ("yesterday", "this morning", "this afternoon", "this evening")
    day = {}
    for line in lines:
        (hour,) = [n for n, time in enumerate(times) if time in line]
        rest = line.replace(times[hour], "").split()
        if rest[0] == person:
            day[hour] = rest[-1]
    order = [day[hour] for hour in sorted(day)]
    return order[order.index(place) - 1]


def fear(lines, asked):
    one = {"mice": "mouse", "wolves": "wolf", "cats": "cat", "sheep": "sheep"}
    name = asked.split()[2]
    text = ". ".join(lines)
    kind = re.search(rf"{name} is a (\w+)", text)[1]
    feared = dict(re.findall(r"(\w+) are afraid of (\w+)", text))
    return next(one[other] for plural, other in feared.items() if one[plural] == kind)


def colour(lines, asked):
    name, text = asked.split()[-1], ". ".join(lines)
    kinds = dict(re.findall(r"(\w+) is a (\w+)", text))
    colours = dict(re.findall(r"(\w+) is (gray|green|white|yellow)", text))
    (answer,) = {colours[one] for one in colours if kinds[one] == kinds[name]}
    assert name not in colours
    return answer


def side(lines, asked):
    """By the least and most that inequalities allow: each relation moves on one axis alone."""
    sides = {
        "above": (1, 1),
        "below": (1, -1),
        "to the left of": (0, -1),
        "to the right of": (0, 1),
    }
    pattern = r"the ([\w ]+?) (?:is )?(above|below|to the left of|to the right of) the ([\w ]+)"
    offsets = {}
    offsets[re.fullmatch(pattern, lines[0])[3]] = [0, 0]
    for line in lines * 2:
        one, how, other = re.fullmatch(pattern, line).groups()
        axis, sign = sides[how]
        if other in offsets:
            offsets[one] = list(offsets[other])
            offsets[one][axis] += sign
        elif one in offsets:
            offsets[other] = list(offsets[one])
            offsets[other][axis] -= sign
    one, how, other = re.fullmatch("is " + pattern, asked).groups()
    axis, sign = sides[how]
    return "yes" if (offsets[one][axis] - offsets[other][axis]) * sign > 0 else "no"


def size(lines, asked):
    below = set()  # (small, large), and what follows
    for line in lines:
        small, verb, large = re.fullmatch(
            r"the (.+) (fits inside|is bigger than) the (.+)", line
        ).groups()
        below.add((small, large) if verb == "fits inside" else (large, small))
    while True:
        more = {(a, d) for a, b in below for c, d in below if b == c} - below
        if not more:
            break
        below |= more
    if found := re.fullmatch(r"does the (.+) fit in the (.+)", asked):
        pair = found.groups()
    else:
        pair = re.fullmatch(r"is the (.+) bigger than the (.+)", asked).groups()[::-1]
    assert (pair in below) != (pair[::-1] in below)  # one of them follows
    return "yes" if pair in below else "no"


def path(lines, asked):
    """Every way of two steps that the sentences allow: there is one."""
    back = {"n": "s", "s": "n", "e": "w", "w": "e"}
    steps = defaultdict(set)
    for line in lines:
        there, way, here = re.fullmatch(r"the (\w+) is (\w+) of the (\w+)", line).groups()
        steps[here].add((way[0], there))
        steps[there].add((back[way[0]], here))
    start, end = re.fullmatch(r"how do you go from the (\w+) to the (\w+)", asked).groups()
    assert not any(place == end for _, place in steps[start])
    (answer,) = {
        f"{first},{second}"
        for first, between in steps[start]
        for second, place in steps[between]
        if place == end
    }
    return answer


def motive(lines, asked):
    person = re.search(r"(?:did|will) (\w+)", asked)[1]
    (mood,) = [line.split()[-1] for line in lines if re.match(rf"{person} is \w+$", line)]
    if asked.startswith("why"):
        return mood
    goes = {"bored": "garden", "hungry": "kitchen", "thirsty": "kitchen", "tired": "bedroom"}
    return goes[mood]


READERS = {
    1: where,
    2: where_thing,
    3: where_before,
    4: direction,
    5: gift,
    6: whether,
    7: how_many,
    8: what_carried,
    9: whether,
    10: whether,
    11: where_of_pronouns,
    12: where,
    13: where_of_pronouns,
    14: when,
    15: fear,
    16: colour,
    17: side,
    18: size,
    19: path,
    20: motive,
}


def plain(text):
    return text.lower().rstrip(".?")


@pytest.mark.parametrize("task", TASKS)
def test_a_second_reader_finds_the_answers_in_the_text(task):
    for number in range(60):
        told = story(task, number, "test", 3)
        lines = [plain(sentence) for sentence in told.sentences]
        for asked in told.questions:
            found = READERS[task](lines[: asked.told], plain(asked.text))
            assert found == asked.answer, (told, asked)


@pytest.mark.parametrize("task", TASKS)
def test_stories_have_the_sizes_and_words_that_the_data_set_tells(task):
    kind = TASKS[task]
    for number in range(400):
        told = story(task, number)
        assert len(told.sentences) <= kind.sentences
        assert len(told.questions) == kind.questions
        for text in (*told.sentences, *(asked.text for asked in told.questions)):
            assert len(words_of(text)) <= kind.words
            assert set(words_of(text)) <= set(VOCABULARY)
        for asked in told.questions:
            assert asked.answer in VOCABULARY
            assert all(fact < asked.told for fact in asked.facts)
            if kind.in_story:
                facts = [words_of(told.sentences[fact]) for fact in asked.facts]
                assert any(asked.answer in words for words in facts)


def test_answers_are_balanced_enough_that_guessing_fails():
    for task in TASKS:
        answers = [question(task, number, "train", 0)[1].answer for number in range(1000)]
        most = max(map(answers.count, set(answers))) / 1000
        assert most < (0.78 if task == 9 else 0.56), task


# Of the first 20 stories of each task in train and test; what changes them makes another data set.
FROZEN = "17ac276a714d7418dae206a4bc5c706d2f3e0054603a80d65d4ceeb28dfce963"


def test_the_recipe_is_frozen():
    told = [
        story(task, number, split)
        for task in TASKS
        for split in ("train", "test")
        for number in range(20)
    ]
    assert hashlib.sha256(json.dumps(told).encode()).hexdigest() == FROZEN
    assert len(VOCABULARY) == len(set(VOCABULARY)) == 171


def test_batches_say_the_stories():
    data = make("babi", tasks=(1,), size=50)
    batch = data.load("train").gather(np.arange(50))
    assert batch["inputs"].shape == (50, 10, 6)
    for row in (0, 7, 49):
        told, asked = question(1, row, "train", 0)
        length = batch["lengths"][row]
        assert length == asked.told
        lines = [[VOCABULARY[word] for word in line if word] for line in batch["inputs"][row]]
        assert lines[:length] == [words_of(line) for line in told.sentences[:length]]
        assert not any(lines[length:])
        assert [VOCABULARY[w] for w in batch["questions"][row] if w] == words_of(asked.text)
        assert batch["targets"][row] == IDS[asked.answer]
    words = make("babi", tasks=(1,), size=50, form="words").load("train").gather(np.arange(50))
    for row in (0, 7, 49):
        memory = [*batch["inputs"][row].ravel(), *batch["questions"][row]]
        assert [w for w in memory if w] == list(words["inputs"][row][: words["lengths"][row]])


def test_several_tasks_are_one_set_with_a_test_each():
    data = make("babi", tasks=(4, 20), size=30)
    assert data.info().splits == {"train": 60, "test": 2000, "test_4": 1000, "test_20": 1000}
    train, test = (data.load(split).gather(np.arange(60)) for split in ("train", "test_20"))
    alone = make("babi", tasks=(20,), size=30).load("test").gather(np.arange(60))
    np.testing.assert_array_equal(test["targets"], alone["targets"])
    assert train["inputs"].shape[1:] == tuple(data.info().features["inputs"].shape)
    first = data.load("test[1000:1010]").gather(np.arange(10))
    np.testing.assert_array_equal(first["inputs"], test["inputs"][:10])


def test_parts_and_seeds_differ():
    told = {story(1, 0, split, seed) for split in ("train", "test") for seed in (0, 1)}
    assert len(told) == 4
    assert len({story(1, number) for number in range(200)}) == 200


@pytest.mark.parametrize(
    "fields", [{"tasks": (21,)}, {"tasks": ()}, {"tasks": (1, 1)}, {"size": 0}]
)
def test_wrong_fields_are_told(fields):
    with pytest.raises(UserError, match=f"data.{next(iter(fields))}"):
        make("babi", **fields)
