"""The parts of a run, made from its config when they are first asked for."""

import contextlib
import functools
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from aimodels.config import Config, call_section
from aimodels.data.feed import DeviceFeed, EmptyFeed, Feed, HostFeed, device_budget, size_in_bytes
from aimodels.errors import UserError
from aimodels.files import write_atomically
from aimodels.tasks.base import Batch, State, Task
from aimodels.training.build import (
    abstract_batch,
    abstract_key,
    load_split,
    task_builder,
    varied_in_program,
)
from aimodels.training.parallel import Layout, cores, make_layout
from aimodels.training.plan import cache_folder
from aimodels.training.processes import several
from aimodels.training.step import Plan, Program

# What serves where no steps are run.
UNPLANNED = Plan(1, "sequential")


class Assembly:
    """The parts of a resolved config, made when they are first asked for.

    Args:
      config: the resolved config.
      warn: where messages for people go.
    """

    def __init__(self, config: Config, warn: Callable[[str], None] = lambda text: None) -> None:
        prepare_jax(config)
        # JAX knows it for a whole process only; a float32 run draws other numbers under it.
        jax.config.update("jax_enable_x64", config.precision == "float64")
        self.config, self.warn = config, warn
        self._build = task_builder(config)

    @functools.cached_property
    def layout(self) -> Layout:
        """Where arrays live; `UserError` if there are too few devices."""
        return make_layout(self.config)

    def program(self, plan: Plan = UNPLANNED) -> Program:
        """The compiled functions under a plan; without one they can initialise and evaluate."""
        return Program(
            self._build,
            self.config.replicas.seeds,
            varied_in_program(self.config),
            self.layout,
            plan,
        )

    def task(self, replica: int = 0) -> Task:
        """The task with the values of one replica."""
        varied = varied_in_program(self.config)
        return self._build({name: values[replica] for name, values in varied.items()})

    def feeds(self) -> Callable[[], Feed]:
        """A function that makes feeds, all from one copy of the training set."""
        config, layout = self.config, self.layout  # the layout first: it may decide on devices
        seeds = config.replicas.seeds
        if config.data is None:
            return lambda: EmptyFeed(len(seeds))
        sources = load_split(config, config.training.split)
        size = size_in_bytes(sources[0]) * len(sources)
        budget = device_budget(jax.local_devices()[0])
        where = config.execution.feed
        if where == "auto":
            where = "device" if size <= budget else "host"
        batching = (config.training.batch_size, config.training.order)
        if where == "host":
            return lambda: HostFeed(sources, seeds, *batching, layout.put_batches)
        put = partial(layout.put, per_replica=len(sources) > 1)
        feed = DeviceFeed(sources, seeds, *batching, put)
        return lambda: feed

    def keep_files(self, workdir: Path) -> None:
        """Writes what the run keeps of its data set, such as a tokenizer.

        Raises:
          UserError: the run has begun with another one.
        """
        if self.config.data is None:
            return
        dataset = call_section("data", self.config.data.to_dict())
        for name, content in dataset.files().items():
            file = workdir / name
            if file.is_file() and file.read_text() != content:
                raise UserError(
                    f"{file} is not what the data give now: they or a library have changed since "
                    "the run began; start anew with another --workdir"
                )
            write_atomically(file, content)

    @functools.cached_property
    def batch(self) -> Batch:
        """A training batch, in shapes alone."""
        return abstract_batch(self.config)

    @functools.cached_property
    def abstract(self) -> tuple[State, Batch]:
        """The state of one replica and a training batch, in shapes alone."""
        return jax.eval_shape(self.task().init, abstract_key(), self.batch), self.batch

    def target(self) -> State:
        """The state of all replicas in shapes, dtypes and shardings alone."""
        return self.program().abstract_state(self.batch)

    def step_flops(self) -> float:
        """Floating-point operations of a training step of one replica, as XLA estimates them."""
        state, batch = self.abstract
        step = jax.jit(self.task().train_step)
        analysis = step.lower(state, batch, abstract_key()).cost_analysis()
        return float((analysis or {}).get("flops", 0.0))


def prepare_jax(config: Config | None = None) -> None:
    """What JAX is told before it starts, unless it was told otherwise.

    Each core of a CPU is a device, since one small network can't keep several busy; a single core
    gets two threads, since what YNNPACK reduces waits for ever with one. Compiled programs are kept
    in the cache folder.

    Args:
      config: of the run to come, which may want fewer threads.
    """
    told = "host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    with contextlib.suppress(RuntimeError):  # JAX has started: its devices are what they are
        if config is not None and _takes_threads(config) and not told:
            os.environ.setdefault("NPROC", str(config.execution.threads))  # XLA's own name for it
            jax.config.update("jax_num_cpu_devices", 1)  # each would have a thread more
        elif not (told or several() or jax.config.jax_num_cpu_devices > 0):  # type: ignore[attr-defined]
            jax.config.update("jax_num_cpu_devices", cores())
    if cores() == 1:
        os.environ.setdefault("NPROC", "2")
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _takes_threads(config: Config) -> bool:
    parallel = config.parallel
    alone = len(config.replicas.seeds) * parallel.data * parallel.model == 1
    return alone and config.execution.threads > 0 and not several()


def bytes_of(tree: Any) -> int:
    """The size of a tree of arrays, or of their shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def count(params: Any) -> int:
    """How many numbers a tree of arrays holds."""
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))
