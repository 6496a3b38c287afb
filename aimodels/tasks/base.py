"""The interface between what is learned and the loop that trains it."""

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import clu.metrics
import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from aimodels.errors import UserError
from aimodels.modules.blocks import averaged, freezing, rematerialising
from aimodels.tasks.updates import ema_update, norms, without_gradients

Array = jax.Array
Batch = dict[str, Any]
Params = Any

# The collection into which a model in training sows further outputs for the same targets, as
# GoogLeNet's from its middle. Their losses count `model.auxiliary_weight` times each; the loss that
# is logged is that of the outputs alone.
AUXILIARY = "auxiliary_outputs"


@flax.struct.dataclass
class State:
    """All that a run carries from step to step; what a checkpoint holds.

    Attributes:
      step: updates done so far, an int32 scalar.
      params: the trained weights.
      optimizer_state: Optax's.
      collections: Linen's other variables, e.g. `{"batch_stats": ...}`.
      ema: the moving average of `params`, or None.
      extra: whatever else a task needs: target networks, replay, environments.
    """

    step: Array
    params: Params
    optimizer_state: Any = None
    collections: Any = flax.struct.field(default_factory=dict)
    ema: Params | None = None
    extra: Any = None

    @property
    def variables(self) -> dict[str, Any]:
        """The variables to evaluate with: the moving average of the weights if there is one."""
        params = self.params if self.ema is None else self.ema
        return {"params": params, **self.collections}

    def updated(
        self, optimizer: optax.GradientTransformation, gradients: Params
    ) -> tuple["State", Params]:
        """The state after a step of the optimizer, which is counted; and the updates."""
        updates, optimizer_state = optimizer.update(gradients, self.optimizer_state, self.params)
        params = optax.apply_updates(self.params, updates)
        after = dataclasses.replace(
            self, step=self.step + 1, params=params, optimizer_state=optimizer_state
        )
        return after, updates


class Task(abc.ABC):
    """What the loop knows of a model, a loss or an agent. All methods are pure."""

    @classmethod
    def updates_per_step(cls, fields: Mapping[str, Any]) -> int:
        """How often a training step updates the parameters, given the task's section of a config.

        The learning rate is the same for all of them: a schedule counts training steps.
        """
        del fields
        return 1

    @abc.abstractmethod
    def init(self, key: Array, batch: Batch) -> State:
        """The state before the first step, from a key and a batch of the shapes to come."""

    def begin_with(self, state: State, given: Mapping[str, Array]) -> State:
        """The state before the first step, with weights from elsewhere.

        Args:
          state: what `init` made.
          given: some of `State.variables`, by their paths, as "params/head/kernel".
        """
        del state, given
        raise UserError(f"config.init_from: task {type(self).__name__} takes no weights to begin")

    @abc.abstractmethod
    def train_step(self, state: State, batch: Batch, key: Array) -> tuple[State, dict[str, Any]]:
        """One update. Returns the new state and metrics, all of which must be finite.

        A metric is a scalar, or an object with `compute() -> scalar` that is called for the steps
        that are reported. `parameter_norm`, of `state.params`, comes to them by itself. Under
        `parallel.strategy="pmap"` the batch is this device's part, and the mean over all parts is
        `aimodels.modules.blocks.averaged(tree)`.
        """

    @abc.abstractmethod
    def eval_step(self, state: State, batch: Batch, key: Array) -> clu.metrics.Collection:
        """The metrics of one batch; `batch["mask"]` [B] is False for examples that don't count."""

    def predict(self, state: State, batch: Batch) -> Any:
        """What the trained task says of a batch without targets."""
        raise NotImplementedError(f"{type(self).__name__} doesn't predict")


@dataclasses.dataclass(frozen=True)
class SupervisedTask(Task):
    """A model, an optimizer and a loss on labelled batches. A subclass gives `loss` and `metrics`.

    Attributes:
      model: called as `model(inputs, train=...)`, and with the `keywords` of the batch.
      optimizer: the Optax transformation.
      transforms: `(batch, key, train=...) -> batch`, before the model sees a batch.
      gradient_accumulation: equal parts of a batch whose gradients are averaged before the update.
      remat: `blocks` keeps only what goes between the model's blocks for the backward pass.
      ema_decay: of the moving average of the weights; 0 for none.
      frozen_parameters: patterns of those that stay as they are and whose gradients nobody needs;
        batch norms that match normalise by their running statistics, which stay as well.
    """

    model: nn.Module
    optimizer: optax.GradientTransformation
    transforms: Callable[..., Batch] = lambda batch, key, *, train: batch
    gradient_accumulation: int = 1
    remat: Literal["none", "blocks"] = "none"
    ema_decay: float = 0.0
    frozen_parameters: tuple[str, ...] = ()

    @abc.abstractmethod
    def loss(self, outputs: Array, batch: Batch) -> Array:
        """The loss of each example, [B], from the model's outputs [B, ...]."""

    @abc.abstractmethod
    def metrics(self, outputs: Array, batch: Batch) -> clu.metrics.Collection:
        """Mergeable metrics of a batch; `batch["mask"]` says which examples count."""

    def training_batch(self, batch: Batch, key: Array) -> Batch:
        """What the model is trained on: the batch after its transforms, drawn by the key."""
        return self.transforms(batch, key, train=True)

    def train_metrics(self, outputs: Array, batch: Batch) -> dict[str, Array]:
        """Scalars logged beside the loss while training."""
        del outputs, batch
        return {}

    def keywords(self, batch: Batch) -> dict[str, Any]:
        """What the model is called with beside the inputs: `lengths`, `token_types`, if any."""
        return {name: batch[name] for name in ("lengths", "token_types") if name in batch}

    def init(self, key: Array, batch: Batch) -> State:
        """Initialises the model on one example of the batch."""
        params_key, dropout_key, transform_key = jax.random.split(key, 3)
        batch = self.training_batch(batch, transform_key)
        example = jax.tree.map(lambda x: x[:1], batch)
        rngs = {"params": params_key, "dropout": dropout_key}
        return self.state_of(self.model.init(rngs, example["inputs"], **self.keywords(example)))

    def state_of(self, variables: Mapping[str, Any]) -> State:
        """The state before the first step with these variables, {"params": ..., ...}."""
        variables = dict(variables)
        params = variables.pop("params")
        ema = jax.tree.map(jnp.copy, params) if _is_on(self.ema_decay) else None
        return State(
            step=jnp.zeros((), jnp.int32),
            params=params,
            optimizer_state=self.optimizer.init(params),
            collections=variables,
            ema=ema,
        )

    def begin_with(self, state: State, given: Mapping[str, Array]) -> State:
        """The state before the first step, with some variables from elsewhere."""
        own = flatten_dict({"params": state.params, **state.collections}, sep="/")
        return self.state_of(unflatten_dict(own | dict(given), sep="/"))

    def train_step(self, state: State, batch: Batch, key: Array) -> tuple[State, dict[str, Any]]:
        """One gradient step; logs the loss and the norms of gradient and update."""
        transform_key, dropout_key = jax.random.split(key)
        batch = self.training_batch(batch, transform_key)
        gradients, metrics, collections = self._gradients(state, batch, dropout_key)
        gradients, metrics = averaged((gradients, metrics))
        state, updates = state.updated(self.optimizer, gradients)
        ema = state.ema
        if ema is not None:
            ema = ema_update(ema, state.params, self.ema_decay, state.step)
        state = dataclasses.replace(state, collections=collections, ema=ema)
        return state, metrics | norms(gradients, updates)

    def _gradients(
        self, state: State, batch: Batch, key: Array
    ) -> tuple[Params, dict[str, Array], Any]:
        def loss_of(params: Params, collections: Any, part: Batch, key: Array) -> tuple:
            with rematerialising(self.remat == "blocks"), freezing(self.frozen_parameters):
                outputs, collections = self.model.apply(
                    {"params": without_gradients(params, self.frozen_parameters), **collections},
                    part["inputs"],
                    **self.keywords(part),
                    train=True,
                    rngs={"dropout": key},
                    mutable=[*collections, AUXILIARY],
                )
            collections = dict(collections)
            auxiliary = jax.tree.leaves(collections.pop(AUXILIARY, {}))
            loss = jnp.mean(self.loss(outputs, part))
            metrics = {"loss": loss} | self.train_metrics(outputs, part)
            if auxiliary:
                losses = [jnp.mean(self.loss(outputs, part)) for outputs in auxiliary]
                loss = loss + self.model.auxiliary_weight * sum(losses)  # pyright: ignore[reportAttributeAccessIssue]
            return loss, (metrics, collections)

        gradient_of = jax.grad(loss_of, has_aux=True)
        parts = self.gradient_accumulation
        if parts == 1:
            gradients, (metrics, collections) = gradient_of(
                state.params, state.collections, batch, key
            )
            return gradients, metrics, dict(collections)

        # Part p has the examples p, p + parts, ...: where the batch is divided over devices, each
        # has an equal share of every part already, and none needs to be sent.
        divided = jax.tree.map(
            lambda x: jnp.swapaxes(x.reshape(-1, parts, *x.shape[1:]), 0, 1), batch
        )

        def accumulate(carry: tuple, item: tuple) -> tuple:
            total, collections = carry
            part, index = item
            gradients, (metrics, collections) = gradient_of(
                state.params, collections, part, jax.random.fold_in(key, index)
            )
            return (jax.tree.map(jnp.add, total, gradients), dict(collections)), metrics

        zeros = jax.tree.map(jnp.zeros_like, state.params)
        (total, collections), metrics = jax.lax.scan(
            accumulate, (zeros, state.collections), (divided, jnp.arange(parts))
        )
        mean = jax.tree.map(lambda x: x / parts, total)
        return mean, jax.tree.map(lambda x: jnp.mean(x, 0), metrics), collections

    def eval_step(self, state: State, batch: Batch, key: Array) -> clu.metrics.Collection:
        """The metrics of one batch, without dropout."""
        del key
        batch = self.transforms(batch, None, train=False)
        outputs: Any = self.model.apply(state.variables, batch["inputs"], **self.keywords(batch))
        return self.metrics(outputs, batch)

    def predict(self, state: State, batch: Batch) -> Array:
        """The model's outputs for raw inputs [B, ...], after the deterministic transforms."""
        batch = self.transforms(batch, None, train=False)
        outputs: Any = self.model.apply(state.variables, batch["inputs"], **self.keywords(batch))
        return outputs


def _is_on(value: Any) -> bool:
    """Whether a rate is switched on; a traced value (varied over replicas) always is."""
    return not isinstance(value, int | float) or value != 0
