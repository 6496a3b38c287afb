"""Picks how the steps of a run are executed: by the config, by size, or by a short measurement."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from aimodels.config import Config, plain
from aimodels.data.feed import Feed
from aimodels.files import write_atomically
from aimodels.training.step import Plan, Program

# Steps in a dispatch that loops on the device: a dispatch costs 50 to 100 us, so that a hundredth
# of it is small beside any step.
LOOP_STEPS = 100
# Floating-point operations of one replica's step, as XLA counts them, below which a loop on the
# device and batched replicas are taken untimed, and above which a dispatch a step and one replica
# after the other are. Between the two, the candidates are timed. They were set by the MNIST-1D
# models (0.2 to 18 MFLOP) on a busy machine; scripts/benchmarks/plan.py measures them properly.
SMALL, LARGE = 3e7, 1e9
MEASURED_SECONDS = 0.15


def cache_folder() -> Path:
    """Where compiled programs and measured plans are kept: AIMODELS_CACHE or ~/.cache/aimodels."""
    return Path(os.environ.get("AIMODELS_CACHE", Path.home() / ".cache" / "aimodels"))


def choose_plan(
    config: Config,
    make_program: Callable[[Plan], Program],
    make_feed: Callable[[], Feed],
    flops: Callable[[], float],
) -> Plan:
    """The plan of a run.

    It is kept in the cache folder, so that the same config on the same machine always gets the
    same one: another plan may change the last bits of the result.

    Args:
      config: the resolved config; what it fixes is not measured.
      make_program: compiles a candidate.
      make_feed: a fresh feed of real batches.
      flops: estimates the cost of one step of one replica.
    """
    replicas = len(config.replicas.seeds)
    loops = [config.execution.steps_per_dispatch] if config.execution.steps_per_dispatch else []
    modes = [config.replicas.mode] if config.replicas.mode != "auto" else []
    if replicas == 1:
        modes = ["sequential"]
    if loops and modes:
        return Plan(loops[0], modes[0], "as the config says" if replicas > 1 else "")
    file = cache_folder() / "plans" / f"{_fingerprint(config)}.json"
    try:
        return Plan(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        pass
    cost = flops()
    if cost <= SMALL or cost >= LARGE:
        small = cost <= SMALL
        plan = Plan(
            loops[0] if loops else LOOP_STEPS if small else 1,
            modes[0] if modes else "vmap" if small else "sequential",
            f"a step is {cost / 1e6:.3g} MFLOP, {'small' if small else 'large'}",
        )
        write_atomically(file, json.dumps(vars(plan)))
        return plan
    candidates = [
        Plan(loop, mode)
        for loop in loops or [LOOP_STEPS, 1]
        for mode in modes or ["vmap", "sequential"]
    ]
    rates = {plan: _steps_per_second(make_program(plan), make_feed()) for plan in candidates}
    best = max(rates, key=lambda plan: rates[plan])
    tried = ", ".join(
        f"{plan.replicas + ' ' if replicas > 1 else ''}x{plan.steps_per_dispatch} "
        f"{rate * replicas:,.0f}"
        for plan, rate in rates.items()
    )
    best = Plan(best.steps_per_dispatch, best.replicas, f"measured steps/s: {tried}")
    write_atomically(file, json.dumps(vars(best)))
    return best


def _steps_per_second(program: Program, feed: Feed) -> float:
    """Steps of all replicas a second, after the compilation."""
    state = program.init(first_batch(feed), feed.per_replica)
    capacity = program.plan.steps_per_dispatch
    state, report = program.run(state, feed, 0, min(capacity, 2))
    jax.block_until_ready(report.metrics)
    begin, done = time.perf_counter(), 0
    while time.perf_counter() - begin < MEASURED_SECONDS:
        state, report = program.run(state, feed, done, capacity)
        jax.block_until_ready(report.metrics)
        done += capacity
    return done / (time.perf_counter() - begin)


def first_batch(feed: Feed) -> Any:
    """The batch of step 0, leaves [B, ...], or [R, B, ...] if the feed is one a replica."""
    item = jax.tree.map(lambda x: x[:, 0], feed.chunk(0, 0, 1))
    if feed.per_replica:
        return jax.vmap(feed.gather)(feed.arrays, item)
    return feed.gather(feed.arrays, jax.tree.map(lambda x: x[0], item))


def _fingerprint(config: Config) -> str:
    """Of all that decides the speed of a step on this machine, and of nothing else."""
    values = plain(config)
    training = values["training"]
    what = {
        **{name: values[name] for name in ("model", "task", "data", "optimizer", "precision")},
        "batch": {k: training[k] for k in ("batch_size", "transforms", "gradient_accumulation")},
        "replicas": [len(values["replicas"]["seeds"]), values["replicas"]["mode"]],
        "execution": values["execution"],
        "parallel": values["parallel"],
        "machine": [jax.__version__, jax.devices()[0].device_kind, jax.device_count()],
        "cores": os.cpu_count(),
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
