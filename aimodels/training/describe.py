"""What a config amounts to: its parameters, shapes, costs. Nothing is computed or compiled."""

import jax

from aimodels.config import Config, to_json
from aimodels.training.assembly import Assembly, bytes_of, count
from aimodels.training.build import load_split
from aimodels.training.initial_weights import taken
from aimodels.training.parallel import path_of


def parameter_table(config: Config) -> str:
    """A line for each array of parameters: path, shape, type and size, with the total."""
    state, _ = Assembly(config).abstract
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
    assembly = Assembly(config)
    state, batch = assembly.abstract
    if check:
        assembly.target()
        if "init_from" in config:
            taken(assembly)
        for split in (config.training.split, *config.evaluation.splits) if config.data else ():
            load_split(config, split)
    replicas = len(config.replicas.seeds)
    shapes = ", ".join(f"{name} {tuple(leaf.shape)} {leaf.dtype}" for name, leaf in batch.items())
    lines = [
        to_json(config).rstrip(),
        "",
        parameter_table(config),
        "",
        f"batch                 {shapes or 'made by the task'}",
        f"a training step       {assembly.step_flops() / 1e6:,.4g} MFLOP a replica",
        f"weights               {_megabytes(bytes_of(state.params) * replicas)}",
        f"state of {replicas} replica(s)  {_megabytes(bytes_of(state) * replicas)}",
    ]
    return "\n".join(lines)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.3g} MB"
