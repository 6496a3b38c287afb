"""SSD300 against torchvision's; shapes, named maps and errors of all detectors."""

import functools
import math

import jax
import numpy as np
import pytest
from torch_layout import load

from aimodels import models
from aimodels.errors import UserError
from aimodels.models.ssd import EXTRA, VGG16


def torch_order():
    """SSD300's layers in the order of torchvision's parameters."""
    yield "conv4_norm"
    for block, (_, count) in enumerate(VGG16, start=1):
        yield from (f"conv{block}_{number}" for number in range(1, count + 1))
    yield from ("conv6", "conv7")
    yield from (f"conv{number}_{part}" for number in range(8, 8 + len(EXTRA)) for part in (1, 2))
    yield from (f"{kind}_{level}" for kind in ("classes", "boxes") for level in range(6))


def test_ssd300_is_torchvisions():
    golden, rng = load("boxes", "ssd300"), np.random.default_rng(300)
    model = models.SSD300(3)
    image = jax.ShapeDtypeStruct((1, 300, 300, 3), "float32")
    shapes = dict(jax.eval_shape(model.init, jax.random.key(0), image)["params"])

    def draw(shape):
        fan_in = math.prod(shape[1:]) if len(shape) > 1 else 100
        return rng.standard_normal(shape, dtype=np.float32) * np.float32(np.sqrt(2 / fan_in))

    params = {}
    for name in torch_order():
        if name == "conv4_norm":
            params[name] = {"scale": draw(shapes[name]["scale"].shape)}
            continue
        height, width, channels, features = shapes[name]["kernel"].shape
        kernel = draw((features, channels, height, width)).transpose(2, 3, 1, 0)
        params[name] = {"kernel": kernel, "bias": draw((features,))}
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, shapes)
    image = np.moveaxis(rng.standard_normal((1, 3, 300, 300), dtype=np.float32), 1, -1)
    outputs = jax.jit(model.apply)({"params": params}, image)
    assert outputs.logits.shape == (1, 8732, 3)
    for ours, expected in ((outputs.logits, golden["logits"]), (outputs.codes, golden["codes"])):
        # Both sides are float32, sums of up to 9,216 products through 25 layers.
        scale = np.abs(expected).max()
        np.testing.assert_allclose(ours[0, ::41], expected, rtol=1e-3, atol=1e-4 * scale)


def test_outputs_go_with_their_boxes():
    image = jax.ShapeDtypeStruct((2, 96, 64, 3), "float32")
    model = models.YOLOv3(4, base_features=4, blocks=(1, 1, 1, 1, 1))
    outputs, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
    priors = model.yolo_priors((96, 64))
    assert outputs.shape == (2, 3 * (12 * 8 + 6 * 4 + 3 * 2), 5 + 4)
    assert priors.corner.shape == (outputs.shape[1], 2)
    assert set(variables) == {"params", "batch_stats"}
    np.testing.assert_array_equal(np.unique(priors.stride), [8, 16, 32])
    assert priors.stride[0] == 8  # the finest first, as in the outputs
    model = models.YOLOv1(20, hidden_features=8)
    image = jax.ShapeDtypeStruct((2, 448, 448, 3), "float32")
    outputs, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
    assert outputs.shape == (2, 7, 7, 30)


def test_boxes_of_ssd_are_of_the_maps_that_it_looks_at():
    image = jax.ShapeDtypeStruct((1, 128, 64, 3), "float32")
    model = models.SSD(
        4,
        backbone="resnet18_half",
        levels=("c4", "c5"),
        extra_features=(8,),
        scales=(0.2, 0.4, 0.6, 0.8),
        aspect_ratios=((2,),) * 3,
    )
    outputs, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
    boxes = model.default_boxes((128, 64))
    assert outputs.codes.shape == (1, 4 * (8 * 4 + 4 * 2 + 2 * 1), 4)
    assert boxes.shape == outputs.codes.shape[1:]
    np.testing.assert_allclose(boxes[0, :2] + boxes[0, 2:], [16, 16])  # the middle of a cell


def test_ssd300_names_its_maps():
    image = jax.ShapeDtypeStruct((1, 300, 300, 3), "float32")
    model = models.SSD300(3)
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    params = {"params": variables["params"]}
    _, kept = jax.eval_shape(functools.partial(model.apply, mutable="intermediates"), params, image)
    sides = [kept["intermediates"][f"map_{level}"][0].shape[1] for level in range(6)]
    assert sides == [38, 19, 10, 5, 3, 1]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (models.SSD300(3), r"takes images \[B, 300, 300, 3\], got \(1, 100, 100, 3\)"),
        (models.YOLOv3(3), r"sides that 32 divides, got \(1, 100, 100, 3\)"),
        (models.SSD(3, levels=("c3", "c5")), r"levels is \('c3', 'c5'\); it takes the last of"),
    ],
)
def test_images_of_another_size_are_refused(model, message):
    image = jax.ShapeDtypeStruct((1, 100, 100, 3), "float32")
    with pytest.raises(UserError, match=message):
        jax.eval_shape(model.init, jax.random.key(0), image)


TINY_RCNN = {"backbone": "resnet18", "features": 8, "hidden_features": 8, "candidates": (9, 9)}
HEADS = [f"{kind}_of_map_{level}" for kind in ("classes", "boxes") for level in range(3)]


@pytest.mark.parametrize(
    ("model", "side", "names"),
    [
        (models.YOLOv1(2, hidden_features=8), 64, [*(f"stage_{n}" for n in range(1, 6)), "hidden"]),
        (models.Darknet53(2, base_features=2), 64, ["trunk", "pooled"]),
        (
            models.YOLOv3(2, base_features=2),
            64,
            ["trunk", *(f"{kind}_{n}" for kind in ("neck", "outputs") for n in range(3))],
        ),
        (
            models.SSD(
                2,
                backbone="resnet18",
                extra_features=(),
                aspect_ratios=((2,),) * 3,
                scales=(0.2, 0.3, 0.45, 0.7),
            ),
            64,
            ["backbone", *(f"map_{n}" for n in range(3)), *HEADS],
        ),
        (
            models.FasterRCNN(2, proposals=(5, 5), **TINY_RCNN),
            64,
            [
                *("backbone", "objects", "object_codes", "region_features", "logits", "codes"),
                *(f"level_{n}" for n in range(5)),
            ],
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_detectors_compute_has_names(model, side, names):
    images = jax.ShapeDtypeStruct((1, side, side, 3), "float32")
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    variables.pop("intermediates", None)
    apply = functools.partial(model.apply, mutable="intermediates")
    _, kept = jax.eval_shape(apply, variables, images)
    assert sorted(kept["intermediates"]) == sorted(names)
    if "trunk" in names:
        assert list(kept["intermediates"]["trunk"]) == [f"stage_{n}" for n in range(1, 6)]


@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        (models.YOLOv1(2), (1, 448, 320, 3), r"square images .* got \(1, 448, 320, 3\)"),
        (models.YOLOv1(2), (1, 448, 448), "YOLOv1 takes square images"),
        (models.ResNet(18, 2), (1, 0, 32, 3), r"with pixels, got \(1, 0, 32, 3\)"),
    ],
)
def test_images_that_are_not_square_or_empty_are_refused(model, shape, message):
    image = jax.ShapeDtypeStruct(shape, "float32")
    with pytest.raises(UserError, match=message):
        jax.eval_shape(model.init, jax.random.key(0), image)
