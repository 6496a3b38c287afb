"""Picks how the steps of a run are executed: by the config, by size, or by a short measurement."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import jax

from aimodels.config import Config, plain
from aimodels.config.resolve import NAMED
from aimodels.data.feed import Feed
from aimodels.files import write_atomically
from aimodels.tasks.base import State
from aimodels.training.parallel import cores
from aimodels.training.processes import several
from aimodels.training.step import Plan, Program

# Steps of a dispatch, which loops over them on the device: so many that they take some five
# seconds on a slow CPU. A dispatch's own 50 to 100 us are nothing beside them on a fast GPU; nor on
# a CPU is its temporary memory, which comes anew from the system each time: GPT-2 of 6 layers x 384
# makes 1.9 steps a second with 2 steps a dispatch, and 2.2 with 10.
MOST_STEPS, DISPATCH_FLOPS = 100, 8e11
# Floating-point operations of one replica's step, as XLA counts them, from which on replicas run
# one after the other; for smaller steps both ways are timed.
LARGE = 1e9
MEASURED_SECONDS = 0.15


def cache_folder() -> Path:
    """Where compiled programs and measured plans are kept: AIMODELS_CACHE or ~/.cache/aimodels."""
    return Path(os.environ.get("AIMODELS_CACHE", Path.home() / ".cache" / "aimodels"))


def choose_plan(
    config: Config,
    make_program: Callable[[Plan], Program],
    make_feed: Callable[[], Feed],
    target: State,
    flops: Callable[[], float],
) -> Plan:
    """The plan of a run.

    It is kept in the cache folder, so that the same config on the same machine always gets the
    same one: another plan may change the last bits of the result.

    Args:
      config: the resolved config; what it fixes is not measured.
      make_program: compiles a candidate.
      make_feed: a fresh feed of real batches.
      target: the abstract state.
      flops: estimates the cost of one step of one replica.
    """
    replicas = len(config.replicas.seeds)
    loop = config.execution.steps_per_dispatch
    mode = "sequential" if replicas == 1 else config.replicas.mode
    if loop and mode != "auto":
        return Plan(loop, mode, "as the config says" if replicas > 1 else "")
    file = cache_folder() / "plans" / f"{_fingerprint(config)}.json"
    try:
        return Plan(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        pass
    cost = flops()
    in_turn = replicas if mode == "sequential" else 1
    loop = loop or int(min(max(DISPATCH_FLOPS / max(cost * in_turn, 1), 1), MOST_STEPS))
    reason = f"a step is {cost / 1e6:.3g} MFLOP"
    if mode == "auto" and cost < LARGE and not several():
        rates = {
            mode: steps_per_second(make_program(Plan(loop, mode)), make_feed(), target)
            for mode in ("vmap", "sequential")
        }
        mode = max(rates, key=lambda mode: rates[mode])
        tried = ", ".join(f"{mode} {rate * replicas:,.0f}" for mode, rate in rates.items())
        reason += f"; measured steps/s: {tried}"
    elif mode == "auto":
        mode = "vmap" if cost < LARGE else "sequential"
    plan = Plan(loop, mode, reason)
    write_atomically(file, json.dumps(vars(plan)))
    return plan


def steps_per_second(program: Program, feed: Feed, target: State) -> float:
    """Steps a second of all replicas together, each step of which trains every one."""
    state = program.init(feed, target)
    capacity = program.plan.steps_per_dispatch
    state, report = program.run(state, feed, 0, 1)
    jax.block_until_ready(report.metrics)
    begin, done = time.perf_counter(), 1
    while time.perf_counter() - begin < MEASURED_SECONDS:
        # From the state's own step on: a replica that is at another one stands still.
        state, report = program.run(state, feed, done, capacity)
        jax.block_until_ready(report.metrics)
        done += capacity
    return (done - 1) / (time.perf_counter() - begin)


def _fingerprint(config: Config) -> str:
    """Of all that decides the speed of a step on this machine, and of nothing else."""
    values = plain(config)
    training = values["training"]
    what = {
        **{name: values[name] for name in (*NAMED, "precision")},
        "batch": {k: training[k] for k in ("batch_size", "transforms", "gradient_accumulation")},
        "replicas": [len(values["replicas"]["seeds"]), values["replicas"]["mode"]],
        "execution": values["execution"],
        "parallel": values["parallel"],
        "machine": [jax.__version__, jax.devices()[0].device_kind, jax.device_count()],
        "cores": cores(),
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
