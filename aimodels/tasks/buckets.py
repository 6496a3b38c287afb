"""Padded sequences, without computing on most of the padding."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import clu.metrics
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.tasks.base import Batch, State, SupervisedTask

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Bucketed(SupervisedTask):
    """A supervised task that cuts each batch [B, T, ...] to what it needs, by its `lengths` [B].

    A batch is computed at the shortest of some lengths that holds its longest sequence; each of
    them is compiled, and chosen as the program runs. With `training.order="by_length"` little
    padding is left. The model must read shorter batches than the first: learned positions need
    their `max_length`. Replicas under `vmap` compute all lengths and choose afterwards, so that
    `replicas.mode="sequential"` is faster.

    Attributes:
      bucket_lengths: those lengths, below T, which is always one of them; none cuts nothing.
    """

    bucket_lengths: tuple[int, ...] = ()

    # Fields with a time axis -> the field that tells how much of it counts.
    cut_fields: ClassVar[Mapping[str, str]] = {"inputs": "lengths"}

    def __post_init__(self) -> None:
        if any(length < 1 for length in self.bucket_lengths):
            raise UserError(
                f"config.task.bucket_lengths: {self.bucket_lengths}; it takes lengths of 1 or more"
            )

    def _gradients(self, state: State, batch: Batch, key: Array) -> Any:
        gradients = super()._gradients
        return self.cut(batch, lambda part: gradients(state, part, key))

    def eval_step(self, state: State, batch: Batch, key: Array) -> clu.metrics.Collection:
        """The metrics of one batch, without dropout."""
        del key
        batch = self.transforms(batch, None, train=False)

        def metrics_of(part: Batch) -> clu.metrics.Collection:
            outputs: Any = self.model.apply(state.variables, part["inputs"], **self.keywords(part))
            return self.metrics(outputs, part)

        return self.cut(batch, metrics_of)

    def cut(self, batch: Batch, function: Callable[[Batch], Any]) -> Any:
        """What a function gives of the batch at the shortest length that holds it."""
        if not self.bucket_lengths:
            return function(batch)
        fields = {name: of for name, of in self.cut_fields.items() if name in batch}
        if missing := [of for of in fields.values() if of not in batch]:
            raise UserError(f"config.task.bucket_lengths: the data have no {missing[0]}")
        time = max(batch[name].shape[1] for name in fields)
        sizes = [*sorted({size for size in self.bucket_lengths if size < time}), time]
        branches = [
            lambda size=size: function(batch | {name: batch[name][:, :size] for name in fields})
            for size in sizes
        ]
        longest = jnp.max(jnp.stack([jnp.max(batch[of]) for of in fields.values()]))
        return jax.lax.switch(jnp.searchsorted(jnp.array(sizes), longest), branches)
