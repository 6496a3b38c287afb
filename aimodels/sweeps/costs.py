"""What a sweep will take: one of its programs is timed, the others are set beside it."""

import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import jax

from aimodels.config import Config, plain
from aimodels.sweeps.plan import PlannedProgram, fitting
from aimodels.training.assembly import Assembly, bytes_of
from aimodels.training.hlo import memory_of
from aimodels.training.plan import DISPATCH_FLOPS, choose_plan, steps_per_second
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
    """Of a program, from shapes alone.

    Attributes:
      flops: operations of a step of all replicas.
      state: bytes of all replicas.
    """

    flops: float
    state: int


def estimate(programs: Sequence[PlannedProgram]) -> dict[str, Cost]:
    """What programs take on this machine: name -> cost; nothing where none can be tried here.

    The largest one that a second or so suffices for is compiled and trained for a moment, on its
    real data; what that leaves in the caches, the sweep finds there. The others take as much more
    or less as they have floating-point operations and bytes in their states.
    """
    sizes = _sizes(programs)
    small = [
        program
        for program in programs
        if program.name in sizes
        and sizes[program.name].flops <= DISPATCH_FLOPS
        and len(program.runs) <= fitting(program.config)
    ]
    if not small:
        return {}
    tried = max(small, key=lambda program: sizes[program.name].flops)
    try:
        compiling, a_step, memory = _measure(tried.config)
    except Exception:  # its own run will say why
        return {}
    base, costs = sizes[tried.name], {}
    for program in programs:
        if size := sizes.get(program.name):
            seconds = a_step * program.config.training.steps * size.flops / base.flops
            costs[program.name] = Cost(compiling + seconds, memory * size.state / base.state)
    return costs


def devices_text(program: PlannedProgram) -> str:
    """The devices that a program takes on this machine: `2 cpu devices`."""
    layout = Assembly(program.config).layout
    kind = jax.devices()[0].platform
    return f"{layout.devices} {kind} device" + ("s" if layout.devices > 1 else "")


def _sizes(programs: Sequence[PlannedProgram]) -> dict[str, _Size]:
    """Of each program that can be built; those that differ in nothing large are traced once."""
    known: dict[str, tuple[float, int]] = {}
    sizes = {}
    for program in programs:
        values, count = plain(program.config), len(program.runs)
        what = [values[section] for section in ("model", "data", "training", "precision")]
        key = json.dumps([*what, values["optimizer"] and values["optimizer"]["name"]])
        with contextlib.suppress(Exception):  # its own run will say why
            if key not in known:
                assembly = Assembly(program.config)
                known[key] = max(assembly.step_flops(), 1.0), bytes_of(assembly.abstract[0])
            flops, state = known[key]
            sizes[program.name] = _Size(flops * count, state * count)
    return sizes


def _measure(config: Config) -> tuple[float, float, float]:
    """Seconds to compile, seconds of a step of all replicas, bytes in use."""
    begin = time.perf_counter()
    assembly = Assembly(config)
    feeds, target = assembly.feeds(), assembly.target()
    plan = choose_plan(config, assembly.program, feeds, target, assembly.step_flops)
    program, feed = assembly.program(plan), feeds()
    compiled = program.compile(feed, target)
    compiling = time.perf_counter() - begin
    rate = steps_per_second(program, feed, target)
    return compiling, 1 / rate, memory_of(compiled) * assembly.layout.devices
