"""The whole Faster R-CNN: torchvision's parameters and outputs, its targets in training, errors."""

import functools
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_detectors import TinyTrunk
from torch_layout import GOLDEN, load

from aimodels import models
from aimodels.errors import UserError
from aimodels.models import backbones, count_parameters
from aimodels.models.torchvision_names import from_torchvision, places, to_torchvision
from aimodels.modules.boxes import pairwise_iou

spec = importlib.util.spec_from_file_location("seeded_weights", GOLDEN / "seeded_weights.py")
seeded_weights = importlib.util.module_from_spec(spec)
spec.loader.exec_module(seeded_weights)
images, seeded = seeded_weights.images, seeded_weights.seeded

KEY = jax.random.key(0)
# These networks run once, so that optimising them would take longer than it saves.
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@pytest.fixture(autouse=True)
def _tiny_trunk(monkeypatch):
    monkeypatch.setitem(backbones.BACKBONES, "tiny", TinyTrunk)


def small(**fields):
    given = {
        "backbone": "tiny",
        "levels": ("c3", "c4", "c5"),
        "extra_level": False,
        "features": 8,
        "anchor_sizes": ((16,), (32,), (64,)),
        "hidden_features": 8,
        "output_size": 3,
        "candidates": (30, 20),
        "proposals": (20, 10),
        "sampled_anchors": 16,
        "sampled_regions": 8,
    }
    return models.FasterRCNN(4, **{**given, **fields})


def test_its_parameters_are_torchvisions():
    """FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["num_params"] of torchvision 0.28."""
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), "float32")
    assert count_parameters(models.FasterRCNN(91, frozen_norm=True), image) == 41_755_286


def test_its_outputs_are_torchvisions():
    golden = load("faster_rcnn_model", "outputs")
    model = models.FasterRCNN(7, frozen_norm=True, candidates=(60, 60), proposals=(24, 24))
    image = images(1, 96, 128, 3)
    shapes = jax.eval_shape(model.init, KEY, image)
    scales = {"rpn.head.cls_logits.weight": 1e-4, "rpn.head.bbox_pred.weight": 2e-5}
    state = {
        place.name: seeded(place.name, place.shape) * np.float32(scales.get(place.name, 1))
        for place in places(model, shapes)
    }
    variables = from_torchvision(model, state, shapes)
    back = to_torchvision(model, variables)
    assert all((back[name] == state[name]).all() for name in state)
    outputs = jax.jit(model.apply, compiler_options=QUICKLY)(variables, image)

    def close(ours, expected):
        # Float32 against float64 through 53 convolutions, relative to the largest.
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())

    close(outputs.objects[0], golden["objects"])
    close(outputs.object_codes[0], golden["object_codes"])
    regions = np.asarray(outputs.regions[0][outputs.region_mask[0]])
    overlaps = np.asarray(pairwise_iou(golden["regions"], regions))
    # Of proposals that are equally good, each side may keep another; most are the same ones.
    same = overlaps.max(1) > 0.999
    assert same.mean() > 0.9
    ours = overlaps.argmax(1)[same]
    close(outputs.logits[0][ours], golden["logits"][same])
    close(outputs.codes[0][ours], golden["codes"][same])


def test_training_looks_at_the_true_boxes_and_evaluation_does_not():
    model = small()
    image = images(2, 64, 96, 3)
    boxes = jnp.array([[[8.0, 8, 40, 40], [50, 10, 90, 60]], [[0, 0, 0, 0], [0, 0, 0, 0]]])
    labels = jnp.array([[2, 0], [-1, -1]])
    given = {"boxes": boxes, "labels": labels}
    variables = jax.jit(model.init)(KEY, image)
    outputs, _ = jax.jit(functools.partial(model.apply, train=True, mutable=["batch_stats"]))(
        variables, image, rngs={"dropout": KEY}, **given
    )
    targets = outputs.targets
    assert outputs.regions.shape == (2, 8, 4)
    assert outputs.logits.shape == (2, 8, 4)
    assert outputs.codes.shape == (2, 8, 4, 4)
    # A quarter of the regions has a target: there are two at least, the true boxes themselves.
    matches = np.asarray(targets.region_matches)
    assert (matches[0] >= 0).sum() == 2
    for region, match in zip(outputs.regions[0, :2], matches[0, :2], strict=True):
        assert pairwise_iou(boxes[0], region[None])[match, 0] >= 0.5
    # An image without objects is background alone, in both stages.
    assert (matches[1][np.asarray(outputs.region_mask[1])] == -1).all()
    assert not targets.anchors.positive[1].any()
    assert targets.anchors.mask[1].all()
    assert targets.anchors.positive[0].any()
    # In evaluation nothing depends on them.
    evaluate = jax.jit(model.apply)
    jax.tree.map(
        np.testing.assert_array_equal,
        evaluate(variables, image),
        evaluate(variables, image, **given),
    )


@pytest.mark.parametrize(
    ("fields", "train", "message"),
    [
        ({}, True, "in training it is called with boxes and labels"),
        ({"anchor_sizes": ((16,),)}, False, "anchor_sizes are for 1 levels, and it has 3"),
        ({"backbone": "resnet19"}, False, "Did you mean 'resnet18'"),
    ],
)
def test_mistakes_are_told(fields, train, message):
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), "float32")
    rngs = {"params": KEY, "dropout": KEY}
    with pytest.raises(UserError, match=message):
        jax.eval_shape(functools.partial(small(**fields).init, train=train), rngs, image)
