"""The fifteen tasks of Delétang et al. 2023 (appendix A.1), each a function that draws a sequence.

A function takes what draws and a length, and gives `Sequence`. Ids of inputs and outputs are
those of its entry in `TASKS`.
"""

import itertools
import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

MODULUS = 5  # of arithmetic, and the length of the circle
Draw = np.random.Generator


class Sequence(NamedTuple):
    """What is read and what is to be answered.

    Attributes:
      inputs: ids, as many as the length (one fewer where a task has odd lengths alone).
      outputs: ids.
      places: how many places there are for the answer: it follows from the length alone.
    """

    inputs: list[int]
    outputs: list[int]
    places: int


def _bits(draw: Draw, length: int) -> list[int]:
    return draw.integers(2, size=length).tolist()


# Regular.


def even_pairs(draw: Draw, length: int) -> Sequence:
    """Whether 01 and 10 together are odd in number: 001110 -> 0, 0101 -> 1."""
    bits = _bits(draw, length)
    unequal = sum(a != b for a, b in itertools.pairwise(bits))
    return Sequence(bits, [unequal % 2], 1)


def modular_arithmetic_simple(draw: Draw, length: int) -> Sequence:
    """A sum of products modulo 5, of odd length: 1 + 2 * 3 -> 2."""
    numbers = draw.integers(MODULUS, size=(length + 1) // 2).tolist()
    operators = draw.integers(3, size=len(numbers) - 1).tolist()
    inputs = [numbers[0]]
    terms, sign = [numbers[0]], 1
    for operator, number in zip(operators, numbers[1:], strict=True):
        inputs += [MODULUS + operator, number]
        if "+-*"[operator] == "*":
            terms[-1] *= number
        else:
            sign = 1 if "+-*"[operator] == "+" else -1
            terms.append(sign * number)
    return Sequence(inputs, [sum(terms) % MODULUS], 1)


def parity_check(draw: Draw, length: int) -> Sequence:
    """Whether the ones are odd in number: 0110 -> 0."""
    bits = _bits(draw, length)
    return Sequence(bits, [sum(bits) % 2], 1)


def cycle_navigation(draw: Draw, length: int) -> Sequence:
    """Where on a circle of 5 one ends; 0 is a step left, 1 none, 2 right: 2 0 1 0 -> 4."""
    moves = draw.integers(3, size=length).tolist()
    return Sequence(moves, [sum(move - 1 for move in moves) % 5], 1)


# Deterministic context-free.

END = 2  # behind answers whose length is a part of them


def stack_manipulation(draw: Draw, length: int) -> Sequence:
    """The stack after pops (2) and pushes of 0 (3) and 1 (4), from its top: 0 1 1 4 2 2 -> 1 0 END.

    The bits that come first are the stack, from its bottom.
    """
    size = int(draw.integers(1, length)) if length > 1 else 1
    stack = _bits(draw, size)
    actions = draw.integers(2, 5, size=length - size).tolist()
    inputs = stack + actions
    for action in actions:
        stack = [*stack, action - 3] if action > 2 else stack[:-1]
    return Sequence(inputs, [*stack[::-1], END], length + 1)


def reverse_string(draw: Draw, length: int) -> Sequence:
    """The bits from the last to the first."""
    bits = _bits(draw, length)
    return Sequence(bits, bits[::-1], length)


SIGNS = "01234+-()x="  # ids of expressions


def _expression(draw: Draw, length: int) -> tuple[str, int]:
    """An expression with brackets, of + and -, and its value modulo 5."""
    if length <= 4:
        number = int(draw.integers(MODULUS))
        text = {1: "{}", 2: "-{}", 3: "({})", 4: "(-{})"}[length].format(number)
        return text, (number if length % 2 else -number) % MODULUS
    left = int(draw.integers(1, length - 3))
    (first, a), (second, b) = _expression(draw, left), _expression(draw, length - left - 3)
    if draw.integers(2):
        return f"({first}-{second})", (a - b) % MODULUS
    return f"({first}+{second})", (a + b) % MODULUS


def modular_arithmetic(draw: Draw, length: int) -> Sequence:
    """The value of an expression with brackets modulo 5: (3-(-4)) -> 2."""
    text, value = _expression(draw, length)
    return Sequence([SIGNS.index(sign) for sign in text], [value], 1)


def solve_equation(draw: Draw, length: int) -> Sequence:
    """What x is in an equation modulo 5: (x-2)=1 -> 3. Shorter than 3, zeros."""
    if length < 3:
        return Sequence([0] * length, [0], 1)
    text, value = _expression(draw, length - 2)
    place = int(draw.integers(len(text)))
    while not text[place].isdigit():
        place = (place + 1) % len(text)
    equation = f"{text[:place]}x{text[place + 1 :]}={value}"
    return Sequence([SIGNS.index(sign) for sign in equation], [int(text[place])], 1)


# Context-sensitive.


def duplicate_string(draw: Draw, length: int) -> Sequence:
    """The bits twice: 011 -> 011011."""
    bits = _bits(draw, length)
    return Sequence(bits, bits * 2, 2 * length)


def missing_duplicate(draw: Draw, length: int) -> Sequence:
    """The bit that is missing (2) in bits that stand there twice: 01100210 -> 1.

    An odd length has a 3 at its end, and 1 alone is answered by 1.
    """
    if length == 1:
        return Sequence([1], [1], 1)
    twice = _bits(draw, length // 2) * 2
    place = int(draw.integers(len(twice)))
    answer, twice[place] = twice[place], 2
    return Sequence(twice + [3] * (length % 2), [answer], 1)


def odds_first(draw: Draw, length: int) -> Sequence:
    """The second, fourth, ... bit, then the first, third, ...: 00110101 -> 01110100."""
    bits = _bits(draw, length)
    return Sequence(bits, bits[1::2] + bits[::2], length)


def _binary(number: int, length: int = 0) -> list[int]:
    """The bits of a number, the lowest first."""
    return [int(bit) for bit in f"{number:b}".zfill(length)[::-1]]


def _number(draw: Draw, length: int) -> int:
    """From 1 to 2^length - 1."""
    value = sum(bit << place for place, bit in enumerate(_bits(draw, length)))
    return value or _number(draw, length)


def _two_numbers(
    draw: Draw, length: int, combine: Callable[[int, int], int], places: int
) -> Sequence:
    if length <= 2:
        bits = _bits(draw, length)
        number = sum(bit << place for place, bit in enumerate(bits))
        return Sequence(bits, [*_binary(combine(number, 0)), END][:places], places)
    first = int(draw.integers(1, length - 1))
    sizes = (first, length - 1 - first)
    a, b = (_number(draw, size) for size in sizes)
    inputs = [*_binary(a, sizes[0]), 2, *_binary(b, sizes[1])]
    return Sequence(inputs, [*_binary(combine(a, b)), END], places)


def binary_addition(draw: Draw, length: int) -> Sequence:
    """The sum of numbers in bits, the lowest first, with 2 between: 001 2 01101 -> 01011 END."""
    return _two_numbers(draw, length, lambda a, b: a + b, length + 1)


def binary_multiplication(draw: Draw, length: int) -> Sequence:
    """The product in the same way. No factor but one, of 1 or 2 bits: it is taken times 0."""
    return _two_numbers(draw, length, lambda a, b: a * b, length)


def compute_sqrt(draw: Draw, length: int) -> Sequence:
    """The floor of the root of a number in bits, the highest first: 100101 -> 110."""
    number = _number(draw, length)
    places = math.ceil(length / 2)
    root = _binary(math.isqrt(number), places)[::-1]
    return Sequence(_binary(number, length)[::-1], root, places)


def bucket_sort(draw: Draw, length: int) -> Sequence:
    """Ids 0 to 4, sorted."""
    ids = draw.integers(5, size=length).tolist()
    return Sequence(ids, sorted(ids), length)


class Task(NamedTuple):
    """A task: what draws it, its level, and how many ids inputs and outputs have."""

    draw: Callable[[Draw, int], Sequence]
    level: Literal["regular", "deterministic context-free", "context-sensitive"]
    inputs: int
    outputs: int


TASKS = {
    "even_pairs": Task(even_pairs, "regular", 2, 2),
    "modular_arithmetic_simple": Task(modular_arithmetic_simple, "regular", MODULUS + 3, MODULUS),
    "parity_check": Task(parity_check, "regular", 2, 2),
    "cycle_navigation": Task(cycle_navigation, "regular", 3, 5),
    "stack_manipulation": Task(stack_manipulation, "deterministic context-free", 5, 3),
    "reverse_string": Task(reverse_string, "deterministic context-free", 2, 2),
    "modular_arithmetic": Task(
        modular_arithmetic, "deterministic context-free", len(SIGNS), MODULUS
    ),
    "solve_equation": Task(solve_equation, "deterministic context-free", len(SIGNS), MODULUS),
    "duplicate_string": Task(duplicate_string, "context-sensitive", 2, 2),
    "missing_duplicate": Task(missing_duplicate, "context-sensitive", 4, 2),
    "odds_first": Task(odds_first, "context-sensitive", 2, 2),
    "binary_addition": Task(binary_addition, "context-sensitive", 3, 3),
    "binary_multiplication": Task(binary_multiplication, "context-sensitive", 3, 3),
    "compute_sqrt": Task(compute_sqrt, "context-sensitive", 2, 2),
    "bucket_sort": Task(bucket_sort, "context-sensitive", 5, 5),
}
