"""Optimizers by name, and what all of them take: schedule, decay, clipping, multipliers, freezing.

A config's section is flat: the fields of the named optimizer beside those of `Common`.

    {"name": "adam", "learning_rate": 1e-3, "b2": 0.98, "clip_global_norm": 1.0,
     "schedule": {"name": "cosine", "warmup_steps": 100}, "weight_decay": 0.1,
     "decay_exclude": ("bias$", "scale$"), "learning_rate_multipliers": (("^encoder/", 0.1),)}

Two fields make weights small, and they are not the same:

- `l2` adds l2 · w to the gradient, as the penalty l2 / 2 · |w|² in the loss would; an adaptive
  optimizer then rescales it. It is what PyTorch calls `weight_decay` in all but its AdamW.
- `weight_decay` is decoupled: the update is -lr · (direction + weight_decay · w), whatever the
  direction (Loshchilov & Hutter 2019, as PyTorch's AdamW has it: scheduled with the learning rate).

For gradient descent without momentum the two are equal. Parameters are named by their path joined
with "/", such as "encoder/Dense_0/kernel"; patterns are regular expressions, found anywhere in the
path (`re.search`). Numbers may be traced (replicas vary them); `None`, booleans and patterns not.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from aimodels.config.names import find
from aimodels.errors import UserError
from aimodels.training.optimizer_parts import (
    check_matches,
    check_pattern,
    decay_by,
    matches,
    matching,
    multiply,
    parameter_paths,
    scale_by_centered_rms,
    stay_within,
)
from aimodels.training.schedules import check_names, make_schedule

Array = jax.Array
Transformation = optax.GradientTransformation


@dataclasses.dataclass(frozen=True)
class Common:
    """The fields that every optimizer takes.

    Attributes:
      learning_rate: the peak of the schedule.
      schedule: a section of `aimodels.training.schedules`.
      l2: adds l2 · w to the gradient.
      weight_decay: decoupled, times the learning rate; None is the optimizer's own: 0.01 for
        `adamw` (PyTorch's), 0 for all others.
      decay_exclude: patterns of parameters that neither `l2` nor `weight_decay` touches.
      clip_global_norm: scales the gradient down to this norm where it is longer (Pascanu 2013).
      learning_rate_multipliers: (pattern, factor); the first that matches multiplies the update.
      frozen: patterns of parameters that stay as they are, and that have no optimizer state nor, in
        a supervised task, gradients; batch norms among them normalise as in evaluation.
    """

    learning_rate: float = 1e-3
    schedule: dict = dataclasses.field(default_factory=lambda: {"name": "constant"})
    l2: float = 0.0
    weight_decay: float | None = None
    decay_exclude: tuple[str, ...] = ()
    clip_global_norm: float | None = None
    learning_rate_multipliers: tuple[tuple[str, float], ...] = ()
    frozen: tuple[str, ...] = ()


class Parts(NamedTuple):
    """What an optimizer is put together from, beside its own scaling of the gradient.

    Attributes:
      rate: times -learning_rate(step).
      decay: adds weight_decay · w, where w decays.
      decays: parameters -> a tree of bools, which of them decay.
    """

    rate: Transformation
    decay: Transformation
    decays: Callable[[Any], Any]


Rule = Callable[[Parts], Transformation]


def _scaled(*scaling: Transformation) -> Rule:
    """-lr · (scaled gradient + weight_decay · w), the form of most."""
    return lambda parts: optax.chain(*scaling, parts.decay, parts.rate)


def _momentum(momentum: float, nesterov: bool) -> Transformation:
    off = isinstance(momentum, int | float) and momentum == 0
    return optax.identity() if off else optax.trace(momentum, nesterov)


def sgd(*, momentum: float = 0.0, nesterov: bool = False) -> Rule:
    """Gradient descent; v = momentum · v + g (Polyak 1964), or Nesterov's (Sutskever 2013)."""
    return _scaled(_momentum(momentum, nesterov))


def adam(*, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Rule:
    """Kingma & Ba 2015, algorithm 1. `l2` is PyTorch's `Adam(weight_decay)`."""
    return _scaled(optax.scale_by_adam(b1, b2, eps))


def adamw(*, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Rule:
    """Adam with decoupled `weight_decay` (Loshchilov & Hutter 2019, algorithm 2), 0.01 if None."""
    return adam(b1=b1, b2=b2, eps=eps)


def nadam(*, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Rule:
    """Adam with Nesterov momentum (Dozat 2016), without the schedule of its momentum."""
    return _scaled(optax.scale_by_adam(b1, b2, eps, nesterov=True))


def adamax(*, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Rule:
    """Adam by the largest gradient (Kingma & Ba 2015, algorithm 2)."""
    return _scaled(optax.scale_by_adamax(b1, b2, eps))


def amsgrad(
    *, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, bias_correction: bool = True
) -> Rule:
    """Adam whose second moment never falls (Reddi et al. 2018).

    `bias_correction=False` is the paper's algorithm 2. With it, the step is corrected as Adam's, as
    in PyTorch and Keras; correcting before the maximum, as Optax would, keeps the square of the
    very first gradient for good.
    """
    scaling = optax.scale_by_amsgrad(
        b1, b2, eps, bias_correction_mu=False, bias_correction_nu=False
    )

    def correction(count: Any) -> Array:
        return jnp.sqrt(1 - b2 ** (count + 1)) / (1 - b1 ** (count + 1))

    return _scaled(scaling, *[optax.scale_by_schedule(correction)] * bias_correction)


def adagrad(*, initial_accumulator: float = 0.0, eps: float = 1e-10) -> Rule:
    """Duchi et al. 2011: g / √(Σ g² + eps); TensorFlow begins its sum at 0.1."""
    return _scaled(optax.scale_by_rss(initial_accumulator, eps))


def adadelta(
    *, rho: float = 0.95, eps: float = 1e-6, max_norms: tuple[tuple[str, float], ...] = ()
) -> Rule:
    """Zeiler 2012, algorithm 1; its learning rate is 1.

    `max_norms`, of (pattern, limit) pairs: after an update, what goes into each output of a
    parameter that matches, kernel[..., output], is scaled down to that norm where it is longer
    (Srivastava et al. 2014, section 5.1; Kim 2014).
    """
    scaled = _scaled(optax.scale_by_adadelta(rho, eps))
    if not max_norms:
        return scaled
    return lambda parts: optax.chain(scaled(parts), stay_within(max_norms))


def rmsprop(
    *,
    decay: float = 0.9,
    eps: float = 1e-8,
    eps_in_sqrt: bool = False,
    centered: bool = False,
    bias_correction: bool = False,
    momentum: float = 0.0,
) -> Rule:
    """Hinton 2012, as in PyTorch: g / (√v + eps), v = decay · v + (1 - decay) · g².

    `centered` takes the mean gradient's square off v (Graves 2013); with `eps_in_sqrt` it is
    g / √(v + eps), as in the Atari DQN; `bias_correction` divides v by 1 - decay^t, as Adam does.
    """
    if centered and bias_correction:
        raise UserError("optimizer rmsprop takes centered or bias_correction, not both")
    if centered:
        scaling = scale_by_centered_rms(decay, eps, eps_in_sqrt)
    else:
        scaling = optax.scale_by_rms(
            decay, eps, eps_in_sqrt=eps_in_sqrt, bias_correction=bias_correction
        )
    return _scaled(scaling, _momentum(momentum, False))


def lamb(*, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-6) -> Rule:
    """You et al. 2020, algorithm 2: Adam's direction, as long as each layer's weights.

    As in the authors' code, what is in `decay_exclude` isn't rescaled either.
    """
    return lambda parts: optax.chain(
        optax.scale_by_adam(b1, b2, eps),
        parts.decay,
        optax.masked(optax.scale_by_trust_ratio(), parts.decays),
        parts.rate,
    )


def lars(
    *, momentum: float = 0.9, trust_coefficient: float = 0.001, nesterov: bool = False
) -> Rule:
    """You et al. 2017, algorithm 1: momentum over gradients scaled layer by layer.

    `weight_decay` is the paper's β; the learning rate is inside the momentum. The ratio is |w| to
    |g + β w| (Optax's), where the paper has |g| + β |w|. As in the authors' code, what is in
    `decay_exclude` isn't rescaled either.
    """
    ratio = optax.scale_by_trust_ratio(trust_coefficient=trust_coefficient)
    return lambda parts: optax.chain(
        parts.decay,
        optax.masked(ratio, parts.decays),
        parts.rate,
        _momentum(momentum, nesterov),
    )


def lion(*, b1: float = 0.9, b2: float = 0.99) -> Rule:
    """The sign of an interpolated momentum (Chen et al. 2023, algorithm 2)."""
    return _scaled(optax.scale_by_lion(b1, b2))


def adafactor(
    *,
    decay_rate: float = 0.8,
    clipping_threshold: float = 1.0,
    multiply_by_parameter_scale: bool = True,
    momentum: float = 0.0,
    min_dim_size_to_factor: int = 128,
) -> Rule:
    """Shazeer & Stern 2018, algorithms 4 and 5: second moments by rows and columns.

    With `multiply_by_parameter_scale` the learning rate is relative to each layer's size.
    """
    scaling = [
        optax.scale_by_factored_rms(
            decay_rate=decay_rate, min_dim_size_to_factor=min_dim_size_to_factor
        ),
        optax.clip_by_block_rms(clipping_threshold),
    ]
    if multiply_by_parameter_scale:
        scaling.append(optax.scale_by_param_block_rms())
    if not (isinstance(momentum, int | float) and momentum == 0):
        scaling.append(optax.ema(momentum, debias=False))
    return _scaled(*scaling)


OPTIMIZERS: dict[str, Callable[..., Rule]] = {
    "sgd": sgd,
    "adam": adam,
    "adamw": adamw,
    "nadam": nadam,
    "adamax": adamax,
    "amsgrad": amsgrad,
    "adagrad": adagrad,
    "adadelta": adadelta,
    "rmsprop": rmsprop,
    "lamb": lamb,
    "lars": lars,
    "lion": lion,
    "adafactor": adafactor,
}


def make_optimizer(
    section: Mapping[str, Any], total_steps: int, updates_per_step: int = 1
) -> Transformation:
    """The optimizer of a config section, see the module.

    Args:
      section: "name" and fields of the optimizer and of `Common`; numbers may be traced.
      total_steps: the number of training steps, for the schedule.
      updates_per_step: how many updates a training step has; the learning rate is the same for all
        of them.

    Raises:
      UserError: on an unknown name or field, here; in `init` on a pattern that no parameter
        matches.
    """
    fields = dict(section)
    name = fields.pop("name")
    function = find("optimizer", name)
    own = set(inspect.signature(function).parameters)
    shared = {field.name for field in dataclasses.fields(Common)}
    check_names(f"optimizer {name}", fields, own | shared)
    rule = function(**{key: value for key, value in fields.items() if key in own})
    common = Common(**{key: value for key, value in fields.items() if key not in own})

    of_step = learning_rate_of(section, total_steps)
    several = updates_per_step > 1
    schedule = (lambda count: of_step(count // updates_per_step)) if several else of_step
    weight_decay = common.weight_decay
    if weight_decay is None:
        weight_decay = 0.01 if function is adamw else 0.0
    decays = matching(common.decay_exclude, negate=True)
    parts = Parts(
        rate=optax.scale_by_learning_rate(schedule),
        decay=decay_by(weight_decay, decays),
        decays=decays,
    )
    # The order: frozen parameters leave (their gradients don't count in the norm); the gradient is
    # clipped; l2 · w is added; the optimizer's own scaling, decay and learning rate; multipliers.
    steps = optax.chain(
        optax.identity()
        if common.clip_global_norm is None
        else optax.clip_by_global_norm(common.clip_global_norm),
        decay_by(common.l2, decays),
        rule(parts),
        multiply(common.learning_rate_multipliers),
    )
    if common.frozen:
        steps = optax.chain(
            optax.masked(steps, matching(common.frozen, negate=True)),
            optax.masked(optax.set_to_zero(), matching(common.frozen)),
        )

    patterns = {
        "decay_exclude": common.decay_exclude,
        "learning_rate_multipliers": tuple(p for p, _ in common.learning_rate_multipliers),
        "frozen": common.frozen,
    }
    for field, of_field in patterns.items():
        for pattern in of_field:
            check_pattern(field, pattern)

    def init(params: Any) -> Any:
        paths = parameter_paths(params)
        for field, of_field in patterns.items():
            check_matches(field, of_field, paths)
        if common.frozen and all(matches(common.frozen, path) for path in paths):
            raise UserError(f"optimizer.frozen: {common.frozen} leaves no parameter to train")
        return steps.init(params)

    return optax.GradientTransformation(init, steps.update)


def learning_rate_of(section: Mapping[str, Any], total_steps: int) -> Callable[[Any], Array]:
    """The learning rate of an optimizer's section as a function of the step."""
    schedule = dict(section.get("schedule", {"name": "constant"}))
    name = schedule.pop("name")
    learning_rate = section.get("learning_rate", Common.learning_rate)
    return make_schedule(name, learning_rate, total_steps, **schedule)
