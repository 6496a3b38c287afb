"""Prediction of frames of several bits, such as the keys of a piano: each from those before it."""

import dataclasses
from typing import Any, Self

import clu.metrics
import flax.struct
import jax
import optax

from aimodels.tasks.base import Batch, SupervisedTask
from aimodels.tasks.losses import binary_cross_entropy, valid_positions
from aimodels.tasks.metrics import Mean

Array = jax.Array


@flax.struct.dataclass
class FrameLogLikelihood(Mean):
    """The mean over all frames alike of Σ_d log p(bit d), in nats."""

    @classmethod
    def from_model_output(
        cls,
        *,
        outputs: Array,
        targets: Array,
        lengths: Array | None = None,
        mask: Array | None = None,
        **_: Any,
    ) -> Self:
        """From logits and bits [B, T, D]."""
        losses = optax.losses.sigmoid_binary_cross_entropy(
            outputs.astype("float32"), targets.astype("float32")
        )
        return cls.of(-losses.sum(-1), valid_positions(targets.shape[:2], lengths, mask))


@flax.struct.dataclass
class FrameMetrics(clu.metrics.Collection):
    """`log_likelihood` of a frame, and its negative as `loss`."""

    log_likelihood: FrameLogLikelihood

    def compute(self) -> dict[str, Array]:
        """Both."""
        found = self.log_likelihood.compute()
        return {"loss": -found, "log_likelihood": found}


@dataclasses.dataclass(frozen=True)
class FramePrediction(SupervisedTask):
    """Learns bits `targets` [B, T, D], each a logit of the model's [B, T, D]."""

    def loss(self, outputs: Array, batch: Batch) -> Array:
        """The mean over each example's frames of the sum over its bits, [B]."""
        mean = binary_cross_entropy(outputs, batch["targets"], lengths=batch.get("lengths"))
        return mean * outputs.shape[-1]

    def metrics(self, outputs: Array, batch: Batch) -> FrameMetrics:
        """Negative log-likelihood of a frame."""
        known = {name: batch[name] for name in ("targets", "lengths", "mask") if name in batch}
        return FrameMetrics.single_from_model_output(outputs=outputs, **known)
