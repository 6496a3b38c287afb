"""Grad-CAM, for any Linen model whose modules give maps [B, H, W, C].

A model whose maps are no module's output (those that come out of an activation function) passes
them through a named `aimodels.modules.Identity`.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import UserError, unknown
from aimodels.interpret.inputs import scores_of
from aimodels.interpret.layers import visited

Array = jax.Array


def grad_cam(
    model: nn.Module,
    variables: Any,
    inputs: Array,
    classes: Array,
    *,
    layer: str | None = None,
) -> Array:
    """ReLU(Σ_k α_k A^k), with α_k the mean over space of ∂score / ∂A^k.

    Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based
    localization", 2017, equations 1 and 2. The score is the class's output before the softmax.

    Args:
      model: called as `model(inputs, train=False)`, gives scores [B, V].
      variables: its parameters and the rest.
      inputs: images [B, H, W, C].
      classes: whose score, [B].
      layer: the module whose output are the maps A, one of `feature_layers`; the last, when None.

    Returns:
      [B, h, w], of the layer's size, all >= 0.

    Raises:
      UserError: the model has no such layer.
    """
    calls = _calls(model, variables, inputs)
    if not calls:
        raise UserError(
            f"grad_cam: no module of {type(model).__name__} gives maps [B, H, W, C]; take "
            "integrated_gradients, occlusion or (a Transformer) attention_rollout"
        )
    if layer is not None and layer not in calls:
        raise unknown("layer", layer, calls)
    chosen = layer or list(calls)[-1]

    def score_and_maps(added: Array) -> tuple[Array, Array]:
        maps = []

        def visit(path: str, output: Array) -> Array:
            if path != chosen:
                return output
            maps.append(output)
            is_last = len(maps) == len(calls[chosen])
            return output + added.astype(output.dtype) if is_last else output

        outputs = visited(model, variables, inputs, visit)
        return scores_of(outputs.astype(jnp.float32), classes).sum(), maps[-1]

    zeros = jnp.zeros(calls[chosen][-1])
    gradients, maps = jax.grad(score_and_maps, has_aux=True)(zeros)
    weights = gradients.mean(axis=(1, 2), keepdims=True)
    return jax.nn.relu((weights * maps).sum(-1))


def feature_layers(model: nn.Module, variables: Any, inputs: Any) -> dict[str, tuple[int, ...]]:
    """The modules that give maps [B, H, W, C] larger than one pixel: path -> shape, as called."""
    return {path: shapes[-1] for path, shapes in _calls(model, variables, inputs).items()}


def _calls(model: nn.Module, variables: Any, inputs: Any) -> dict[str, list[tuple[int, ...]]]:
    """Path -> the shape of the maps at each call, in the order of the last calls."""
    found: dict[str, list[tuple[int, ...]]] = {}

    def run(variables: Any, inputs: Array) -> Array:
        def visit(path: str, output: Array) -> Array:
            if output.ndim == 4 and min(output.shape[1:3]) > 1:
                found[path] = [*found.pop(path, []), output.shape]
            return output

        return visited(model, variables, inputs, visit)

    jax.eval_shape(run, variables, inputs)
    return found
