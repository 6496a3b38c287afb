"""The published classifiers against torchvision's, on the same weights."""

import importlib.util

import jax
import numpy as np
import pytest
from torch_layout import GOLDEN, load

from aimodels.errors import UserError
from aimodels.models import (
    CNN,
    VGG,
    AlexNet,
    EfficientNetLite0,
    GoogLeNet,
    InceptionV3,
    ResNet,
    VisionTransformer,
)
from aimodels.models.state_dicts import from_state_dict, places, to_state_dict

spec = importlib.util.spec_from_file_location("seeded_weights", GOLDEN / "seeded_weights.py")
seeded_weights = importlib.util.module_from_spec(spec)
spec.loader.exec_module(seeded_weights)

NARROW = {"dense_features": (16, 12), "dropout_rate": 0.0}
CASES = {
    "vit": (
        VisionTransformer(10, width=12, num_layers=2, num_heads=2, mlp_width=20, patch_size=4),
        (16, 16),
    ),
    "alexnet": (AlexNet(10, **NARROW), (63, 95)),
    "vgg11_bn": (VGG(11, 10, batch_norm=True, **NARROW), (64, 40)),
    "resnet18": (ResNet(18, 10), (33, 47)),
    "resnet50": (ResNet(50, 10, output_stride=16), (33, 47)),
    "googlenet": (GoogLeNet(10, dropout_rate=0.0, auxiliary_dropout_rate=0.0), (47, 65)),
    "inception_v3": (InceptionV3(10, auxiliary_head=False, dropout_rate=0.0), (107, 139)),
}
# These networks run once, so that optimising them would take longer than it saves.
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def shapes_of(model, size):
    inputs = jax.ShapeDtypeStruct((2, *size, 3), "float32")
    return jax.eval_shape(model.init, jax.random.key(0), inputs)


def state_of(model, shapes):
    return {
        p.name: seeded_weights.seeded(p.name, p.shape) for p in places("torchvision", model, shapes)
    }


def assert_close(found, expected):
    """To 1e-4 of the largest value.

    PyTorch computed in float64; float32 loses 6e-8 at each of up to a hundred layers, and a norm
    over a batch of two small pictures enlarges what came before it.
    """
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("case", CASES)
def test_equals_torchvision_in_evaluation_and_in_training(case):
    model, size = CASES[case]
    golden = load("torchvision", case)
    inputs = seeded_weights.images(2, *size, 3)
    shapes = shapes_of(model, size)
    variables = from_state_dict("torchvision", model, state_of(model, shapes), shapes)

    def run(variables, inputs):
        trained, changed = model.apply(
            variables, inputs, train=True, mutable=["batch_stats", "auxiliary_outputs"]
        )
        return model.apply(variables, inputs), trained, changed

    evaluated, trained, changed = jax.jit(run, compiler_options=QUICKLY)(variables, inputs)
    assert_close(evaluated, golden["evaluated"])
    assert_close(trained, golden["trained"])
    if "batch_stats" in variables:
        state = to_state_dict(
            "torchvision", model, {**variables, "batch_stats": changed["batch_stats"]}
        )
        running = [state[name][::8] for name in sorted(state) if "running" in name]
        assert_close(np.concatenate(running), golden["statistics"])
    sown = changed.get("auxiliary_outputs", {})
    assert len(sown) == sum(name.startswith("auxiliary") for name in golden)
    # PyTorch returns the later head first.
    for index, name in enumerate(sorted(sown, reverse=True)):
        assert_close(sown[name][0], golden[f"auxiliary_{index}"])


ROUND_TRIPS = {name: CASES[name] for name in ("vit", "alexnet", "vgg11_bn", "googlenet")} | {
    "inception_v3": (InceptionV3(10), (75, 75)),
    "efficientnet": (EfficientNetLite0(10), (32, 32)),
    "vgg11": (VGG(11, 10, dense_features=(), pooled_size=2), (32, 32)),
}


@pytest.mark.parametrize("case", ROUND_TRIPS)
def test_names_go_both_ways_exactly(case):
    model, size = ROUND_TRIPS[case]
    shapes = shapes_of(model, size)
    state = state_of(model, shapes)
    variables = from_state_dict("torchvision", model, state, shapes)
    assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, shapes)
    again = to_state_dict("torchvision", model, variables)
    assert again.keys() == state.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(again[name], array)


def test_weights_that_do_not_fit_are_listed():
    model, size = CASES["vit"]
    shapes = shapes_of(model, size)
    state = state_of(model, shapes)
    del state["class_token"]
    state["heads.head.weight"] = np.zeros((7, 12), np.float32)
    state |= {"fc.weight": np.zeros(3), "bn1.num_batches_tracked": np.zeros(())}
    with pytest.raises(UserError) as error:
        from_state_dict("torchvision", model, state, shapes)
    assert "missing: class_token" in str(error.value)
    assert "unknown: fc.weight" in str(error.value)
    assert "heads.head.weight: (7, 12), where the model has (10, 12)" in str(error.value)
    assert "num_batches" not in str(error.value)
    with pytest.raises(UserError, match="CNN"):
        places("torchvision", CNN((1,), 1), shapes)
