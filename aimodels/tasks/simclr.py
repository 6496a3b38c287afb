"""SimCLR: representations learned from two views of each example, without classes.

Chen, Kornblith, Norouzi & Hinton, "A simple framework for contrastive learning of visual
representations", ICML 2020.
"""

import dataclasses
from typing import Literal

import clu.metrics
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.tasks.base import Batch, State, SupervisedTask
from aimodels.tasks.classification_metrics import Accuracy
from aimodels.tasks.metrics import Loss

Array = jax.Array
Negatives = Literal["all", "other_views"]


def similarities(
    outputs: Array,
    temperature: float,
    mask: Array | None = None,
    negatives: Negatives = "all",
) -> Array:
    """The cosines of all pairs over the temperature, [N, N]; -inf for those that don't count.

    Args:
      outputs: N vectors, [N, D].
      temperature: τ; may be traced.
      mask: [N], False for a vector that is no one's negative. None counts with itself.
      negatives: "other_views" counts only pairs of one of the first and one of the last N / 2.
    """
    outputs = outputs.astype(jnp.float32)
    # Not by the norm: its gradient is NaN where a vector is 0.
    squares = jnp.square(outputs).sum(1, keepdims=True)
    directions = outputs / jnp.sqrt(jnp.maximum(squares, 1e-16))
    # Which pairs count: of different vectors, or of different kinds of views.
    places = jnp.arange(len(outputs))
    kinds = places if negatives == "all" else places < len(outputs) // 2
    counts = kinds[:, None] != kinds
    if mask is not None:
        counts &= mask.astype(bool)
    return jnp.where(counts, directions @ directions.T / temperature, -jnp.inf)


def partners(count: int) -> Array:
    """Where the other view of each of `count` vectors stands: i + N / 2 or i - N / 2."""
    return (jnp.arange(count) + count // 2) % count


def nt_xent(
    outputs: Array,
    temperature: float,
    mask: Array | None = None,
    negatives: Negatives = "all",
) -> Array:
    """-log(exp(s_ij / τ) / Σ_{k≠i} exp(s_ik / τ)) for each view i and its partner j, [2 B].

    Equation 1 of the paper, NT-Xent.

    Args:
      outputs: [2 B, D], the first views of B examples and behind them the second ones.
      temperature: τ; may be traced.
      mask: [2 B], False for views of examples that don't count; their own loss means nothing.
      negatives: "other_views" leaves the views of a view's own kind out of the sum over k.
    """
    scores = similarities(outputs, temperature, mask, negatives)
    own = jnp.take_along_axis(scores, partners(len(outputs))[:, None], 1)[:, 0]
    return jax.nn.logsumexp(scores, axis=1) - own


@dataclasses.dataclass(frozen=True)
class SimCLR(SupervisedTask):
    """Learns vectors [B, D] of which the two views of an example are alike, and others are not.

    A view is the example after the transforms of training, each with draws of its own, also in
    evaluation. `accuracy` says how often a view's partner is the nearest of all others. Targets are
    not looked at.

    Attributes:
      temperature: τ of NT-Xent; the paper's best on CIFAR-10 is 0.5, on ImageNet 0.1.
      negatives: "all" other views, as in the paper; or for a first view the second views of the
        others, and the other way round.
    """

    temperature: float = 0.5
    negatives: Negatives = "all"

    def similarities(self, outputs: Array, batch: Batch) -> Array:
        """Of the views of a batch, [2 B, 2 B]."""
        return similarities(outputs, self.temperature, batch.get("mask"), self.negatives)

    def training_batch(self, batch: Batch, key: Array) -> Batch:
        """Every field doubled: the first views [B], and behind them the second ones."""
        views = [self.transforms(batch, key, train=True) for key in jax.random.split(key)]
        return jax.tree.map(lambda *pair: jnp.concatenate(pair), *views)

    def loss(self, outputs: Array, batch: Batch) -> Array:
        """NT-Xent of each view, [2 B]."""
        if outputs.ndim != 2:
            raise UserError(f"task simclr takes vectors [B, D] of its model, got {outputs.shape}")
        return nt_xent(outputs, self.temperature, batch.get("mask"), self.negatives)

    def train_metrics(self, outputs: Array, batch: Batch) -> dict[str, Array]:
        """How often the partner is the nearest."""
        nearest = self.similarities(outputs, batch).argmax(1) == partners(len(outputs))
        return {"accuracy": nearest.mean()}

    def eval_step(self, state: State, batch: Batch, key: Array) -> clu.metrics.Collection:
        """The loss and the accuracy of two views of each example."""
        batch = self.training_batch(batch, key)
        outputs = self.model.apply(state.variables, batch["inputs"])
        assert isinstance(outputs, jax.Array)
        return self.metrics(outputs, batch)

    def metrics(self, outputs: Array, batch: Batch) -> clu.metrics.Collection:
        """Loss and accuracy of views [2 B, D]."""
        return METRICS.single_from_model_output(
            outputs=self.similarities(outputs, batch),
            targets=partners(len(outputs)),
            loss=self.loss(outputs, batch),
            mask=batch.get("mask"),
        )


METRICS = clu.metrics.Collection.create(loss=Loss, accuracy=Accuracy)
