"""Language modelling: each token from those before it."""

import dataclasses

import clu.metrics
import flax.struct
import jax
import jax.numpy as jnp

from aimodels.tasks.base import Batch, SupervisedTask
from aimodels.tasks.classification_metrics import Accuracy, NegativeLogLikelihood
from aimodels.tasks.losses import softmax_cross_entropy

Array = jax.Array


@flax.struct.dataclass
class Surprise(NegativeLogLikelihood):
    """The mean negative log-likelihood of a token, and what follows from it."""

    def compute(self) -> dict[str, Array]:
        """`loss` in nats, `bits` (log2 of the same) and `perplexity`, each of a token."""
        nats = super().compute()
        return {"loss": nats, "bits": nats / jnp.log(2.0), "perplexity": jnp.exp(nats)}


@flax.struct.dataclass
class LanguageMetrics(clu.metrics.Collection):
    """Over all tokens alike, however they are cut into batches."""

    surprise: Surprise
    accuracy: Accuracy

    def compute(self) -> dict[str, Array]:
        """`loss`, `bits`, `perplexity`, `accuracy`."""
        return {**self.surprise.compute(), "accuracy": self.accuracy.compute()}


@dataclasses.dataclass(frozen=True)
class LanguageModel(SupervisedTask):
    """Learns the token after each, `targets` [B, T], from those up to it, `inputs` [B, T].

    Attributes:
      label_smoothing: share of the target that is spread over the vocabulary, in training.
    """

    label_smoothing: float = 0.0

    def loss(self, outputs: Array, batch: Batch) -> Array:
        """The mean loss of each example's tokens, [B]."""
        return softmax_cross_entropy(
            outputs,
            batch["targets"],
            lengths=batch.get("lengths"),
            label_smoothing=self.label_smoothing,
        )

    def metrics(self, outputs: Array, batch: Batch) -> LanguageMetrics:
        """Loss, bits, perplexity and accuracy of tokens."""
        known = {name: batch[name] for name in ("targets", "lengths", "mask") if name in batch}
        return LanguageMetrics.single_from_model_output(outputs=outputs, **known)


def by_targets(batch: Batch) -> Batch:
    """A batch whose targets are not its inputs' own: their `target_lengths` are its `lengths`."""
    rest = {name: value for name, value in batch.items() if name != "lengths"}
    return rest | ({"lengths": rest["target_lengths"]} if "target_lengths" in rest else {})
