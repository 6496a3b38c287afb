"""Cells of recurrent layers, and how they run over time."""

import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.modules.blocks import rematerialises
from aimodels.modules.matmul import matmul


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

    @property
    def gates(self) -> int:
        """How many arrays of H features the cell takes."""
        features, columns = self.recurrent_kernel.shape
        return columns // features


# Layers with fewer features and inputs than SMALL have the batch last, others first; up to
# MULTIPLIED_OUT features the product of state and kernel is a sum of its terms, a part of the
# cell's own loop.
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


def hidden_of(state: Any) -> jax.Array:
    """The part of the state that is the layer's output."""
    return state.hidden if isinstance(state, LSTMState) else state


def swapped(state: Any) -> Any:
    """A state of layers [L, B, H] as [B, L, H], the batch first as in a cache; and back."""
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), state)


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

    Inside small layers the batch is the last axis and each gate an array of its own, [H, B]: one
    piece of memory, which the CPU computes in whole vectors however few features there are. Wide
    ones keep the batch first, as matrix products want it.
    """
    if weights.recurrent_bias is None:
        weights = weights._replace(recurrent_bias=jnp.zeros_like(weights.input_bias))
    own_rule = jax.default_backend() == "cpu" and not rematerialises()
    if max(weights.recurrent_kernel.shape[0], inputs.shape[-1]) >= SMALL:
        rows = None if valid is None else valid[..., None]
        scan = _wide_with_rule if own_rule else functools.partial(_scan, _WIDE)
        return scan(cell, reverse, weights, inputs, state, rows)
    batch_last = functools.partial(jax.tree.map, lambda leaf: jnp.swapaxes(leaf, -1, -2))
    scan = _small_with_rule if own_rule else functools.partial(_scan, _SMALL)
    outputs, state = scan(cell, reverse, weights, inputs, batch_last(state), valid)
    return batch_last(outputs), batch_last(state)


class Form(NamedTuple):
    """How a scan is computed: with the batch last, or first.

    Attributes:
      projected: (weights, inputs [T, B, D]) -> what they give to each step.
      product: (weights, hidden state) -> what it gives to the next step.
      following: (cell, weights, valid, state, projected, product) -> the next state, the output.
    """

    projected: Callable[[Weights, jax.Array], Any]
    product: Callable[[Weights, jax.Array], Any]
    following: Callable[[Cell, Weights, jax.Array | None, Any, Any, Any], tuple[Any, jax.Array]]


def _projected(weights: Weights, inputs: jax.Array) -> tuple[jax.Array, ...]:
    """What the inputs [T, B, D] give to each gate: G times [T, H, B]."""
    return tuple(
        jnp.einsum("tbd,dh->thb", inputs, kernel) + bias[:, None]
        for kernel, bias in zip(
            jnp.split(weights.input_kernel, weights.gates, -1),
            jnp.split(weights.input_bias, weights.gates),
            strict=True,
        )
    )


def _product(weights: Weights, hidden: jax.Array) -> tuple[jax.Array, ...]:
    """What a state [H, B] gives to each gate: G times [H, B]."""
    kernel, bias = weights.recurrent_kernel, weights.recurrent_bias
    assert bias is not None
    features, gates = kernel.shape[0], weights.gates
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
    cell: Cell,
    weights: Weights,
    valid: jax.Array | None,
    state: Any,
    inputs: Gates,
    recurrent: Gates,
) -> tuple[Any, jax.Array]:
    """The state after a step, and its output."""
    del weights
    new = cell(state, inputs, recurrent)
    if valid is None:
        return new, hidden_of(new)
    new = jax.tree.map(lambda after, before: jnp.where(valid, after, before), new, state)
    return new, jnp.where(valid, hidden_of(new), 0)


def _next_wide(
    cell: Cell,
    weights: Weights,
    valid: jax.Array | None,
    state: Any,
    projected: jax.Array,
    recurrent: jax.Array,
) -> tuple[Any, jax.Array]:
    """As `_next_state`, of products [B, G·H] that have no biases yet."""
    assert weights.recurrent_bias is not None
    given = jnp.split(projected + weights.input_bias, weights.gates, -1)
    fed_back = jnp.split(recurrent + weights.recurrent_bias, weights.gates, -1)
    return _next_state(cell, weights, valid, state, tuple(given), tuple(fed_back))


_SMALL = Form(_projected, _product, _next_state)
_WIDE = Form(
    lambda weights, inputs: matmul(inputs, weights.input_kernel),
    lambda weights, hidden: hidden @ weights.recurrent_kernel,
    _next_wide,
)


def _step(
    form: Form, cell: Cell, weights: Weights, state: Any, now: tuple
) -> tuple[Any, jax.Array, Any]:
    """The state after a step, its output, and what the state before gave to it."""
    projected, valid = now
    recurrent = form.product(weights, hidden_of(state))
    new, output = form.following(cell, weights, valid, state, projected, recurrent)
    return new, output, recurrent


def _scan(
    form: Form,
    cell: Cell,
    reverse: bool,
    weights: Weights,
    inputs: jax.Array,
    state: Any,
    valid: jax.Array | None,
) -> tuple[jax.Array, Any]:
    """Over inputs [T, B, D] and from a state in the form's order: outputs, last state."""

    def step(state: Any, now: tuple) -> tuple[Any, jax.Array]:
        new, output, _ = _step(form, cell, weights, state, now)
        return new, output

    if rematerialises():
        step = jax.checkpoint(step, prevent_cse=False)
    projected = form.projected(weights, inputs)
    state, outputs = jax.lax.scan(step, state, (projected, valid), reverse=reverse)
    return outputs, state


def _scan_forward(
    form: Form,
    cell: Cell,
    reverse: bool,
    weights: Weights,
    inputs: jax.Array,
    state: Any,
    valid: Any,
) -> tuple[tuple[jax.Array, Any], tuple]:
    """As `_scan`, and what both reverse rules keep."""

    def step(state: Any, now: tuple) -> tuple[Any, tuple]:
        new, output, recurrent = _step(form, cell, weights, state, now)
        return new, (output, state, recurrent)

    projected = form.projected(weights, inputs)
    last, (outputs, states, recurrent) = jax.lax.scan(
        step, state, (projected, valid), reverse=reverse
    )
    return (outputs, last), (weights, inputs, valid, projected, states, recurrent)


def _plus_hidden(gradient: Any, hidden: jax.Array) -> Any:
    """The gradient of a state with more of its hidden part."""
    if isinstance(gradient, LSTMState):
        return gradient._replace(hidden=gradient.hidden + hidden)
    return gradient + hidden


# On the CPU small layers have a reverse rule of their own. JAX's keeps every intermediate result of
# a step; this one keeps the states and what was given to the gates, and has the gradients of all
# weights from two small products a step, where JAX's products over all steps would first copy them
# into another order. Like `modules.matmul`'s rule it has no forward mode. GRU 6, both ways, [100,
# 40, 1], whole steps a second: a single run 600 instead of 550, eight replicas on two cores under
# vmap 2,000 instead of 1,390, with the products after the scan (as they were here before).
def _small_backward(cell: Cell, reverse: bool, kept: tuple, gradients: tuple) -> tuple:
    weights, inputs, valid, projected, states, recurrent = kept
    kernel = weights.recurrent_kernel

    def with_one(rows: jax.Array) -> jax.Array:
        """A bias is the kernel of an input that is one."""
        return jnp.concatenate([rows, jnp.ones_like(rows[:1])])

    def step(carry: tuple, now: tuple) -> tuple[tuple, jax.Array]:
        gradient, to_input_weights, to_recurrent_weights = carry
        output, inputs, state, projected, recurrent, valid = now
        following = functools.partial(_next_state, cell, weights, valid)
        _, pull = jax.vjp(following, state, projected, recurrent)
        gradient, *to_gates = pull((gradient, output))
        to_projected, to_recurrent = map(jnp.concatenate, to_gates)
        gradient = _plus_hidden(gradient, kernel @ to_recurrent)
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


_small_with_rule = jax.custom_vjp(functools.partial(_scan, _SMALL), nondiff_argnums=(0, 1))
_small_with_rule.defvjp(functools.partial(_scan_forward, _SMALL), _small_backward)


# Wide layers too: the gradients of their weights are two products over all steps, where JAX's rule
# adds up a product a step.
def _wide_backward(cell: Cell, reverse: bool, kept: tuple, gradients: tuple) -> tuple:
    weights, inputs, valid, projected, states, recurrent = kept
    transposed = weights.recurrent_kernel.T

    def step(gradient: Any, now: tuple) -> tuple[Any, tuple]:
        output, state, projected, recurrent, valid = now
        following = functools.partial(_next_wide, cell, weights, valid)
        _, pull = jax.vjp(following, state, projected, recurrent)
        gradient, *to_gates = pull((gradient, output))
        gradient = _plus_hidden(gradient, to_gates[1] @ transposed)
        return gradient, tuple(to_gates)

    outputs, last = gradients
    first, to_gates = jax.lax.scan(
        step, last, (outputs, states, projected, recurrent, valid), reverse=not reverse
    )
    hidden, *to_gates, rows = (
        each.reshape(-1, each.shape[-1]) for each in (hidden_of(states), *to_gates, inputs)
    )
    to_projected, to_recurrent = to_gates
    to_weights = Weights(
        input_kernel=rows.T @ to_projected,
        recurrent_kernel=hidden.T @ to_recurrent,
        input_bias=to_projected.sum(0),
        recurrent_bias=to_recurrent.sum(0),
    )
    to_inputs = (to_projected @ weights.input_kernel.T).reshape(inputs.shape)
    return to_weights, to_inputs, first, None


_wide_with_rule = jax.custom_vjp(functools.partial(_scan, _WIDE), nondiff_argnums=(0, 1))
_wide_with_rule.defvjp(functools.partial(_scan_forward, _WIDE), _wide_backward)


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
