"""Questions on a memory of sentences, with the linear start of memory networks."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.tasks.base import Batch, State
from aimodels.tasks.classification import Classification

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class MemoryAnswers(Classification):
    """Learns answers `targets` [B] to `questions` [B, S] on sentences `inputs` [B, M, S].

    Attributes:
      linear_steps: so many first steps are trained without the softmax of the attention ("linear
        start", Sukhbaatar et al. 2015, section 4.2, who end it when the validation loss no longer
        falls). Evaluations have the softmax always.
    """

    linear_steps: int = 0

    def __post_init__(self) -> None:
        if self.linear_steps < 0:
            raise UserError(f"config.task.linear_steps is {self.linear_steps}; it takes 0 or more")

    def keywords(self, batch: Batch) -> dict[str, Any]:
        """What the network reads beside the sentences."""
        more = {name: batch[name] for name in ("questions", "linear") if name in batch}
        return super().keywords(batch) | more

    def train_step(self, state: State, batch: Batch, key: Array) -> tuple[State, dict[str, Any]]:
        """One gradient step."""
        if self.linear_steps:
            is_linear = state.step < self.linear_steps
            batch = batch | {"linear": jnp.broadcast_to(is_linear, batch["targets"].shape)}
        return super().train_step(state, batch, key)
