"""How a function of one example is done for a whole batch."""

from collections.abc import Callable
from typing import Any

import jax


def for_each(function: Callable[..., Any], *arrays: jax.Array) -> Any:
    """`function(*examples)` for each example of arrays [B, ...], stacked.

    It may choose among branches by `jax.lax.switch`. On the CPU the examples come one after the
    other, so that each computes its own branch alone; elsewhere all compute all branches at once,
    as they do under `vmap` (over replicas, say). The results are the same.
    """
    if jax.default_backend() == "cpu":
        return jax.lax.map(lambda examples: function(*examples), arrays)
    return jax.vmap(function)(*arrays)
