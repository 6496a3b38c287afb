"""Classification of padded sequences, without computing on most of the padding."""

import dataclasses
from collections.abc import Callable
from typing import Any

import clu.metrics
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.tasks.base import Batch, State
from aimodels.tasks.classification import Classification

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class SequenceClassification(Classification):
    """Learns a class of sequences [B, T, ...] with `lengths` [B], each batch cut to what it needs.

    A batch is computed at the shortest of some lengths that holds its longest sequence; each of
    them is compiled, and chosen as the program runs. With `training.order="by_length"` little
    padding is left. The model must read shorter batches than the first: learned positions need
    their `max_length`. Replicas under `vmap` compute all lengths and choose afterwards, so that
    `replicas.mode="sequential"` is faster.

    Attributes:
      bucket_lengths: those lengths, below T, which is always one of them.
    """

    bucket_lengths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if any(length < 1 for length in self.bucket_lengths):
            raise UserError(
                f"config.task.bucket_lengths: {self.bucket_lengths}; it takes lengths of 1 or more"
            )

    def _gradients(self, state: State, batch: Batch, key: Array) -> Any:
        gradients = super()._gradients
        return self._cut(batch, lambda part: gradients(state, part, key))

    def eval_step(self, state: State, batch: Batch, key: Array) -> clu.metrics.Collection:
        """The metrics of one batch, without dropout."""
        del key
        batch = self.transforms(batch, None, train=False)

        def outputs_of(part: Batch) -> Any:
            return self.model.apply(state.variables, part["inputs"], **self.keywords(part))

        return self.metrics(self._cut(batch, outputs_of), batch)

    def _cut(self, batch: Batch, function: Callable[[Batch], Any]) -> Any:
        """What a function gives of the batch at the shortest length that holds it."""
        time = batch["inputs"].shape[1]
        sizes = [*sorted({size for size in self.bucket_lengths if size < time}), time]
        if "lengths" not in batch:
            raise UserError("task sequence_classification: the data have no lengths")
        branches = [
            lambda size=size: function(batch | {"inputs": batch["inputs"][:, :size]})
            for size in sizes
        ]
        shortest = jnp.searchsorted(jnp.array(sizes), jnp.max(batch["lengths"]))
        return jax.lax.switch(shortest, branches)
