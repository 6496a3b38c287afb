"""What a compiled program takes, and, read from its text, does: matrix products and messages.

XLA's own count (`cost_analysis`) takes every loop for one turn, and says nothing of messages.
"""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

COLLECTIVES = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")

_COMPUTATION = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"\s+(?:ROOT )?%?([\w.\-]+) = (.+?) ([a-z][\w\-]*)\(([^)]*)\)(.*)$")
_CALLED = re.compile(r"\b(?:body|to_apply|calls|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_ARRAY = re.compile(r"([a-z]+\d*)\w*\[([\d,]*)\]")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """A line of a program.

    Attributes:
      operation: e.g. `dot`.
      shape: of its result, `f32[2,3]{1,0}`, or of several in brackets.
      operands: the shapes of what it takes; "" where they are not told.
      rest: what follows its operands.
    """

    operation: str
    shape: str
    operands: tuple[str, ...]
    rest: str


def memory_of(compiled: Any) -> int:
    """Bytes that a device holds while a compiled program runs."""
    found = compiled.memory_analysis()
    new = found.output_size_in_bytes - found.alias_size_in_bytes
    return found.argument_size_in_bytes + new + found.temp_size_in_bytes


def instructions(text: str) -> Iterator[tuple[Instruction, int]]:
    """Every instruction of a program, and how often it is run.

    A loop whose turns only a run can tell, as that over the steps of a dispatch, counts as one.

    Args:
      text: the optimized HLO module, as `compiled.as_text()` prints it.
    """
    computations: dict[str, list[Instruction]] = {}
    shapes: dict[str, str] = {}
    entry = current = ""
    for line in text.splitlines():
        if head := _COMPUTATION.match(line):
            current, shapes = head[2], {}
            entry = current if head[1] else entry
            computations[current] = []
        elif found := _INSTRUCTION.match(line):
            name, shape, operation, operands, rest = found.groups()
            taken = (shapes.get(operand.strip().lstrip("%"), "") for operand in operands.split(","))
            computations[current].append(Instruction(operation, shape, tuple(taken), rest))
            shapes[name] = shape

    def walk(computation: str, times: int) -> Iterator[tuple[Instruction, int]]:
        for instruction in computations.get(computation, ()):
            yield instruction, times
            trips = _TRIPS.search(instruction.rest)
            turns = int(trips[1]) if trips and instruction.operation == "while" else 1
            called = _CALLED.findall(instruction.rest)
            for branches in _BRANCHES.findall(instruction.rest):
                called += [name.strip().lstrip("%") for name in branches.split(",")]
            for name in called:
                yield from walk(name, times * turns)

    yield from walk(entry, 1)


def collectives(text: str) -> dict[str, tuple[int, int]]:
    """Collectives of a program: kind -> (how many are run, bytes of their results a device)."""
    numbers, sizes = Counter[str](), Counter[str]()
    for instruction, times in instructions(text):
        kind = instruction.operation.removesuffix("-start")
        if kind in COLLECTIVES:
            numbers[kind] += times
            sizes[kind] += times * size_in_bytes(instruction.shape)
    return {kind: (numbers[kind], sizes[kind]) for kind in COLLECTIVES if numbers[kind]}


def operations(text: str) -> int:
    """Floating-point operations in matrix products and convolutions of a program: nearly all."""
    return sum(
        times * _COUNTED[instruction.operation](instruction)
        for instruction, times in instructions(text)
        if instruction.operation in _COUNTED
    )


def size_in_bytes(shape: str) -> int:
    """Bytes of a shape, `f32[2,3]{1,0}`, or of several in brackets."""
    total = 0
    for kind, axes in _ARRAY.findall(shape):
        bits = int(re.sub(r"\D", "", kind) or 8)  # pred takes a byte
        total += math.prod(_axes(axes)) * bits // 8
    return total


def _axes(text: str) -> list[int]:
    return [int(size) for size in text.split(",") if size]


def _of_array(shape: str) -> list[int]:
    found = _ARRAY.search(shape)
    return _axes(found[2]) if found else []


def _of_dot(dot: Instruction) -> int:
    """2 · results · the contracted axes."""
    contracted = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", dot.rest)
    left = _of_array(dot.operands[0])
    axes = _axes(contracted[1]) if contracted else []
    return 2 * math.prod(_of_array(dot.shape)) * math.prod(left[axis] for axis in axes)


def _of_convolution(convolution: Instruction) -> int:
    """2 · results · the kernel's numbers for one output channel."""
    labels = re.search(r"dim_labels=\w+_(\w+)->", convolution.rest)
    kernel = _of_array(convolution.operands[1])
    channels = kernel[labels[1].index("o")] if labels else 1
    return 2 * math.prod(_of_array(convolution.shape)) * math.prod(kernel) // channels


_COUNTED: dict[str, Callable[[Instruction], int]] = {
    "dot": _of_dot,
    "convolution": _of_convolution,
}
