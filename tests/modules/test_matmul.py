"""The matrix product with its own gradient equals JAX's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aimodels.modules.matmul import matmul

# The same sums of at most 15 float32 products of order 1, in another order.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def loss(product, inputs, kernel):
    return jnp.sum(jnp.sin(product(inputs, kernel)))


def gradients(product):
    return jax.grad(lambda inputs, kernel: loss(product, inputs, kernel), argnums=(0, 1))


def draw(*shape, seed=0, dtype=jnp.float32):
    return jax.random.normal(jax.random.key(seed), shape, dtype)


@pytest.mark.parametrize("leading", [(), (3,), (3, 5), (2, 3, 2)])
def test_values_and_gradients_are_those_of_dot(leading):
    inputs, kernel = draw(*leading, 4), draw(4, 6, seed=1)
    np.testing.assert_array_equal(matmul(inputs, kernel), jnp.dot(inputs, kernel))
    for ours, theirs in zip(
        jax.jit(gradients(matmul))(inputs, kernel),
        jax.jit(gradients(jnp.dot))(inputs, kernel),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, **CLOSE)


def test_a_kernel_a_replica():
    inputs, kernels = draw(3, 5, 4), draw(7, 4, 6, seed=1)
    ours, theirs = (
        jax.jit(jax.vmap(gradients(product), (None, 0)))(inputs, kernels)
        for product in (matmul, jnp.dot)
    )
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, **CLOSE)


def test_bfloat16_gradients_stay_bfloat16():
    inputs, kernel = draw(5, 4, dtype=jnp.bfloat16), draw(4, 6, seed=1, dtype=jnp.bfloat16)
    ours, theirs = gradients(matmul)(inputs, kernel), gradients(jnp.dot)(inputs, kernel)
    for our, their in zip(ours, theirs, strict=True):
        assert our.dtype == jnp.bfloat16
        # one rounding to 8 bits of sums of order 2
        np.testing.assert_allclose(our.astype(float), their.astype(float), atol=0.03)


def test_products_with_a_hessian_work():
    inputs, kernel, direction = draw(3, 4), draw(4, 6, seed=1), draw(4, 6, seed=2)
    ours, theirs = (
        jax.jvp(lambda kernel, p=product: gradients(p)(inputs, kernel)[1], (kernel,), (direction,))
        for product in (matmul, jnp.dot)
    )
    np.testing.assert_allclose(ours[1], theirs[1], **CLOSE)


def test_the_kernels_gradient_is_not_a_transposed_product():
    """What makes it fast: no transpose comes after the product that has the kernel's shape."""

    def shapes(product):
        program = jax.make_jaxpr(gradients(product))(draw(3, 5, 4), draw(4, 6, seed=1)).jaxpr
        return [
            equation.outvars[0].aval.shape
            for equation in program.eqns
            if equation.primitive.name == "dot_general"
        ]

    assert (4, 6) in shapes(matmul)
    assert (4, 6) not in shapes(jnp.dot)
