"""What lies inside a Linen model, read and changed from outside at the outputs of its modules.

A model needs no line for it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax

from aimodels.errors import unknown

Array = jax.Array


def layer_outputs(
    model: nn.Module, variables: Any, inputs: Array, layers: Sequence[str]
) -> dict[str, Array]:
    """What modules give for inputs, in evaluation: path -> the output of its last call.

    Args:
      model: called as `model(inputs, train=False)`.
      variables: its parameters and the rest.
      inputs: [B, ...].
      layers: paths of modules, as "encoder/block_0".

    Raises:
      UserError: there is no such module, or its output is no array.
    """
    found: dict[str, Array] = {}

    def visit(path: str, output: Array) -> Array:
        found[path] = output
        return output

    visited(model, variables, inputs, visit)
    for layer in layers:
        if layer not in found:
            raise unknown("layer", layer, found)
    return {layer: found[layer] for layer in layers}


def visited(
    model: nn.Module, variables: Any, inputs: Array, visit: Callable[[str, Array], Array]
) -> Array:
    """The model's outputs, each module's output array being what `visit(path, output)` makes it."""

    def intercept(call: Any, given: Any, keywords: Any, context: Any) -> Any:
        output = call(*given, **keywords)
        path = "/".join(context.module.path)
        if context.method_name != "__call__" or not path or not isinstance(output, jax.Array):
            return output
        return visit(path, output)

    with nn.intercept_methods(intercept):
        outputs: Any = model.apply(variables, inputs, train=False)
    return outputs
