"""Heat maps by what they must be: sums, linear models, one pixel, rows of 1."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aimodels.errors import UserError
from aimodels.interpret import (
    attention_rollout,
    deletion_score,
    feature_layers,
    grad_cam,
    integrated_gradients,
    occlusion,
    resized,
    rollout,
    token_map,
)
from aimodels.models import CNN, MLP, TransformerClassifier

IMAGES = jax.random.normal(jax.random.key(1), (4, 8, 12, 2))
CLASSES = jnp.array([0, 2, 1, 2])
SMALL = CNN((3, 5), 3, pooling="max", dense_features=(7,), activation="gelu")


def started(model, inputs=IMAGES):
    """Its variables, large enough that no score is near another."""
    variables = jax.jit(model.init)(jax.random.key(0), inputs)
    return jax.tree.map(lambda leaf: 1.5 * leaf, variables)


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_integrated_gradients_add_up_to_the_score(activation):
    model = SMALL.clone(activation=activation)
    variables = started(model)

    @jax.jit
    def sums_and_rises(inputs):
        def function(inputs):
            return model.apply(variables, inputs)

        found = integrated_gradients(function, inputs, CLASSES, baseline=0.3)
        rises = function(inputs) - function(jnp.full_like(inputs, 0.3))
        return found.sum((1, 2, 3)), rises[jnp.arange(4), CLASSES]

    sums, rises = sums_and_rises(IMAGES)
    assert np.abs(rises).max() > 0.1
    # Completeness to 1 %, also of scores that hardly differ, with the default.
    np.testing.assert_allclose(sums, rises, rtol=0.01)


def test_integrated_gradients_of_a_polynomial():
    def function(inputs):
        x = inputs[:, 0]
        return jnp.stack([x[:, 0] ** 2 + x[:, 0] * x[:, 1], 5 * x[:, 1]], 1)

    inputs = jnp.array([[[2.0, 3.0]], [[2.0, 3.0]]])
    found = integrated_gradients(function, inputs, jnp.array([0, 1]))
    # By hand: ∫ 2 (2α²·2 + 3α... ) dα = x² + xy / 2 and xy / 2; linear scores give their terms.
    np.testing.assert_allclose(found[:, 0], [[4 + 3, 3], [0, 15]], rtol=1e-4)


def test_grad_cam_is_exact_where_the_head_is_linear():
    model = CNN((3, 4), 3, kernel_sizes=3, readout="mean")
    variables = started(model)
    maps = jax.jit(lambda inputs: grad_cam(model, variables, inputs, CLASSES))(IMAGES)
    _, state = model.apply(variables, IMAGES, capture_intermediates=True, mutable=["intermediates"])
    features = state["intermediates"]["features_1"]["__call__"][0]
    weights = variables["params"]["head"]["kernel"][:, CLASSES].T / (8 * 12)
    expected = np.maximum(0, (features * weights[:, None, None]).sum(-1))
    assert (expected > 0).mean() > 0.1
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-6)  # float32, other orders


def test_grad_cams_gradients_are_differences_of_the_score():
    variables = started(SMALL)
    layer = "conv_1"
    maps = grad_cam(SMALL, variables, IMAGES, CLASSES, layer=layer)
    assert maps.shape == (4, 4, 6)

    # A bias of conv_1 moves one map everywhere: by its mean gradient times the number of places.
    def score(bias):
        moved = jax.tree.map(lambda leaf: leaf, variables)
        moved["params"][layer]["bias"] = variables["params"][layer]["bias"] + bias
        return SMALL.apply(moved, IMAGES)[jnp.arange(4), CLASSES]

    small = 1e-2
    rises = [(score(small * unit) - score(-small * unit)) / (2 * small) for unit in jnp.eye(5)]
    _, state = SMALL.apply(variables, IMAGES, capture_intermediates=True, mutable=["intermediates"])
    features = state["intermediates"][layer]["__call__"][0]
    weights = jnp.stack(rises, 1)[:, None, None] / (4 * 6)
    expected = np.maximum(0, (features * weights).sum(-1))
    # Central differences of a smooth function: an error of small² and of float32 / small.
    np.testing.assert_allclose(maps, expected, atol=2e-3 * np.abs(expected).max())


def test_layers_are_found_as_they_are_called():
    variables = jax.eval_shape(SMALL.init, jax.random.key(0), IMAGES)
    layers = feature_layers(SMALL, variables, IMAGES)
    assert list(layers) == ["conv_0", "features_0", "conv_1", "features_1"]
    assert layers["features_1"] == (4, 4, 6, 5)
    with pytest.raises(UserError, match="Did you mean 'features_1'"):
        grad_cam(SMALL, variables, IMAGES, CLASSES, layer="feature_1")
    flat = MLP((4,), 3)
    with pytest.raises(
        UserError, match=r"no module of MLP gives maps .* take integrated_gradients"
    ):
        grad_cam(flat, jax.eval_shape(flat.init, jax.random.key(0), IMAGES), IMAGES, CLASSES)


class Twice(nn.Module):
    """Calls one module twice, and has BatchNorm and bfloat16."""

    @nn.compact
    def __call__(self, inputs, *, train=False):
        """[B, H, W, C] -> [B, 3]."""
        conv = nn.Conv(inputs.shape[-1], (3, 3), dtype=jnp.bfloat16, name="conv")
        hidden = conv(nn.relu(conv(inputs)))
        hidden = nn.BatchNorm(use_running_average=not train, name="norm")(hidden)
        return nn.Dense(3)(hidden.mean((1, 2)))


def test_any_linen_model_will_do():
    variables = started(Twice())
    assert list(feature_layers(Twice(), variables, IMAGES)) == ["conv", "norm"]
    for layer in (None, "norm"):
        maps = grad_cam(Twice(), variables, IMAGES, CLASSES, layer=layer)
        assert maps.shape == (4, 8, 12)
        assert (maps >= 0).all()
        assert maps.max() > 0
    # Behind the second call all is linear: a factor for each map, then the head.
    _, state = Twice().apply(
        variables, IMAGES, capture_intermediates=True, mutable=["intermediates"]
    )
    last = state["intermediates"]["conv"]["__call__"][-1].astype(jnp.float32)
    factor = variables["params"]["norm"]["scale"] / jnp.sqrt(
        variables["batch_stats"]["norm"]["var"]
    )
    kernel = variables["params"]["Dense_0"]["kernel"] * factor[:, None]
    expected = jax.nn.relu((last * kernel[:, CLASSES].T[:, None, None]).sum(-1)) / (8 * 12)
    maps = grad_cam(Twice(), variables, IMAGES, CLASSES, layer="conv")
    # The gradient goes through bfloat16: 8 bits.
    np.testing.assert_allclose(maps, expected, atol=0.02 * np.abs(expected).max())


def test_occlusion_of_a_model_that_looks_at_one_pixel():
    def function(images):
        seen = images[:, 3, 5, 0]
        return jnp.stack([seen, -seen, 0 * seen], 1)

    images = jnp.ones((3, 8, 9, 1))
    maps = occlusion(function, images, jnp.array([0, 1, 2]), window=1, stride=1)
    expected = np.zeros((3, 8, 9))
    expected[:2, 3, 5] = 1, -1
    np.testing.assert_allclose(maps, expected)
    wide = np.asarray(occlusion(function, images, jnp.array([0, 1, 2]), window=3, stride=2))
    assert wide[0, 3, 5] == 1
    assert (wide[0, [0, 7]] == 0).all()  # no square hides both it and the border rows
    assert wide[0, 2, 6] > 0
    # Hidden by what is there already: nothing falls.
    assert (
        occlusion(function, images, jnp.array([0, 1, 2]), window=3, stride=2, baseline=1.0) == 0
    ).all()
    larger = occlusion(function, images, jnp.array([0, 1, 2]), window=20, stride=5)
    np.testing.assert_allclose(larger[0], np.ones((8, 9)))


def test_rollout_by_hand_and_rows_of_1():
    first = jnp.array([[[[1.0, 0.0], [0.5, 0.5]]]])
    second = jnp.array([[[[0.0, 1.0], [0.0, 1.0]]]])
    # (½ W₂ + ½ I) (½ W₁ + ½ I) = [[½, ½], [0, 1]] [[1, 0], [¼, ¾]]
    np.testing.assert_allclose(rollout([first, second])[0], [[0.625, 0.375], [0.25, 0.75]])
    weights = nn.softmax(jax.random.normal(jax.random.key(0), (5, 2, 3, 7, 7)))
    np.testing.assert_allclose(rollout(list(weights)).sum(-1), np.ones((2, 7)), rtol=1e-6)


@pytest.mark.parametrize("readout", ["class_token", "mean"])
def test_attention_rollout_takes_all_layers_in_order(readout):
    model = TransformerClassifier(
        3, width=8, num_layers=11, num_heads=2, patch_size=4, readout=readout
    )
    variables = started(model)
    run = jax.jit(
        lambda inputs: (
            attention_rollout(model, variables, inputs),
            model.apply(variables, inputs, mutable=["intermediates"])[1]["intermediates"][
                "encoder"
            ],
        )
    )
    maps, sown = run(IMAGES)
    assert maps.shape == (4, 2, 3)
    layers = [sown[f"block_{i}"]["attention"]["attention_weights"][0] for i in range(11)]
    joint = rollout(layers)
    expected = joint[:, 0, 1:] if readout == "class_token" else joint.mean(1)
    np.testing.assert_allclose(maps.reshape(4, 6), expected, rtol=1e-4)


def test_grids_of_tokens():
    assert token_map(jnp.ones((1, 49, 49)), (28, 28)).shape == (1, 7, 7)
    assert token_map(jnp.ones((1, 50, 50)), (28, 28)).shape == (1, 7, 7)
    assert token_map(jnp.ones((1, 33, 33)), (32, 64)).shape == (1, 4, 8)
    with pytest.raises(UserError, match="47 tokens are no grid"):
        token_map(jnp.ones((1, 47, 47)), (28, 28))
    variables = jax.eval_shape(SMALL.init, jax.random.key(0), IMAGES)
    with pytest.raises(UserError, match="CNN has no attention"):
        jax.eval_shape(lambda v: attention_rollout(SMALL, v, IMAGES), variables)


def test_the_deletion_score_by_hand():
    images = jnp.array([4.0, 3.0, 2.0, 1.0]).reshape(1, 2, 2, 1)

    def function(images):  # the share of light that is left
        left = images.sum((1, 2, 3)) / 10
        return jnp.stack([left, 1 - left], 1)

    best = deletion_score(function, images, jnp.array([0]), images[..., 0], steps=4)
    worst = deletion_score(function, images, jnp.array([0]), -images[..., 0], steps=4)
    # 1, .6, .3, .1, 0 and 1, .9, .7, .4, 0 by trapezoids of ¼.
    np.testing.assert_allclose(best, [(0.5 + 0.6 + 0.3 + 0.1) / 4], rtol=1e-6)
    np.testing.assert_allclose(worst, [(0.5 + 0.9 + 0.7 + 0.4) / 4], rtol=1e-6)
    assert resized(images[..., 0], (4, 4)).shape == (1, 4, 4)
