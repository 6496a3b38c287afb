"""State dicts in our names, torchvision's and Hugging Face's: what fits, and what doesn't."""

import importlib.util
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from torch_layout import GOLDEN, load

from aimodels import models
from aimodels.config import call_section, named_section
from aimodels.errors import UserError
from aimodels.models.published import PUBLISHED, published
from aimodels.models.state_dicts import fitted, from_state_dict, places, to_state_dict

spec = importlib.util.spec_from_file_location("seeded_weights", GOLDEN / "seeded_weights.py")
seeded_weights = importlib.util.module_from_spec(spec)
spec.loader.exec_module(seeded_weights)

SMALL_VIT = {"width": 12, "num_layers": 2, "num_heads": 2, "mlp_width": 20, "patch_size": 4}
CASES = {
    "vit": (models.VisionTransformer(10, **SMALL_VIT), (16, 16)),
    "resnet18": (models.ResNet(18, 10), (33, 47)),
    "resnet50": (models.ResNet(50, 10), (33, 47)),
}
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def shapes_of(model, size):
    inputs = jax.ShapeDtypeStruct((2, *size, 3), "float32")
    return jax.eval_shape(model.init, jax.random.key(0), inputs)


def state_of(naming, model, shapes):
    found = places(naming, model, shapes)
    return {place.name: seeded_weights.seeded(place.name, place.shape) for place in found}


@pytest.mark.parametrize("case", CASES)
def test_equals_transformers(case):
    model, size = CASES[case]
    golden = load("huggingface", case)
    shapes = shapes_of(model, size)
    state = state_of("huggingface", model, shapes)
    assert sorted(state) == golden["names"].tolist()
    variables = from_state_dict("huggingface", model, state, shapes)
    inputs = seeded_weights.images(2, *size, 3)
    found = jax.jit(model.apply, compiler_options=QUICKLY)(variables, inputs)
    expected = golden["evaluated"]
    # PyTorch computed in float64; float32 loses 6e-8 at each of up to fifty layers.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("naming", ["ours", "torchvision", "huggingface"])
@pytest.mark.parametrize("case", ["vit", "resnet18"])
def test_round_trips_are_exact(naming, case):
    model, size = CASES[case]
    shapes = shapes_of(model, size)
    state = state_of(naming, model, shapes)
    variables = from_state_dict(naming, model, state, shapes)
    assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, shapes)
    again = to_state_dict(naming, model, variables)
    assert again.keys() == state.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(again[name], array)


def test_our_names_are_paths():
    model, size = CASES["vit"]
    shapes = shapes_of(model, size)
    names = {place.name for place in places("ours", model, shapes)}
    assert names == set(flatten_dict(shapes, sep="/"))


def test_a_file_without_a_head_leaves_the_prefix_out():
    model, size = CASES["vit"]
    shapes = shapes_of(model, size)
    whole = state_of("huggingface", model, shapes)
    bare = {n.removeprefix("vit."): a for n, a in whole.items() if n.startswith("vit.")}
    bare["pooler.dense.bias"] = np.zeros(12, np.float32)
    with pytest.raises(UserError, match=r"missing: classifier\.bias"):
        from_state_dict("huggingface", model, bare, shapes)
    found = fitted("huggingface", model, bare, shapes, new=("^head/",), ignore=("^pooler",))
    assert ("params", "head", "kernel") not in found
    np.testing.assert_array_equal(
        found["params", "class_token"], whole["vit.embeddings.cls_token"][0, 0]
    )


@pytest.mark.parametrize("naming", ["ours", "torchvision", "huggingface"])
def test_all_that_does_not_fit_is_listed(naming):
    model, size = CASES["resnet18"]
    shapes = shapes_of(model, size)
    state = state_of(naming, model, shapes)
    first, second, *_ = sorted(state)
    del state[first]
    state[second] = np.zeros((3, 1), np.float32)
    third = sorted(state)[-1]
    state[third] = np.zeros(state[third].shape, np.int32)
    state |= {"other.weight": np.zeros(3), "bn1.num_batches_tracked": np.zeros(())}
    with pytest.raises(UserError, match="don't fit ResNet") as error:
        from_state_dict(naming, model, state, shapes)
    said = str(error.value)
    assert f"missing: {first}" in said
    assert "unknown: other.weight" in said
    assert f"{second}: (3, 1), where the model has (" in said
    assert f"{third}: numbers of type int32" in said
    assert "num_batches" not in said


def test_what_is_new_may_be_missing_or_of_another_shape_and_the_rest_must_fit():
    model, size = CASES["resnet18"]
    state = state_of(
        "torchvision", models.ResNet(18, 1000), shapes_of(models.ResNet(18, 1000), size)
    )
    shapes = shapes_of(model, size)
    found = fitted("torchvision", model, state, shapes, new=("^head/",))
    assert len(found) == len(flatten_dict(shapes)) - 2
    with pytest.raises(
        UserError, match=re.escape("fc.weight: (1000, 512), where the model has (10,")
    ):
        fitted("torchvision", model, state, shapes)
    with pytest.raises(UserError, match=r"missing: conv1\.weight"):
        fitted("torchvision", model, {}, shapes, new=("^head/",))


def test_a_parameter_may_be_frozen_in_the_other_model():
    """Detectors keep a trunk's norms in "batch_stats"; the paths are the same."""
    shape = jax.ShapeDtypeStruct((4,), jnp.float32)
    wanted = {"params": {}, "batch_stats": {"norm": {"scale": shape, "mean": shape}}}
    given = {
        "params/norm/scale": np.full(4, 2, np.float32),
        "batch_stats/norm/mean": np.ones(4, np.float32),
    }
    found = fitted("ours", CASES["vit"][0], given, wanted)
    np.testing.assert_array_equal(found["batch_stats", "norm", "scale"], np.full(4, 2))


def test_unknown_namings_and_models_are_refused():
    model, size = CASES["vit"]
    shapes = shapes_of(model, size)
    with pytest.raises(UserError, match="unknown naming of weights 'timm'"):
        places("timm", model, shapes)
    with pytest.raises(UserError, match="unknown model with names of huggingface 'AlexNet'"):
        places("huggingface", models.AlexNet(), shapes)


# One of each family. From the file names on the hubs, or as in the test of parameter counts.
SIZES = {
    ("torchvision", "alexnet"): 61_100_840,
    ("torchvision", "vgg11_bn"): 132_868_840,
    ("torchvision", "googlenet"): 13_004_888,
    ("torchvision", "inception_v3"): 27_161_264,
    ("torchvision", "resnext50_32x4d"): 25_028_904,
    ("torchvision", "vit_b_32"): 88_224_232,
    ("torchvision", "efficientnet_lite0"): 4_652_008,
    ("huggingface", "google/vit-base-patch32-384"): 88_297_192,
    ("huggingface", "facebook/deit-tiny-patch16-224"): 5_717_416,
    ("huggingface", "microsoft/resnet-18"): 11_689_512,
}


@pytest.mark.parametrize(("naming", "name"), SIZES)
def test_published_models_have_names_there(naming, name):
    about = published(naming, name)
    model = call_section("model", named_section("model", about.model, "model"))
    shapes = shapes_of(model, (about.size, about.size))
    found = places(naming, model, shapes)
    assert len({place.name for place in found}) == len(found)
    sizes = (np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["params"]))
    assert sum(sizes) == SIZES[naming, name]


def test_sections_of_published_models_are_right():
    for naming, known in PUBLISHED.items():
        for name in known:
            about = published(naming, name)
            assert about.size <= about.resized
            named_section("model", about.model, "model")
            for transform in about.config()["training"]["transforms"]:
                named_section("transform", transform, "transform")


def test_an_unknown_published_model_is_told_the_near_ones():
    with pytest.raises(UserError, match=r"'resnet51'\. Did you mean 'resnet50'"):
        published("torchvision", "resnet51")
