"""Tasks 1 to 3 and 5 to 14: people who move, take, leave and give things in a few places.

Sections 3 and 4 of Weston et al. 2015, "Towards AI-complete question answering". Whoever takes a
thing for the first time decides where it was; before, nobody knows.
"""

from collections.abc import Sequence

from aimodels.data.text.babi.telling import Telling, capital

FOUR = ("daniel", "john", "mary", "sandra")
PLACES = ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office")
# Of task 5, and of tasks 10 and 14.
GIVERS, OTHERS = ("bill", "fred", "jeff", "mary"), ("bill", "fred", "julie", "mary")
TOWN = ("bedroom", "cinema", "kitchen", "office", "park", "school")
THINGS = ("apple", "football", "milk")
PRONOUNS = {"daniel": "he", "john": "he", "mary": "she", "sandra": "she"}
MOVES = ("journeyed to", "moved to", "travelled to", "went back to", "went to")
TAKES = ("got", "grabbed", "picked up", "took")
LEAVES = ("discarded", "dropped", "left", "put down")
GIVES = ("gave", "handed", "passed")
THEN = ("after that", "afterwards", "following that", "then")
TIMES = ("yesterday", "this morning", "this afternoon", "this evening")
NUMBERS = ("none", "one", "two", "three")
QUESTIONS = 5


class World:
    """Who and what is where, with the sentences that say so.

    Attributes:
      places: person -> place and the sentence that tells it.
      holders: thing -> person and the sentence of its taking; things that nobody has are missing.
      trails: thing -> the places where it was, one after another, each with its sentence.
      left: thing -> the sentences of its being left and of the place; only of what lies somewhere.
    """

    def __init__(
        self,
        telling: Telling,
        people: tuple[str, ...] = FOUR,
        places: tuple[str, ...] = PLACES,
        most: int = 3,
    ) -> None:
        self.telling, self.people, self.all_places, self._most = telling, people, places, most
        self.places: dict[str, tuple[str, int]] = {}
        self.holders: dict[str, tuple[str, int]] = {}
        self.trails: dict[str, list[tuple[str, int]]] = {}
        self.left: dict[str, tuple[int, int]] = {}

    def carried(self, person: str) -> list[str]:
        """The things that a person has, in the order in which they came."""
        return [thing for thing, (holder, _) in self.holders.items() if holder == person]

    def move(self, person: str | None = None, place: str | None = None) -> None:
        """Somebody goes somewhere else."""
        person = person or self.telling.one(self.people)
        here = self.places.get(person, ("", 0))[0]
        if place is None:
            place = self.telling.one([one for one in self.all_places if one != here])
        fact = self.telling.tell(f"{person} {self.telling.one(MOVES)} the {place}")
        self.places[person] = (place, fact)
        for thing in self.carried(person):
            self.trails[thing].append((place, fact))

    def take(self, person: str | None = None) -> bool:
        """Somebody takes a thing. Returns whether anybody could."""
        able = [
            (one, thing)
            for one in ([person] if person else self.people)
            for thing in THINGS
            if self._can_take(one, thing)
        ]
        if not able:
            return False
        who, thing = self.telling.one(able)
        there = " there" if self.telling.happens(0.4) else ""
        fact = self.telling.tell(f"{who} {self.telling.one(TAKES)} the {thing}{there}")
        self.holders[thing] = (who, fact)
        self.left.pop(thing, None)
        self.trails.setdefault(thing, [self.places[who]])
        return True

    def _can_take(self, person: str, thing: str) -> bool:
        if person not in self.places or thing in self.holders:
            return False
        here = thing not in self.trails or self.trails[thing][-1][0] == self.places[person][0]
        return here and len(self.carried(person)) < self._most

    def leave(self) -> bool:
        """Somebody leaves a thing where they are. Returns whether anybody could."""
        if not self.holders:
            return False
        thing = self.telling.one(list(self.holders))
        person, _ = self.holders.pop(thing)
        there = " there" if self.telling.happens(0.4) else ""
        fact = self.telling.tell(f"{person} {self.telling.one(LEAVES)} the {thing}{there}")
        self.left[thing] = (fact, self.places[person][1])
        return True

    def give(self) -> tuple[str, str, str, int] | None:
        """Somebody gives a thing to somebody there: who, what, to whom, and the sentence."""
        able = [
            (thing, giver, receiver)
            for thing, (giver, _) in self.holders.items()
            for receiver in self.people
            if receiver != giver
            and self.places.get(receiver, ("",))[0] == self.places[giver][0]
            and len(self.carried(receiver)) < self._most
        ]
        if not able:
            return None
        thing, giver, receiver = self.telling.one(able)
        verb = self.telling.one(GIVES)
        fact = self.telling.tell(f"{giver} {verb} the {thing} to {capital(receiver)}")
        del self.holders[thing]  # it comes behind what the receiver has already
        self.holders[thing] = (receiver, fact)
        return giver, thing, receiver, fact

    def act(self, *, gives: bool = False) -> None:
        """Something happens."""
        kind = self.telling.one(("move", "move", "move", "take", "take", "leave", "give"))
        done = {
            "take": self.take,
            "leave": self.leave,
            "give": lambda: gives and self.give() is not None,
        }
        if kind == "move" or not done[kind]():
            self.move()


def one_fact(telling: Telling) -> None:
    """1: where somebody is."""
    world = World(telling)
    for _ in range(QUESTIONS):
        world.move()
        world.move()
        _ask_where(telling, world.places)


def two_facts(telling: Telling) -> None:
    """2: where a thing is, by who has it or left it, and where they are or were."""
    world = World(telling)
    for _ in range(QUESTIONS):
        many = telling.one((2, 3, 4, 5))
        if not world.trails:
            world.move()
            world.take()
            many -= 2
        for _ in range(many):
            world.act()
        thing = telling.one(list(world.trails))
        if thing in world.holders:
            person, taken = world.holders[thing]
            facts = (taken, world.places[person][1])
        else:
            facts = world.left[thing]
        telling.ask(f"where is the {thing}", world.trails[thing][-1][0], *facts)


def three_facts(telling: Telling) -> None:
    """3: where a thing was before it was last in a place."""
    world = World(telling)
    world.move()
    world.take()
    world.move(world.holders[next(iter(world.holders))][0])
    for _ in range(QUESTIONS):
        for _ in range(telling.one((3, 4, 5, 6))):
            world.act()
        thing = telling.one([one for one, trail in world.trails.items() if len(trail) > 1])
        trail = world.trails[thing]
        places = [place for place, _ in trail]
        last = [n for n in range(1, len(trail)) if trail[n][0] not in places[n + 1 :]]
        n = telling.one(last)
        place, fact = trail[n]
        before, earlier = trail[n - 1]
        telling.ask(f"where was the {thing} before the {place}", before, earlier, fact)


def giving(telling: Telling) -> None:
    """5: who gave what to whom, the last time."""
    world = World(telling, GIVERS)
    for _ in range(QUESTIONS):
        for _ in range(telling.one((0, 1, 2))):
            world.act()
        if not world.holders:
            _begin_to_hold(telling, world)
        given = world.give()
        while given is None:
            giver = world.holders[telling.one(list(world.holders))][0]
            others = [one for one in GIVERS if one != giver]
            world.move(telling.one(others), world.places[giver][0])
            given = world.give()
        giver, thing, receiver, fact = given
        question, answer = telling.one(
            (
                (f"what did {capital(giver)} give to {capital(receiver)}", thing),
                (f"who did {capital(giver)} give the {thing} to", receiver),
                (f"who gave the {thing} to {capital(receiver)}", giver),
                (f"who gave the {thing}", giver),
                (f"who received the {thing}", receiver),
            )
        )
        telling.ask(question, answer, fact)


def yes_or_no(telling: Telling) -> None:
    """6: whether somebody is in a place."""
    world = World(telling)
    for _ in range(QUESTIONS):
        world.act()
        world.act()
        _ask_whether(telling, world)


def counting(telling: Telling) -> None:
    """7: how many things somebody has."""
    world = World(telling)
    for _ in range(QUESTIONS):
        for _ in range(telling.one((2, 3, 4))):
            world.act(gives=True)
        person = _somebody(telling, world)
        things = world.carried(person)
        facts = (world.holders[thing][1] for thing in things)
        number = NUMBERS[len(things)]
        telling.ask(f"how many objects is {capital(person)} carrying", number, *facts)


def lists(telling: Telling) -> None:
    """8: what somebody has, two things at most."""
    world = World(telling, most=2)
    for _ in range(QUESTIONS):
        for _ in range(telling.one((2, 3, 4))):
            world.act(gives=True)
        person = _somebody(telling, world)
        things = world.carried(person)
        facts = (world.holders[thing][1] for thing in things)
        telling.ask(f"what is {capital(person)} carrying", ",".join(things) or "nothing", *facts)


def negation(telling: Telling) -> None:
    """9: whether somebody is in a place, where some sentences say where they are not."""
    world = World(telling)
    nowhere: dict[str, tuple[str, int]] = {}
    for _ in range(QUESTIONS):
        for _ in range(2):
            if world.places and telling.happens(0.4):
                person = telling.one(list(world.places))
                place, _ = world.places.pop(person)
                fact = telling.tell(
                    f"{person} is {telling.one(('no longer', 'not'))} in the {place}"
                )
                nowhere[person] = (place, fact)
            elif telling.happens(0.5):
                world.move()
            else:
                person, place = telling.one(world.people), telling.one(world.all_places)
                world.places[person] = (place, telling.tell(f"{person} is in the {place}"))
            nowhere = {one: it for one, it in nowhere.items() if one not in world.places}
        person = telling.one([*world.places, *nowhere])
        if person in nowhere:
            place, fact = nowhere[person]
            telling.ask(f"is {capital(person)} in the {place}", "no", fact)
        else:
            _ask_whether(telling, world, person)


def indefinite(telling: Telling) -> None:
    """10: whether somebody is in a place: perhaps, if they are in one of two."""
    world = World(telling, OTHERS, TOWN)
    perhaps: dict[str, tuple[Sequence[str], int]] = {}
    for _ in range(QUESTIONS):
        for _ in range(2):
            if telling.happens(0.4):
                person, pair = telling.one(OTHERS), telling.several(TOWN, 2)
                fact = telling.tell(f"{person} is either in the {pair[0]} or the {pair[1]}")
                perhaps[person] = (pair, fact)
                world.places.pop(person, None)
            elif telling.happens(0.5):
                world.move()
            else:
                person, place = telling.one(OTHERS), telling.one(TOWN)
                world.places[person] = (place, telling.tell(f"{person} is in the {place}"))
            perhaps = {one: it for one, it in perhaps.items() if one not in world.places}
        person = telling.one([*world.places, *perhaps])
        if person in perhaps:
            pair, fact = perhaps[person]
            others = [place for place in TOWN if place not in pair]
            place = telling.one(pair if telling.happens(0.6) else others)
            answer = "maybe" if place in pair else "no"
            telling.ask(f"is {capital(person)} in the {place}", answer, fact)
        else:
            _ask_whether(telling, world, person)


def coreference(telling: Telling) -> None:
    """11: where somebody is, whom a sentence calls he or she."""
    places: dict[str, tuple[str, int]] = {}
    for _ in range(QUESTIONS):
        person = telling.one(FOUR)
        first, second = telling.several(PLACES, 2)
        telling.tell(f"{person} {telling.one(MOVES)} the {first}")
        then = f"{telling.one(THEN)} {PRONOUNS[person]} {telling.one(MOVES)} the {second}"
        places[person] = (second, telling.tell(then))
        _ask_where(telling, places)


def conjunction(telling: Telling) -> None:
    """12: where somebody is, who went there together with another."""
    places: dict[str, tuple[str, int]] = {}
    for _ in range(QUESTIONS):
        for _ in range(2):
            pair, place = telling.several(FOUR, 2), telling.one(PLACES)
            fact = telling.tell(_together(telling, pair, place))
            places |= dict.fromkeys(pair, (place, fact))
        _ask_where(telling, places)


def compound_coreference(telling: Telling) -> None:
    """13: where somebody is, when two people are called they."""
    places: dict[str, tuple[str, int]] = {}
    for _ in range(QUESTIONS):
        pair, (first, second) = telling.several(FOUR, 2), telling.several(PLACES, 2)
        telling.tell(_together(telling, pair, first))
        then = f"{telling.one(THEN)} they {telling.one(MOVES)} the {second}"
        places |= dict.fromkeys(pair, (second, telling.tell(then)))
        _ask_where(telling, places)


def time(telling: Telling) -> None:
    """14: where somebody was before, in the order of the day, not of the story."""
    people = telling.several(OTHERS, 3)
    ways = {person: telling.several(TOWN, len(TIMES)) for person in people}
    told: dict[str, dict[int, int]] = {person: {} for person in people}
    events = [(person, when) for person in people for when in range(len(TIMES))]
    for number, (person, when) in enumerate(telling.several(events, len(events)), 1):
        went = f"{telling.one(MOVES)} the {ways[person][when]}"
        name, time = capital(person), TIMES[when]
        early = telling.happens(0.5)
        told[person][when] = telling.tell(
            f"{time} {name} {went}" if early else f"{name} {went} {time}"
        )
        # Of three people one has been in two places by now.
        if number < 4 or number % 2:
            continue
        known = {one: sorted(facts) for one, facts in told.items() if len(facts) > 1}
        person = telling.one(list(known))
        n = telling.one(range(1, len(known[person])))
        now, before = known[person][n], known[person][n - 1]
        telling.ask(
            f"where was {capital(person)} before the {ways[person][now]}",
            ways[person][before],
            told[person][before],
            told[person][now],
        )


def _together(telling: Telling, pair: Sequence[str], place: str) -> str:
    return f"{pair[0]} and {capital(pair[1])} {telling.one(MOVES)} the {place}"


def _begin_to_hold(telling: Telling, world: World) -> None:
    """Somebody takes a thing, where nobody has any."""
    person, here = telling.one(world.people), None
    if len(world.trails) == len(THINGS):  # each lies somewhere
        here = world.trails[telling.one(THINGS)][-1][0]
    if here is None or world.places.get(person, ("",))[0] != here:
        world.move(person, here)
    world.take(person)


def _somebody(telling: Telling, world: World) -> str:
    """A person; more often one who has something."""
    having = sorted({person for person, _ in world.holders.values()})
    return telling.one(having if having and telling.happens(0.6) else sorted(world.places))


def _ask_where(telling: Telling, places: dict[str, tuple[str, int]]) -> None:
    person = telling.one(sorted(places))
    place, fact = places[person]
    telling.ask(f"where is {capital(person)}", place, fact)


def _ask_whether(telling: Telling, world: World, person: str | None = None) -> None:
    person = person or telling.one(sorted(world.places))
    place, fact = world.places[person]
    right = telling.happens(0.5)
    others = [one for one in world.all_places if one != place]
    asked = place if right else telling.one(others)
    telling.ask(f"is {capital(person)} in the {asked}", "yes" if right else "no", fact)
