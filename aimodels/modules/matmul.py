"""A matrix product whose gradient is fast on the CPU."""

import jax
import jax.numpy as jnp


@jax.custom_vjp
def _product(inputs: jax.Array, kernel: jax.Array) -> jax.Array:
    return jnp.dot(inputs, kernel)


def _forward(inputs: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return jnp.dot(inputs, kernel), (inputs, kernel)


def _backward(
    residuals: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    inputs, kernel = residuals
    rows = inputs.reshape(-1, inputs.shape[-1])
    columns = gradient.reshape(-1, gradient.shape[-1])
    return jnp.dot(gradient, kernel.T), jnp.dot(rows.T, columns)


_product.defvjp(_forward, _backward)


@jax.custom_vjp
def _settled(outputs: jax.Array) -> jax.Array:
    return outputs


def _settle(_: None, gradient: jax.Array) -> tuple[jax.Array]:
    return (jax.lax.optimization_barrier(gradient),)


_settled.defvjp(lambda outputs: (outputs, None), _settle)


def settled(outputs: jax.Array) -> jax.Array:
    """The outputs; on the CPU, their gradient is computed once and kept.

    Else XLA computes what made it (the derivative of a pooling, say) anew inside each of its
    users: the sum for the bias, and both products.
    """
    return _settled(outputs) if jax.default_backend() == "cpu" else outputs


def matmul(inputs: jax.Array, kernel: jax.Array) -> jax.Array:
    """`jnp.dot(inputs, kernel)` for the kernel of a layer: [..., D] @ [D, F] -> [..., F].

    JAX writes the kernel's gradient as (gᵀ x)ᵀ, for which XLA's CPU backend copies gᵀ, and computes
    in that strided copy, number by number, whatever made g: the derivative of a GELU, say. Written
    as xᵀ g, a Transformer's feed-forward (width 128, GELU) had its gradient 2 to 3 times as fast:
    alone, in a scan, and with four replicas under vmap (jax 0.10.2, two busy cores).

    On the CPU it therefore has its own reverse-mode rule, and like every `jax.custom_vjp` no
    forward mode: `jax.jvp` and `jax.jacfwd` of it fail, while `jax.jvp(jax.grad(f))`, for products
    with a Hessian, works. Elsewhere it is `jnp.dot` itself.
    """
    if jax.default_backend() != "cpu":
        return jnp.dot(inputs, kernel)
    return _product(inputs, kernel)
