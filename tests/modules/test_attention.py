"""Attention against PyTorch, and its masks, cache and dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import apply, init, pullback
from torch_layout import attention, load, under

from aimodels.errors import UserError
from aimodels.modules.attention import (
    MultiHeadAttention,
    attend,
    attention_weights,
    combine_masks,
)

# Two orders of float32 summation over at most 8 terms of order 1, twice: 1e-6; with headroom.
EXACT = {"rtol": 1e-5, "atol": 5e-6}


def leaves_close(ours, theirs, **tolerance):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), ours, theirs)


@pytest.mark.parametrize(
    ("case", "module"),
    [
        ("self", MultiHeadAttention(num_heads=4, width=8)),
        ("causal", MultiHeadAttention(num_heads=2, width=8, use_bias=False, is_causal=True)),
        ("cross", MultiHeadAttention(num_heads=2, width=8)),
    ],
)
@pytest.mark.parametrize("implementation", ["direct", "xla"])
def test_equals_pytorch_forward_and_gradient(case, module, implementation):
    golden = load("attention", case)
    module = module.clone(implementation=implementation)
    params = attention(under(golden, "parameters."))
    inputs = {name: golden[name] for name in ("inputs", "memory") if name in golden}

    def output(params, inputs):
        return apply(module, {"params": params}, **inputs, lengths=golden.get("lengths"))

    result, (params_gradient, inputs_gradient) = pullback(
        output, golden["cotangent.outputs"], params, inputs
    )
    np.testing.assert_allclose(result, golden["outputs"], **EXACT)
    leaves_close(params_gradient, attention(under(golden, "gradient.parameters.")), **EXACT)
    for name, gradient in inputs_gradient.items():
        np.testing.assert_allclose(gradient, golden[f"gradient.{name}"], **EXACT)


def test_sown_weights_equal_pytorchs():
    golden = load("attention", "causal")
    module = MultiHeadAttention(num_heads=2, width=8, use_bias=False, is_causal=True)
    variables = {"params": attention(under(golden, "parameters."))}
    assert set(init(module, golden["inputs"])) == {"params"}
    _, sown = apply(module, variables, golden["inputs"], mutable=["intermediates"])
    (weights,) = sown["intermediates"]["attention_weights"]
    np.testing.assert_allclose(weights, golden["weights"], **EXACT)


def test_grouped_queries_and_empty_rows_equal_pytorch():
    golden = load("attention", "grouped")

    def output(query, key, value):
        return attend(attention_weights(query, key, mask=golden["mask"]), value)

    leaves = [golden[name] for name in ("query", "key", "value")]
    result, gradients = pullback(output, golden["cotangent.outputs"], *leaves)
    np.testing.assert_array_equal(result[0, 1], 0)
    np.testing.assert_allclose(result, golden["outputs"], **EXACT)
    for name, gradient in zip(("query", "key", "value"), gradients, strict=True):
        np.testing.assert_allclose(gradient, golden[f"gradient.{name}"], **EXACT)


@pytest.mark.parametrize("implementation", ["direct", "xla"])
def test_nothing_to_attend_to_gives_zeros_and_finite_gradients(implementation):
    module = MultiHeadAttention(num_heads=2, width=8, implementation=implementation)
    inputs = jax.random.normal(jax.random.key(0), (3, 4, 8))
    lengths = jnp.array([0, 2, 4])
    variables = init(module, inputs)

    def loss(variables, inputs):
        outputs = apply(module, variables, inputs, lengths=lengths)
        return (outputs**2).sum(), outputs

    gradients, outputs = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(variables, inputs)
    np.testing.assert_array_equal(outputs[0], 0)  # the bias of `out` starts at zero
    assert np.abs(outputs[1:]).min() > 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("implementation", ["direct", "xla"])
def test_masks_of_every_rank_and_bias_agree(implementation):
    module = MultiHeadAttention(num_heads=2, width=8, implementation=implementation)
    inputs = jax.random.normal(jax.random.key(0), (3, 4, 8))
    variables = init(module, inputs)
    mask = jnp.tril(jnp.ones((4, 4), bool))
    causal = apply(module.clone(is_causal=True), variables, inputs)
    everywhere = jnp.broadcast_to(mask, (3, 4, 4))
    by_head = jnp.broadcast_to(mask, (3, 2, 4, 4))
    for each in (mask, everywhere, everywhere[:, None], by_head):
        np.testing.assert_array_equal(apply(module, variables, inputs, attention_mask=each), causal)
    bias = jnp.where(mask, 0.0, -1e9)
    np.testing.assert_allclose(
        apply(module, variables, inputs, bias=bias[None, None]), causal, **EXACT
    )


def test_masks_combine():
    mask = combine_masks(3, 3, is_causal=True, lengths=jnp.array([1, 3]))
    expected = np.tril(np.ones((3, 3), bool)) & np.array([[[1, 0, 0]], [[1, 1, 1]]], bool)
    np.testing.assert_array_equal(mask[:, 0], expected)
    assert combine_masks(3, 3) is None


def test_causal_outputs_do_not_see_the_future():
    module = MultiHeadAttention(num_heads=2, width=8, is_causal=True, rotary="half")
    inputs = jax.random.normal(jax.random.key(0), (2, 6, 8))
    variables = init(module, inputs)
    changed = inputs.at[:, 4:].add(1.0)
    before, after = (apply(module, variables, each) for each in (inputs, changed))
    np.testing.assert_array_equal(before[:, :4], after[:, :4])
    assert (before[:, 4:] != after[:, 4:]).all()


def test_padding_does_not_matter():
    module = MultiHeadAttention(num_heads=2, width=8)
    inputs = jax.random.normal(jax.random.key(0), (2, 6, 8))
    variables = init(module, inputs)
    short = apply(module, variables, inputs[:, :4])
    padded = apply(module, variables, inputs.at[:, 4:].set(1e3), lengths=jnp.array([4, 4]))
    np.testing.assert_allclose(padded[:, :4], short, **EXACT)


@pytest.mark.parametrize("rotary", [None, "half", "interleaved"])
@pytest.mark.parametrize("key_value_heads", [None, 2, 1])
def test_prefill_and_single_steps_equal_the_full_forward(rotary, key_value_heads):
    module = MultiHeadAttention(
        num_heads=4,
        width=16,
        num_key_value_heads=key_value_heads,
        is_causal=True,
        rotary=rotary,
    )
    inputs = jax.random.normal(jax.random.key(0), (2, 7, 16))
    variables = init(module, inputs)
    full = apply(module, variables, inputs)

    # Rows of different length: 4 and 2 tokens of a prompt padded to 4, then three tokens each.
    prompts = jnp.stack([inputs[0, :4], inputs[1, :4].at[2:].set(1e3)])
    cache = module.empty_cache(2, 7)
    assert cache.key.shape == (2, 7, key_value_heads or 4, 4)
    decode = jax.jit(lambda *args, **kw: apply(module, variables, *args, **kw, method="decode"))
    outputs, cache = decode(prompts, cache, lengths=jnp.array([4, 2]))
    np.testing.assert_allclose(outputs[0], full[0, :4], **EXACT)
    np.testing.assert_allclose(outputs[1, :2], full[1, :2], **EXACT)
    for step in range(3):
        at = jnp.array([4, 2]) + step
        token = inputs[jnp.arange(2), at][:, None]
        outputs, cache = decode(token, cache)
        np.testing.assert_allclose(outputs[:, 0], full[jnp.arange(2), at], **EXACT)
    np.testing.assert_array_equal(cache.lengths, [7, 5])


def test_a_remembered_memory_gives_the_same_cross_attention():
    module = MultiHeadAttention(num_heads=2, width=8)
    inputs, memory = jnp.ones((2, 3, 8)), jax.random.normal(jax.random.key(0), (2, 5, 6))
    variables = init(module, inputs, memory)
    for lengths in (None, jnp.array([2, 5])):
        expected = apply(module, variables, inputs, memory, lengths=lengths)
        cache = apply(module, variables, memory, lengths, method="remember")
        np.testing.assert_allclose(
            apply(module, variables, inputs, cache, method="recall"), expected, **EXACT
        )


def test_dropout_is_on_the_weights_in_training_only():
    module = MultiHeadAttention(num_heads=2, width=8, dropout_rate=0.5)
    inputs = jax.random.normal(jax.random.key(0), (2, 6, 8))
    variables = init(module, inputs)
    plain = apply(module.clone(dropout_rate=0.0), variables, inputs, train=True)
    np.testing.assert_array_equal(apply(module, variables, inputs), plain)

    @jax.jit
    def dropped(rate, key):
        clone = module.clone(dropout_rate=rate)
        return clone.apply(variables, inputs, train=True, rngs={"dropout": key})

    keys = jax.random.split(jax.random.key(2), 4000)
    outputs = jax.vmap(dropped, (None, 0))(0.5, keys)
    # The mean over masks is the output without: 4,000 draws of order .5 have 8e-3 standard error.
    np.testing.assert_allclose(outputs.mean(0), plain, atol=0.05)
    assert outputs.std(0).min() > 0.01
    np.testing.assert_allclose(dropped(0.0, keys[0]), plain, **EXACT)  # a traced rate of 0


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_parameters():
    inputs = jax.random.normal(jax.random.key(0), (2, 6, 8))
    for implementation in ("direct", "xla"):
        module = MultiHeadAttention(
            num_heads=2, width=8, dtype=jnp.bfloat16, implementation=implementation
        )
        variables = init(module, inputs)
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
        outputs = apply(module, variables, inputs)
        assert outputs.dtype == jnp.bfloat16
        exact = apply(module.clone(dtype=jnp.float32), variables, inputs)
        # four roundings to 8 bits of values of order 1
        np.testing.assert_allclose(outputs.astype(jnp.float32), exact, atol=0.05)


def test_one_set_of_parameters_a_replica():
    module = MultiHeadAttention(num_heads=2, width=8, is_causal=True)
    inputs = jax.random.normal(jax.random.key(0), (2, 5, 8))
    keys = jax.random.split(jax.random.key(1), 3)
    variables = jax.jit(jax.vmap(module.init, (0, None)))(keys, inputs)
    outputs = jax.jit(jax.vmap(module.apply, (0, None)))(variables, inputs)
    assert not np.allclose(outputs[0], outputs[1])
    for index in range(3):
        one = jax.tree.map(lambda leaf, i=index: leaf[i], variables)
        np.testing.assert_allclose(outputs[index], apply(module, one, inputs), **EXACT)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_heads": 3}, "num_heads is 3; it must divide width 8"),
        ({"num_heads": 4, "num_key_value_heads": 3}, "num_key_value_heads is 3"),
        ({"num_heads": 2, "implementation": "cuDNN"}, "Did you mean 'cudnn'"),
    ],
)
def test_wrong_fields_are_named(fields, message):
    with pytest.raises(UserError, match=message):
        MultiHeadAttention(width=8, **fields).init(jax.random.key(0), jnp.zeros((1, 2, 8)))


def test_wrong_calls_are_named():
    inputs = jnp.zeros((1, 2, 8))
    module = MultiHeadAttention(num_heads=2, width=8)
    variables = init(module, inputs)
    with pytest.raises(UserError, match="dtype float32; it takes booleans"):
        apply(module, variables, inputs, attention_mask=jnp.ones((2, 2)))
    with pytest.raises(UserError, match=r"\[T, S\], \[B, T, S\] or"):
        apply(module, variables, inputs, attention_mask=jnp.ones(2, bool))
    with pytest.raises(UserError, match="cross-attention takes neither"):
        apply(module.clone(is_causal=True), variables, inputs, inputs)
    cache = module.empty_cache(1, 4)
    with pytest.raises(UserError, match="needs is_causal=True"):
        apply(module, variables, inputs, cache, method="decode")
