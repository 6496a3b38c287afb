"""How good a heat map is: how soon the class is gone when its hottest pixels go first."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from aimodels.interpret.inputs import scores_of

Array = jax.Array


def deletion_score(
    function: Callable[[Array], Array],
    inputs: Array,
    classes: Array,
    maps: Array,
    *,
    baseline: Array | float = 0.0,
    steps: int = 28,
) -> Array:
    """The area under the probability, as pixels are deleted from the hottest on; lower is better.

    Petsiuk, Das & Saenko, "RISE: randomized input sampling for explanation of black-box models",
    2018, section 4.2.

    Args:
      function: images -> probabilities [B, V].
      inputs: images [B, H, W, C].
      classes: whose probability, [B].
      maps: heat maps [B, H, W]; of equal heat, the first pixel goes first.
      baseline: what a deleted pixel shows, broadcastable to the inputs.
      steps: equal parts in which the pixels go.

    Returns:
      [B], between 0 and 1.
    """
    count, height, width, _ = inputs.shape
    order = jnp.argsort(-maps.reshape(count, -1), axis=1)
    ranks = jnp.argsort(order, axis=1).reshape(count, height, width, 1)

    def probability(share: Array) -> Array:
        deleted = ranks < share * height * width
        return scores_of(function(jnp.where(deleted, baseline, inputs)), classes)

    curve = jax.lax.map(probability, jnp.linspace(0, 1, steps + 1))
    return (curve[1:] + curve[:-1]).mean(0) / 2
