"""Recurrent layers: vanilla RNN, LSTM and GRU, stacked and bidirectional.

The gates, their order and the parameters follow PyTorch (cuDNN), so that parameter counts and
published PyTorch figures can be met; each torch matrix is transposed here. For every layer and
direction there is a scope "layer_0_forward", "layer_0_backward", ... with

    input_kernel      [D, G·H]    weight_ih      G gates of H features side by side
    recurrent_kernel  [H, G·H]    weight_hh
    input_bias        [G·H]       bias_ih
    recurrent_bias    [G·H]       bias_hh, absent with `recurrent_bias=False`
"""

import functools
import operator
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import UserError, unknown
from aimodels.modules.blocks import divided, rematerialises
from aimodels.modules.dense import activation
from aimodels.modules.dropout import Dropout
from aimodels.modules.initializers import Initializer, torch_uniform

INITIALIZERS = ("standard", "torch")


class LSTMState(NamedTuple):
    """The state of an LSTM: two arrays of one shape."""

    hidden: jax.Array
    cell: jax.Array


class Weights(NamedTuple):
    """The parameters of one direction of one layer."""

    input_kernel: jax.Array
    recurrent_kernel: jax.Array
    input_bias: jax.Array
    recurrent_bias: jax.Array | None


# Layers with fewer features and inputs than SMALL have the reverse rule below; up to MULTIPLIED_OUT
# features the product of state and kernel is a sum of its terms, a part of the cell's own loop.
SMALL, MULTIPLIED_OUT = 32, 8

# A cell: (state, what the inputs give to each gate, what the state gives to each) -> next state.
# A state is [H, B], and so is each gate.
Gates = tuple[jax.Array, ...]
Cell = Callable[[Any, Gates, Gates], Any]


def rnn_cell(function: Callable[[jax.Array], jax.Array]) -> Cell:
    """The vanilla cell, h' = function(W x + U h + b) (Elman 1990)."""

    def cell(state: jax.Array, inputs: Gates, recurrent: Gates) -> jax.Array:
        del state
        return function(inputs[0] + recurrent[0])

    return cell


def gru_cell(state: jax.Array, inputs: Gates, recurrent: Gates) -> jax.Array:
    """Gates r, z, n (Cho et al. 2014, in the form of cuDNN and PyTorch).

    r = σ(W_r x + U_r h), z = σ(W_z x + U_z h), n = tanh(W_n x + b_n + r ∘ (U_n h + c_n)),
    h' = (1 - z) ∘ n + z ∘ h. The reset gate acts after the recurrent product (Keras's
    `reset_after=True`), not before as in the paper.
    """
    reset = nn.sigmoid(inputs[0] + recurrent[0])
    update = nn.sigmoid(inputs[1] + recurrent[1])
    new = jnp.tanh(inputs[2] + reset * recurrent[2])
    return new + update * (state - new)


def lstm_cell(state: LSTMState, inputs: Gates, recurrent: Gates) -> LSTMState:
    """Gates i, f, g, o (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    c' = σ(f) ∘ c + σ(i) ∘ tanh(g), h' = σ(o) ∘ tanh(c').
    """
    write, forget, new, output = (x + h for x, h in zip(inputs, recurrent, strict=True))
    cell = nn.sigmoid(forget) * state.cell + nn.sigmoid(write) * jnp.tanh(new)
    return LSTMState(hidden=nn.sigmoid(output) * jnp.tanh(cell), cell=cell)


def gatewise(initializer: Initializer, gates: int) -> Initializer:
    """Initialise the [in, H] matrix of each gate on its own: fan-out is H, not G·H."""

    def initialize(key: jax.Array, shape: tuple[int, int], dtype: Any = jnp.float32) -> jax.Array:
        each = (shape[0], shape[1] // gates)
        keys = jax.random.split(key, gates)
        return jnp.concatenate([initializer(k, each, dtype) for k in keys], axis=-1)

    return initialize


def hidden_of(state: Any) -> jax.Array:
    """The part of the state that is the layer's output."""
    return state.hidden if isinstance(state, LSTMState) else state


def scan_cell(
    cell: Cell,
    weights: Weights,
    inputs: jax.Array,
    state: Any,
    valid: jax.Array | None = None,
    *,
    reverse: bool = False,
) -> tuple[jax.Array, Any]:
    """Run a cell over time: inputs [T, B, D], state of [B, H] -> outputs [T, B, H], last state.

    Where `valid` [T, B] is False the state stands still and the output is zero. Backwards in time
    (`reverse`) the padding comes first, so the state is still the initial one when the last valid
    step is met: only the valid part is reversed, with no gather.

    Inside, the batch is the last axis and each gate an array of its own, [H, B]: one piece of
    memory, which the CPU computes in whole vectors however few features there are.
    """
    if weights.recurrent_bias is None:
        weights = weights._replace(recurrent_bias=jnp.zeros_like(weights.input_bias))
    batch_last = functools.partial(jax.tree.map, lambda leaf: jnp.swapaxes(leaf, -1, -2))
    widest = max(weights.recurrent_kernel.shape[0], inputs.shape[-1])
    own_rule = jax.default_backend() == "cpu" and widest < SMALL and not rematerialises()
    scan = _scan_with_rule if own_rule else _scan
    outputs, state = scan(cell, reverse, weights, inputs, batch_last(state), valid)
    return batch_last(outputs), batch_last(state)


def _projected(weights: Weights, inputs: jax.Array) -> tuple[jax.Array, ...]:
    """What the inputs [T, B, D] give to each gate: G times [T, H, B]."""
    gates = weights.recurrent_kernel.shape[1] // weights.recurrent_kernel.shape[0]
    return tuple(
        jnp.einsum("tbd,dh->thb", inputs, kernel) + bias[:, None]
        for kernel, bias in zip(
            jnp.split(weights.input_kernel, gates, -1),
            jnp.split(weights.input_bias, gates),
            strict=True,
        )
    )


def _product(weights: Weights, hidden: jax.Array) -> tuple[jax.Array, ...]:
    """What a state [H, B] gives to each gate: G times [H, B]."""
    kernel, bias = weights.recurrent_kernel, weights.recurrent_bias
    assert bias is not None
    features, columns = kernel.shape
    gates = columns // features
    if jax.default_backend() == "cpu" and features <= MULTIPLIED_OUT:
        return tuple(
            sum((matrix[row, :, None] * hidden[row] for row in range(features)), start[:, None])
            for matrix, start in zip(
                jnp.split(kernel, gates, -1), jnp.split(bias, gates), strict=True
            )
        )
    result = jnp.einsum("hk,hb->kb", kernel, hidden) + bias[:, None]
    return tuple(jnp.split(result, gates))


def _next_state(
    cell: Cell, state: Any, inputs: Any, recurrent: Any, valid: jax.Array | None
) -> tuple[Any, jax.Array]:
    """The state after a step, and its output."""
    new = cell(state, inputs, recurrent)
    if valid is None:
        return new, hidden_of(new)
    new = jax.tree.map(lambda after, before: jnp.where(valid, after, before), new, state)
    return new, jnp.where(valid, hidden_of(new), 0)


def _scan(
    cell: Cell,
    reverse: bool,
    weights: Weights,
    inputs: jax.Array,
    state: Any,
    valid: jax.Array | None,
) -> tuple[jax.Array, Any]:
    """Over inputs [T, B, D] and from a state of [H, B]: outputs [T, H, B], last state."""

    def step(state: Any, now: tuple) -> tuple[Any, jax.Array]:
        projected, valid = now
        recurrent = _product(weights, hidden_of(state))
        return _next_state(cell, state, projected, recurrent, valid)

    if rematerialises():
        step = jax.checkpoint(step, prevent_cse=False)
    projected = _projected(weights, inputs)
    state, outputs = jax.lax.scan(step, state, (projected, valid), reverse=reverse)
    return outputs, state


# On the CPU small layers have a reverse rule of their own. JAX's keeps every intermediate result of
# a step; this one keeps the states and what was given to the gates, and has the gradients of all
# weights from two small products a step, where JAX's products over all steps would first copy them
# into another order. Like `modules.matmul`'s rule it has no forward mode. GRU 6, both ways, [100,
# 40, 1], whole steps a second: a single run 600 instead of 550, eight replicas on two cores under
# vmap 2,000 instead of 1,390, with the products after the scan (as they were here before).
_scan_with_rule = jax.custom_vjp(_scan, nondiff_argnums=(0, 1))


def _scan_forward(
    cell: Cell, reverse: bool, weights: Weights, inputs: jax.Array, state: Any, valid: Any
) -> tuple[tuple[jax.Array, Any], tuple]:
    def step(state: Any, now: tuple) -> tuple[Any, tuple]:
        projected, valid = now
        recurrent = _product(weights, hidden_of(state))
        new, output = _next_state(cell, state, projected, recurrent, valid)
        return new, (output, state, recurrent)

    projected = _projected(weights, inputs)
    last, (outputs, states, recurrent) = jax.lax.scan(
        step, state, (projected, valid), reverse=reverse
    )
    return (outputs, last), (weights, inputs, valid, projected, states, recurrent)


def _scan_backward(cell: Cell, reverse: bool, kept: tuple, gradients: tuple) -> tuple:
    weights, inputs, valid, projected, states, recurrent = kept
    kernel = weights.recurrent_kernel

    def with_one(rows: jax.Array) -> jax.Array:
        """A bias is the kernel of an input that is one."""
        return jnp.concatenate([rows, jnp.ones_like(rows[:1])])

    def step(carry: tuple, now: tuple) -> tuple[tuple, jax.Array]:
        gradient, to_input_weights, to_recurrent_weights = carry
        output, inputs, state, projected, recurrent, valid = now
        following = functools.partial(_next_state, cell, valid=valid)
        _, pull = jax.vjp(following, state, projected, recurrent)
        gradient, *to_gates = pull((gradient, output))
        to_projected, to_recurrent = map(jnp.concatenate, to_gates)
        hidden = kernel @ to_recurrent
        if isinstance(gradient, LSTMState):
            gradient = gradient._replace(hidden=gradient.hidden + hidden)
        else:
            gradient = gradient + hidden
        product = functools.partial(jnp.einsum, "ib,kb->ik")
        to_input_weights += product(with_one(inputs), to_projected)
        to_recurrent_weights += product(with_one(hidden_of(state)), to_recurrent)
        return (gradient, to_input_weights, to_recurrent_weights), to_projected

    outputs, last = gradients
    width, (features, columns) = inputs.shape[-1], kernel.shape
    nothing = (jnp.zeros((rows + 1, columns), kernel.dtype) for rows in (width, features))
    (first, to_input, to_recurrent), to_projected = jax.lax.scan(
        step,
        (last, *nothing),
        (outputs, jnp.swapaxes(inputs, 1, 2), states, projected, recurrent, valid),
        reverse=not reverse,
    )
    to_inputs = jnp.einsum("dk,tkb->tbd", weights.input_kernel, to_projected)
    to_weights = Weights(to_input[:-1], to_recurrent[:-1], to_input[-1], to_recurrent[-1])
    return to_weights, to_inputs, first, None


_scan_with_rule.defvjp(_scan_forward, _scan_backward)


# Below this many features both directions run in one scan. Measured (2 cores, gradient and update,
# least ms, two scans against one): GRU 6 [100, 40, 1] 4.2 - 3.2, inside a loop 3.9 - 2.4; GRU 32
# [32, 20, 32] 2.9 - 2.8, GRU 128 31 - 40, LSTM 256 85 - 103. Unrolling the scan was slower in all.
ONE_SCAN_BELOW = 32


def scan_directions(
    cell: Cell,
    weights: list[Weights],
    inputs: jax.Array,
    states: list[Any],
    valid: jax.Array | None,
) -> tuple[jax.Array, list[Any]]:
    """One layer, forward or both ways: inputs [T, B, D] -> [T, B, H or 2H], the last states."""
    if len(weights) == 2 and weights[0].recurrent_kernel.shape[0] < ONE_SCAN_BELOW:
        # The backward direction reads time from its end; vmap stacks the two in one scan.
        both = jax.tree.map(lambda *pair: jnp.stack(pair), *zip(weights, states, strict=True))
        ways = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf[::-1]]), (inputs, valid))
        scan = jax.vmap(functools.partial(scan_cell, cell))
        (ahead, back), last = scan(both[0], ways[0], both[1], ways[1])
        outputs = jnp.concatenate([ahead, back[::-1]], axis=-1)
        return outputs, [jax.tree.map(operator.itemgetter(way), last) for way in (0, 1)]
    runs = [
        scan_cell(cell, weights[way], inputs, states[way], valid, reverse=way == 1)
        for way in range(len(weights))
    ]
    return jnp.concatenate([run[0] for run in runs], axis=-1), [run[1] for run in runs]


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
            recurrent_init = gatewise(nn.initializers.orthogonal(), self.gates)
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
