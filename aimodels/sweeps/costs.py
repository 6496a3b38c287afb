"""What a sweep will take: one of its programs is timed, the others are set beside it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax

from aimodels.config import Config
from aimodels.sweeps.plan import PlannedProgram, fits_here
from aimodels.training.assembly import Assembly
from aimodels.training.plan import choose_plan, steps_per_second
from aimodels.training.progress import duration


@dataclass(frozen=True)
class Cost:
    """What a program takes, about.

    Attributes:
      seconds: compilation and steps; evaluations and checkpoints come to them.
      memory: bytes on all devices while it trains.
    """

    seconds: float
    memory: float

    def __str__(self) -> str:
        return f"about {duration(self.seconds)} and {self.memory / 1e6:,.0f} MB"


@dataclass(frozen=True)
class _Size:
    """Of a program, from shapes alone: operations of all its steps, bytes of its states."""

    work: float
    state: int


def estimate(programs: Sequence[PlannedProgram]) -> list[Cost] | None:
    """What each program takes on this machine; None where its states would not fit here.

    The smallest one is compiled and trained for a moment, on its real data; what that leaves in
    the caches, the sweep finds there. The others take as much more as they have more floating-point
    operations and larger states.
    """
    sizes = [_size(program.config) for program in programs]
    smallest = min(range(len(programs)), key=lambda index: sizes[index].work)
    config, size = programs[smallest].config, sizes[smallest]
    if not fits_here(config):
        return None
    compiling, a_step, memory = _measure(config)
    seconds = a_step * config.training.steps
    return [
        Cost(compiling + seconds * each.work / size.work, memory * each.state / size.state)
        for each in sizes
    ]


def devices_text(program: PlannedProgram) -> str:
    """The devices that a program takes on this machine: `2 cpu devices`."""
    layout = Assembly(program.config).layout
    kind = jax.devices()[0].platform
    return f"{layout.devices} {kind} device" + ("s" if layout.devices > 1 else "")


def _size(config: Config) -> _Size:
    assembly, replicas = Assembly(config), len(config.replicas.seeds)
    state, _ = assembly.abstract()
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    flops = max(assembly.step_flops(), 1.0)
    return _Size(flops * replicas * config.training.steps, size * replicas)


def _measure(config: Config) -> tuple[float, float, float]:
    """Seconds to compile, seconds of a step of all replicas, bytes in use."""
    begin = time.perf_counter()
    assembly = Assembly(config)
    feeds, target = assembly.feeds(), assembly.target()
    plan = choose_plan(config, assembly.program, feeds, target, assembly.step_flops)
    program, feed = assembly.program(plan), feeds()
    compiled: Any = program.compile(feed, target)
    compiling = time.perf_counter() - begin
    rate = steps_per_second(program, feed, target)
    found = compiled.memory_analysis()
    new = found.output_size_in_bytes - found.alias_size_in_bytes
    memory = found.argument_size_in_bytes + new + found.temp_size_in_bytes
    return compiling, 1 / rate, float(memory * assembly.layout.devices)
