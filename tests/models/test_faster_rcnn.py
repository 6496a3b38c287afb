"""Faster R-CNN's parts against torchvision's: pyramid, proposals, box head."""

import functools

import jax
import numpy as np
from compiled import pullback
from torch_layout import dense, load, under

from aimodels.models import count_parameters
from aimodels.models.faster_rcnn import BoxHead, FeaturePyramid, ProposalHead, propose
from aimodels.modules.anchors import grid_anchors
from aimodels.modules.boxes import pairwise_iou

# Float32 against float64: 6e-8 a rounding, some tens of them on values up to 10.
CLOSE = {"rtol": 1e-4, "atol": 3e-5}


def conv(arrays, name):
    kernel = arrays[f"{name}.weight"].transpose(2, 3, 1, 0)
    return {"kernel": kernel, "bias": arrays[f"{name}.bias"]}


def maps_of(golden, prefix="map."):
    named = under(golden, prefix)
    return [np.moveaxis(named[str(level)], 1, -1) for level in range(len(named))]


def test_the_pyramid_is_torchvisions_with_its_gradient():
    golden = load("faster_rcnn", "pyramid")
    names = {"inner": "inner_blocks", "outer": "layer_blocks"}

    def layout(arrays):
        return {
            f"{ours}_{level}": conv(arrays, f"{theirs}.{level}.0")
            for ours, theirs in names.items()
            for level in range(3)
        }

    params = layout(under(golden, "parameters."))
    model = FeaturePyramid(3, dtype="float32")
    levels, (gradient,) = pullback(
        lambda params: model.apply({"params": params}, maps_of(golden)),
        maps_of(golden, "cotangent.outputs."),
        params,
    )
    for ours, expected in zip(levels, maps_of(golden, "outputs."), strict=True):
        np.testing.assert_allclose(ours, expected, **CLOSE)
    expected = layout(under(golden, "gradient.parameters."))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), gradient, expected)


def test_proposals_are_torchvisions():
    golden = load("faster_rcnn", "proposals")
    arrays, maps = under(golden, "parameters."), maps_of(golden)
    params = {
        "conv": conv(arrays, "conv.0.0"),
        "objects": conv(arrays, "cls_logits"),
        "boxes": conv(arrays, "bbox_pred"),
    }
    logits, codes = jax.jit(ProposalHead(3).apply)({"params": params}, maps)
    np.testing.assert_allclose(logits, golden["logits"], **CLOSE)
    np.testing.assert_allclose(codes, golden["codes"], **CLOSE)

    grids = [each.shape[1:3] for each in maps]
    anchors = grid_anchors((104, 80), grids, [(16,), (32,), (64,), (128,)])
    sizes = [3 * rows * columns for rows, columns in grids]
    found = jax.jit(
        functools.partial(
            propose, anchors=anchors, level_sizes=sizes, candidates=40, max_proposals=60
        )
    )(golden["logits"], golden["codes"], image_size=np.array([[104, 80], [96, 64]]))
    assert found.boxes.shape == (2, 60, 4)
    for image in range(2):
        boxes, expected = found.boxes[image][found.mask[image]], golden[f"boxes.{image}"]
        assert len(boxes) == len(expected)
        # torchvision ranks by probability, where logits that are far apart may be equal.
        best = np.asarray(pairwise_iou(boxes, expected)).max(1)
        np.testing.assert_allclose(best, 1, rtol=1e-3)
    assert not np.asarray(found.boxes)[~np.asarray(found.mask)].any()


def test_the_box_head_is_torchvisions():
    golden = load("faster_rcnn", "head")
    arrays = under(golden, "parameters.")
    first = arrays["mlp.fc6.weight"].reshape(7, 3, 2, 2).transpose(0, 2, 3, 1).reshape(7, -1)
    params = {
        "dense_0": dense(first, arrays["mlp.fc6.bias"]),
        "dense_1": dense(arrays["mlp.fc7.weight"], arrays["mlp.fc7.bias"]),
        "classes": dense(arrays["predictor.cls_score.weight"], arrays["predictor.cls_score.bias"]),
        "boxes": dense(arrays["predictor.bbox_pred.weight"], arrays["predictor.bbox_pred.bias"]),
    }
    regions = np.moveaxis(golden["regions"], 1, -1)[None]
    logits, codes = jax.jit(BoxHead(4, hidden_features=7).apply)({"params": params}, regions)
    np.testing.assert_allclose(logits[0], golden["logits"], **CLOSE)
    np.testing.assert_allclose(codes[0], golden["codes"].reshape(5, 4, 4), **CLOSE)


def test_parameter_counts_are_torchvisions():
    """Those of fasterrcnn_resnet50_fpn (41,755,286) that are not ResNet-50's trunk."""
    maps = [
        jax.ShapeDtypeStruct((1, 64 >> level, 64 >> level, 256 << level), "float32")
        for level in range(4)
    ]
    levels = [jax.ShapeDtypeStruct((1, 64, 64, 256), "float32")]
    regions = jax.ShapeDtypeStruct((1, 5, 7, 7, 256), "float32")
    counts = [
        count_parameters(FeaturePyramid(), maps),
        count_parameters(ProposalHead(), levels),
        count_parameters(BoxHead(91), regions),
    ]
    # torchvision's trunk has frozen norms without parameters: ResNet-50's 25,557,032 less its
    # last layer of 2,049,000 and 53,120 of the norms.
    assert sum(counts) + 25_557_032 - 2_049_000 - 53_120 == 41_755_286
