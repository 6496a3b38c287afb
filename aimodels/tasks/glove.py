"""GloVe: vectors whose products are logarithms of how often words stand near each other.

Pennington, Socher & Manning, "GloVe: global vectors for word representation", EMNLP 2014.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from aimodels.tasks.base import Batch, Params, State
from aimodels.tasks.word_vectors import WordVectorTask, of_all_devices

Array = jax.Array


def weights_of(values: Array, x_max: float = 100.0, alpha: float = 0.75) -> Array:
    """f(X) = min(1, X / x_max)^α, eq. 9."""
    return jnp.minimum(values / x_max, 1) ** alpha


def glove_loss(
    words: Array,
    contexts: Array,
    word_biases: Array,
    context_biases: Array,
    values: Array,
    weights: Array,
) -> Array:
    """½ f(X) (w · c + b + d - log X)² of each pair, [B]: half of eq. 8, as in the authors' program.

    Args:
      words: vectors w, [B, D].
      contexts: vectors c, [B, D].
      word_biases: b, [B].
      context_biases: d, [B].
      values: X, [B].
      weights: f(X), [B].
    """
    differences = (words * contexts).sum(-1) + word_biases + context_biases - jnp.log(values)
    return 0.5 * weights * jnp.square(differences)


def adagrad_rows(
    table: Array, squares: Array, ids: Array, gradients: Array, rate: float
) -> tuple[Array, Array]:
    """AdaGrad on some rows, as in the authors' program: rows that no id names stay as they are.

    A step is rate · g / sqrt(sum), by the sum before it; then the sum grows by (rate · g)², where
    that of Duchi, Hazan & Singer 2011 has grown by g² before the step.

    Args:
      table: [V, ...].
      squares: sums of the squares of rate · gradient so far, [V, ...].
      ids: of rows, int32 [B]; one may come several times.
      gradients: of each, [B, ...].
      rate: the learning rate.

    Returns:
      The table, and the sums to which each square has come.
    """
    steps = rate * gradients
    table = table.at[ids].add(-steps * jax.lax.rsqrt(squares[ids]))
    return table, squares.at[ids].add(jnp.square(steps))


@dataclasses.dataclass(frozen=True)
class GloVe(WordVectorTask):
    """Learns from pairs `inputs` [B, 2] and X `targets` [B], as the set `cooccurrences` has them.

    Attributes:
      learning_rate: of AdaGrad, whose sums begin at 1, as in the authors' program.
      x_max: X from which on a pair has its full weight.
      alpha: α of the weight of rarer pairs.
    """

    learning_rate: float = 0.05
    x_max: float = 100.0
    alpha: float = 0.75

    def state_of(self, variables: Mapping[str, Any]) -> State:
        """The state before the first step with these variables."""
        state = super().state_of(variables)
        squares = jax.tree.map(jnp.ones_like, state.params)
        return dataclasses.replace(state, optimizer_state=squares)

    def train_step(self, state: State, batch: Batch, key: Array) -> tuple[State, dict[str, Any]]:
        """One step of AdaGrad on the rows of the batch's words."""
        del key
        self.known_words()
        word, context = batch["inputs"].T
        ids = {"words": word, "word_biases": word, "contexts": context, "context_biases": context}
        rows = {name: state.params[name][at] for name, at in ids.items()}
        values = batch["targets"]
        weights = weights_of(values, self.x_max, self.alpha)

        def loss_of(rows: Params) -> tuple[Array, Array]:
            losses = glove_loss(**rows, values=values, weights=weights)
            return losses.sum(), losses.mean()

        gradients, loss = jax.grad(loss_of, has_aux=True)(rows)
        params, squares = {}, {}
        for name, at in ids.items():
            params[name], squares[name] = adagrad_rows(
                state.params[name],
                state.optimizer_state[name],
                at,
                gradients[name],
                self.learning_rate,
            )
        params = of_all_devices(state.params, params)
        squares = of_all_devices(state.optimizer_state, squares)
        state = dataclasses.replace(
            state, step=state.step + 1, params=params, optimizer_state=squares
        )
        return state, {"loss": loss}
