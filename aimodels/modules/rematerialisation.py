"""Memory for time: a block's activations are computed again in the backward pass, not kept.

Models say where a block ends by `block_output`; a loss under `rematerialised` keeps these outputs
alone for its gradient, and computes each block a second time from the one before it (Chen et al.
2016, "Training deep nets with sublinear memory cost"). Nothing else changes: not the bits of
dropout, and elsewhere `block_output` is the identity.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax.ad_checkpoint import checkpoint_name

T = TypeVar("T")
_NAME = "block"


def block_output(outputs: T) -> T:
    """The outputs, which `rematerialised` keeps for the backward pass."""
    return checkpoint_name(outputs, _NAME)


def rematerialised(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, of whose inside only block outputs are kept for its gradient."""
    policy = jax.checkpoint_policies.save_only_these_names(_NAME)
    return jax.checkpoint(function, policy=policy)
