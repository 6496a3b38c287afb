"""How good word vectors are: analogies, and rank correlation with what people say.

V words, D their width, B questions.
"""

from typing import Any, Self

import clu.metrics
import flax.struct
import jax
import jax.numpy as jnp

from aimodels.tasks.metrics import Mean

Array = jax.Array


def directions(table: Array) -> Array:
    """Vectors [..., D] over their length, in float32; a vector of zeros stays one."""
    table = table.astype(jnp.float32)
    lengths = jnp.linalg.norm(table, axis=-1, keepdims=True)
    return table / jnp.where(lengths == 0, 1, lengths)


def answers(table: Array, questions: Array) -> Array:
    """The words d for "a is to b as c is to d", int32 [B], by 3CosAdd.

    The d, none of the three, for which cos(d, b) - cos(d, a) + cos(d, c) is the largest; Levy &
    Goldberg, "Linguistic regularities in sparse and explicit word representations", 2014, eq. 1.

    Args:
      table: [V, D].
      questions: ids of a, b and c, [B, 3].
    """
    units = directions(table)
    a, b, c = jnp.moveaxis(units[questions], 1, 0)
    scores = (b - a + c) @ units.T
    rows = jnp.arange(len(questions))[:, None]
    return scores.at[rows, questions].set(-jnp.inf).argmax(-1).astype(jnp.int32)


def cosines(table: Array, pairs: Array) -> Array:
    """The cosine of the two words of each pair, [B], from ids [B, 2]."""
    units = directions(table)
    return (units[pairs[:, 0]] * units[pairs[:, 1]]).sum(-1)


def ranks(values: Array, valid: Array) -> Array:
    """The rank of each number among those that count, from 1 on; equal ones share their mean, [N].

    What doesn't count has a rank that means nothing.
    """
    less = (values[:, None] > values) & valid
    equal = (values[:, None] == values) & valid
    return less.sum(1) + (equal.sum(1) + 1) / 2


def spearman(left: Array, right: Array, valid: Array) -> Array:
    """Spearman's rank correlation of those numbers [N] that count: Pearson's, of their ranks."""
    counted = valid.astype(jnp.float32)
    number = counted.sum()

    def centred(values: Array) -> Array:
        of = ranks(values, valid)
        return jnp.where(valid, of - (of * counted).sum() / number, 0)

    left, right = centred(left), centred(right)
    return (left * right).sum() / jnp.sqrt(jnp.square(left).sum() * jnp.square(right).sum())


@flax.struct.dataclass
class Answered(Mean):
    """The share of analogies that are answered right."""

    @classmethod
    def from_model_output(cls, *, right: Array, mask: Array, **_: Any) -> Self:
        """From what is right and what counts, bool [B]."""
        return cls.of(right, mask)


@flax.struct.dataclass
class Questions(Answered):
    """How many questions there are: those whose words are all known."""

    def compute(self) -> Array:
        """The number."""
        return self.count


@flax.struct.dataclass
class RankCorrelation(clu.metrics.Metric):
    """Spearman's of cosines and ratings, which are kept: the sets have hundreds of pairs.

    Attributes: cosines, ratings float32 [N], valid bool [N].
    """

    cosines: Array
    ratings: Array
    valid: Array

    @classmethod
    def from_model_output(cls, *, outputs: Array, targets: Array, mask: Array, **_: Any) -> Self:
        """From cosines, ratings and what counts, [B]."""
        return cls(outputs, targets.astype(jnp.float32), mask)

    def merge(self, other: Self) -> Self:
        """Of both."""
        return jax.tree.map(lambda *parts: jnp.concatenate(parts), self, other)

    def compute(self) -> Array:
        """The correlation, between -1 and 1."""
        return spearman(self.cosines, self.ratings, self.valid)


ANALOGIES = clu.metrics.Collection.create(accuracy=Answered, questions=Questions)
PAIRS = clu.metrics.Collection.create(spearman=RankCorrelation, questions=Questions)
