"""The loop that a good JAX user writes by hand: jit, donated state, data on the device, no more.

It uses the same Flax module, batch and optimizer as the config; it neither logs nor evaluates nor
saves. Four variants: steps scanned or dispatched one by one, convolutions direct or by patches.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from rows import arrays_of

from aimodels.training.build import make_model

SCAN = 100  # steps in a dispatch of the scanned variants


class Handwritten:
    """A compiled training loop.

    Args:
      config: whose model, batch, order, data and optimizer it takes.
      scanned: 100 steps a dispatch, else one.
      convolution: `patches`, `direct`, or None for a model without.
    """

    def __init__(self, config: Any, scanned: bool, convolution: str | None) -> None:
        self._steps_per_dispatch = SCAN if scanned else 1
        model = make_model(config.to_dict())
        if convolution:
            model = model.clone(implementation=convolution)
        optimizer = _optimizer(config.optimizer)
        self._data = {name: jnp.asarray(array) for name, array in arrays_of(config).items()}
        size, batch_size = len(self._data["targets"]), config.training.batch_size
        shuffled = config.training.order == "shuffled"

        def batch_of(data: dict, step: jax.Array) -> tuple[jax.Array, jax.Array]:
            at = step * batch_size + jnp.arange(batch_size)
            rows = at % size
            if shuffled:
                rows = data["order"][rows]
            return data["inputs"][rows], data["targets"][rows]

        def step(state: tuple, data: dict) -> tuple[tuple, jax.Array]:
            params, optimizer_state, at = state
            inputs, targets = batch_of(data, at)

            def loss_of(params: Any) -> jax.Array:
                logits = model.apply({"params": params}, inputs, train=True)
                losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
                return losses.mean()

            loss, gradients = jax.value_and_grad(loss_of)(params)
            updates, optimizer_state = optimizer.update(gradients, optimizer_state, params)
            return (optax.apply_updates(params, updates), optimizer_state, at + 1), loss

        def scan(state: tuple, data: dict) -> tuple[tuple, jax.Array]:
            state, losses = jax.lax.scan(lambda s, _: step(s, data), state, length=SCAN)
            return state, losses[-1]

        if shuffled:  # one permutation for all epochs: cheaper than ours, never dearer
            self._data["order"] = jax.random.permutation(jax.random.key(0), size)
        self._run = jax.jit(scan if scanned else step, donate_argnums=0)
        params = jax.jit(model.init)(jax.random.key(0), self._data["inputs"][:1])["params"]
        self._state = (params, optimizer.init(params), jnp.zeros((), jnp.int32))
        self.run(1)

    def run(self, steps: int) -> float:
        """Trains at least `steps` more; returns steps/s."""
        dispatches = max(1, steps // self._steps_per_dispatch)
        begin = time.perf_counter()
        loss = None
        for _ in range(dispatches):
            self._state, loss = self._run(self._state, self._data)
        jax.block_until_ready((self._state, loss))
        return dispatches * self._steps_per_dispatch / (time.perf_counter() - begin)


def _optimizer(section: Any) -> optax.GradientTransformation:
    moments = {"b1": section.b1, "b2": section.b2, "eps": section.eps}
    if section.name == "adam":
        return optax.adam(section.learning_rate, **moments)
    return optax.adamw(section.learning_rate, **moments, weight_decay=section.weight_decay)


def candidates(config: Any) -> dict[str, Callable[[], Handwritten]]:
    """All variants that make sense for the config's model: name -> a function that compiles it."""
    made = {}
    for scanned in (True, False):
        for convolution in ("patches", "direct") if "implementation" in config.model else (None,):
            name = ("scanned" if scanned else "dispatched") + f" {convolution or ''}"
            made[name.strip()] = functools.partial(Handwritten, config, scanned, convolution)
    return made


def fastest(config: Any, seconds: float) -> tuple[str, Handwritten, dict[str, float]]:
    """The variant that is fastest here, and the steps/s of all in a trial of `seconds` each."""
    loops = {name: make() for name, make in candidates(config).items()}
    rates = {}
    for name, loop in loops.items():
        rates[name] = loop.run(1)
        if rates[name] * seconds > SCAN:  # else one dispatch is long enough
            loop.run(int(rates[name] * seconds / 4))
            rates[name] = max(loop.run(int(rates[name] * seconds / 2)) for _ in range(2))
    best = max(rates, key=lambda name: rates[name])
    return best, loops[best], rates
