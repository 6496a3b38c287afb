"""Recurrent layers: vanilla RNN, LSTM and GRU, stacked and bidirectional.

The gates, their order and the parameters follow PyTorch (cuDNN), so that parameter counts and
published PyTorch figures can be met; each torch matrix is transposed here. For every layer and
direction there is a scope "layer_0_forward", "layer_0_backward", ... with

    input_kernel      [D, G·H]    weight_ih      G gates of H features side by side
    recurrent_kernel  [H, G·H]    weight_hh
    input_bias        [G·H]       bias_ih
    recurrent_bias    [G·H]       bias_hh, absent with `recurrent_bias=False`
"""

import operator
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import UserError, unknown
from aimodels.modules.blocks import divided
from aimodels.modules.dense import activation
from aimodels.modules.dropout import Dropout
from aimodels.modules.initializers import Initializer, orthogonal, torch_uniform
from aimodels.modules.recurrent_scan import (
    Cell,
    LSTMState,
    Weights,
    gru_cell,
    lstm_cell,
    rnn_cell,
    scan_directions,
)

INITIALIZERS = ("standard", "torch")


def gatewise(initializer: Initializer, gates: int) -> Initializer:
    """Initialise the [in, H] matrix of each gate on its own: fan-out is H, not G·H."""

    def initialize(key: jax.Array, shape: tuple[int, int], dtype: Any = jnp.float32) -> jax.Array:
        each = (shape[0], shape[1] // gates)
        keys = jax.random.split(key, gates)
        return jnp.concatenate([initializer(k, each, dtype) for k in keys], axis=-1)

    return initialize


class CellParameters(nn.Module):
    """The parameters of one direction of one layer, made by a call with the input's width."""

    features: int
    gates: int
    recurrent_bias: bool
    initializer: str
    forget_gate: int | None
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, width: int) -> Weights:
        """D -> the weights, in `dtype`."""
        columns = self.gates * self.features
        if self.initializer == "torch":
            kernel_init = recurrent_init = bias_init = torch_uniform(self.features)
        elif self.initializer == "standard":
            kernel_init = gatewise(nn.initializers.glorot_uniform(), self.gates)
            recurrent_init = gatewise(orthogonal(), self.gates)
            bias_init = nn.initializers.zeros_init()
        else:
            raise unknown("initializer of a recurrent layer", self.initializer, INITIALIZERS)

        def input_bias_init(key: jax.Array, shape: tuple[int], dtype: Any) -> jax.Array:
            bias = bias_init(key, shape, dtype)
            if self.forget_gate is None or self.initializer == "torch":
                return bias
            first = self.forget_gate * self.features
            return bias.at[first : first + self.features].set(1)

        weights = Weights(
            input_kernel=self.param(
                "input_kernel", kernel_init, (width, columns), self.param_dtype
            ),
            recurrent_kernel=self.param(
                "recurrent_kernel", recurrent_init, (self.features, columns), self.param_dtype
            ),
            input_bias=self.param("input_bias", input_bias_init, (columns,), self.param_dtype),
            recurrent_bias=self.param("recurrent_bias", bias_init, (columns,), self.param_dtype)
            if self.recurrent_bias
            else None,
        )
        return jax.tree.map(lambda leaf: leaf.astype(self.dtype), weights)


class Recurrent(nn.Module):
    """What `RNN`, `LSTM` and `GRU` share; use one of those.

    Attributes:
        features: H, the width of the state of each direction.
        num_layers: layers on top of each other; each reads the outputs of both directions below.
        bidirectional: a second state runs from the last valid step to the first.
        dropout_rate: on the outputs of every layer but the last, as PyTorch; may be traced.
        recurrent_bias: a second bias, on the recurrent product. In an RNN or LSTM it adds nothing
            but parameters (PyTorch has it); in a GRU it lies inside the reset gate.
        initializer: "standard": Keras's, namely Glorot uniform for the inputs, orthogonal for the
            state (Saxe et al. 2014), zero biases, but 1 for an LSTM's forget gate (Jozefowicz et
            al. 2015); both matrices gate by gate. "torch": U(±1/√H) for everything.
        dtype: of the computation and the state.
        param_dtype: of the parameters.
    """

    features: int
    num_layers: int = 1
    bidirectional: bool = False
    dropout_rate: float | jax.Array = 0.0
    recurrent_bias: bool = True
    initializer: str = "standard"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    gates: ClassVar[int]
    forget_gate: ClassVar[int | None] = None

    def cell(self) -> Cell:
        """The function of one time step."""
        raise NotImplementedError

    def initial_state(self, batch: int) -> Any:
        """Zeros [L, B, H], L being layers times directions: layer by layer, forward first."""
        directions = 2 if self.bidirectional else 1
        return jnp.zeros((self.num_layers * directions, batch, self.features), self.dtype)

    @nn.compact
    def __call__(
        self,
        inputs: jax.Array,
        *,
        lengths: jax.Array | None = None,
        state: Any = None,
        train: bool = False,
    ) -> tuple[jax.Array, Any]:
        """Run over whole sequences.

        Args:
            inputs: [B, T, D].
            lengths: [B] valid steps in each row, all of them when None. Past its length a row's
                state stands still and its outputs are zero; the padding's content is never seen.
            state: the state to start from, as returned; zeros when None.
            train: dropout between the layers.

        Returns:
            The last layer's outputs [B, T, H], or [B, T, 2H] with the backward direction behind
            the forward one; and the last state of every layer and direction, [L, B, H] (for an
            LSTM an `LSTMState` of two such arrays), in PyTorch's order.
        """
        if inputs.ndim != 3:
            raise UserError(f"a recurrent layer takes inputs [B, T, D]; it got {inputs.shape}.")
        batch, time, _ = inputs.shape
        state = self.initial_state(batch) if state is None else state
        valid = None if lengths is None else jnp.arange(time)[:, None] < lengths
        directions = ("forward", "backward") if self.bidirectional else ("forward",)
        cell = self.cell()

        hidden = jnp.swapaxes(inputs, 0, 1).astype(self.dtype)  # time first, as the scan wants it
        last_states = []
        for layer in range(self.num_layers):
            if layer > 0:
                hidden = Dropout(self.dropout_rate)(hidden, deterministic=not train)
            rows = range(layer * len(directions), (layer + 1) * len(directions))
            states = [jax.tree.map(operator.itemgetter(row), state) for row in rows]
            weights = [
                self._parameters(f"layer_{layer}_{direction}")(hidden.shape[-1])
                for direction in directions
            ]
            hidden, last = scan_directions(cell, weights, hidden, states, valid)
            hidden = divided(hidden, batch_axis=1)
            last_states.extend(last)
        last_state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *last_states)
        return jnp.swapaxes(hidden, 0, 1), last_state

    def step(self, inputs: jax.Array, state: Any, *, train: bool = False) -> tuple[jax.Array, Any]:
        """One time step, for decoding: inputs [B, D], state [L, B, H] -> outputs [B, H], state.

        `model.apply(variables, inputs, state, method="step")`; start from `initial_state(B)`.
        """
        if self.bidirectional:
            raise UserError("a bidirectional layer reads the future; it can't go step by step.")
        outputs, state = self(inputs[:, None], state=state, train=train)
        return outputs[:, 0], state

    def _parameters(self, name: str) -> CellParameters:
        return CellParameters(
            features=self.features,
            gates=self.gates,
            recurrent_bias=self.recurrent_bias,
            initializer=self.initializer,
            forget_gate=self.forget_gate,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=name,
        )


class RNN(Recurrent):
    """The vanilla recurrent layer, h' = activation(W x + U h + b); see `Recurrent`."""

    activation: str = "tanh"

    gates: ClassVar[int] = 1

    def cell(self) -> Cell:
        """`rnn_cell`."""
        return rnn_cell(activation(self.activation))


class GRU(Recurrent):
    """The gated recurrent unit; see `gru_cell` and `Recurrent`."""

    gates: ClassVar[int] = 3

    def cell(self) -> Cell:
        """`gru_cell`."""
        return gru_cell


class LSTM(Recurrent):
    """The long short-term memory; see `lstm_cell` and `Recurrent`. Its state is an `LSTMState`."""

    gates: ClassVar[int] = 4
    forget_gate: ClassVar[int | None] = 1

    def cell(self) -> Cell:
        """`lstm_cell`."""
        return lstm_cell

    def initial_state(self, batch: int) -> LSTMState:
        """Zeros [L, B, H] for the hidden state and the cell."""
        zeros = super().initial_state(batch)
        return LSTMState(hidden=zeros, cell=zeros)
