"""Methods that change the inputs and look at the outputs; any differentiable or other function."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Array = jax.Array
Function = Callable[[Array], Array]


def scores_of(outputs: Array, classes: Array) -> Array:
    """Outputs [B, V] at classes [B] -> [B]."""
    return jnp.take_along_axis(outputs, classes[:, None], axis=1)[:, 0]


def resized(maps: Array, size: tuple[int, int]) -> Array:
    """Heat maps [B, h, w] -> [B, *size], bilinear."""
    return jax.image.resize(maps, (len(maps), *size), "bilinear")


def integrated_gradients(
    function: Function,
    inputs: Array,
    classes: Array,
    *,
    baseline: Array | float = 0.0,
    steps: int = 128,
) -> Array:
    """(x - x') ∫₀¹ ∂F(x' + α (x - x')) / ∂x dα, for each number of the inputs.

    Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", 2017, equation 1. The sum
    over an image is F(x) - F(x'), up to the error of the integral, which is taken at the middles of
    `steps` equal parts. It falls as 1 / steps, for gradients jump where a ReLU switches.

    Args:
      function: inputs -> scores [B, V], differentiable.
      inputs: x, [B, ...] floats.
      classes: which score of each example is F, [B].
      baseline: x', broadcastable to the inputs: an image that says nothing.
      steps: parts of the integral.

    Returns:
      [B, ...] as the inputs; for a heat map, sum over channels.
    """
    difference = inputs - baseline

    def gradient(inputs: Array) -> Array:
        return jax.grad(lambda inputs: scores_of(function(inputs), classes).sum())(inputs)

    def add(total: Array, alpha: Array) -> tuple[Array, None]:
        return total + gradient(baseline + alpha * difference), None

    middles = (jnp.arange(steps) + 0.5) / steps
    total, _ = jax.lax.scan(add, jnp.zeros_like(inputs), middles)
    return difference * total / steps


def occlusion(
    function: Function,
    inputs: Array,
    classes: Array,
    *,
    window: int,
    stride: int,
    baseline: Array | float = 0.0,
) -> Array:
    """How much the score falls when a square is hidden, averaged over the squares on a pixel.

    Zeiler & Fergus, "Visualizing and understanding convolutional networks", 2014, section 4.2.

    Args:
      function: images -> scores [B, V].
      inputs: images [B, H, W, C].
      classes: whose score, [B].
      window: side of the square.
      stride: pixels from one square to the next; the last ones end at the border.
      baseline: what the square shows, broadcastable to the inputs.

    Returns:
      [B, H, W]; above 0 where the image speaks for the class.
    """
    height, width = inputs.shape[1:3]
    places = [
        (row, column)
        for row in _starts(height, window, stride)
        for column in _starts(width, window, stride)
    ]
    whole = scores_of(function(inputs), classes)
    rows, columns = jnp.arange(height)[:, None], jnp.arange(width)

    def hide(carry: tuple[Array, Array], place: Array) -> tuple[tuple[Array, Array], None]:
        fallen, hidden_times = carry
        hidden = (rows >= place[0]) & (rows < place[0] + window)
        hidden &= (columns >= place[1]) & (columns < place[1] + window)
        scores = scores_of(function(jnp.where(hidden[..., None], baseline, inputs)), classes)
        fallen += jnp.where(hidden, (whole - scores)[:, None, None], 0)
        return (fallen, hidden_times + hidden), None

    zeros = (jnp.zeros((len(inputs), height, width)), jnp.zeros((height, width)))
    (fallen, hidden_times), _ = jax.lax.scan(hide, zeros, jnp.array(places))
    return fallen / jnp.maximum(hidden_times, 1)  # strides beyond the window leave pixels out


def _starts(length: int, window: int, stride: int) -> list[int]:
    last = max(length - window, 0)
    return sorted({*range(0, last + 1, stride), last})
