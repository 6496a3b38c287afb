"""RoIAlign against torchvision's, with its gradient."""

import functools

import jax
import numpy as np
import pytest
from compiled import pullback
from torch_layout import load

from aimodels.errors import UserError
from aimodels.modules.roi_align import multiscale_roi_align, pyramid_levels, roi_align

# Float32 against float64 on values up to 4; places up to 30, which are weights of them.
CLOSE = {"rtol": 1e-4, "atol": 2e-5}


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [1, 2, 3])
def test_roi_align_is_torchvisions(aligned, ratio):
    golden = load("boxes", "roi_align")
    features = np.moveaxis(golden["features"], 1, -1)
    outputs = jax.jit(
        functools.partial(
            roi_align, output_size=(3, 2), stride=8, sampling_ratio=ratio, aligned=aligned
        )
    )(features, golden["boxes"])
    expected = np.moveaxis(golden[f"outputs.{aligned}.{ratio}"], 1, -1)
    np.testing.assert_allclose(outputs.reshape(12, 3, 2, 3), expected, **CLOSE)
    assert not np.asarray(outputs[0, 0]).any()  # outside of the image
    assert np.asarray(outputs[0, 1]).any()


def test_the_gradient_is_torchvisions():
    golden = load("boxes", "roi_align")
    features = np.moveaxis(golden["features"], 1, -1)
    cotangent = np.moveaxis(golden["cotangent"], 1, -1).reshape(2, 6, 3, 2, 3)
    _, (gradient,) = pullback(
        lambda features: roi_align(
            features, golden["boxes"], output_size=(3, 2), stride=8, aligned=True
        ),
        cotangent,
        features,
    )
    np.testing.assert_allclose(gradient, np.moveaxis(golden["gradient"], 1, -1), **CLOSE)


def test_a_pyramid_is_torchvisions():
    golden = load("boxes", "pyramid")
    levels = pyramid_levels(golden["boxes"], 2, 4)
    assert set(np.asarray(levels).tolist()) == {2, 3, 4}
    features = [np.moveaxis(golden[name], 1, -1) for name in "234"]
    outputs = jax.jit(
        functools.partial(multiscale_roi_align, strides=(4, 8, 16), output_size=(3, 3))
    )(features, golden["boxes"][None])
    expected = np.moveaxis(golden["outputs"], 1, -1)
    np.testing.assert_allclose(outputs[0], expected, **CLOSE)


def test_levels_of_the_paper():
    sides = np.array([0, 1, 111, 112, 224, 448, 2000], np.float32)
    boxes = np.stack([0 * sides, 0 * sides, sides, sides], -1)
    np.testing.assert_array_equal(pyramid_levels(boxes, 2, 5), [2, 2, 2, 3, 4, 5, 5])


def test_a_sampling_ratio_of_zero_is_refused():
    with pytest.raises(UserError, match="sampling_ratio is 0; it takes 1 or more"):
        roi_align(np.zeros((1, 4, 4, 1)), np.zeros((1, 1, 4)), output_size=(2, 2), sampling_ratio=0)
