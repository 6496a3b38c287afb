"""Learning-rate schedules: each gives the factor on the learning rate at a step.

Step 0 is the first update, `total_steps` the number of updates of the run. A schedule with
`warmup_steps` W rises linearly first: the factor at step t < W is (t + 1) / (W + 1), so that no
step is lost at 0, and the schedule proper begins at step W, at 1.

Every number may be traced (replicas vary them), so nothing here branches on a value.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from aimodels.config.names import find
from aimodels.errors import UserError, unknown

Array = jax.Array
Schedule = Callable[[Any], Array]


def constant(total_steps: int, *, warmup_steps: int = 0) -> Schedule:
    """1 throughout."""
    return _warmed_up(lambda step, progress: jnp.ones_like(progress), total_steps, warmup_steps)


def linear(total_steps: int, *, final_fraction: float = 0.0, warmup_steps: int = 0) -> Schedule:
    """From 1 straight to `final_fraction` at `total_steps`."""
    return _warmed_up(
        lambda step, progress: 1 + (final_fraction - 1) * progress, total_steps, warmup_steps
    )


def cosine(total_steps: int, *, final_fraction: float = 0.0, warmup_steps: int = 0) -> Schedule:
    """Half a cosine from 1 to `final_fraction` (Loshchilov & Hutter 2017, without restarts)."""

    def factor(step: Array, progress: Array) -> Array:
        return final_fraction + (1 - final_fraction) * (1 + jnp.cos(jnp.pi * progress)) / 2

    return _warmed_up(factor, total_steps, warmup_steps)


def step(
    total_steps: int,
    *,
    boundaries: tuple[int, ...] = (),
    factor: float = 0.1,
    warmup_steps: int = 0,
) -> Schedule:
    """Times `factor` from each of the steps `boundaries` on (He et al. 2016).

    Boundaries are steps of the run: warm-up doesn't shift them.
    """

    def power(step: Array, progress: Array) -> Array:
        passed = sum((step >= boundary).astype(jnp.float32) for boundary in boundaries)
        return jnp.asarray(factor, jnp.float32) ** passed

    return _warmed_up(power, total_steps, warmup_steps)


def exponential(
    total_steps: int,
    *,
    decay_rate: float = 0.1,
    decay_steps: int | None = None,
    staircase: bool = False,
    warmup_steps: int = 0,
) -> Schedule:
    """decay_rate^(steps after warm-up / decay_steps), with a whole exponent if `staircase`.

    Without `decay_steps`, the rate falls by `decay_rate` over the whole run.
    """

    def power(step: Array, progress: Array) -> Array:
        exponent = progress if decay_steps is None else (step - warmup_steps) / decay_steps
        exponent = jnp.floor(exponent) if staircase else exponent
        return jnp.asarray(decay_rate, jnp.float32) ** exponent

    return _warmed_up(power, total_steps, warmup_steps)


def one_cycle(
    total_steps: int,
    *,
    peak_at: float = 0.45,
    cycle_end: float = 0.9,
    initial_fraction: float = 0.1,
    final_fraction: float = 0.001,
    warmup_steps: int = 0,
) -> Schedule:
    """One triangle, then a tail far below where it began (Smith 2018, arXiv:1803.09820).

    Straight from `initial_fraction` up to 1 at `peak_at` of the run, back at `cycle_end`, and on to
    `final_fraction` at the end.
    """
    numbers = [value for value in (0, peak_at, cycle_end, 1) if isinstance(value, int | float)]
    if sorted(numbers) != numbers:
        raise UserError(
            f"schedule one_cycle: got peak_at={peak_at}, cycle_end={cycle_end}; takes "
            "0 <= peak_at <= cycle_end <= 1"
        )

    def factor(step: Array, progress: Array) -> Array:
        places = jnp.stack([jnp.float32(x) for x in (0.0, peak_at, cycle_end, 1.0)])
        heights = (initial_fraction, 1.0, initial_fraction, final_fraction)
        return jnp.interp(progress, places, jnp.stack([jnp.float32(x) for x in heights]))

    return _warmed_up(factor, total_steps, warmup_steps)


def inverse_square_root(total_steps: int, *, warmup_steps: int = 10_000) -> Schedule:
    """min(s / W, √(W / s)) with s = step + 1: `noam`, scaled so that the peak, at s = W, is 1."""
    del total_steps  # it has no end
    warmup = jnp.maximum(jnp.asarray(warmup_steps, jnp.float32), 1)

    def factor(step: Any) -> Array:
        number = jnp.asarray(step, jnp.float32) + 1
        return jnp.minimum(number / warmup, jnp.sqrt(warmup / number))

    return factor


def noam(total_steps: int, *, width: int = 512, warmup_steps: int = 4000) -> Schedule:
    """width^-½ · min(s^-½, s · W^-3/2) with s = step + 1 (Vaswani et al. 2017, equation 3).

    The learning rate is then a factor on the paper's; 1 is the paper's own.
    """
    shape = inverse_square_root(total_steps, warmup_steps=warmup_steps)
    peak = (jnp.asarray(width, jnp.float32) * jnp.maximum(warmup_steps, 1)) ** -0.5
    return lambda step: peak * shape(step)


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "step": step,
    "exponential": exponential,
    "one_cycle": one_cycle,
    "inverse_square_root": inverse_square_root,
    "noam": noam,
}


def make_schedule(name: str, learning_rate: Any, total_steps: int, **fields: Any) -> Schedule:
    """The learning rate as a function of the step.

    Args:
      name: of `SCHEDULES`, or "package.module:Name" of a function like those.
      learning_rate: what the factor multiplies; may be traced.
      total_steps: the number of updates.
      **fields: of the schedule.
    """
    function = find("schedule", name)
    known = set(inspect.signature(function).parameters) - {"total_steps"}
    check_names(f"schedule {name}", fields, known)
    factor = function(total_steps, **fields)
    return lambda step: learning_rate * factor(step)


def check_names(owner: str, fields: Mapping[str, Any], known: set[str]) -> None:
    """Raises a `UserError` for the first of `fields` that isn't known."""
    for name in fields:
        if name not in known:
            raise UserError(f"{owner} has no field {name!r}: {unknown('field', name, known)}")


def _warmed_up(
    factor: Callable[[Array, Array], Array], total_steps: int, warmup_steps: int
) -> Schedule:
    """`factor(step, progress)` after the warm-up; progress goes from 0 at its end to 1."""
    if isinstance(warmup_steps, int) and warmup_steps < 0:
        raise UserError(f"schedule.warmup_steps: got {warmup_steps}, takes a whole number >= 0")
    rest = jnp.maximum(total_steps - warmup_steps, 1)  # a run may end within its warm-up

    def at(step: Any) -> Array:
        step = jnp.asarray(step, jnp.float32)
        progress = jnp.clip((step - warmup_steps) / rest, 0, 1)
        rising = (step + 1) / (warmup_steps + 1)
        return jnp.where(step < warmup_steps, rising, factor(step, progress))

    return at
