"""Segmenters and networks of video against PyTorch's on the same weights; sizes, errors."""

import importlib.util

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from torch_layout import GOLDEN, load

from aimodels.errors import UserError
from aimodels.models import (
    C3D,
    FCN,
    TSN,
    DeepLabV3,
    DeepLabV3Plus,
    FCNResNet,
    ResNet,
    UNet,
    VideoResNet,
    state_dicts,
    torchvision_names,
    xception,
)
from aimodels.models.efficientnet import EfficientNetBackbone

spec = importlib.util.spec_from_file_location("seeded_weights", GOLDEN / "seeded_weights.py")
seeded_weights = importlib.util.module_from_spec(spec)
spec.loader.exec_module(seeded_weights)

SMALL_UNET = {"base_features": 4, "num_levels": 3, "dropout_rate": 0.0}
NO_DROPOUT = {"dropout_rate": 0.0, "auxiliary_dropout_rate": 0.0}
CASES = {
    "unet_valid": (UNet(5, **SMALL_UNET), (48, 52)),
    "unet_same": (UNet(5, padding="same", **SMALL_UNET), (20, 12)),
    "fcn8s": (FCN(5, depth=11, dense_features=16, dropout_rate=0.0), (64, 96)),
    "fcn_resnet50": (FCNResNet(5, **NO_DROPOUT), (33, 47)),
    "deeplabv3": (DeepLabV3(5, **NO_DROPOUT), (33, 47)),
    "deeplabv3plus": (
        DeepLabV3Plus(
            5,
            backbone="resnet",
            rates=(1, 2, 3),
            features=12,
            low_features=6,
            separable="normed",
            dropout_rate=0.0,
        ),
        (33, 47),
    ),
    "deeplabv3plus_xception": (
        DeepLabV3Plus(5, rates=(1, 2, 3), features=12, low_features=6, dropout_rate=0.0),
        (33, 47),
    ),
    "r3d": (VideoResNet(5, kind="r3d"), (4, 20, 28)),
    "mc3": (VideoResNet(5, kind="mc3"), (4, 20, 28)),
    "r2plus1d": (VideoResNet(5, kind="r2plus1d"), (4, 20, 28)),
    "c3d": (C3D(5, features=((4,), (6, 6)), dense_features=(8,), dropout_rate=0.0), (5, 10, 14)),
}
# Norms over two numbers, those of the pooled view, enlarge what float32 has lost in fifty layers.
IN_FLOAT64 = ("fcn_resnet50", "deeplabv3", "deeplabv3plus", "deeplabv3plus_xception")
# These networks run once, so that optimising them would take longer than it saves.
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def shapes_of(model, size):
    inputs = jax.ShapeDtypeStruct((2, *size, 3), "float32")
    return jax.eval_shape(model.init, jax.random.key(0), inputs)


def timm_rules():
    """Xception's layers, and timm's names of them, as in `torchvision_names`."""
    rules = []
    for number in (1, 2):
        theirs = f"stem.{number - 1}"
        names = (f"{theirs}.conv", f"{theirs}.bn")
        rules += torchvision_names._conv_norm(f"backbone/stem_{number}", *names)
    blocks = [f"entry_{n}" for n in (1, 2, 3)]
    blocks += [f"middle_{n}" for n in range(1, xception.MIDDLE_BLOCKS + 1)] + ["exit_1", "exit_2"]
    for number, block in enumerate(blocks):
        ours, theirs = f"backbone/{block}", f"blocks.{number}"
        names = (f"{theirs}.shortcut.conv", f"{theirs}.shortcut.bn")
        rules += torchvision_names._conv_norm(f"{ours}/shortcut", *names)
        for part, short in (("depthwise", "dw"), ("pointwise", "pw")):
            names = (rf"{theirs}.stack.conv\1.conv_{short}", rf"{theirs}.stack.conv\1.bn_{short}")
            rules += torchvision_names._conv_norm(rf"{ours}/conv_(\d)/{part}", *names)
    return rules


def weights(model, shapes, rules=None):
    """Ours, made from the names in the state dicts of the references."""
    if type(model).__name__ in torchvision_names.FAMILIES:
        found = state_dicts.places("torchvision", model, shapes)
        state = {p.name: seeded_weights.seeded(p.name, p.shape) for p in found}
        return state_dicts.from_state_dict("torchvision", model, state, shapes)
    leaves = {}
    for path, leaf in flatten_dict(dict(shapes)).items():
        module, name = "/".join(path[1:-1]), path[-1]
        if rules:
            theirs = state_dicts._name("torchfcn", rules, path)
        elif isinstance(model, DeepLabV3Plus) and module.startswith("backbone"):
            is_xception = model.backbone == "xception"
            names = timm_rules() if is_xception else torchvision_names._resnet(None)
            theirs = "backbone." + state_dicts._name("torchvision", names, path)
        else:
            theirs = f"{'.'.join(path[1:-1])}.{state_dicts.LEAVES[name]}"
        # [*window, C, F] here; [F, C, *window] there, or [C, F, *window] where it is transposed.
        rank, up = len(leaf.shape), isinstance(model, UNet) and len(path) == 3 and "up" in path[1]
        axes = (-2, -1) if up else (-1, -2)
        turned = np.moveaxis(np.empty(leaf.shape), axes, (0, 1)) if rank > 1 else leaf
        array = seeded_weights.seeded(theirs, turned.shape)
        leaves[path] = np.moveaxis(array, (0, 1), axes) if rank > 1 else array
    return unflatten_dict(leaves)


def assert_close(found, expected):
    """To 1e-4 of the largest value.

    PyTorch computed in float64; float32 loses 6e-8 at each of up to a hundred layers, and a norm
    over a batch of two small pictures enlarges what came before it.
    """
    found = np.asarray(found)
    found = found[:, ::6, ::6] if found.ndim == 4 else found
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("case", CASES)
def test_equals_the_reference_in_evaluation_and_in_training(case, monkeypatch):
    monkeypatch.setattr(xception, "MIDDLE_BLOCKS", 3)  # sixteen alike take 23 s
    with jax.enable_x64(case in IN_FLOAT64):
        compare(case, "float64" if case in IN_FLOAT64 else "float32")


def compare(case, dtype):
    """A model and what PyTorch recorded of it."""
    model, size = CASES[case]
    model = model.clone(dtype=dtype, param_dtype=dtype)
    golden = load("segmentation", case)
    inputs = seeded_weights.images(2, *size, 3)
    shapes = shapes_of(model, size)
    variables = weights(model, shapes)
    assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, dict(shapes))

    def run(variables, inputs):
        trained, changed = model.apply(
            variables, inputs, train=True, mutable=["batch_stats", "auxiliary_outputs"]
        )
        return model.apply(variables, inputs), trained, changed

    evaluated, trained, changed = jax.jit(run, compiler_options=QUICKLY)(variables, inputs)
    assert_close(evaluated, golden["evaluated/out"])
    assert_close(trained, golden["trained/out"])
    assert ("auxiliary_outputs" in changed) == ("trained/aux" in golden)
    if "trained/aux" in golden:
        assert_close(changed["auxiliary_outputs"]["scores"][0], golden["trained/aux"])


TORCHFCN = [
    (r"backbone/conv_(\d)_(\d)/conv", r"conv\1_\2"),
    ("dense_0/conv", "fc6"),
    ("dense_1/conv", "fc7"),
    ("score", "score_fr"),
    (r"(score_pool\d)", r"\1"),
]


def test_fcn_equals_torchfcns_where_no_border_is_near():
    # torchfcn, as the authors, pads the first layer by 100 pixels and the 7x7 one by none: that is
    # our network on images that stand in 99 zeros more. Beyond the outermost scores it enlarges
    # zeros, where ours goes on with the last; finer scores bring that further in.
    images = np.pad(seeded_weights.images(2, 90, 122, 3), ((0, 0), (99, 99), (99, 99), (0, 0)))
    models = {n: FCN(5, stride=n, dense_features=16, dropout_rate=0.0) for n in (32, 16, 8)}
    shapes = jax.eval_shape(models[8].init, jax.random.key(0), images)
    # Those of stride 8 have all that the others have: one program computes the VGG once.
    variables = weights(models[8], {"params": shapes["params"]}, TORCHFCN)

    def run(variables, images):
        return {stride: model.apply(variables, images) for stride, model in models.items()}

    found = jax.jit(run, compiler_options=QUICKLY)(variables, images)
    for stride, border in ((32, 13), (16, 21), (8, 25)):
        expected = load("segmentation", f"fcn{stride}s_vgg16")["evaluated/out"]
        first, end, right = (-(-side // 6) for side in (border, 90 - border, 122 - border))
        inside = np.s_[:, first:end, first:right]
        ours = np.asarray(found[stride])[:, 99:-99:6, 99:-99:6]
        scale = np.abs(expected[inside]).max()  # float32 against float64, nineteen layers
        np.testing.assert_allclose(ours[inside], expected[inside], rtol=0, atol=1e-4 * scale)


@pytest.mark.parametrize("case", ["fcn_resnet50", "deeplabv3", "r2plus1d", "mc3"])
def test_torchvisions_names_go_both_ways_exactly(case):
    model, size = CASES[case]
    shapes = shapes_of(model, size)
    found = state_dicts.places("torchvision", model, shapes)
    state = {p.name: seeded_weights.seeded(p.name, p.shape) for p in found}
    variables = state_dicts.from_state_dict("torchvision", model, state, shapes)
    again = state_dicts.to_state_dict("torchvision", model, variables)
    assert again.keys() == state.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(again[name], array)


def outputs_of(model, *size):
    image = jax.ShapeDtypeStruct((1, *size, 3), "float32")
    return jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x)[0], image).shape


@pytest.mark.parametrize(
    ("model", "size", "expected"),
    [
        (UNet(2), (572, 572), (388, 388)),  # the paper's figure 1
        (UNet(2), (188, 204), (4, 20)),
        (UNet(2, padding="same"), (32, 48), (32, 48)),
        (UNet(2, num_levels=1), (5, 9), (1, 5)),
        (FCN(2, stride=32), (32, 64), (32, 64)),
        (FCN(2, stride=16), (32, 64), (32, 64)),
        (DeepLabV3Plus(2), (65, 97), (65, 97)),
        (DeepLabV3Plus(2, output_stride=8), (65, 97), (65, 97)),
    ],
)
def test_sizes(model, size, expected):
    assert outputs_of(model, *size) == (1, *expected, 2)
    if isinstance(model, UNet):
        assert tuple(side - 2 * model.margin() for side in size) == expected


@pytest.mark.parametrize(
    ("model", "size", "message"),
    [
        (UNet(), (572, 570), r"W = 570, and 5 levels with padding 'valid' take 556, 572"),
        (UNet(), (100, 572), r"H = 100, .* take 188, 204"),
        (UNet(padding="same"), (40, 48), r"H = 40, .* take 32, 48"),
        (FCN(), (33, 32), r"sides that 32 divides, got \(1, 33, 32, 3\)"),
        (FCN(stride=4), (32, 32), "stride is 4; it takes 32, 16 or 8"),
        (DeepLabV3Plus(output_stride=32), (32, 32), "output_stride is 32; it takes 8 or 16"),
        (TSN(), (4, 32, 32), "TSN takes snippets"),
        (TSN(modality="rgb_difference"), (3, 1, 32, 32), "one frame has no differences"),
    ],
)
def test_what_a_model_does_not_take(model, size, message):
    with pytest.raises(UserError, match=message):
        outputs_of(model, *size)


def test_every_size_that_unet_takes_works_and_no_other_is_refused():
    for padding in ("valid", "same"):
        model = UNet(base_features=1, num_levels=3, padding=padding)
        taken = []
        for size in range(1, 70):
            try:
                outputs_of(model, size, 60)
            except UserError:
                continue
            taken.append(size)
        assert taken == (list(range(44, 70, 4)) if padding == "valid" else list(range(4, 70, 4)))


@pytest.mark.parametrize("stride", [8, 16])
def test_a_dilated_efficientnet_says_the_same_between_more_places(stride):
    # What SAME puts around a window of odd size is more behind it than before it, so that the
    # places of a strided convolution are the odd ones of the dilated convolution.
    images = np.random.default_rng(0).normal(size=(1, 64, 96, 3)).astype(np.float32)
    plain, dilated = EfficientNetBackbone(), EfficientNetBackbone(output_stride=stride)
    variables = plain.init(jax.random.key(0), images)
    expected, found = (jax.jit(net.apply)(variables, images)["c5"] for net in (plain, dilated))
    step = 32 // stride
    assert found.shape == (1, 64 // stride, 96 // stride, 320)
    # Other shapes, so sums in another order: float32, some forty layers.
    np.testing.assert_allclose(found[:, step - 1 :: step, step - 1 :: step], expected, atol=1e-5)


def test_tsn_is_the_consensus_of_what_a_resnet_says_of_the_frames():
    clips = jax.random.normal(jax.random.key(0), (2, 3, 1, 16, 16, 3))
    model = TSN(5, depth=18, stem="cifar")
    shapes = jax.eval_shape(model.init, jax.random.key(0), clips)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: np.abs(rng.normal(0.05, 0.05, leaf.shape)).astype(np.float32), dict(shapes)
    )
    resnet = ResNet(18, 5, stem="cifar")

    def both(variables):
        frames = resnet.apply(variables, clips.reshape(6, 16, 16, 3)).reshape(2, 3, 5)
        said = [
            model.clone(consensus=consensus).apply(variables, clips)
            for consensus in ("average", "maximum")
        ]
        return frames, said

    frames, (average, maximum) = jax.jit(both, compiler_options=QUICKLY)(variables)
    # Sums over 512 channels in another order.
    np.testing.assert_allclose(average, frames.mean(1), rtol=1e-5)
    np.testing.assert_allclose(maximum, frames.max(1), rtol=1e-5)


def test_tsn_sees_differences_alone():
    model = TSN(5, depth=18, stem="cifar", modality="rgb_difference")
    still = jax.ShapeDtypeStruct((2, 3, 4, 16, 16, 3), "float32")
    kernel = jax.eval_shape(model.init, jax.random.key(0), still)["params"]["backbone"]["stem"]
    assert kernel["conv"]["kernel"].shape == (3, 3, 3 * 3, 64)
    weighted = jax.eval_shape(model.clone(consensus="weighted").init, jax.random.key(0), still)
    assert weighted["params"]["weights"].shape == (3,)
