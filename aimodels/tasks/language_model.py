"""Language modelling: each token from those before it."""

import dataclasses

import clu.metrics
import flax.struct
import jax
import jax.numpy as jnp

from aimodels.modules.blocks import averaged
from aimodels.tasks.base import Batch, SupervisedTask
from aimodels.tasks.classification_metrics import Accuracy, NegativeLogLikelihood
from aimodels.tasks.losses import counts, softmax_cross_entropy

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
        """The sum of each example's losses over the mean number of tokens, [B].

        Their mean over the batch is that over all its tokens alike, as in Vaswani et al. 2017,
        BERT's and T5's code; with gradient accumulation over those of each part.
        """
        losses = softmax_cross_entropy(
            outputs,
            batch["targets"],
            lengths=batch.get("lengths"),
            label_smoothing=self.label_smoothing,
        )
        tokens = counts(batch["targets"].shape, batch.get("lengths"))
        return losses * tokens / jnp.maximum(averaged(tokens.mean()), 1e-9)  # none: 0, not NaN

    def metrics(self, outputs: Array, batch: Batch) -> LanguageMetrics:
        """Loss, bits, perplexity and accuracy of tokens."""
        known = {name: batch[name] for name in ("targets", "lengths", "mask") if name in batch}
        return LanguageMetrics.single_from_model_output(outputs=outputs, **known)


def by_targets(batch: Batch) -> Batch:
    """A batch whose targets are not its inputs' own: their `target_lengths` are its `lengths`."""
    rest = {name: value for name, value in batch.items() if name != "lengths"}
    return rest | ({"lengths": rest["target_lengths"]} if "target_lengths" in rest else {})
