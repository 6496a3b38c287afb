"""Classification: one class of several, or one of two from a single output."""

import dataclasses
from typing import Literal

import clu.metrics
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.tasks import losses
from aimodels.tasks.base import Batch, SupervisedTask
from aimodels.tasks.classification_metrics import Accuracy, classification_metrics

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Classification(SupervisedTask):
    """Learns class ids [B] (or one a token, [B, T]) from inputs.

    Targets may be the classes' shares [B, V] instead, as mixup makes them (cross-entropy only). The
    loss is against the shares; metrics take the class of the largest one for the target.

    Attributes:
      loss_name: `cross_entropy` over V outputs; `hinge` over V outputs (Crammer & Singer 2001);
        `binary_cross_entropy` and `binary_hinge` for a single output, whose sign is the class.
      label_smoothing: share of the target that is spread over all classes (cross-entropy only).
      top_k: reports `top_<k>_accuracy` and `top_<k>_error` for each k.
      confusion: whether the V x V table is counted, from which precision, recall and F1 come.
    """

    loss_name: Literal["cross_entropy", "hinge", "binary_cross_entropy", "binary_hinge"] = (
        "cross_entropy"
    )
    label_smoothing: float = 0.0
    top_k: tuple[int, ...] = ()
    confusion: bool = True

    def loss(self, outputs: Array, batch: Batch) -> Array:
        """The loss of each example, [B]."""
        alike = outputs.ndim == batch["targets"].ndim or outputs.shape[-1] == 1
        single = alike and not self._takes_shares(outputs, batch["targets"])
        if single != self.loss_name.startswith("binary"):
            raise UserError(
                f"config.task.loss_name: {self.loss_name!r} does not fit outputs of shape "
                f"{outputs.shape}; the binary losses take a single output, the others one a class"
            )
        given = {name: batch[name] for name in ("lengths", "mask") if name in batch}
        if self.loss_name == "cross_entropy":
            given["label_smoothing"] = self.label_smoothing
        functions = {"cross_entropy": "softmax_cross_entropy", "hinge": "multiclass_hinge"}
        function = losses.LOSSES[functions.get(self.loss_name, self.loss_name)]
        return function(outputs, batch["targets"], **given)

    def train_metrics(self, outputs: Array, batch: Batch) -> dict[str, Array]:
        """The accuracy on the training batch."""
        measured = Accuracy.from_model_output(outputs=outputs, **self._for_metrics(outputs, batch))
        return {"accuracy": measured.compute()}

    def metrics(self, outputs: Array, batch: Batch) -> clu.metrics.Collection:
        """Loss, accuracy, F1, calibration and their like."""
        loss = self.loss(outputs, batch)
        batch = self._for_metrics(outputs, batch)
        classes = outputs.shape[-1] if outputs.ndim > batch["targets"].ndim else 1
        collection = classification_metrics(
            max(classes, 2),
            self.top_k,
            confusion=self.confusion,
            probabilities=self.loss_name.endswith("cross_entropy"),
        )
        return collection.single_from_model_output(outputs=outputs, loss=loss, **batch)

    def _takes_shares(self, outputs: Array, targets: Array) -> bool:
        """Whether targets are shares of the classes; with binary losses they are labels each."""
        is_float = jnp.issubdtype(targets.dtype, jnp.floating)
        alike = targets.shape == outputs.shape and outputs.ndim > 1 and outputs.shape[-1] > 1
        return is_float and alike and not self.loss_name.startswith("binary")

    def _for_metrics(self, outputs: Array, batch: Batch) -> Batch:
        """The batch without inputs, with a class for each target."""
        rest = {name: jnp.asarray(value) for name, value in batch.items() if name != "inputs"}
        if self._takes_shares(outputs, rest["targets"]):
            rest["targets"] = rest["targets"].argmax(-1)
        return rest
