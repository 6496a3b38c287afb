"""Tasks 4 and 15 to 20: places on a map, kinds and colours of animals, shapes, sizes, motives.

Section 3 of Weston et al. 2015, "Towards AI-complete question answering".
"""

import itertools

from aimodels.data.text.babi.people import MOVES, PLACES, TAKES
from aimodels.data.text.babi.telling import Telling, capital

STEPS = {"north": (0, 1), "south": (0, -1), "east": (1, 0), "west": (-1, 0)}
OPPOSITE = {"north": "south", "south": "north", "east": "west", "west": "east"}
PLURALS = {"cat": "cats", "mouse": "mice", "sheep": "sheep", "wolf": "wolves"}
WOMEN = ("emily", "gertrude", "jessica", "winona")
KINDS, COLOURS = ("frog", "lion", "rhino", "swan"), ("gray", "green", "white", "yellow")
NAMES = ("bernhard", "brian", "greg", "julius", "lily")
SHAPES = (
    "blue square",
    "pink rectangle",
    "red sphere",
    "red square",
    "triangle",
    "yellow square",
)
SIDES = {"above": (0, 1), "below": (0, -1), "to the left of": (-1, 0), "to the right of": (1, 0)}
SMALL, LARGE = ("chocolate", "box of chocolates"), ("box", "chest", "container", "suitcase")
SCIENTISTS = ("antoine", "jason", "sumit", "yann")
# What somebody is -> where they go, and what they take there.
MOTIVES = {
    "bored": ("garden", "football"),
    "hungry": ("kitchen", "apple"),
    "thirsty": ("kitchen", "milk"),
    "tired": ("bedroom", "pajamas"),
}


def two_arguments(telling: Telling) -> None:
    """4: which place is in a direction of which."""
    middle, first, second = telling.several(PLACES, 3)
    ways = telling.several(tuple(STEPS), 2)
    for place, way in zip((first, second), ways, strict=True):
        telling.tell(f"the {place} is {way} of the {middle}")
    which = telling.one((0, 1))
    place, way = (first, second)[which], ways[which]
    question, answer = telling.one(
        (
            (f"what is {way} of the {middle}", place),
            (f"what is the {middle} {OPPOSITE[way]} of", place),
            (f"what is the {place} {way} of", middle),
        )
    )
    telling.ask(question, answer, which)


def deduction(telling: Telling) -> None:
    """15: what an animal is afraid of, by its kind."""
    fears = {kind: telling.one([other for other in PLURALS if other != kind]) for kind in PLURALS}
    kinds = {name: telling.one(tuple(PLURALS)) for name in WOMEN}
    sentences = [
        *(
            (kind, f"{PLURALS[kind]} are afraid of {PLURALS[other]}")
            for kind, other in fears.items()
        ),
        *((name, f"{name} is a {kind}") for name, kind in kinds.items()),
    ]
    facts = {
        about: telling.tell(text) for about, text in telling.several(sentences, len(sentences))
    }
    for name in telling.several(WOMEN, len(WOMEN)):
        kind = kinds[name]
        telling.ask(f"what is {capital(name)} afraid of", fears[kind], facts[name], facts[kind])


def induction(telling: Telling) -> None:
    """16: the colour of an animal, by that of another of its kind."""
    asked, alike, *rest = telling.several(NAMES, len(NAMES))
    kinds = {name: telling.one(KINDS) for name in (asked, *rest)}
    kinds[alike] = kinds[asked]
    colours = dict(zip(KINDS, telling.several(COLOURS, len(KINDS)), strict=True))
    sentences = [
        *((("kind", name), f"{name} is a {kind}") for name, kind in kinds.items()),
        *((("colour", name), f"{name} is {colours[kinds[name]]}") for name in (alike, *rest)),
    ]
    facts = {
        about: telling.tell(text) for about, text in telling.several(sentences, len(sentences))
    }
    used = (("kind", asked), ("kind", alike), ("colour", alike))
    answer = colours[kinds[asked]]
    telling.ask(f"what color is {capital(asked)}", answer, *(facts[about] for about in used))


def positions(telling: Telling) -> None:
    """17: whether a shape is on a side of another, by their places on a grid."""
    first, middle, last = telling.several(SHAPES, 3)
    places = {middle: (0, 0)}
    for shape in (first, last):
        side = telling.one([side for side, step in SIDES.items() if step not in places.values()])
        places[shape] = SIDES[side]
        if telling.happens(0.5):
            telling.tell(f"the {shape} is {side} the {middle}")
        else:
            opposite = next(other for other, (x, y) in SIDES.items() if (-x, -y) == SIDES[side])
            telling.tell(f"the {middle} is {opposite} the {shape}")
    asked = [
        (f"is the {one} {side} the {other}", _is_on(side, places[one], places[other]))
        for one in places
        for other in places
        for side in SIDES
        if one != other
    ]
    right = [text for text, is_so in asked if is_so]
    wrong = [text for text, is_so in asked if not is_so]
    for _ in range(8):
        is_so = telling.happens(0.5)
        telling.ask(telling.one(right if is_so else wrong), "yes" if is_so else "no", 0, 1)


def _is_on(side: str, one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether `one` is farther to that side; what is above and to the left is both."""
    x, y = SIDES[side]
    return (one[0] - other[0]) * x + (one[1] - other[1]) * y > 0


def sizes(telling: Telling) -> None:
    """18: whether a thing fits into another, or is the bigger one."""
    order = [*SMALL, *telling.several(LARGE, len(LARGE))]
    pairs = list(itertools.pairwise(order))
    facts = {}
    for small, large in telling.several(pairs, len(pairs)):
        fits = telling.happens(0.5)
        facts[small] = telling.tell(
            f"the {small} fits inside the {large}"
            if fits
            else f"the {large} is bigger than the {small}"
        )
    for _ in range(5):
        low, high = sorted(telling.several(range(len(order)), 2))
        small, large = order[low], order[high]
        used = [facts[one] for one in order[low:high]]
        is_so = telling.happens(0.5)
        one, other = (small, large) if is_so else (large, small)
        question = (
            f"does the {one} fit in the {other}"
            if telling.happens(0.5)
            else f"is the {other} bigger than the {one}"
        )
        telling.ask(question, "yes" if is_so else "no", *used)


def paths(telling: Telling) -> None:
    """19: the two steps from a place to another, on a map of six."""
    rooms = telling.several(PLACES, len(PLACES))
    cells = {rooms[0]: (0, 0)}
    edges: list[tuple[str, str, str]] = []
    for number, room in enumerate(rooms[1:], 1):
        # The first three make the path; the others are put next to any.
        beside = rooms[number - 1] if number < 3 else None
        free = [
            (one, way, cell)
            for one in ([beside] if beside else cells)
            for way in STEPS
            if (cell := _next_to(cells[one], way)) not in cells.values()
        ]
        one, way, cells[room] = telling.one(free)
        edges.append((one, way, room))
    facts = {}
    for one, way, room in telling.several(edges, len(edges)):
        forward = telling.happens(0.5)
        facts[room] = telling.tell(
            f"the {room} is {way} of the {one}"
            if forward
            else f"the {one} is {OPPOSITE[way]} of the {room}"
        )
    answer = ",".join(way[0] for _, way, _ in edges[:2])
    question = f"how do you go from the {rooms[0]} to the {rooms[2]}"
    telling.ask(question, answer, facts[rooms[1]], facts[rooms[2]])


def _next_to(cell: tuple[int, int], way: str) -> tuple[int, int]:
    x, y = STEPS[way]
    return cell[0] + x, cell[1] + y


def motives(telling: Telling) -> None:
    """20: where somebody will go, and why they went or took something."""
    moods = {name: telling.one(tuple(MOTIVES)) for name in SCIENTISTS}
    stages = dict.fromkeys(SCIENTISTS, 0)
    facts = {}
    while stages:
        name = telling.one(sorted(stages))
        mood, person = moods[name], capital(name)
        place, thing = MOTIVES[mood]
        if stages[name] == 0:
            facts[name] = telling.tell(f"{person} is {mood}")
            telling.ask(f"where will {person} go", place, facts[name])
        elif stages[name] == 1:
            telling.tell(f"{person} {telling.one(MOVES)} the {place}")
            telling.ask(f"why did {person} go to the {place}", mood, facts[name])
        else:
            telling.tell(f"{person} {telling.one(TAKES)} the {thing} there")
            telling.ask(f"why did {person} get the {thing}", mood, facts[name])
        stages[name] += 1
        if stages[name] == 3:
            del stages[name]
