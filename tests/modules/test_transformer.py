"""Transformer blocks and stacks against PyTorch, and what masks, caches and norms promise."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compiled import apply, init, pullback
from torch_layout import block, encoder, load, under

from aimodels.errors import UserError
from aimodels.modules.transformer import FeedForward, Transformer, TransformerBlock

# float32 sums of at most 12 terms through two layers, and LayerNorm's division by deviations that
# can be 0.3: some 1e-5.
CLOSE = {"rtol": 1e-4, "atol": 3e-5}


def leaves_close(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), ours, theirs)


def check(module, golden, layout, names):
    """The module's output and every gradient equal the golden's."""
    inputs = {name: golden[name] for name in ("inputs", "memory") if name in golden}
    lengths = {name: golden[name] for name in ("lengths", "memory_lengths") if name in golden}

    def output(params, inputs):
        return module.apply({"params": params}, **inputs, **lengths)

    params = layout(under(golden, "parameters."))
    result, (params_gradient, inputs_gradient) = pullback(
        output, golden["cotangent.outputs"], params, inputs
    )
    np.testing.assert_allclose(result, golden["outputs"], **CLOSE)
    leaves_close(params_gradient, layout(under(golden, "gradient.parameters.")))
    for name in names:
        np.testing.assert_allclose(inputs_gradient[name], golden[f"gradient.{name}"], **CLOSE)


SETTINGS = [("post", "relu"), ("pre", "gelu")]


@pytest.mark.parametrize(("norm_position", "activation"), SETTINGS)
def test_encoder_equals_pytorch(norm_position, activation):
    example = TransformerBlock(
        num_heads=2, width=8, mlp_width=12, norm_position=norm_position, activation=activation
    )
    golden = load("transformer", f"encoder_{norm_position}")
    check(Transformer(2, example), golden, lambda arrays: encoder(arrays, 2), ["inputs"])


@pytest.mark.parametrize(("norm_position", "activation"), SETTINGS)
def test_decoder_block_equals_pytorch(norm_position, activation):
    module = TransformerBlock(
        num_heads=2,
        width=8,
        mlp_width=12,
        norm_position=norm_position,
        activation=activation,
        is_causal=True,
        cross_attention=True,
    )
    golden = load("transformer", f"decoder_{norm_position}")
    check(module, golden, block, ["inputs", "memory"])


MODERN = TransformerBlock(
    num_heads=4,
    width=16,
    mlp_width=24,
    norm_position="pre",
    norm="rms",
    activation="silu",
    gated=True,
    is_causal=True,
    num_key_value_heads=2,
    rotary="half",
    use_bias=False,
)
TRANSLATOR = TransformerBlock(num_heads=2, width=16, is_causal=True, cross_attention=True)


@pytest.mark.parametrize("example", [MODERN, TRANSLATOR], ids=["modern", "translator"])
def test_decoding_equals_the_full_forward(example):
    module = Transformer(2, example)
    inputs, memory = jax.random.normal(jax.random.key(0), (2, 2, 6, 16))
    memory = memory if example.cross_attention else None
    lengths = jnp.array([3, 6]) if example.cross_attention else None
    variables = init(module, inputs, memory)
    full = apply(module, variables, inputs, memory, memory_lengths=lengths)

    cache = module.empty_cache(2, 6)
    if memory is not None:
        cache = apply(module, variables, cache, memory, lengths, method="remember")
    outputs, cache = apply(module, variables, inputs[:, :3], cache, method="decode")
    np.testing.assert_allclose(outputs, full[:, :3], **CLOSE)
    step = jax.jit(lambda token, cache: module.apply(variables, token, cache, method="decode"))
    for time in range(3, 6):
        outputs, cache = step(inputs[:, time : time + 1], cache)
        np.testing.assert_allclose(outputs[:, 0], full[:, time], **CLOSE)


@pytest.mark.parametrize("example", [MODERN, TRANSLATOR], ids=["modern", "translator"])
def test_the_past_does_not_see_the_future(example):
    module = Transformer(2, example)
    inputs = jax.random.normal(jax.random.key(0), (2, 6, 16))
    memory = inputs[:, :2] if example.cross_attention else None
    variables = init(module, inputs, memory)
    before = apply(module, variables, inputs, memory)
    after = apply(module, variables, inputs.at[:, 4:].add(1.0), memory)
    np.testing.assert_array_equal(before[:, :4], after[:, :4])
    assert (before[:, 4:] != after[:, 4:]).all()


@pytest.mark.parametrize("norm_position", ["pre", "post"])
def test_padding_does_not_matter(norm_position):
    module = Transformer(2, TransformerBlock(num_heads=2, width=8, norm_position=norm_position))
    inputs = jax.random.normal(jax.random.key(0), (2, 6, 8))
    variables = init(module, inputs)
    short = apply(module, variables, inputs[:, :4])
    padded = apply(module, variables, inputs.at[:, 4:].set(9.0), lengths=jnp.array([4, 4]))
    np.testing.assert_allclose(padded[:, :4], short, **CLOSE)


def test_norm_position_decides_where_the_norms_are():
    inputs = 10 * jax.random.normal(jax.random.key(0), (2, 6, 8)) + 3
    for norm_position, has_norm in (("pre", True), ("post", False)):
        module = Transformer(1, TransformerBlock(2, 8, norm_position=norm_position))
        variables = init(module, inputs)
        assert ("norm" in variables["params"]) == has_norm
        outputs = apply(module, variables, inputs)
        # at the start every norm's scale is 1 and its bias 0; epsilon moves the deviation by 1e-5
        np.testing.assert_allclose(outputs.mean(-1), 0.0, atol=1e-5)
        np.testing.assert_allclose(outputs.std(-1), 1.0, atol=1e-4)


def test_gated_feed_forward_is_the_product_of_two_projections():
    module = FeedForward(12, activation="silu", gated=True)
    inputs = jax.random.normal(jax.random.key(0), (3, 4))
    variables = init(module, inputs)
    kernels = {name: leaf["kernel"] for name, leaf in variables["params"].items()}
    hidden = inputs @ kernels["hidden"]
    expected = (hidden / (1 + jnp.exp(-hidden)) * (inputs @ kernels["gate"])) @ kernels["out"]
    np.testing.assert_allclose(apply(module, variables, inputs), expected, **CLOSE)


@pytest.mark.parametrize("rate", ["dropout_rate", "attention_dropout_rate", "hidden_dropout_rate"])
def test_each_dropout_rate_acts_in_training_and_may_be_traced(rate):
    module = TransformerBlock(num_heads=2, width=8)
    inputs = jax.random.normal(jax.random.key(0), (2, 4, 8))
    variables = init(module, inputs)
    plain = apply(module, variables, inputs)

    @jax.jit
    @jax.vmap
    def run(value):
        clone = module.clone(**{rate: value})
        return clone.apply(variables, inputs, train=True, rngs={"dropout": jax.random.key(2)})

    none, half = run(jnp.array([0.0, 0.5]))
    np.testing.assert_allclose(none, plain, **CLOSE)
    assert np.abs(half - plain).max() > 0.05
    at_test = apply(module.clone(**{rate: 0.5}), variables, inputs)
    np.testing.assert_array_equal(at_test, plain)


@pytest.mark.parametrize("example", [MODERN, TRANSLATOR], ids=["modern", "translator"])
def test_memorises_a_batch(example):
    module = Transformer(1, example)
    inputs = jax.random.normal(jax.random.key(0), (4, 5, 16))
    memory = inputs[:, :3] if example.cross_attention else None
    targets = jax.random.randint(jax.random.key(1), (4, 5), 0, 16)
    optimizer = optax.adam(1e-2)
    variables = init(module, inputs, memory)

    def loss(variables):
        # post-norm outputs have unit variance: times 4, they can be sure of themselves
        logits = 4 * module.apply(variables, inputs, memory)
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()

    def step(carry, _):
        variables, state = carry
        value, gradients = jax.value_and_grad(loss)(variables)
        updates, state = optimizer.update(gradients, state)
        return (optax.apply_updates(variables, updates), state), value

    carry = (variables, optimizer.init(variables))
    _, losses = jax.jit(lambda carry: jax.lax.scan(step, carry, length=300))(carry)
    assert losses[0] > 2.0
    assert losses[-1] < 0.01


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_parameters():
    module = Transformer(1, MODERN.clone(dtype=jnp.bfloat16))
    inputs = jax.random.normal(jax.random.key(0), (2, 6, 16))
    variables = init(module, inputs)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    outputs = apply(module, variables, inputs)
    assert outputs.dtype == jnp.bfloat16
    exact = apply(Transformer(1, MODERN), variables, inputs)
    # some ten roundings to 8 bits of values up to 3
    np.testing.assert_allclose(outputs.astype(jnp.float32), exact, atol=0.1)
    assert module.empty_cache(2, 6)[0].attention.key.dtype == jnp.bfloat16


def test_wrong_fields_and_calls_are_named():
    inputs = jnp.zeros((1, 2, 8))
    example = TransformerBlock(num_heads=2, width=8)
    for fields, message in (
        ({"norm_position": "per"}, "Did you mean 'pre'"),
        ({"norm": "layers"}, "unknown norm 'layers'"),
        ({"activation": "rleu"}, "Did you mean 'relu'"),
        ({"cross_attention": True}, "cross_attention is True, but no memory"),
    ):
        with pytest.raises(UserError, match=message):
            example.clone(**fields).init(jax.random.key(0), inputs)
    with pytest.raises(UserError, match="cross_attention is False, but a memory"):
        example.init(jax.random.key(0), inputs, inputs)
    crossing = example.clone(cross_attention=True, is_causal=True)
    variables = init(crossing, inputs, inputs)
    with pytest.raises(UserError, match="call `remember` before"):
        apply(crossing, variables, inputs, crossing.empty_cache(1, 2), method="decode")


def test_stochastic_depth_skips_whole_sublayers_of_an_example():
    example = TransformerBlock(num_heads=2, width=8, norm_position="pre")
    inputs = jax.random.normal(jax.random.key(0), (64, 5, 8))
    params, rngs = init(example, inputs), {"dropout": jax.random.key(1)}

    def run(rate, train):
        block = example.clone(skip_rate=rate)
        return apply(block, params, inputs, train=train, rngs=rngs)

    np.testing.assert_array_equal(run(1.0, True), inputs)
    np.testing.assert_array_equal(run(0.5, False), run(0.0, True))
    is_skipped = (run(0.5, True) == inputs).all((1, 2))
    # Both sublayers are skipped in a quarter of 64, deviation 3.5: outside once in 200.
    assert 7 <= is_skipped.sum() <= 25


def test_stochastic_depth_grows_over_the_blocks():
    example = TransformerBlock(num_heads=2, width=8, norm_position="pre")
    stack, inputs = Transformer(4, example, 0.2), jnp.ones((2, 5, 8))
    params, rngs = init(stack, inputs), {"dropout": jax.random.key(1)}
    rates = [block.skip_rate for block in stack.bind(params).blocks]
    np.testing.assert_allclose(rates, [0.05, 0.1, 0.15, 0.2])

    def run(rate, params, inputs, rngs):
        return stack.clone(stochastic_depth_rate=rate).apply(params, inputs, train=True, rngs=rngs)

    traced = jax.jit(run)(0.2, params, inputs, rngs)
    np.testing.assert_allclose(traced, apply(stack, params, inputs, train=True, rngs=rngs), **CLOSE)
