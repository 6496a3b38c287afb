"""What the classifiers promise: they learn, padding is not seen, replicas differ, errors name."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compiled import apply, init

from aimodels.errors import UserError
from aimodels.models import CNN, GPT, MLP, Linear, RecurrentClassifier, TransformerClassifier

# Other orders of summation of float32 numbers of order 1.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}

SIGNAL, IMAGE, VECTORS = (8, 12), (8, 6, 6, 2), (8, 5, 3)
LEARNERS = {
    "mlp": (MLP((32,), 4), SIGNAL),
    "mlp residual": (MLP((16, 16), 4, residual=True, activation="tanh"), SIGNAL),
    "cnn signal": (CNN((8, 8), 4, strides=2, initializer="torch"), SIGNAL),
    "cnn image": (CNN((8,), 4, pooling="max", batch_norm=True, dense_features=(16,)), IMAGE),
    "cnn mean": (CNN((16, 16), 4, kernel_sizes=(3, (1, 3)), readout="mean"), IMAGE),
    "rnn": (RecurrentClassifier(16, 4, cell="rnn", readout="mean"), VECTORS),
    "lstm": (RecurrentClassifier(16, 4), VECTORS),
    "gru ids": (RecurrentClassifier(16, 4, cell="gru", bidirectional=True, vocabulary=9), (8, 5)),
    "transformer": (TransformerClassifier(4, width=16, num_layers=1), VECTORS),
    "transformer ids": (
        TransformerClassifier(4, width=16, num_layers=1, vocabulary=9, positions="sinusoidal"),
        (8, 5),
    ),
    "transformer patches": (
        TransformerClassifier(4, width=16, patch_size=3, positions="rotary", readout="mean"),
        SIGNAL,
    ),
}


def draw(model, size, seed=0):
    key = jax.random.key(seed)
    if getattr(model, "vocabulary", None):
        return jax.random.randint(key, size, 0, model.vocabulary)
    return jax.random.normal(key, size)


@pytest.mark.parametrize("name", LEARNERS)
def test_memorises_a_batch_from_finite_gradients(name):
    model, size = LEARNERS[name]
    inputs = draw(model, size)
    targets = jnp.arange(8) % 4
    variables = init(model, inputs)
    optimizer = optax.adam(1e-2)

    def loss(params, rest):
        logits, rest = model.apply(
            {"params": params, **rest}, inputs, train=True, mutable=list(rest)
        )
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean(), rest

    def step(carry, _):
        params, rest, state = carry
        (value, rest), gradients = jax.value_and_grad(loss, has_aux=True)(params, rest)
        updates, state = optimizer.update(gradients, state)
        finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients)])
        return (optax.apply_updates(params, updates), rest, state), (value, finite)

    params = variables.pop("params")
    carry = (params, variables, optimizer.init(params))
    _, (losses, finite) = jax.jit(lambda carry: jax.lax.scan(step, carry, length=300))(carry)
    assert finite.all()
    assert losses[0] > 0.7
    assert losses[-1] < 0.02


READERS = {
    "last": RecurrentClassifier(6, 4, cell="gru", bidirectional=True),
    "mean": RecurrentClassifier(6, 4, cell="rnn", readout="mean"),
    "flatten": RecurrentClassifier(6, 4, cell="lstm", bidirectional=True, readout="flatten"),
    "class token": TransformerClassifier(4, width=8, num_heads=2, num_layers=1),
    "mean token": TransformerClassifier(
        4, width=8, num_heads=2, num_layers=1, positions="rotary", readout="mean"
    ),
    "patches": TransformerClassifier(4, width=8, num_heads=2, num_layers=1, patch_size=2),
}


@pytest.mark.parametrize("name", READERS)
def test_padding_is_not_seen(name):
    model = READERS[name]
    inputs = jax.random.normal(jax.random.key(0), (3, 6, 2))
    lengths = jnp.array([6, 2, 4])
    variables = init(model, inputs, lengths=lengths)
    padding = (jnp.arange(6) >= lengths[:, None])[..., None]
    outputs = apply(model, variables, inputs, lengths=lengths)
    changed = apply(model, variables, jnp.where(padding, 7.0, inputs), lengths=lengths)
    np.testing.assert_allclose(changed, outputs, **CLOSE)
    without = apply(model, variables, inputs)
    np.testing.assert_allclose(outputs[0], without[0], **CLOSE)
    assert np.abs(outputs[1] - without[1]).max() > 1e-3
    if name not in ("flatten", "patches", "class token"):  # whose parameters fix T
        short = apply(model, variables, inputs[1:2, :2])
        np.testing.assert_allclose(outputs[1:2], short, **CLOSE)


def test_learned_positions_have_room_for_more_than_the_first_batch():
    model = TransformerClassifier(4, width=8, num_heads=2, max_length=6, vocabulary=9)
    variables = init(model, jnp.zeros((1, 3), jnp.int32))
    assert variables["params"]["positions"]["embedding"].shape == (7, 8)  # and the class token
    assert apply(model, variables, jnp.zeros((1, 6), jnp.int32)).shape == (1, 4)
    with pytest.raises(UserError, match="8 tokens, more than the 7"):
        apply(model, variables, jnp.zeros((1, 7), jnp.int32))


def test_missing_channels_are_added():
    signals = jax.random.normal(jax.random.key(0), (2, 12))
    for model in (CNN((3,), 4), RecurrentClassifier(3, 4), TransformerClassifier(4, width=8)):
        variables = init(model, signals)
        np.testing.assert_array_equal(
            apply(model, variables, signals), apply(model, variables, signals[..., None])
        )
    images = signals.reshape(2, 4, 3)
    model = CNN((3,), 4, spatial_axes=2)
    variables = init(model, images)
    assert variables["params"]["conv_0"]["kernel"].shape == (3, 3, 1, 3)
    assert init(CNN((3,), 4), images)["params"]["conv_0"]["kernel"].shape == (3, 3, 3)
    volumes = jnp.zeros((1, 3, 4, 5, 2))
    assert init(CNN((6,), 4), volumes)["params"]["conv_0"]["kernel"].shape == (3, 3, 3, 2, 6)
    with pytest.raises(UserError, match=r"shape \(2, 12, 1, 1\).*takes 1 axes"):
        init(RecurrentClassifier(3, 4), signals[..., None, None])


def test_pool_sizes_of_one_leave_a_layer_alone():
    images = jnp.zeros((1, 8, 8, 1))
    model = CNN((2, 3), 4, pooling="max", pool_sizes=(1, (2, 4)))
    assert init(model, images)["params"]["head"]["kernel"].shape == (4 * 2 * 3, 4)


@pytest.mark.parametrize(
    "model",
    [
        MLP((64,), 4, dropout_rate=0.5),
        MLP((64,), 4, input_dropout_rate=0.5),
        CNN((8,), 4, dropout_rate=0.5),
        RecurrentClassifier(16, 4, dropout_rate=0.5),
        TransformerClassifier(4, width=16, dropout_rate=0.5),
    ],
    ids=["mlp", "mlp input", "cnn", "recurrent", "transformer"],
)
def test_dropout_in_training_only_and_at_a_traced_rate(model):
    inputs = jax.random.normal(jax.random.key(0), (4, 12))
    variables = init(model, inputs)
    field = "input_dropout_rate" if getattr(model, "input_dropout_rate", 0) else "dropout_rate"
    quiet = apply(model, variables, inputs)
    np.testing.assert_array_equal(apply(model.clone(**{field: 0.0}), variables, inputs), quiet)

    @jax.jit
    @jax.vmap
    def run(rate, key):
        rngs = {"dropout": key}
        return model.clone(**{field: rate}).apply(variables, inputs, train=True, rngs=rngs)

    keys = jax.random.split(jax.random.key(1), 2)
    none, first = run(jnp.array([0.0, 0.5]), jnp.stack([keys[0], keys[0]]))
    _, second = run(jnp.array([0.5, 0.5]), keys)
    np.testing.assert_allclose(none, quiet, **CLOSE)
    assert np.abs(first - quiet).max() > 1e-2
    assert np.abs(first - second).max() > 1e-2


@pytest.mark.parametrize("name", ["mlp", "cnn image", "gru ids", "transformer patches"])
def test_one_set_of_parameters_a_replica(name):
    model, size = LEARNERS[name]
    inputs = draw(model, size)
    keys = jax.random.split(jax.random.key(0), 2)
    variables = jax.jit(jax.vmap(model.init, (0, None)))(keys, inputs)
    outputs = jax.jit(jax.vmap(model.apply, (0, None)))(variables, inputs)
    assert outputs.shape == (2, 8, 4)
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-2
    second = jax.tree.map(lambda leaf: leaf[1], variables)
    np.testing.assert_allclose(outputs[1], apply(model, second, inputs), **CLOSE)


@pytest.mark.parametrize("name", ["transformer", "transformer ids", "lstm"])
def test_bfloat16_is_near_float32(name):
    model, size = LEARNERS[name]
    inputs = draw(model, size)
    variables = init(model, inputs)
    outputs = apply(model.clone(dtype=jnp.bfloat16), variables, inputs)
    assert outputs.dtype == jnp.bfloat16
    # a dozen roundings to 8 bits of values of order 1
    exact = apply(model, variables, inputs)
    np.testing.assert_allclose(outputs.astype(jnp.float32), exact, atol=0.1)


def test_pytorchs_initial_values_reach_every_layer():
    signals = jnp.zeros((1, 40))
    cnn = CNN((25, 25), 10, kernel_sizes=(5, 3), padding=1, initializer="torch")
    gru = RecurrentClassifier(
        16, 10, cell="gru", bidirectional=True, readout="flatten", initializer="torch"
    )
    mlp = MLP((100, 100), 10, initializer="torch")
    params = {name: init(m, signals)["params"] for name, m in (("c", cnn), ("g", gru), ("m", mlp))}
    for leaf, fan_in in (
        (params["c"]["conv_0"]["kernel"], 5),
        (params["c"]["conv_0"]["bias"], 5),
        (params["c"]["conv_1"]["kernel"], 75),
        (params["g"]["recurrent"]["layer_0_backward"]["recurrent_kernel"], 16),
        (params["g"]["recurrent"]["layer_0_forward"]["input_bias"], 16),
        (params["g"]["head"]["kernel"], 2 * 16 * 40),
        (params["m"]["dense_1"]["bias"], 100),
        (params["m"]["head"]["kernel"], 100),
    ):
        bound = fan_in**-0.5
        assert np.abs(leaf).max() <= bound
        # at least 25 uniform draws: the largest is below 0.8 of the bound once in 260
        assert np.abs(leaf).max() > 0.8 * bound


@pytest.mark.parametrize("model", [Linear(3), MLP((4,), 3), CNN((4,), 3)])
def test_models_of_fixed_size_refuse_lengths(model):
    with pytest.raises(UserError, match="reads inputs of one size, and this data has lengths"):
        init(model, jnp.zeros((2, 6)), lengths=jnp.array([3, 6]))


def test_wrong_fields_are_named():
    tokens = jnp.zeros((2, 6), jnp.int32)
    for model, inputs, message in (
        (CNN((4, 4), 3, strides=(1, 2, 3)), tokens, r"CNN.strides is \(1, 2, 3\); .* of the 2"),
        (MLP((4,), 3, activation="rellu"), tokens, "Did you mean 'relu'"),
        (TransformerClassifier(3, vocabulary=5, patch_size=2), tokens, "not both"),
        (TransformerClassifier(3, num_heads=3), tokens, "num_heads is 3"),
        (GPT(5, max_length=4), tokens, "6 tokens, more than the 4"),
    ):
        with pytest.raises(UserError, match=message):
            init(model, inputs)
    model = TransformerClassifier(3, patch_size=2)
    with pytest.raises(UserError, match="no lengths with images"):
        init(model, jnp.zeros((1, 4, 4, 1)), lengths=jnp.array([3]))
