"""What a config amounts to: its parameters, shapes, costs. Nothing is computed or compiled."""

from typing import Any

import jax

from aimodels.config import Config, to_json
from aimodels.tasks.base import Batch
from aimodels.training.build import abstract_batch, load_split
from aimodels.training.parallel import path_of
from aimodels.training.run import Assembly, count


def parameter_table(config: Config) -> str:
    """A line for each array of parameters: path, shape, type and size, with the total."""
    state, _ = _abstract(config)
    rows = [
        (path_of(path), f"{leaf.dtype} {tuple(leaf.shape)}", f"{leaf.size:,}")
        for path, leaf in jax.tree_util.tree_leaves_with_path(state.params)
    ]
    rows.append(("total", "", f"{count(state.params):,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        f"{name:{widths[0]}}  {shape:{widths[1]}}  {size:>{widths[2]}}"
        for name, shape, size in rows
    )


def describe(config: Config, check: bool = False) -> str:
    """The resolved config, parameter table, shapes, FLOPs and memory, as text.

    Args:
      config: the resolved config.
      check: also load the data and check what only they can tell.
    """
    state, batch = _abstract(config)
    if check:
        for split in (config.training.split, *config.evaluation.splits) if config.data else ():
            load_split(config, split)
    replicas = len(config.replicas.seeds)
    bytes_of = lambda tree: sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))  # noqa: E731
    shapes = ", ".join(f"{name} {tuple(leaf.shape)} {leaf.dtype}" for name, leaf in batch.items())
    lines = [
        to_json(config).rstrip(),
        "",
        parameter_table(config),
        "",
        f"batch                 {shapes or 'made by the task'}",
        f"a training step       {_flops(config, state, batch) / 1e6:,.4g} MFLOP a replica",
        f"weights               {_megabytes(bytes_of(state.params) * replicas)}",
        f"state of {replicas} replica(s)  {_megabytes(bytes_of(state) * replicas)}",
    ]
    return "\n".join(lines)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.3g} MB"


def _flops(config: Config, state: Any, batch: Batch) -> float:
    task = Assembly(config).task()
    key = jax.eval_shape(lambda: jax.random.key(0))
    analysis = jax.jit(task.train_step).lower(state, batch, key).cost_analysis()
    return float((analysis or {}).get("flops", 0.0))


def _abstract(config: Config) -> tuple[Any, Batch]:
    """The state of one replica and a batch, in shapes alone."""
    batch = abstract_batch(config)
    key = jax.eval_shape(lambda: jax.random.key(0))
    return jax.eval_shape(Assembly(config).task().init, key, batch), batch
