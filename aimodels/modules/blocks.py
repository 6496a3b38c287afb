"""A model's blocks: what is kept of them for the backward pass, and how they are divided.

Both are decided where a step is traced, by `rematerialising` and `dividing`; without them a block
is a plain call.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn
import jax

# (array, its batch axis) -> the array, divided over devices along that axis.
Divide = Callable[[jax.Array, int], jax.Array]
_DIVIDE: contextvars.ContextVar[Divide | None] = contextvars.ContextVar("divide", default=None)
_REMAT: contextvars.ContextVar[bool] = contextvars.ContextVar("remat", default=False)


def run_block(
    function: Callable[[Any, jax.Array], jax.Array], module: nn.Module, inputs: jax.Array
) -> jax.Array:
    """`function(module, inputs)`, of whose inside nothing is kept under `rematerialising`.

    Args:
      function: may use what surrounds it; the variables that it uses are those of `module`.
      module: the block, or the module whose `@nn.compact` method the function is a part of.
      inputs: [B, ...].
    """
    run: Any = nn.remat(function) if _REMAT.get() else function
    return divided(run(module, inputs))


def run_function(function: Callable[..., Any], *inputs: Any) -> Any:
    """The same for a pure function of trees of arrays."""
    return (jax.checkpoint(function) if _REMAT.get() else function)(*inputs)


def rematerialises() -> bool:
    """Whether this is traced under `rematerialising`."""
    return _REMAT.get()


def divided(array: jax.Array, batch_axis: int = 0) -> jax.Array:
    """What goes from block to block, [B, ...] or with B at `batch_axis`; see `dividing`."""
    divide = _DIVIDE.get()
    return array if divide is None else divide(array, batch_axis)


@contextlib.contextmanager
def rematerialising(enabled: bool = True) -> Iterator[None]:
    """Trace under this a gradient that keeps only what goes from block to block.

    Each block is computed a second time when its gradient is due: memory for time (Chen et al.
    2016, "Training deep nets with sublinear memory cost"). Block by block: one `jax.checkpoint`
    around all of them, with a policy that keeps their outputs, saved nothing, since XLA's CPU
    backend then computes all blocks again before the first gradient.
    """
    token = _REMAT.set(enabled)
    try:
        yield
    finally:
        _REMAT.reset(token)


@contextlib.contextmanager
def dividing(divide: Divide) -> Iterator[None]:
    """Trace under this what runs on several devices, so that all between blocks is divided alike.

    Else XLA may spread a layer's divided weights to what goes between layers, and then sends that
    back and forth.
    """
    token = _DIVIDE.set(divide)
    try:
        yield
    finally:
        _DIVIDE.reset(token)
