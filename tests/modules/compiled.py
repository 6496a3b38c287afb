"""init and apply under one jit each: op by op, these tests would take five times as long."""

import jax


def init(module, *args, seed=1, **kwargs):
    """module.init with a seed."""
    return jax.jit(lambda key, *args, **kwargs: module.init(key, *args, **kwargs))(
        jax.random.key(seed), *args, **kwargs
    )


def apply(module, variables, *args, method=None, train=None, mutable=False, **kwargs):
    """module.apply; `method`, `train` and `mutable` are static, all else is traced."""
    static = {} if train is None else {"train": train}

    def run(variables, args, kwargs):
        return module.apply(variables, *args, **kwargs, **static, method=method, mutable=mutable)

    return jax.jit(run)(variables, args, kwargs)


def pullback(function, cotangent, *args):
    """The function's value, and the gradients of sum(value * cotangent) by its arguments."""

    def run(cotangent, *args):
        value, pull = jax.vjp(function, *args)
        return value, pull(cotangent)

    return jax.jit(run)(cotangent, *args)
