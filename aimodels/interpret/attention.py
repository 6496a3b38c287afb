"""Attention rollout, for Transformers whose attention sows its weights (as `aimodels.modules`)."""

import math
import re
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import UserError

Array = jax.Array


def rollout(weights: Sequence[Array]) -> Array:
    """How much of each token of the input is in each token of the output.

    Abnar & Zuidema, "Quantifying attention flow in transformers", 2020, section 3: the product over
    the layers of ½ W + ½ I, W being the mean over the heads, and I what the residual carries.

    Args:
      weights: of each layer in order, [B, N, T, T], rows summing to 1.

    Returns:
      [B, T, T], rows summing to 1.
    """
    joint = jnp.eye(weights[0].shape[-1])
    for layer in weights:
        mean = layer.astype(jnp.float32).mean(1)
        joint = (0.5 * mean + 0.5 * jnp.eye(mean.shape[-1])) @ joint
    return joint


def attention_rollout(model: nn.Module, variables: Any, inputs: Array) -> Array:
    """The rollout of an image Transformer as a heat map; it is the same for all classes.

    Args:
      model: called as `model(inputs, train=False)`.
      variables: its parameters and the rest.
      inputs: images [B, H, W, C].

    Returns:
      [B, h, w] of the grid of patches: what the class token is made of, or the mean of all tokens
      where there is none.

    Raises:
      UserError: the model has no attention, or no grid of patches.
    """
    _, found = model.apply(variables, inputs, train=False, mutable=["intermediates"])
    weights = _in_order(found.get("intermediates", {}))
    if not weights or weights[0].shape[-1] != weights[0].shape[-2]:
        raise UserError(
            f"attention_rollout: {type(model).__name__} has no attention of tokens to themselves; "
            "take grad_cam, integrated_gradients or occlusion"
        )
    return token_map(rollout(weights), (inputs.shape[1], inputs.shape[2]))


def token_map(joint: Array, size: tuple[int, int]) -> Array:
    """A rollout [B, T, T] of an image of `size` (H, W) -> [B, h, w], with h · w = T or T - 1."""
    tokens = joint.shape[-1]
    for extra in (0, 1):
        count = tokens - extra
        rows = round(math.sqrt(count * size[0] / size[1]))
        if rows and count % rows == 0 and size[0] * (count // rows) == size[1] * rows:
            seen = joint[:, 0, 1:] if extra else joint.mean(1)
            return seen.reshape(-1, rows, count // rows)
    raise UserError(
        f"attention_rollout: {tokens} tokens are no grid of square patches of an image of {size}, "
        "with or without a class token"
    )


def _in_order(intermediates: Any) -> list[Array]:
    """The attention weights of all layers, block_10 behind block_9."""
    found = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(intermediates):
        name = jax.tree_util.keystr(path)
        if "attention_weights" in name:
            parts = re.split(r"(\d+)", name)  # words at even places, numbers at odd ones
            key = [int(part) if place % 2 else part for place, part in enumerate(parts)]
            found.append((key, leaf))
    return [leaf for _, leaf in sorted(found, key=lambda item: item[0])]
