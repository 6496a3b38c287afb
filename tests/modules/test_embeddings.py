"""Token and patch embeddings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import apply, init

from aimodels.errors import UserError
from aimodels.modules import Conv, Embedding, PatchEmbedding


def test_embedding_looks_up_rows_and_its_gradient_counts_the_tokens():
    module = Embedding(5, 3)
    tokens = jnp.array([[1, 4, 1], [0, 1, 4]])
    variables = init(module, tokens)
    table = variables["params"]["embedding"]
    np.testing.assert_array_equal(apply(module, variables, tokens), np.asarray(table)[tokens])
    gradient = jax.grad(lambda v: module.apply(v, tokens).sum())(variables)
    counts = np.array([1, 3, 0, 0, 2.0])
    np.testing.assert_array_equal(
        gradient["params"]["embedding"], np.repeat(counts[:, None], 3, axis=1)
    )


def test_attend_is_tied_to_the_table_and_not_scaled():
    module = Embedding(5, 4, scale=True)
    tokens = jnp.array([2, 3])
    variables = init(module, tokens)
    table = np.asarray(variables["params"]["embedding"])
    # √4 = 2 is exact; the products are sums of four terms: a few roundings.
    np.testing.assert_array_equal(apply(module, variables, tokens), 2 * table[tokens])
    states = jax.random.normal(jax.random.key(1), (2, 4))
    logits = apply(module, variables, states, method="attend")
    np.testing.assert_allclose(logits, states @ table.T, rtol=1e-5, atol=1e-7)


def test_initial_deviation_is_the_field():
    variables = init(Embedding(400, 100, standard_deviation=0.5), jnp.array([0]))
    # 40,000 draws: 0.35 % (one sigma).
    np.testing.assert_allclose(np.std(variables["params"]["embedding"]), 0.5, rtol=0.02)


def test_an_id_beyond_the_vocabulary_is_noticed():
    module = Embedding(5, 3)
    outputs = apply(module, init(module, jnp.array([0])), jnp.array([4, 5]))
    assert np.isfinite(outputs[0]).all()
    assert np.isnan(outputs[1]).all()


@pytest.mark.parametrize("patch", [(2, 3), (1, 2), (4, 6)])
def test_patch_embedding_is_a_strided_convolution(patch):
    inputs = jax.random.normal(jax.random.key(0), (2, 4, 6, 3))
    module = PatchEmbedding(5, patch, initializer="torch")
    convolution = Conv(5, patch, strides=patch, padding="VALID", implementation="direct")
    variables = init(module, inputs)

    def flat(variables, inputs):
        return convolution.apply(variables, inputs).reshape(2, -1, 5)

    expected, expected_pullback = jax.vjp(flat, variables, inputs)
    outputs, our_pullback = jax.vjp(module.apply, variables, inputs)
    assert outputs.shape == (2, 24 // np.prod(patch), 5)
    cotangent = jax.random.normal(jax.random.key(1), outputs.shape)
    # At most 72 terms of order 1 in another order: some 1e-6.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
        (outputs, our_pullback(cotangent)),
        (expected, expected_pullback(cotangent)),
    )


def test_patch_embedding_of_a_video():
    inputs = jnp.arange(2 * 2 * 4 * 4 * 1.0).reshape(2, 2, 4, 4, 1)
    module = PatchEmbedding(1, (2, 2, 2), use_bias=False, kernel_init=jax.nn.initializers.ones)
    outputs = apply(module, init(module, inputs), inputs)
    expected = np.asarray(inputs).reshape(2, 1, 2, 2, 2, 2, 2, 1).sum((2, 4, 6)).reshape(2, 4, 1)
    np.testing.assert_array_equal(outputs, expected)  # whole numbers below 2^24


def test_a_patch_that_does_not_fit_is_an_error():
    with pytest.raises(UserError, match="doesn't divide"):
        init(PatchEmbedding(5, 3), jnp.ones((1, 6, 7, 3)))
    with pytest.raises(UserError, match="patch_size"):
        init(PatchEmbedding(5, 3), jnp.ones((6, 6, 3)))


def test_compute_dtype_and_parameter_dtype_are_separate():
    for module, inputs in (
        (Embedding(5, 3, dtype=jnp.bfloat16), jnp.array([1])),
        (PatchEmbedding(5, 2, dtype=jnp.bfloat16), jnp.ones((1, 4, 4, 1))),
    ):
        variables = init(module, inputs)
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
        assert apply(module, variables, inputs).dtype == jnp.bfloat16
