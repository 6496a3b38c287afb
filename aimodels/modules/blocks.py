"""A model's blocks: what is kept for the backward pass, how they are divided, what stands still.

This is decided where a step is traced, by `rematerialising`, `dividing`, `mapping` and `freezing`;
without them a block is a plain call.
"""

import contextlib
import contextvars
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

import jax

from aimodels.errors import UserError

# (array, its batch axis) -> the array, divided over devices along that axis.
Divide = Callable[[jax.Array, int], jax.Array]
_DIVIDE: contextvars.ContextVar[Divide | None] = contextvars.ContextVar("divide", default=None)
# Who asks leaves a trace: a model that never does would quietly keep everything.
_AXIS: contextvars.ContextVar[str | None] = contextvars.ContextVar("axis", default=None)
_FROZEN: contextvars.ContextVar[tuple[str, ...]] = contextvars.ContextVar("frozen", default=())
_REMAT: contextvars.ContextVar[list[bool] | None] = contextvars.ContextVar("remat", default=None)


def rematerialises() -> bool:
    """Whether this is traced under `rematerialising`."""
    asked = _REMAT.get()
    if asked is None:
        return False
    asked.append(True)
    return True


def is_frozen(path: tuple[str, ...]) -> bool:
    """Whether what is at a path of the model, such as ("backbone", "norm", "mean"), stays."""
    return any(re.search(pattern, "/".join(path)) for pattern in _FROZEN.get())


def is_divided() -> bool:
    """Whether this is traced under `dividing`: for several devices."""
    return _DIVIDE.get() is not None


def divided(array: jax.Array, batch_axis: int = 0) -> jax.Array:
    """What goes from block to block, [B, ...] or with B at `batch_axis`; see `dividing`."""
    divide = _DIVIDE.get()
    return array if divide is None else divide(array, batch_axis)


def averaged(tree: Any, axis_name: str | tuple[str, ...] | None = None) -> Any:
    """The mean over the devices of a mapped axis (by default that of `mapping`), else the tree."""
    axis_name = axis_name or _AXIS.get()
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def devices_of(axis_name: str | tuple[str, ...] | None = None) -> int:
    """How many devices `averaged` goes over."""
    axis_name = axis_name or _AXIS.get()
    return 1 if axis_name is None else jax.lax.psum(1, axis_name)


@contextlib.contextmanager
def rematerialising(enabled: bool = True) -> Iterator[None]:
    """Trace under this a model whose gradient keeps only what goes from block to block.

    Each block is computed a second time when its gradient is due: memory for time (Chen et al.
    2016, "Training deep nets with sublinear memory cost"). It takes a loop over the blocks, as
    Transformers and recurrent layers have: `jax.checkpoint` of one block after the other, or of all
    with a policy, saved nothing on the CPU, since XLA then computes all of them again before the
    first gradient (jax 0.10.2; a CNN of 8 layers, a Transformer of 6).

    Raises:
      UserError: the model has no such loop.
    """
    asked: list[bool] = []
    token = _REMAT.set(asked if enabled else None)
    try:
        yield
    finally:
        _REMAT.reset(token)
    if enabled and not asked:
        raise UserError(
            "config.parallel.remat: 'blocks' is for Transformers and recurrent layers, and this "
            "model has none; take 'none'"
        )


@contextlib.contextmanager
def dividing(divide: Divide | None) -> Iterator[None]:
    """Trace under this what runs on several devices, so that all between blocks is divided alike.

    Else XLA may spread a layer's divided weights to what goes between layers, and then sends that
    back and forth. With None nothing is divided.
    """
    token = _DIVIDE.set(divide)
    try:
        yield
    finally:
        _DIVIDE.reset(token)


@contextlib.contextmanager
def mapping(axis_name: str | None) -> Iterator[None]:
    """Trace under this what each device of a `pmap` does with its part of a batch."""
    token = _AXIS.set(axis_name)
    try:
        yield
    finally:
        _AXIS.reset(token)


@contextlib.contextmanager
def freezing(patterns: Collection[str]) -> Iterator[None]:
    """Trace under this a model of which the parts that match these patterns stay as they are."""
    token = _FROZEN.set(tuple(patterns))
    try:
        yield
    finally:
        _FROZEN.reset(token)
