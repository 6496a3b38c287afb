"""The fifteen tasks of the Chomsky hierarchy: each answer worked out in another way."""

import math

import numpy as np
import pytest

from aimodels.data import make
from aimodels.data.sequences.chomsky_tasks import END, SIGNS, TASKS
from aimodels.data.sequences.generated import generator
from aimodels.errors import UserError


def bits_of(ids):
    """A number from its bits, the lowest first."""
    return int("".join(map(str, ids[::-1])), 2)


def calculated(ids):
    return eval("".join("01234+-*"[i] for i in ids)) % 5  # digits and signs alone


def solved(inputs):
    """All that x can be."""
    left, right = "".join(SIGNS[i] for i in inputs).split("=")
    return [x for x in range(5) if (eval(left.replace("x", str(x))) - int(right)) % 5 == 0]


def popped(inputs):
    stack = []
    for action in inputs:
        if action == 2:
            stack = stack[:-1]
        else:
            stack.append(action % 3)
    return [*stack[::-1], END]


def of_two_numbers(inputs, combine):
    place = inputs.index(2)
    result = combine(bits_of(inputs[:place]), bits_of(inputs[place + 1 :]))
    return [int(bit) for bit in f"{result:b}"[::-1]] + [END]


def missing(inputs):
    half = len(inputs) // 2
    first, second = inputs[:half], inputs[half : 2 * half]
    place = (first + second).index(2)
    return [(second + first)[place]]


# Length, places -> answers.
ANSWERS = {
    "even_pairs": lambda x: [int(x[0] != x[-1])],  # the ends differ where changes are odd
    "modular_arithmetic_simple": lambda x: [calculated(x)],
    "parity_check": lambda x: [x.count(1) % 2],
    "cycle_navigation": lambda x: [(x.count(2) - x.count(0)) % 5],
    "stack_manipulation": popped,
    "reverse_string": lambda x: x[::-1],
    "modular_arithmetic": lambda x: [eval("".join(SIGNS[i] for i in x)) % 5],
    "duplicate_string": lambda x: x + x,
    "missing_duplicate": missing,
    "odds_first": lambda x: [x[i] for i in [*range(1, len(x), 2), *range(0, len(x), 2)]],
    "binary_addition": lambda x: of_two_numbers(x, lambda a, b: a + b),
    "binary_multiplication": lambda x: of_two_numbers(x, lambda a, b: a * b),
    "compute_sqrt": lambda x: [
        int(bit) for bit in f"{math.isqrt(bits_of(x[::-1])):b}".zfill((len(x) + 1) // 2)
    ],
    "bucket_sort": lambda x: [i for i in range(5) for _ in range(x.count(i))],
}


@pytest.mark.parametrize("name", TASKS)
def test_answers_are_right(name):
    task = TASKS[name]
    for number in range(60):
        length = 3 + number % 30 if number < 55 else 200
        sequence = task.draw(generator(0, "train", number), length)
        inputs, outputs = sequence.inputs, sequence.outputs
        assert len(inputs) == length - (name == "modular_arithmetic_simple" and length % 2 == 0)
        assert set(inputs) <= set(range(task.inputs))
        assert set(outputs) <= set(range(task.outputs))
        assert len(outputs) <= sequence.places
        if name == "solve_equation":
            assert solved(inputs) == outputs
        else:
            assert outputs == ANSWERS[name](inputs), inputs


@pytest.mark.parametrize("name", TASKS)
def test_short_sequences_have_answers(name):
    for length in (1, 2, 3, 4):
        places = set()
        for number in range(20):
            sequence = TASKS[name].draw(generator(1, "train", number), length)
            assert 1 <= len(sequence.outputs) <= sequence.places
            places.add(sequence.places)
        assert len(places) == 1


def test_a_batch_says_where_the_answers_are():
    dataset = make("chomsky_hierarchy", task="reverse_string", train_longest=6, test_longest=9)
    batch = dataset.load("train").gather(np.arange(50))
    assert batch["inputs"].shape == batch["targets"].shape == (50, 12)
    assert set(batch["answer_starts"]) == set(range(1, 7))
    for number in range(50):
        row = {field: values[number] for field, values in batch.items()}
        start, end = row["answer_starts"], row["answer_ends"]
        assert end == row["lengths"] == 2 * start
        assert row["targets"][start:end].tolist() == row["inputs"][:start][::-1].tolist()
        assert (row["inputs"][start:] == dataset.blank).all()


def test_splits_have_their_lengths():
    dataset = make("chomsky_hierarchy", train_longest=6, test_longest=9, test_per_length=4)
    assert dataset.info().splits == {"train": 1_000_000, "validation": 24, "test": 12}
    for split, lengths in {"validation": range(1, 7), "test": range(7, 10)}.items():
        source = dataset.load(split)
        batch = source.gather(np.arange(len(source)))
        assert sorted(batch["answer_starts"]) == sorted([*lengths] * 4)
    short = make("chomsky_hierarchy", task="binary_addition", train_longest=6)
    batch = short.load("train").gather(np.arange(30))
    assert (batch["answer_ends"] <= batch["lengths"]).all()
    assert (batch["lengths"] == 2 * batch["answer_starts"] + 1).all()


def test_mistakes():
    with pytest.raises(UserError, match="Did you mean 'parity_check'"):
        make("chomsky_hierarchy", task="parity")
    with pytest.raises(UserError, match="test_longest is 40; it takes more"):
        make("chomsky_hierarchy", test_longest=40)
