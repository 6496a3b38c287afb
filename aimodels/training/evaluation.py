"""Evaluates whole splits: every example exactly once, whatever the batch size and device count."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aimodels.config import Config
from aimodels.data.feed import Batch, device_budget, size_in_bytes, stack
from aimodels.data.padding import evaluation_batches
from aimodels.tasks.base import State
from aimodels.tasks.metrics import by_name
from aimodels.training.build import load_split
from aimodels.training.parallel import Layout
from aimodels.training.processes import fetch
from aimodels.training.step import Program


class Evaluator:
    """The evaluation splits of a config.

    Args:
      config: the resolved config.
      layout: where batches go; the batch size is rounded up to a multiple of its data axis.
      splits: instead of those of the config.
    """

    def __init__(self, config: Config, layout: Layout, splits: Sequence[str] | None = None) -> None:
        self._layout = layout
        self._devices = config.parallel.data
        self._batch_size = config.evaluation.batch_size
        splits = config.evaluation.splits if splits is None else splits
        played = config.data or config.environment  # else the task has nothing to be evaluated on
        self._sources = {split: load_split(config, split) for split in splits or () if played}
        self._resident: dict[str, list[Batch]] = {}
        self._preparing: Future | None = None

    def prepare(self, program: Program, state: State) -> None:
        """Compiles in a thread what evaluations need, so that the first one finds it done.

        Args:
          program: that will be evaluated.
          state: abstract.
        """

        def compile_all() -> None:
            for split, sources in self._sources.items():
                batch = next(self._batches(split))
                metrics = program.compile_eval(state, batch, len(sources) > 1)
                nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), metrics)
                _compute(_merge(nothing, nothing))

        worker = ThreadPoolExecutor(1, thread_name_prefix="evaluation")
        self._preparing = worker.submit(compile_all)
        worker.shutdown(wait=False)

    def __call__(
        self, program: Program, state: State, step: int
    ) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, dict[str, np.ndarray]]]:
        """Evaluates every split.

        Returns:
          Scalars and arrays: split -> name -> [R] and [R, ...].
        """
        if self._preparing is not None:
            self._preparing.result()
        scalars, arrays = {}, {}
        for split in self._sources:
            collection = self._collect(program, state, step, split)
            results = by_name(fetch(_compute(collection)))
            scalars[split] = {name: each for name, each in results.items() if each.ndim == 1}
            arrays[split] = {name: each for name, each in results.items() if each.ndim > 1}
        return scalars, arrays

    def metric_names(self, program: Program, state: Any) -> list[str]:
        """`split/metric` for every scalar metric, found without computing anything."""
        names = []
        for split, sources in self._sources.items():
            batch = next(self._batches(split))
            collection = program.abstract_metrics(state, batch, len(sources) > 1)
            flat = by_name(jax.eval_shape(_compute, collection))
            names += [f"{split}/{name}" for name, value in flat.items() if value.ndim == 1]
        return names

    def _collect(self, program: Program, state: State, step: int, split: str) -> Any:
        per_replica = len(self._sources[split]) > 1
        total = None
        for batch in self._batches(split):
            collection = program.eval_step(state, batch, step, per_replica)
            total = collection if total is None else _merge(total, collection)
        return total

    def _batches(self, split: str) -> Any:
        """Device batches; kept for the next evaluation if the split is small."""
        if split in self._resident:
            yield from self._resident[split]
            return
        sources = self._sources[split]
        keep = size_in_bytes(sources[0]) * len(sources) < device_budget(jax.local_devices()[0]) // 8
        kept = []
        size = min(self._batch_size, len(sources[0]))
        for indices, mask in evaluation_batches(len(sources[0]), size, self._devices):
            batches = [{**source.gather(indices), "mask": mask} for source in sources]
            many = len(batches) > 1
            batch = self._layout.put(stack(batches) if many else batches[0], per_replica=many)
            kept.append(batch)
            yield batch
            if not keep:
                kept.clear()
        if keep:
            self._resident[split] = kept


_merge = jax.jit(jax.vmap(lambda left, right: left.merge(right)))
_compute = jax.jit(jax.vmap(lambda collection: collection.compute()))
