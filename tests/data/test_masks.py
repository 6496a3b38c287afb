"""Labels drawn over images."""

import numpy as np
import pytest

from aimodels.data.masks import colour_of, draw_masks
from aimodels.errors import UserError

GREY = np.full((6, 8), 100, np.uint8)
LABELS = np.zeros((6, 8), np.uint8)
LABELS[1:5, 2:7] = 2
LABELS[0] = 255


def test_classes_get_their_colours_and_an_outline():
    picture = draw_masks(GREY, LABELS, opacity=0.5)
    assert picture.shape == (6, 8, 3)
    assert picture.dtype == np.uint8
    assert (picture[LABELS != 2] == 100).all()  # the background and what is not labelled
    np.testing.assert_array_equal(picture[1, 2], np.round(colour_of(2)))
    np.testing.assert_array_equal(picture[2, 4], np.round((colour_of(2) + 100) / 2))
    flat = draw_masks(GREY, LABELS, opacity=0.5, outline=False)
    assert (flat[1, 2] == picture[2, 4]).all()
    assert len(np.unique(colour_of(np.arange(1, 21)), axis=0)) == 20


def test_floats_and_colours_are_images_too():
    np.testing.assert_array_equal(
        draw_masks(GREY / 255, LABELS), draw_masks(np.repeat(GREY[..., None], 3, -1), LABELS)
    )
    assert draw_masks(np.zeros((0, 4, 3), np.uint8), np.zeros((0, 4), int)).shape == (0, 4, 3)


@pytest.mark.parametrize(
    ("image", "labels", "message"),
    [
        (GREY, LABELS[1:], "whole class ids of the same size"),
        (GREY, LABELS / 2, "whole class ids"),
        (GREY[..., None].repeat(2, -1), LABELS, r"\[H, W, 1 or 3\], got \(6, 8, 2\)"),
        (GREY.astype(float), LABELS, "floats from 0 to 1"),
    ],
)
def test_what_is_refused(image, labels, message):
    with pytest.raises(UserError, match=message):
        draw_masks(image, labels)
