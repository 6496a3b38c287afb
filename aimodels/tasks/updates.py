"""What a training step does beside the optimizer: moving averages, norms, what is frozen."""

import re
from collections.abc import Collection
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from aimodels.modules.blocks import is_divided

Array = jax.Array


def ema_update(ema: Any, params: Any, decay: Any, step: Any) -> Any:
    """The moving average decay · ema + (1 - decay) · params, in the average's own dtypes.

    The decay is at most (1 + step) / (10 + step), so that a long average soon forgets the initial
    weights (TensorFlow's `ExponentialMovingAverage(num_updates)`).

    Args:
      ema: begins as a copy of the parameters.
      params: after this step's update.
      decay: may be traced.
      step: updates done.
    """
    step = jnp.asarray(step, jnp.float32)
    decay = jnp.minimum(decay, (1 + step) / (10 + step))

    def average(old: Array, new: Array) -> Array:
        return (old + (1 - decay) * (new.astype(old.dtype) - old)).astype(old.dtype)

    return jax.tree.map(average, ema, params)


# Leaves of up to so many numbers are put side by side for their norm.
SMALL_LEAF = 2**16
# Trees of up to so many numbers are carried to the end of a dispatch: 64 MB in float32.
DEFERRED_SIZE = 2**24


def norm(tree: Any) -> Array:
    """The L2 norm of all numbers of a tree, in float32.

    As products of arrays with themselves: on the CPU a sum of squares is one addition after the
    other. Small arrays side by side, except where they are divided over devices: there they would
    have to be gathered, and XLA even divides a Transformer's activations to suit (rules "tensor",
    2 blocks: 210 MB of all-gathers a step, and none so). Array by array, MNIST-1D's MLP makes
    0.8 times as many steps/s.
    """
    leaves = [leaf.astype(jnp.float32) for leaf in jax.tree.leaves(tree)]
    most = 0 if is_divided() else SMALL_LEAF
    small = [jnp.ravel(leaf) for leaf in leaves if leaf.size <= most]
    large = [leaf for leaf in leaves if leaf.size > most]
    together = [jnp.concatenate(small)] if small else []
    exact = jax.lax.Precision.HIGHEST  # else in bfloat16 on a TPU
    squares = [
        jnp.tensordot(leaf, leaf, leaf.ndim, precision=exact) for leaf in (*together, *large)
    ]
    return jnp.sqrt(sum(squares, jnp.zeros(())))


@flax.struct.dataclass
class Norm:
    """A norm that is computed when it is asked for, which a step in a loop on the device is not.

    Attributes:
      of: the tree.
    """

    of: Any

    def compute(self) -> Array:
        """The L2 norm of all numbers of the tree, in float32."""
        return norm(self.of)


def norms(gradients: Any, updates: Any) -> dict[str, Any]:
    """The L2 norms of all gradients and of all updates.

    Of a small model they are put off to the last step of a dispatch, the one that is reported: for
    MNIST-1D's MLP three norms take 7 % of a step. Of a large one they are less than that, and the
    memory that putting them off takes is more.
    """
    size = sum(leaf.size for leaf in jax.tree.leaves(gradients))
    make = Norm if size <= DEFERRED_SIZE else norm
    trees = {"gradient_norm": gradients, "update_norm": updates}
    return {name: make(tree) for name, tree in trees.items()}


def without_gradients(params: Any, frozen: Collection[str]) -> Any:
    """The parameters, those whose path matches a pattern as constants: XLA then skips their part.

    Args:
      params: a tree of dicts.
      frozen: patterns, found anywhere in a path such as "backbone/stem/conv/kernel".
    """
    if not frozen:
        return params

    def held(path: tuple, leaf: Array) -> Array:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        matches = any(re.search(pattern, name) for pattern in frozen)
        return jax.lax.stop_gradient(leaf) if matches else leaf

    return jax.tree_util.tree_map_with_path(held, params)
