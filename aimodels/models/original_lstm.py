"""The LSTM as it was published first: memory cells in blocks, no forget gate, a cut gradient."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.models.inputs import with_channels
from aimodels.modules import Dense
from aimodels.modules.initializers import uniform


class OriginalLSTM(nn.Module):
    """Memory cells, then logistic outputs: Hochreiter & Schmidhuber 1997, section 4, appendix A.1.

    The cells of a block share an input and an output gate:

        s(t) = s(t-1) + σ(net_in) g(net_c),   y_c(t) = σ(net_out) h(s(t)),
        g(x) = 4 σ(x) - 2,   h(x) = 2 σ(x) - 1.

    Every net input comes from the inputs, a bias, and the activations at t-1 of all cells and of
    all gates. The outputs see the cells alone, after the last valid step. Gradients reach the past
    through s alone: those to the activations at t-1 are cut, which is the paper's truncated rule.

    The parameters are input_kernel [D, U], recurrent_kernel [U, U] and bias [U], with U units in
    the order cells, input gates, output gates; and the Dense layer `head`.

    Attributes:
        num_classes: outputs, each in [0, 1].
        blocks: memory cell blocks.
        block_size: cells in each.
        input_gate_biases: where a block's bias begins; one for each. Negative ones keep the gates
            shut until what they let in is of use (the paper's section 4, "abuse problem").
        scale: all other weights are drawn evenly from [-scale, scale].
        truncated: cut the gradients as above; else they go all the way.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_classes: int = 1
    blocks: int = 2
    block_size: int = 2
    input_gate_biases: tuple[float, ...] = (-3.0, -6.0)
    scale: float = 0.1
    truncated: bool = True
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """[B, T, D], or [B, T] for one feature -> [B, num_classes]; `lengths` [B] are valid."""
        del train
        inputs = with_channels(inputs, axes=1).astype(self.dtype)
        batch, time, width = inputs.shape
        cells = self.blocks * self.block_size
        units = cells + 2 * self.blocks
        draw = uniform(self.scale)

        def bias_init(key: jax.Array, shape: tuple[int], dtype: Any) -> jax.Array:
            gates = jnp.array(self.input_gate_biases, dtype)
            return draw(key, shape, dtype).at[cells : cells + self.blocks].set(gates)

        weights = (
            self.param("input_kernel", draw, (width, units), self.param_dtype),
            self.param("recurrent_kernel", draw, (units, units), self.param_dtype),
            self.param("bias", bias_init, (units,), self.param_dtype),
        )
        kernel, recurrent, bias = (weight.astype(self.dtype) for weight in weights)
        valid = jnp.ones((time, 1, 1), bool)
        if lengths is not None:
            valid = (jnp.arange(time)[:, None] < lengths)[..., None]

        def step(state: tuple, now: tuple) -> tuple[tuple, None]:
            memory, activations = state
            before = jax.lax.stop_gradient(activations) if self.truncated else activations
            projected, valid = now
            net = projected + before @ recurrent
            squashed = nn.sigmoid(net)
            gates = jnp.repeat(squashed[:, cells:], self.block_size, axis=1)
            written, shown = gates[:, :cells], gates[:, cells:]
            new = memory + written * (4 * squashed[:, :cells] - 2)
            outputs = shown * (2 * nn.sigmoid(new) - 1)
            after = (new, jnp.concatenate([outputs, squashed[:, cells:]], axis=1))
            return jax.tree.map(lambda a, b: jnp.where(valid, a, b), after, state), None

        projected = jnp.swapaxes(inputs, 0, 1) @ kernel + bias
        nothing = jnp.zeros((batch, cells), self.dtype), jnp.zeros((batch, units), self.dtype)
        (_, activations), _ = jax.lax.scan(step, nothing, (projected, valid))
        head = Dense(
            self.num_classes,
            kernel_init=draw,
            bias_init=draw,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="head",
        )
        return nn.sigmoid(head(activations[:, :cells]))
