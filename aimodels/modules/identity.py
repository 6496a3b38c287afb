"""A name for a value inside a model."""

import flax.linen as nn
import jax


class Identity(nn.Module):
    """Returns what it gets.

    Its name stands for the value among the outputs of a model's modules, where it can be read and
    changed from outside: by Linen's `capture_intermediates`, by `aimodels.interpret`. It is for
    values that are no module's output, such as what comes out of an activation function.
    """

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Any array -> the same."""
        return inputs
