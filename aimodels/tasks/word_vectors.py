"""What tasks that learn word vectors share: their state and their evaluation."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import clu.metrics
import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from aimodels.errors import UserError
from aimodels.modules.blocks import averaged, devices_of
from aimodels.tasks import word_metrics
from aimodels.tasks.base import Batch, Params, State, Task

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class WordVectorTask(Task):
    """Vectors of words; only rows of words that a batch has are touched by a step.

    The update is the task's own, as in the programs of the papers: the config's `optimizer` is
    None. A batch of questions is evaluated by its shape, see `aimodels.data.text.words`: analogies
    [B, 3] by 3CosAdd (`accuracy`), pairs [B, 2] by Spearman's correlation of cosines and ratings
    (`spearman`); `questions` says how many there are.

    Attributes:
      model: `Word2Vec` or `GloVe` of `aimodels.models.word_vectors`.
      data_set: the data set, whose words they are.
      total_steps: of the run.
    """

    model: nn.Module
    data_set: Any
    total_steps: int

    def known_words(self) -> Any:
        """The data set, whose words are as many as the model's. Read where a step is traced."""
        counts = getattr(self.data_set, "counts", None)
        if counts is None:
            raise UserError(
                f"config.data: {type(self).__name__} takes a data set of words, such as 'words' "
                "or 'cooccurrences'"
            )
        vocabulary = getattr(self.model, "vocabulary", None)
        if vocabulary != len(counts):
            raise UserError(
                f"config.model.vocabulary is {vocabulary}, but the text has {len(counts):,} words "
                f"by data.min_count and data.vocabulary; take --config.model.vocabulary="
                f"{len(counts)}"
            )
        return self.data_set

    def init(self, key: Array, batch: Batch) -> State:
        """The model's own beginning."""
        return self.state_of(self.model.init(key, jnp.zeros((1,), jnp.int32)))

    def state_of(self, variables: Mapping[str, Any]) -> State:
        """The state before the first step with these variables."""
        return State(step=jnp.zeros((), jnp.int32), params=dict(variables["params"]))

    def begin_with(self, state: State, given: Mapping[str, Array]) -> State:
        """The state before the first step, with some tables from elsewhere."""
        own = flatten_dict({"params": state.params}, sep="/")
        return self.state_of(unflatten_dict(own | dict(given), sep="/"))

    def eval_step(self, state: State, batch: Batch, key: Array) -> clu.metrics.Collection:
        """The metrics of some questions."""
        del key
        table: Any = self.model.apply(state.variables, method="table")
        inputs, targets, mask = batch["inputs"], batch["targets"], batch["mask"].astype(bool)
        if inputs.shape[1:] == (3,):
            right = word_metrics.answers(table, inputs) == targets
            return word_metrics.ANALOGIES.single_from_model_output(right=right, mask=mask)
        if inputs.shape[1:] != (2,) or not jnp.issubdtype(targets.dtype, jnp.floating):
            raise UserError(
                "config.evaluation.splits: word vectors are judged by analogies, semantic, "
                "syntactic, wordsim353 and simlex999, not by the text"
            )
        return word_metrics.PAIRS.single_from_model_output(
            outputs=word_metrics.cosines(table, inputs), targets=targets, right=mask, mask=mask
        )

    def predict(self, state: State, batch: Batch) -> Array:
        """The vectors of ids [...], [..., D]."""
        vectors: Any = self.model.apply(state.variables, batch["inputs"])
        return vectors


def of_all_devices(before: Params, after: Params) -> Params:
    """Under `pmap`, where each device has a part of the batch: the sum of what all changed."""
    devices = devices_of()
    if devices == 1:
        return after
    return jax.tree.map(lambda old, new: old + devices * averaged(new - old), before, after)
