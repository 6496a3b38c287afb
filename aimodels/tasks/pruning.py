"""Pruning: masks of a network's weights, and the search for lottery tickets.

A mask is a tree like the parameters, True where a weight is kept. Weights are ranked within their
layer: all arrays of one module together, its kernel and its bias.
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.tasks.base import Batch, Params, State
from aimodels.tasks.classification import Classification

Array = jax.Array
Mask = Any


def lowest_masked(scores: Params, share: Array | float) -> Mask:
    """The mask that leaves out, in each layer, the `share` of the weights of the lowest scores.

    Args:
      scores: a tree like the parameters; of equal ones, those that come first are left out first.
      share: 0 to 1, rounded to whole weights of a layer; may be traced.

    Returns:
      A tree of bools like the scores.
    """
    paths = jax.tree_util.tree_leaves_with_path(scores)
    layers: dict[Any, list[int]] = {}
    for place, (path, _) in enumerate(paths):
        layers.setdefault(path[:-1], []).append(place)
    kept: dict[int, Array] = {}
    for places in layers.values():
        flat = jnp.concatenate([paths[place][1].ravel() for place in places])
        dropped = jnp.round(share * flat.size).astype(jnp.int32)
        ranks = jnp.argsort(jnp.argsort(flat))
        mask, start = ranks >= dropped, 0
        for place in places:
            leaf = paths[place][1]
            kept[place] = mask[start : start + leaf.size].reshape(leaf.shape)
            start += leaf.size
    structure = jax.tree.structure(scores)
    return jax.tree.unflatten(structure, [kept[place] for place in range(len(paths))])


def magnitudes(params: Params) -> Params:
    """|w| of each weight, the scores of magnitude pruning (Han et al. 2015)."""
    return jax.tree.map(jnp.abs, params)


def random_scores(params: Params, key: Array) -> Params:
    """Uniform scores of each weight, for pruning at random."""
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    drawn = [jax.random.uniform(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, drawn)


def masked(params: Params, mask: Mask) -> Params:
    """The parameters, 0 where the mask leaves them out."""
    return jax.tree.map(lambda leaf, kept: jnp.where(kept, leaf, 0), params, mask)


def kept_share(mask: Mask) -> Array:
    """How many of all weights are kept, between 0 and 1."""
    leaves = jax.tree.leaves(mask)
    return jnp.stack([leaf.sum() for leaf in leaves]).sum() / sum(leaf.size for leaf in leaves)


@dataclasses.dataclass(frozen=True)
class IterativePruning(Classification):
    """Trains in rounds; each begins with the initial weights, fewer of them than the one before.

    Frankle & Carbin, "The lottery ticket hypothesis", 2019, section 2, strategy 1: after a round
    the weights that ended lowest are left out, the others go back to where they started, and the
    optimizer starts anew. All rounds are one run, so that it is resumed to the bit as any other.
    A round is `round_steps` steps; step s is of round s // round_steps. The last one goes on when
    the run is longer.

    With replicas take replicas.mode="sequential": under `vmap` every step would sort all weights.

    Attributes:
      sparsities: of each round, the share of each layer that is left out.
      round_steps: steps of a round.
      rank_after: the step of a round whose weights are ranked for the next; None for its last.
      criterion: `magnitude`, or `random` weights, drawn anew for each round.
    """

    sparsities: tuple[float, ...] = (0.0, 0.2, 0.36, 0.488)
    round_steps: int = 1000
    rank_after: int | None = None
    criterion: Literal["magnitude", "random"] = "magnitude"

    def __post_init__(self) -> None:
        if not self.sparsities or not all(0 <= share <= 1 for share in self.sparsities):
            raise UserError(
                f"config.task.sparsities: got {self.sparsities}, takes numbers from 0 to 1, one a "
                "round"
            )
        if self.rank_after is not None and not 1 <= self.rank_after <= self.round_steps:
            raise UserError(
                f"config.task.rank_after: got {self.rank_after}, takes a step of a round, 1 to "
                f"round_steps = {self.round_steps}"
            )

    def init(self, key: Array, batch: Batch) -> State:
        """As a classifier's; `extra` holds the mask, and what a round begins with."""
        state = super().init(key, batch)
        start = {"params": state.params, "collections": state.collections}
        extra = {
            "mask": jax.tree.map(lambda leaf: jnp.ones(leaf.shape, bool), state.params),
            "start": jax.tree.map(jnp.copy, start),
            "ranked": jax.tree.map(jnp.copy, state.params),
        }
        return dataclasses.replace(state, extra=extra)

    def train_step(self, state: State, batch: Batch, key: Array) -> tuple[State, dict[str, Any]]:
        """One gradient step on the weights that are kept; first, where a round begins, its mask."""
        prune_key, key = jax.random.split(key)
        place = state.step % self.round_steps
        state = jax.lax.cond(
            place == 0, lambda state: self._begun(state, prune_key), lambda state: state, state
        )
        state, metrics = super().train_step(state, batch, key)
        params = masked(state.params, state.extra["mask"])
        is_ranked = place + 1 == (self.rank_after or self.round_steps)
        ranked = jax.lax.cond(is_ranked, lambda: params, lambda: state.extra["ranked"])
        ema = None if state.ema is None else masked(state.ema, state.extra["mask"])
        state = dataclasses.replace(
            state, params=params, ema=ema, extra=state.extra | {"ranked": ranked}
        )
        return state, metrics | {"kept_share": kept_share(state.extra["mask"])}

    def _begun(self, state: State, key: Array) -> State:
        """The state at the beginning of a round."""
        last = len(self.sparsities) - 1
        share = jnp.asarray(self.sparsities)[jnp.minimum(state.step // self.round_steps, last)]
        start, ranked = state.extra["start"], state.extra["ranked"]
        chosen = self.criterion == "magnitude"
        scores = magnitudes(ranked) if chosen else random_scores(ranked, key)
        mask = lowest_masked(scores, share)
        params = masked(start["params"], mask)
        return dataclasses.replace(
            state,
            params=params,
            collections=start["collections"],
            optimizer_state=self.optimizer.init(params),
            ema=None if state.ema is None else params,
            extra=state.extra | {"mask": mask},
        )
