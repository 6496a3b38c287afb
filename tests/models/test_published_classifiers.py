"""What the published classifiers have in common, by shapes alone; and LeNet-5's sparse layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import apply, init

from aimodels import models
from aimodels.errors import UserError
from aimodels.models.lenet import CONNECTIONS, codes

# The model, the side of its images, and some intermediates with their shapes.
MODELS = {
    "LeNet5": (models.LeNet5(), 32, {"c1_state": (2, 28, 28, 6), "f6_state": (2, 84)}),
    "AlexNet": (
        models.AlexNet(10, dense_features=(8,)),
        63,
        {"features_1": (2, 15, 15, 64), "features_5": (2, 3, 3, 256), "pooled": (2, 6, 6, 256)},
    ),
    "VGG": (
        models.VGG(11, 10, batch_norm=True, dense_features=(8,)),
        32,
        {"backbone/stage_1": (2, 32, 32, 64), "pooled": (2, 7, 7, 512)},
    ),
    "GoogLeNet": (
        models.GoogLeNet(10),
        64,
        {"inception_3a": (2, 8, 8, 256), "inception_5b": (2, 2, 2, 1024), "pooled": (2, 1024)},
    ),
    "InceptionV3": (
        models.InceptionV3(10, auxiliary_head=False),
        75,
        {"mixed_5b": (2, 7, 7, 256), "mixed_7c": (2, 1, 1, 2048), "pooled": (2, 2048)},
    ),
    "ResNet": (
        models.ResNet(18, 10),
        64,
        {"backbone/c2": (2, 16, 16, 64), "backbone/c5": (2, 2, 2, 512), "pooled": (2, 512)},
    ),
    "CifarResNet": (models.CifarResNet(8), 32, {"stage_3": (2, 8, 8, 64), "pooled": (2, 64)}),
    "PreActivationResNet": (
        models.PreActivationResNet(18, 10),
        64,
        {"stages/stage_1": (2, 16, 16, 64), "pooled": (2, 512)},
    ),
    "WideResNet": (models.WideResNet(10), 32, {"stages/stage_3": (2, 8, 8, 640)}),
    "EfficientNetLite0": (
        models.EfficientNetLite0(10),
        64,
        {"backbone/c3": (2, 8, 8, 40), "backbone/c5": (2, 2, 2, 320), "pooled": (2, 1280)},
    ),
    "VisionTransformer": (
        models.VisionTransformer(10, width=16, num_layers=2, num_heads=2),
        64,
        {
            "tokens": (2, 17, 16),
            "pooled": (2, 16),
            "encoder/block_1/attention/attention_weights": (2, 2, 17, 17),
        },
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_computes_in_its_dtype_and_names_what_it_computes(name):
    model, side, expected = MODELS[name]
    model = model.clone(dtype=jnp.bfloat16)
    channels = 1 if name == "LeNet5" else 3
    images = jax.ShapeDtypeStruct((2, side, side, channels), "uint8")
    key = jax.random.key(0)
    variables = jax.eval_shape(model.init, key, images)
    assert set(variables) <= {"params", "batch_stats"}
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}

    def run(variables, images, train):
        rngs = {"dropout": key} if train else None
        kept = ["batch_stats", "intermediates", "auxiliary_outputs"]
        return model.apply(variables, images, train=train, rngs=rngs, mutable=kept)

    for train in (False, True):
        logits, changed = jax.eval_shape(
            lambda variables, images: run(variables, images, train),  # noqa: B023
            variables,
            images,
        )
        assert (logits.shape, logits.dtype) == ((2, 10), jnp.bfloat16)
        for path, shape in expected.items():
            value = changed["intermediates"]
            for part in path.split("/"):
                value = value[part]
            assert value[0].shape == shape, path
        heads = 2 if name == "GoogLeNet" and train else 0
        auxiliary = jax.tree.leaves(changed.get("auxiliary_outputs", {}))
        assert [leaf.shape for leaf in auxiliary] == [(2, 10)] * heads


def test_vit_reads_the_mean_or_the_class_token():
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), "float32")
    for readout, tokens in (("class_token", 5), ("mean", 4)):
        model = models.VisionTransformer(10, width=8, num_heads=2, num_layers=1, readout=readout)
        params = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
        assert params["positions"]["embedding"].shape == (tokens, 8)
        assert ("class_token" in params) == (readout == "class_token")
    with pytest.raises(UserError, match="unknown size of VisionTransformer 'M'"):
        jax.eval_shape(models.VisionTransformer(size="M").init, jax.random.key(0), images)


def test_images_that_are_too_small_or_padded_are_refused():
    small = jax.ShapeDtypeStruct((1, 16, 16, 3), "float32")
    for model in (models.AlexNet(), models.VGG(11), models.InceptionV3()):
        with pytest.raises(UserError, match="does not fit on inputs"):
            jax.eval_shape(model.init, jax.random.key(0), small)
    with pytest.raises(UserError, match=r"takes images of \[32, 32, 1\] or \[28, 28, 1\]"):
        jax.eval_shape(models.LeNet5().init, jax.random.key(0), small)
    with pytest.raises(UserError, match="ResNet reads inputs of one size"):
        jax.eval_shape(
            lambda images: models.ResNet(18).init(
                jax.random.key(0), images, lengths=jnp.array([3])
            ),
            small,
        )


def test_lenet_connects_its_maps_as_table_1():
    # Each map of S2 is seen by ten of C3, as the crosses of the table's rows count.
    assert [sum(n in sources for sources in CONNECTIONS) for n in range(6)] == [10] * 6
    model = models.LeNet5()
    images = jax.random.normal(jax.random.key(0), (1, 32, 32, 1))
    variables = init(model, images)

    @jax.jit
    def maps(bias):
        params = variables["params"]
        moved = params["s2"] | {"bias": params["s2"]["bias"] + bias}
        _, kept = model.apply({"params": params | {"s2": moved}}, images, mutable=["intermediates"])
        return kept["intermediates"]["c3_state"][0]

    # One program for both, so that what isn't connected stays to the bit.
    before, after = maps(jnp.zeros(6)), maps(jnp.eye(6)[4])
    changed = np.abs(before - after).max((0, 1, 2)) > 0
    assert [index for index in range(16) if changed[index]] == [
        index for index, sources in enumerate(CONNECTIONS) if 4 in sources
    ]


def test_lenet_gives_minus_the_squared_distance_from_codes_that_stay():
    model = models.LeNet5()
    images = jax.random.normal(jax.random.key(0), (2, 28, 28))
    logits, kept = apply(model, init(model, images), images, mutable=["intermediates"])
    state = np.asarray(kept["intermediates"]["f6_state"][0])
    expected = -((state[:, None] - codes(10)) ** 2).sum(-1)
    np.testing.assert_allclose(logits, expected, rtol=1e-5)  # float32 sums of 84 numbers
    assert (np.abs(codes(10)) == 1).all()
    assert len({tuple(code) for code in codes(10)}) == 10
    np.testing.assert_array_equal(codes(10), codes(10))
