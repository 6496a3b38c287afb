"""What a training step does beside the optimizer: moving averages and norms."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

Array = jax.Array


def ema_update(ema: Any, params: Any, decay: Any, step: Any = None) -> Any:
    """The moving average decay · ema + (1 - decay) · params, in the average's own dtypes.

    Args:
      ema: begins as a copy of the parameters, so it needs no correction of a bias towards 0.
      params: after this step's update.
      decay: may be traced.
      step: if given, the decay is at most (1 + step) / (10 + step), so that a long average forgets
        the initial weights soon (TensorFlow's `ExponentialMovingAverage(num_updates)`).
    """
    if step is not None:
        step = jnp.asarray(step, jnp.float32)
        decay = jnp.minimum(decay, (1 + step) / (10 + step))

    def average(old: Array, new: Array) -> Array:
        return (old + (1 - decay) * (new.astype(old.dtype) - old)).astype(old.dtype)

    return jax.tree.map(average, ema, params)


def norms(gradients: Any, params: Any, updates: Any) -> dict[str, Array]:
    """The L2 norms of all gradients, of all parameters and of all updates, in float32."""
    trees = {"gradient_norm": gradients, "parameter_norm": params, "update_norm": updates}
    return {
        name: optax.tree.norm(jax.tree.map(lambda x: x.astype(jnp.float32), tree))
        for name, tree in trees.items()
    }
