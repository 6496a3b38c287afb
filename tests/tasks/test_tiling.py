"""Tiles put together, and the Rand score."""

import jax
import numpy as np
import pytest
from sklearn.metrics.cluster import pair_confusion_matrix

from aimodels.errors import UserError
from aimodels.models import UNet
from aimodels.tasks.rand_score import best_rand_score, rand_score, regions
from aimodels.tasks.tiling import predict_tiles

RNG = np.random.default_rng(0)


def test_tiles_of_unet_are_what_it_says_of_the_whole_mirrored_image():
    model = UNet(3, base_features=4, num_levels=2, dropout_rate=0.0)
    margin = model.margin()
    image = RNG.random((1, 30, 21, 1)).astype(np.float32)
    variables = jax.jit(model.init)(jax.random.key(0), image[:, :20, :20])
    apply = jax.jit(model.apply)
    whole = np.pad(image, ((0, 0), (margin, margin), (margin, margin + 1), (0, 0)), mode="reflect")
    expected = np.asarray(apply(variables, whole))[:, :30, :21]
    tile = (12 + 2 * margin, 8 + 2 * margin)
    shapes = set()

    def predict(tiles):
        shapes.add(tiles.shape)
        return apply(variables, tiles)

    found = predict_tiles(predict, image, tile, margin, batch_size=4)
    # The same sums of a few dozen products, perhaps in another order.
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert shapes == {(4, *tile, 1)}


def test_margins_are_thrown_away_where_outputs_are_as_large_as_tiles():
    image = RNG.random((2, 7, 9, 1))

    def predict(tiles):
        spoiled = tiles.copy()
        spoiled[:, :2] = spoiled[:, -2:] = spoiled[:, :, :2] = spoiled[:, :, -2:] = -1
        return spoiled

    np.testing.assert_array_equal(predict_tiles(predict, image, (8, 8), 2), image)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (4, 4)])
def test_images_smaller_than_a_tile(size):
    image = RNG.random((1, *size, 2))
    found = predict_tiles(lambda tiles: tiles, image, (16, 16), 5)
    np.testing.assert_array_equal(found, image)


def test_tiles_that_cannot_be():
    image = np.zeros((1, 8, 8, 1))
    with pytest.raises(UserError, match="take tiles of more than 8 pixels"):
        predict_tiles(lambda tiles: tiles, image, (8, 9), 4)
    with pytest.raises(UserError, match="take a larger margin"):
        predict_tiles(lambda tiles: tiles[:, 2:-2, 2:-2], image, (8, 8), 1)
    with pytest.raises(UserError, match="no image"):
        predict_tiles(lambda tiles: tiles, image[:0], (8, 8), 1)


def test_rand_score_counts_pairs():
    truth = RNG.integers(0, 4, (12, 14))
    found = RNG.integers(1, 6, (12, 14))
    inside = truth > 0
    # Ordered pairs of pixels, those of a pixel with itself added, as the shares p² have them.
    (_, _), (_, both) = pair_confusion_matrix(truth[inside], found[inside])
    n = inside.sum()
    as_true, as_found = (
        sum(count**2 for count in np.unique(ids[inside], return_counts=True)[1])
        for ids in (truth, found)
    )
    split, merge = (both + n) / as_true, (both + n) / as_found
    expected = 2 * split * merge / (split + merge), split, merge
    np.testing.assert_allclose(rand_score(truth, found), expected)


def test_rand_score_of_what_is_right_and_what_is_not():
    cells = np.kron(np.arange(1, 5).reshape(2, 2), np.ones((6, 6), int))
    membrane = np.zeros_like(cells, bool)
    membrane[5] = membrane[:, 5] = True
    truth = np.where(membrane, 0, cells)
    assert rand_score(truth, cells) == (1, 1, 1)
    merged = np.ones_like(cells)
    f, split, merge = rand_score(truth, merged)
    assert split == 1
    assert merge < 0.5
    assert f < 0.6
    f, split, merge = rand_score(truth, np.zeros_like(cells))  # each pixel a region of its own
    assert merge == 1
    assert split < 0.1
    assert np.isnan(rand_score(np.zeros_like(cells), cells)[0])


def test_the_best_threshold_is_found_and_shared():
    inside = np.ones((8, 9), bool)
    inside[:, 4] = False
    soft = np.where(inside, 0.9, 0.45)  # 0.4 merges the two cells
    assert best_rand_score([inside], [soft], (0.4, 0.5)) == (1.0, 0.5)
    assert best_rand_score([inside], [soft], (0.4,))[0] < 0.7
    assert regions(inside).max() == 2
