"""Methods that change the inputs and look at the outputs; any differentiable or other function."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Array = jax.Array
Function = Callable[[Array], Array]

# Of integrated gradients: parts of the integral before they are doubled, and a batch of them.
FIRST_STEPS, AT_A_TIME = 128, 32


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
    tolerance: float = 0.01,
    most_steps: int = 4096,
) -> Array:
    """(x - x') ∫₀¹ ∂F(x' + α (x - x')) / ∂x dα, for each number of the inputs.

    Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", 2017, equation 1. The sum
    over an image is F(x) - F(x'), up to the error of the integral, which is taken at the middles of
    equal parts. It falls as 1 / parts, for gradients jump where a ReLU switches: there are 128 of
    them, and twice as many until the sum agrees; each image has its own number.

    Args:
      function: inputs -> scores [B, V], differentiable.
      inputs: x, [B, ...] floats.
      classes: which score of each example is F, [B].
      baseline: x', broadcastable to the inputs: an image that says nothing.
      tolerance: the error of a sum, as a share of F(x) - F(x').
      most_steps: parts of the integral, however large the error.

    Returns:
      [B, ...] as the inputs; for a heat map, sum over channels.
    """
    baselines = jnp.broadcast_to(jnp.asarray(baseline, inputs.dtype), inputs.shape)

    def of_one(example: tuple[Array, Array, Array]) -> Array:
        start, end, label = example
        labels = jnp.full(AT_A_TIME, label)
        difference = end - start

        def score(points: Array) -> Array:
            return scores_of(function(points), labels)

        rise = jnp.subtract(*score(jnp.stack([end, start] * (AT_A_TIME // 2)))[:2])

        def integral(steps: Array) -> Array:
            def add(turn: Array, total: Array) -> Array:
                middles = (turn * AT_A_TIME + jnp.arange(AT_A_TIME) + 0.5) / steps
                points = start + middles.reshape(-1, *(1,) * end.ndim) * difference
                return total + jax.grad(lambda points: score(points).sum())(points).sum(0)

            turns = steps // AT_A_TIME
            return difference * jax.lax.fori_loop(0, turns, add, jnp.zeros_like(end)) / steps

        def goes_on(carry: tuple[Array, Array]) -> Array:
            steps, found = carry
            agrees = jnp.abs(found.sum() - rise) <= tolerance * jnp.abs(rise)
            return (2 * steps <= most_steps) & ~agrees

        def doubled(carry: tuple[Array, Array]) -> tuple[Array, Array]:
            return 2 * carry[0], integral(2 * carry[0])

        first = jnp.asarray(FIRST_STEPS)
        return jax.lax.while_loop(goes_on, doubled, (first, integral(first)))[1]

    return jax.lax.map(of_one, (baselines, inputs, classes))


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
