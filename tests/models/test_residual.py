"""Residual networks beyond torchvision's, and what the forms of ResNet promise."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import apply, init
from flax.traverse_util import flatten_dict, unflatten_dict
from torch_layout import GOLDEN, load

from aimodels.errors import UserError
from aimodels.models import CifarResNet, PreActivationResNet, ResNet, WideResNet
from aimodels.models.cifar_resnet import identity_shortcut
from aimodels.models.resnet import ResidualBlock, ResNetBackbone
from aimodels.models.state_dicts import LEAVES, Place

spec = importlib.util.spec_from_file_location("seeded_weights", GOLDEN / "seeded_weights.py")
seeded_weights = importlib.util.module_from_spec(spec)
spec.loader.exec_module(seeded_weights)

CASES = {
    "cifar_resnet_8": CifarResNet(8, width=6),
    "preactivation_resnet_20": PreActivationResNet(20, 10, stem="cifar"),
    "wrn_16_2": WideResNet(16, widen_factor=2),
}


def seeded_variables(model, shapes):
    """Weights made from names that are our paths, and the name and place of each."""
    leaves, found = flatten_dict(shapes), {}
    for path, leaf in leaves.items():
        turned = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[leaf.ndim]
        shape = tuple(leaf.shape[axis] for axis in turned)
        found[path] = Place(".".join((*path[1:-1], LEAVES[path[-1]])), (path,), shape)
    arrays = {
        path: place.to_ours(seeded_weights.seeded(place.name, place.shape))[0]
        for path, place in found.items()
    }
    return unflatten_dict(arrays), found


def assert_close(found, expected):
    """To 1e-4 of the largest value: float32 against float64, with norms over small batches."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("case", CASES)
def test_equals_pytorch_in_evaluation_and_in_training(case):
    model, golden = CASES[case], load("residual", case)
    inputs = seeded_weights.images(2, 11, 14, 3)
    shapes = jax.eval_shape(model.init, jax.random.key(0), inputs)
    variables, found = seeded_variables(model, shapes)

    def run(variables, inputs):
        trained, changed = model.apply(variables, inputs, train=True, mutable=["batch_stats"])
        return model.apply(variables, inputs), trained, changed

    evaluated, trained, changed = jax.jit(run)(variables, inputs)
    assert_close(evaluated, golden["evaluated"])
    assert_close(trained, golden["trained"])
    running = {
        place.name: np.asarray(flatten_dict(changed)[path])
        for path, place in found.items()
        if path[0] == "batch_stats"
    }
    sampled = np.concatenate([running[name][::8] for name in sorted(running)])
    assert_close(sampled, golden["statistics"])


@pytest.mark.parametrize(
    ("output_stride", "stem", "sides"),
    [
        (32, "imagenet", (16, 8, 4, 2)),
        (16, "imagenet", (16, 8, 4, 4)),
        (8, "imagenet", (16, 8, 8, 8)),
        (32, "cifar", (64, 32, 16, 8)),
    ],
)
def test_feature_maps_have_the_sizes_of_a_detector_or_segmenter(output_stride, stem, sides):
    backbone = ResNetBackbone(18, stem=stem, output_stride=output_stride)
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), "float32")
    maps, variables = jax.eval_shape(
        lambda images: backbone.init_with_output(jax.random.key(0), images), images
    )
    expected = {f"c{2 + n}": (1, side, side, 64 * 2**n) for n, side in enumerate(sides)}
    assert {name: value.shape for name, value in maps.items()} == expected
    whole = jax.eval_shape(
        ResNet(18, stem=stem, output_stride=output_stride).init, jax.random.key(0), images
    )
    ours = jax.tree.map(np.shape, variables["params"])
    assert jax.tree.map(np.shape, whole["params"]["backbone"]) == ours


def test_a_block_whose_norm_starts_from_zero_is_its_shortcut():
    inputs = jax.random.normal(jax.random.key(0), (2, 5, 5, 4))
    for fields in ({}, {"inner_features": 3}):
        block = ResidualBlock(4, zero_init=True, **fields)
        np.testing.assert_array_equal(apply(block, init(block, inputs), inputs), inputs.clip(0))


def test_stochastic_depth_drops_what_a_block_adds_for_whole_examples():
    block, dropping = ResidualBlock(4), ResidualBlock(4, drop_rate=0.5)
    inputs = jax.random.normal(jax.random.key(0), (32, 3, 3, 4))
    variables = init(block, inputs)
    given = {"train": True, "mutable": ["batch_stats"]}
    whole, _ = apply(block, variables, inputs, **given)
    found, _ = apply(dropping, variables, inputs, rngs={"dropout": jax.random.key(1)}, **given)
    skipped = np.array([np.array_equal(a, b) for a, b in zip(found, inputs.clip(0), strict=True)])
    assert 6 < skipped.sum() < 26  # of 32 at one half: outside with a chance of 3e-4
    assert not np.isclose(found[~skipped], whole[~skipped]).all()  # scaled by 1 / (1 - rate)
    np.testing.assert_array_equal(
        apply(dropping, variables, inputs), apply(block, variables, inputs)
    )


def test_the_shortcut_without_parameters_takes_every_second_place():
    inputs = jnp.arange(2 * 5 * 4 * 3.0).reshape(2, 5, 4, 3)
    outputs = identity_shortcut(inputs, 2, 5)
    np.testing.assert_array_equal(outputs[..., :3], inputs[:, ::2, ::2])
    assert outputs.shape == (2, 3, 2, 5)
    assert not outputs[..., 3:].any()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (ResNet(51), "unknown depth of ResNet '51'"),
        (ResNet(18, width_per_group=128), "are for bottlenecks"),
        (ResNet(50, output_stride=4), "output_stride is 4; it takes 8, 16 or 32"),
        (CifarResNet(21), r"depth is 21; CifarResNet takes 6 n \+ 2"),
        (WideResNet(29), r"depth is 29; this WideResNet takes 6 n \+ 4"),
        (PreActivationResNet(20), "unknown depth of PreActivationResNet '20'"),
        (PreActivationResNet(21, stem="cifar"), r"takes 9 n \+ 2"),
        (PreActivationResNet(stem="CIFAR"), "unknown stem 'CIFAR'"),
    ],
)
def test_fields_that_make_no_network_are_named(model, message):
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), "float32")
    with pytest.raises(UserError, match=message):
        jax.eval_shape(model.init, jax.random.key(0), images)
