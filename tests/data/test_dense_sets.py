"""ISBI 2012, nuclei, moving clothes: what they hold, that parts share nothing, and bad files."""

import numpy as np
import pytest

from aimodels.data import isbi2012, make, moving_fashion, nuclei, sprite_actions
from aimodels.errors import UserError


@pytest.fixture
def membranes(fetched):
    return fetched("isbi2012")


def whole(dataset, split):
    source = dataset.load(split)
    return source.gather(np.arange(len(source)))


def test_membranes_are_sections_with_masks(membranes):
    info = membranes.info()
    batch = whole(membranes, "all")
    assert batch["inputs"].shape == (30, 512, 512, 1)
    assert batch["inputs"].dtype == batch["targets"].dtype == np.uint8
    # Cells are bright in the images and 1 in the labels; membranes are a fifth of the pixels.
    inside = batch["targets"] == 1
    assert batch["inputs"][inside].mean() > batch["inputs"][~inside].mean() + 40
    assert 0.15 < (~inside).mean() < 0.3
    assert info.class_names == ("membrane", "cell")


def test_folds_are_blocks_that_share_no_section(membranes):
    everything = whole(membranes, "all")["inputs"]
    tested = []
    for fold in range(5):
        dataset = make("isbi2012", fold=fold)
        assert dict(dataset.info().splits) == {"train": 24, "test": 6, "all": 30}
        test, train = whole(dataset, "test")["inputs"], whole(dataset, "train")["inputs"]
        tested.append(test)
        assert not {x.tobytes() for x in test} & {x.tobytes() for x in train}
        assert len({x.tobytes() for x in train}) == 24
    np.testing.assert_array_equal(np.concatenate(tested), everything)


def test_weights_are_high_between_cells(membranes):
    batch = make("isbi2012", fold=0, folds=30, weights=True).load("test").gather(np.arange(1))
    weights, inside = batch["weights"][0], batch["targets"][0] == 1
    assert weights.dtype == np.float32
    assert weights[~inside].max() > 8
    assert 0.4 < weights[inside].mean() < 0.9
    np.testing.assert_allclose(weights[inside].min(), weights[inside].max())


def test_a_damaged_section_is_told_and_mended(membranes, monkeypatch, tmp_path):
    import shutil

    folder = tmp_path / "isbi2012"
    shutil.copytree(isbi2012._folder(), folder)
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path))
    path = folder / "image/3.png"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"damaged .*; mend it with: aimodels data fetch isbi2012"):
        membranes.load("test")
    path.unlink()
    assert not membranes.is_ready()
    with pytest.raises(UserError, match=r"3.png is missing\); get it with"):
        membranes.load("test")


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("isbi2012", {"fold": 5}, "data.fold: got 5, takes 0 to 4"),
        ("isbi2012", {"folds": 7}, "takes a divisor of 30"),
        ("nuclei", {"tile": 100}, "data.tile: got 100"),
    ],
)
def test_fields_that_have_no_meaning(name, fields, message):
    with pytest.raises(UserError, match=message):
        make(name, **fields)


def test_nuclei_are_tiles_of_two_parts(fetched):
    fetched("nuclei")
    image, ids = (
        np.concatenate(both)
        for both in zip(*map(nuclei.whole_part, ("train", "test")), strict=True)
    )
    assert image.shape == ids.shape == (512, 512)
    assert image.dtype == np.uint8
    assert len(np.unique(ids)) == 126  # 125 nuclei, numbered up to 183, and the background
    assert image[ids > 0].mean() > 2 * image[ids == 0].mean()
    for tile in (64, 128):
        dataset = make("nuclei", tile=tile, weights=True)
        for split in ("train", "test"):
            batch = whole(dataset, split)
            assert len(batch["inputs"]) == dataset.info().splits[split]
            assert batch["inputs"].shape[1:] == (tile, tile, 1)
            assert batch["targets"].max() == 1
            assert batch["weights"].shape == batch["targets"].shape
        # Side by side, the test tiles are the lowest rows.
        rows = 128 // tile
        tiles = batch["inputs"][..., 0].reshape(rows, 512 // tile, tile, tile)
        np.testing.assert_array_equal(tiles.swapaxes(1, 2).reshape(128, 512), image[384:])


def test_moving_clothes_keep_their_promises(fetched, monkeypatch):
    fetched("fashion_mnist")
    monkeypatch.setattr(moving_fashion, "COUNTS", {"train": 880, "test": 440})
    moving_fashion._clips.cache_clear()
    dataset = make("moving_fashion")
    assert dataset.is_ready()
    batch = whole(dataset, "train")
    moving_fashion._clips.cache_clear()
    assert batch["inputs"].shape == (880, 8, 32, 32, 1)
    np.testing.assert_array_equal(np.bincount(batch["targets"]), [80] * 11)
    clips, labels = batch["inputs"][..., 0].astype(float), batch["targets"]
    names = dataset.info().class_names
    still = clips[labels == names.index("still")]
    np.testing.assert_array_equal(still, np.repeat(still[:, :1], 8, 1))
    for name, (down, right, _) in moving_fashion.MOTIONS.items():
        here = clips[labels == names.index(name)]
        if down or right:
            # One of the speeds takes each frame onto the next.
            moved = [
                np.roll(here[:, :-1], (n * down, n * right), (2, 3)) == here[:, 1:]
                for n in moving_fashion.SPEEDS
            ]
            assert np.any([one.all((1, 2, 3)) for one in moved], axis=0).all(), name


def test_a_single_frame_says_nothing_of_the_motion(fetched, monkeypatch):
    """At each time clothes are anywhere, whatever their motion: chi-square, 8 bands of a canvas."""
    fetched("fashion_mnist")
    monkeypatch.setattr(moving_fashion, "COUNTS", {"train": 6600, "test": 11})
    moving_fashion._clips.cache_clear()
    batch = whole(make("moving_fashion"), "train")
    moving_fashion._clips.cache_clear()
    around = np.exp(2j * np.pi * (np.arange(32) + 0.5) / 32)
    for axes in ((-1, 3), (-1, 2)):
        light = batch["inputs"].astype(np.float32).sum(axes)  # [N, T, 32] along the other axis
        middle = np.angle(light @ around) / (2 * np.pi) % 1
        for motion in range(11):
            for time in (0, 7):
                counts = np.histogram(middle[batch["targets"] == motion, time], 8, (0, 1))[0]
                # 600 clips; one in 10,000 chi-squares of 7 degrees is above 29.9, 44 are drawn.
                assert ((counts - 75) ** 2 / 75).sum() < 29.9


def test_turning_is_clockwise_as_one_sees_it():
    image = np.zeros((1, 14, 14), np.float32)
    image[0, 6:8, 8:13] = 200  # a bar to the right of the middle
    places, angles = np.full((1, 3, 2), 16), np.array([[0.0, 90.0, 180.0]])
    right, below, left = moving_fashion.drawn(image, places, angles)[0].astype(float)
    rows, columns = np.mgrid[:32, :32] + 0.5 - 16
    middles = [
        ((x * rows).sum() / x.sum(), (x * columns).sum() / x.sum()) for x in (right, below, left)
    ]
    np.testing.assert_allclose(middles, [(0, 3.5), (3.5, 0), (0, -3.5)], atol=0.05)
    np.testing.assert_allclose(right.sum(), image.sum(), rtol=0.01)
    # Beyond a border it comes in at the other one.
    moved = moving_fashion.drawn(image, np.array([[[16, 2]]]), angles[:, :1])[0, 0]
    np.testing.assert_array_equal(moved, np.roll(right.astype(np.uint8), -14, 1))


TABLE = """
image=images/enemies/somebody.png

[stance]
frames=3
type=looped
frame=0,0,1,2,3,4,5,6
frame=1,0,2,2,3,4,5,6
frame=2,0,3,2,3,4,5,-6

[cast]
frame=0,0,7,7,3,4,5,6
frame=1,0,8,7,3,4,5,6
frame=2,0,9,7,3,4,5,6
[shoot]
frame=0,0,7,7,3,4,5,6
frame=1,0,8,7,3,4,5,6
frame=2,0,9,7,3,4,5,6
[hit]
frame=0,0,7,7,3,4,5,6
[die]
frame=0,0,7,9,3,4,5,6
frame=1,0,8,9,3,4,5,6
"""


def test_tables_of_sprites_are_read_and_what_looks_the_same_is_taken_once():
    found = sprite_actions.read_animations(TABLE)
    assert set(found) == {"stance", "cast", "shoot", "hit", "die"}
    assert found["stance"][2, 0] == (3, 2, 3, 4, 5, -6)
    # shoot looks like cast; dying has two frames.
    assert set(sprite_actions.distinct(found)) == {"stance", "cast"}


def test_nobody_acts_in_both_parts():
    train, test = (set(sprite_actions.FAMILIES[split]) for split in ("train", "test"))
    assert not train & test
    layers = sprite_actions.layers()
    sheets = [{sheet for each in layers[split].values() for sheet in each} for split in layers]
    assert not sheets[0] & sheets[1]
    assert len(layers["train"]) == 26


def test_actions_of_sprites(fetched):
    dataset = fetched("sprite_actions")
    for split, size in dataset.info().splits.items():
        batch = whole(dataset, split)
        assert batch["inputs"].shape == (size, 4, 48, 48, 3)
        assert set(batch["targets"]) == set(range(6))
        clips = batch["inputs"].astype(int)
        assert (clips[:, :, 0, 0] == sprite_actions.BACKGROUND).mean() > 0.9
        different = (np.abs(np.diff(clips, axis=1)).max((2, 3, 4)) > 20).all(1)
        assert different.mean() > 0.9  # all frames of most clips
        assert len({clip.tobytes() for clip in batch["inputs"]}) == size
