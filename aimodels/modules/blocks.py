"""Where a model's blocks end: what is kept for the backward pass, and divided over devices, there.

Models pass what goes from block to block through `block_output`. By itself it is the identity.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.ad_checkpoint import checkpoint_name

_NAME = "block"
# (array, its batch axis) -> the array, divided over devices along that axis.
Divide = Callable[[jax.Array, int], jax.Array]
_DIVIDE: contextvars.ContextVar[Divide | None] = contextvars.ContextVar("divide", default=None)


def block_output(outputs: jax.Array, batch_axis: int = 0) -> jax.Array:
    """The outputs of a block (or inputs of the first), [B, ...] or with B at `batch_axis`."""
    divide = _DIVIDE.get()
    if divide is not None:
        outputs = divide(outputs, batch_axis)
    return checkpoint_name(outputs, _NAME)


def rematerialised(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, of whose inside only block outputs are kept for its gradient.

    Each block is computed a second time, from the one before it, when its gradient is due: memory
    for time (Chen et al. 2016, "Training deep nets with sublinear memory cost"). Dropout's bits are
    the same in both.
    """
    policy = jax.checkpoint_policies.save_only_these_names(_NAME)
    return jax.checkpoint(function, policy=policy)


@contextlib.contextmanager
def dividing(divide: Divide) -> Iterator[None]:
    """Trace under this what runs on several devices, so that block outputs are divided by batch.

    Without it XLA may spread a layer's divided weights to what goes between layers, and then send
    that back and forth (a Transformer of 4 layers with rules "tensor": a third of all bytes sent).
    """
    token = _DIVIDE.set(divide)
    try:
        yield
    finally:
        _DIVIDE.reset(token)
