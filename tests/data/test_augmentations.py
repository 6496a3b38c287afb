"""Augmentations: operations equal torchvision's, random parameters have their distributions."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from aimodels.config import call_section, named_section
from aimodels.data.augmentations import colour, geometry
from aimodels.data.augmentations.crops import random_boxes
from aimodels.data.augmentations.jitter import EIGENVALUES, EIGENVECTORS
from aimodels.data.augmentations.mixing import beta_shares, kept_pixels, mixed
from aimodels.data.augmentations.rand_augment import OPERATIONS, operate
from aimodels.data.transforms import Pipeline
from aimodels.errors import UserError

GOLDEN = Path(__file__).parents[1] / "golden/augmentations.npz"
KEY = jax.random.key(5)
FACTORS = ("brightness", "contrast", "saturation", "sharpness")
PIXELS = np.random.default_rng(0).integers(1, 256, (32, 8, 10, 3), np.uint8)
CLASSES = np.arange(32) % 4
# Those that draw, with fields that let every example change.
RANDOM = {
    "vertical_flip": {},
    "color_jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
    "rand_augment": {"magnitude": 15},
    "random_erasing": {"probability": 0.9},
    "random_resized_crop": {"size": (6, 9)},
    "mixup": {"num_classes": 4, "alpha": 1.0},
    "cutmix": {"num_classes": 4},
    "mixup_or_cutmix": {"num_classes": 4},
}


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


def cases(golden, group, kind):
    """(fields of the name, what torchvision gives), for a group and a kind of image."""
    names, images = (golden[f"{group}/{kind}/{what}"] for what in ("names", "images"))
    return [(str(name).split("/"), image) for name, image in zip(names, images, strict=True)]


def pipeline(*specs):
    sections = [named_section("transform", spec, "transforms") for spec in specs]
    return Pipeline(tuple(call_section("transform", section) for section in sections))


def run(name, images=PIXELS, key=KEY, *, train=True, targets=CLASSES, **fields):
    steps = pipeline({"name": name, **RANDOM.get(name, {}), **fields})
    batch = {"inputs": jnp.asarray(images), "targets": jnp.asarray(targets), "other": jnp.ones(3)}
    result = jax.jit(lambda batch, key: steps(batch, key, train=train))(batch, key)
    return jax.tree.map(np.asarray, result)


def operated(image, operations, signs, magnitude, *, at_once=False):
    """The image after each operation: all branches of all at once (vmap), or one by one."""

    @jax.jit
    def run(image, operations, signs):
        def one(operation, sign):
            return operate(image, operation, sign, magnitude, 128)

        if at_once:
            return jax.vmap(one)(operations, signs)
        return jax.lax.map(lambda given: one(*given), (operations, signs))

    return np.asarray(run(jnp.asarray(image), operations, signs))


@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_rand_augments_operations_are_torchvisions(golden, kind):
    image = jnp.asarray(golden[f"image/{kind}/images"][0])
    ran = set()
    for magnitude in (9, 23):
        chosen = [c for c in cases(golden, "rand_augment", kind) if int(c[0][1]) == magnitude]
        operations = jnp.array([OPERATIONS.index(name) for (name, _, _), _ in chosen])
        signs = jnp.array([float(sign) for (_, _, sign), _ in chosen])
        results = operated(image, operations, signs, magnitude, at_once=kind == "grey")
        for ((name, *_), expected), result in zip(chosen, results, strict=True):
            assert result.dtype == jnp.uint8
            differs = np.abs(np.asarray(result, int) - expected)
            # A number between two levels is cut off: where float32 rounds a whole number up or
            # down, one level of 255 is lost.
            if name in ("color", "contrast", "brightness", "sharpness", "autocontrast"):
                assert differs.max() <= 1, name
                assert (differs > 0).mean() < 0.07, name
            else:
                assert differs.max() == 0, name
            ran.add(name)
    assert ran == set(OPERATIONS)


@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_equalizing_an_image_of_many_pixels_is_torchvisions(golden, kind):
    before, after = golden[f"equalize/{kind}/images"]
    assert (before != after).mean() > 0.5
    np.testing.assert_array_equal(jax.jit(colour.equalize)(before), after)


@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_colour_operations_on_floats_are_torchvisions(golden, kind):
    image = jnp.asarray(golden[f"image/{kind}/images"][0], jnp.float32) / 255
    chosen = cases(golden, "colour", kind)

    def all_of(image):
        numbers = [[float(n)] if n else [] for (_, n), _ in chosen]
        names = [name for (name, _), _ in chosen]
        return [getattr(colour, n)(image, *given) for n, given in zip(names, numbers, strict=True)]

    for ((name, number), expected), result in zip(chosen, jax.jit(all_of)(image), strict=True):
        # float32 on numbers up to 1; hue goes through a division and back.
        np.testing.assert_allclose(result, expected, atol=1e-6, err_msg=f"{name} {number}")
    assert {name for (name, _), _ in chosen} >= {*FACTORS, "hue", "autocontrast", "solarize"}


@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_resized_crops_are_torchvisions(golden, kind):
    image = jnp.asarray(golden[f"image/{kind}/images"][0], jnp.float32) / 255
    chosen = [
        ([int(number) for number in words], expected)
        for group in ("crop_5x4", "crop_8x15")
        for words, expected in cases(golden, group, kind)
    ]
    assert len(chosen) == 16

    def all_of(image, boxes):
        given = [
            (box, (h, w), bool(a)) for box, ((*_, h, w, a), _) in zip(boxes, chosen, strict=True)
        ]
        return [geometry.resized_crop(image, *box, size, antialias=a) for box, size, a in given]

    boxes = jnp.array([numbers[:4] for numbers, _ in chosen])
    for (numbers, expected), result in zip(chosen, jax.jit(all_of)(image, boxes), strict=True):
        # Sums of up to 30 products of numbers up to 1 in float32.
        np.testing.assert_allclose(result, expected, atol=2e-6, err_msg=str(numbers))


def test_operations_by_hand():
    row = jnp.array([0, 10, 250], jnp.uint8).reshape(1, 3, 1)
    assert colour.brightness(row, 1.5).ravel().tolist() == [0, 15, 255]
    assert colour.solarize(row, 200 / 255).ravel().tolist() == [0, 10, 5]
    assert colour.posterize(jnp.array([[[0b10110101]]], jnp.uint8), 3).ravel().tolist() == [
        0b10100000
    ]
    assert colour.autocontrast(row + jnp.uint8(5)).ravel().tolist() == [0, 10, 255]
    flat = jnp.full((3, 3, 1), 7, jnp.uint8)
    for operation in (colour.autocontrast, colour.equalize):
        np.testing.assert_array_equal(operation(flat), flat)
    moved = geometry.warp(row, geometry.translate(1.0, 0.0), 9)
    assert moved.ravel().tolist() == [9, 0, 10]
    whole = jnp.arange(12.0).reshape(3, 4, 1)
    np.testing.assert_allclose(geometry.resized_crop(whole, 0, 0, 3, 4, (3, 4)), whole, atol=1e-5)
    constant = jnp.full((5, 7, 2), 3.5)
    small = geometry.resized_crop(constant, 1, 2, 3, 4, (2, 9))
    np.testing.assert_allclose(small, np.full((2, 9, 2), 3.5), rtol=1e-6)  # one rounding of sums


def test_random_boxes_have_their_area_shape_and_place():
    size, area, ratio = (64, 48), (0.08, 1.0), (3 / 4, 4 / 3)
    (top, left, height, width), found = random_boxes(KEY, 20_000, size, area, ratio)
    top, left, height, width = (np.asarray(side) for side in (top, left, height, width))
    assert found.mean() > 0.999
    assert (top.min(), left.min()) == (0, 0)
    assert (top + height).max() == size[0]
    assert (left + width).max() == size[1]
    shares, ratios = height * width / (size[0] * size[1]), width / height
    # Sides are rounded: by half a pixel of at least 13 (√(0.08 · 64 · 48 · 3 / 4)).
    assert shares.min() > 0.08 * (1 - 1 / 13)
    assert ratios.min() > 3 / 4 * (1 - 1 / 13)
    assert ratios.max() < 4 / 3 * (1 + 1 / 13)
    # What torchvision draws, drawn again by rejection in NumPy: the two samples' deciles agree.
    rng = np.random.default_rng(0)
    wanted = rng.uniform(*area, 100_000) * size[0] * size[1]
    shape = np.exp(rng.uniform(np.log(ratio[0]), np.log(ratio[1]), 100_000))
    w, h = np.round(np.sqrt(wanted * shape)), np.round(np.sqrt(wanted / shape))
    fits = (w <= size[1]) & (h <= size[0])
    for ours, theirs in ((height, h[fits]), (width, w[fits])):
        # Kolmogorov-Smirnov: chance exceeds 0.02 with these samples once in 10,000.
        assert scipy.stats.ks_2samp(ours, theirs).statistic < 0.02
    # Where there is room, each place is as likely: (top / room) has mean ½, deviation 0.29 / √n.
    room = size[0] - height
    assert abs((top[room > 9] / room[room > 9]).mean() - 0.5) < 5 * 0.29 / np.sqrt((room > 9).sum())


def test_a_box_that_never_fits_is_the_largest_in_the_middle():
    box, found = random_boxes(KEY, 1, (4, 40), (0.9, 1.0), (3 / 4, 4 / 3))
    assert not found[0]
    assert [int(side[0]) for side in box] == [0, 17, 4, 5]  # 4 · 4 / 3 columns


def test_rand_augment_draws_each_operation_as_often():
    # One pixel a row tells operations apart that change nothing else; so the draws are looked at.
    images = np.zeros((2800, 4, 4, 1), np.uint8)
    images[:, 1, 1], images[:, 2, 1] = 200, 90
    results = run("rand_augment", images, targets=CLASSES, num_operations=1, magnitude=30)["inputs"]
    counts = {}
    for result in results:
        counts[result.tobytes()] = counts.get(result.tobytes(), 0) + 1
    numbers, signs = jnp.repeat(jnp.arange(14), 2), jnp.tile(jnp.array([1.0, -1.0]), 14)
    assert set(counts) == {one.tobytes() for one in operated(images[0], numbers, signs, 30)}
    translated = images[0].copy()
    translated[:] = 128
    translated[:, 1:] = images[0][:, :-1]
    # One of 14 operations and one of two directions: 100 of 2,800, deviation 9.8.
    assert 55 <= counts[translated.tobytes()] <= 145


def test_jitters_factors_are_uniform():
    images = np.full((4000, 1, 1, 1), 0.5, np.float32)
    factors = run("color_jitter", images, contrast=0.0, saturation=0.0, hue=0.0)["inputs"] / 0.5
    # Chance exceeds it once in 10,000: 2.23 / √n.
    assert scipy.stats.kstest(factors.ravel(), scipy.stats.uniform(0.6, 0.8).cdf).statistic < 0.036


def test_lighting_adds_the_colours_of_natural_images():
    images = np.full((4000, 2, 3, 3), 0.5, np.float32)
    added = run("lighting", images, std=0.1)["inputs"] - images
    np.testing.assert_array_equal(added, np.broadcast_to(added[:, :1, :1], added.shape))
    # Their covariance is that of Σ α_i λ_i p_i: std² Σ λ_i² p_i p_iᵀ, up to what 4,000 draws say.
    values, vectors = np.array(EIGENVALUES), np.array(EIGENVECTORS)
    expected = 0.1**2 * (vectors * values**2) @ vectors.T
    found = np.cov(added[:, 0, 0].T)
    # A variance of n normal draws has the relative deviation √(2 / n), 2.2 %; five of them.
    np.testing.assert_allclose(found, expected, atol=0.11 * expected.max())
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-3)  # four digits are printed


def test_trends_are_taken_out_and_put_in():
    times = np.arange(40) - 19.5
    wave = np.sin(times / 4) - np.polyval(np.polyfit(times, np.sin(times / 4), 1), times)
    slopes = np.random.default_rng(0).normal(size=(2000, 1, 1)) / 40
    signals = (0.3 + wave[:, None] + slopes * times[:, None]).astype(np.float32)
    given = {"targets": np.zeros(2000, int)}
    flat = run("random_trend", signals, slope_std=0.0, offset_std=0.0, **given)["inputs"]
    # float32 sums of 40 numbers of order 1.
    np.testing.assert_allclose(flat, np.broadcast_to(wave[:, None], flat.shape), atol=2e-6)
    changes = (run("random_trend", signals, **given)["inputs"] - flat)[..., 0]
    added = run("random_trend", signals, remove=False, **given)["inputs"] - signals
    np.testing.assert_allclose(added[..., 0], changes, atol=2e-6)
    offsets, rises = changes.mean(1), np.diff(changes, axis=1)
    np.testing.assert_allclose(rises, np.broadcast_to(rises[:, :1], rises.shape), atol=2e-6)
    # Chance exceeds it once in 10,000: 2.23 / √n.
    for values, std in ((offsets, 0.3), (rises[:, 0], 0.04)):
        assert scipy.stats.kstest(values, scipy.stats.norm(0, std).cdf).statistic < 0.05
    assert abs(np.corrcoef(offsets, rises[:, 0])[0, 1]) < 0.09  # 3.9 / √n
    channels = run("random_trend", np.stack([signals[:4, :, 0]] * 2, -1), targets=np.zeros(4, int))
    np.testing.assert_array_equal(channels["inputs"][..., 0], channels["inputs"][..., 1])
    without = run("random_trend", signals[:4, :, 0], targets=np.zeros(4, int))
    np.testing.assert_allclose(without["inputs"], channels["inputs"][..., 0], atol=1e-6)


def test_erased_boxes():
    images = np.zeros((2000, 20, 30, 1), np.float32)
    erased = run("random_erasing", images, probability=0.5)["inputs"][..., 0] != 0
    share = erased.mean((1, 2))
    hit = share > 0
    assert abs(hit.mean() - 0.5) < 5 * 0.5 / np.sqrt(2000)
    for mask in erased[hit][:100]:  # each is one whole box
        rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
        assert mask.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    # Uniform from 0.02 to 0.4 but for boxes that don't fit; sides are rounded to whole pixels.
    assert 0.014 < share[hit].min() < 0.04
    assert 0.36 < share[hit].max() < 0.44
    noise = run("random_erasing", images, probability=1.0)["inputs"]
    values = noise[noise != 0]
    assert abs(values.mean()) < 0.02  # 250,000 draws: deviation 0.002
    assert abs(values.std() - 1) < 0.02
    zeroed = run("random_erasing", PIXELS, value="zero", probability=1.0)["inputs"]
    assert ((zeroed == 0) | (zeroed == PIXELS)).all()
    assert (zeroed == 0).any((1, 2, 3)).all()
    # A long image which many boxes don't fit into never loses all of itself.
    long = np.ones((200, 2, 60, 1), np.uint8)
    left = run("random_erasing", long, probability=1.0, area=(0.4, 0.4), ratio=(1.0, 1.0))["inputs"]
    np.testing.assert_array_equal(left, long)


def test_mixtures_by_hand():
    batch = {
        "inputs": jnp.array([[0.0], [10.0], [20.0]]),
        "targets": jnp.array([0, 1, 2]),
        "lengths": jnp.ones(3),
    }
    share = jnp.array([1.0, 0.75, 0.1])
    result = mixed(batch, share, jnp.array([1, 2, 0]), share, 3)
    np.testing.assert_allclose(result["inputs"], [[0], [12.5], [2]], rtol=1e-6)
    expected = [[1, 0, 0], [0, 0.75, 0.25], [0.9, 0, 0.1]]
    np.testing.assert_allclose(result["targets"], expected, rtol=1e-6)
    np.testing.assert_array_equal(result["lengths"], batch["lengths"])
    again = mixed(result, share, jnp.array([0, 1, 2]), share, 3)  # shares may be mixed again
    np.testing.assert_allclose(again["targets"], expected, rtol=1e-6)


def test_mixups_shares_are_beta_and_the_classes_have_them():
    for alpha in (0.2, 1.0):
        shares = np.asarray(beta_shares(KEY, 4000, alpha, 1.0))
        cdf = scipy.stats.beta(alpha, alpha).cdf
        assert scipy.stats.kstest(shares, cdf).statistic < 0.036  # once in 10,000
    assert abs((beta_shares(KEY, 4000, 1.0, 0.3) < 1).mean() - 0.3) < 5 * 0.46 / np.sqrt(4000)
    # Each image holds its own class: what is mixed can be read off it.
    images = np.eye(4, dtype=np.float32)[CLASSES].reshape(32, 1, 4, 1)
    for name in ("mixup", "mixup_or_cutmix"):
        result = run(name, images)
        # CutMix's pixels are not in the shares of the classes: only mixup's are read.
        if name == "mixup":
            np.testing.assert_allclose(
                result["inputs"].reshape(32, 4), result["targets"], atol=1e-6
            )
        np.testing.assert_allclose(result["targets"].sum(1), 1, atol=1e-6)
        own = result["targets"][np.arange(32), CLASSES]
        assert len(np.unique(own.round(4))) > 8  # a share for each example


def test_cutmix_pastes_one_box_and_the_classes_have_its_area():
    images = np.broadcast_to(CLASSES[:, None, None, None], (32, 9, 12, 1)).astype(np.uint8)
    result = run("cutmix", images)
    cut = 0
    for image, shares, own in zip(
        result["inputs"][..., 0], result["targets"], CLASSES, strict=True
    ):
        found = np.bincount(image.ravel(), minlength=4) / image.size
        np.testing.assert_allclose(shares, found, atol=1e-6)
        pasted = image != own
        if pasted.any():
            rows, columns = np.nonzero(pasted.any(1))[0], np.nonzero(pasted.any(0))[0]
            assert pasted.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
            cut += 1
    assert cut > 10
    # Where the border doesn't cut it off, a box has √(1 - λ) of each side.
    kept = np.asarray(kept_pixels(KEY, jnp.full(500, 0.75), (40, 60)))
    assert (1 - kept).mean((1, 2)).max() == pytest.approx(0.25)
    np.testing.assert_array_equal(kept_pixels(KEY, jnp.ones(5), (4, 6)), np.ones((5, 4, 6)))


@pytest.mark.parametrize("name", RANDOM)
def test_draws_come_from_the_key_and_differ_between_examples(name):
    same = np.broadcast_to(PIXELS[:1], PIXELS.shape)
    if "mix" in name:  # the same pictures, mixed, are the same
        same = PIXELS
    first, other = run(name, same), run(name, same, key=jax.random.key(6))
    np.testing.assert_array_equal(first["inputs"], run(name, same)["inputs"])
    assert not np.array_equal(first["inputs"], other["inputs"])
    assert len({example.tobytes() for example in first["inputs"]}) > 1
    assert first["inputs"].dtype == np.uint8
    np.testing.assert_array_equal(first["other"], np.ones(3))
    if "mix" not in name:
        np.testing.assert_array_equal(first["targets"], CLASSES)


@pytest.mark.parametrize("name", ["color_jitter", "rand_augment", "random_resized_crop"])
def test_floats_are_taken_as_pixels_are(name):
    from_bytes = run(name)["inputs"] / 255
    from_floats = run(name, (PIXELS / 255).astype(np.float32))["inputs"]
    assert from_floats.dtype == np.float32
    # Levels of uint8 are cut off (up to 4 times in a jitter), or rounded once.
    bound = {"color_jitter": 12, "rand_augment": 0.01, "random_resized_crop": 0.51}[name]
    assert np.abs(from_bytes - from_floats).max() <= bound / 255


def test_evaluation_takes_the_middle_and_nothing_else_is_changed():
    for name in set(RANDOM) - {"random_resized_crop"}:
        result = run(name, train=False)
        np.testing.assert_array_equal(result["inputs"], PIXELS)
        np.testing.assert_array_equal(result["targets"], CLASSES)
    cut = run("random_resized_crop", train=False, size=7, evaluation_crop=7 / 8)["inputs"]
    np.testing.assert_array_equal(cut, PIXELS[:, :7, 1:8])  # a box of 7 x 7 in the middle of 8 x 10
    assert run("resize", train=False, size=4)["inputs"].shape == (32, 4, 5, 3)
    assert run("resize", train=False, size=(3, 9))["inputs"].shape == (32, 3, 9, 3)
    middle = run("center_crop", train=False, size=(4, 6))["inputs"]
    np.testing.assert_array_equal(middle, PIXELS[:, 2:6, 2:8])


@pytest.mark.parametrize(
    ("name", "images", "fields", "message"),
    [
        ("rand_augment", np.ones((2, 4, 4, 2), np.uint8), {}, "1 or 3 channels, got (2, 4, 4, 2)"),
        ("color_jitter", np.ones((2, 4, 4, 4), np.uint8), {}, "1 or 3 channels"),
        ("cutmix", np.ones((2, 4)), {}, "takes images"),
        ("random_erasing", np.ones((2, 4, 4)), {}, "takes images"),
        ("center_crop", PIXELS, {"size": 9}, "hold no box of (9, 9); put 'resize'"),
        ("resize", PIXELS, {"size": 0}, "must be above 0"),
        ("rand_augment", PIXELS, {"magnitude": 31}, "a magnitude of 0 to 30"),
        ("rand_augment", PIXELS, {"fill": 300}, "must be 0 to 255"),
        ("color_jitter", PIXELS, {"hue": 0.6}, "hue at most 0.5"),
        ("random_resized_crop", PIXELS, {"area": (0.0, 1.0)}, "between 0 and 1"),
        ("random_erasing", PIXELS, {"ratio": (2.0, 1.0)}, "from low to high"),
        ("mixup", PIXELS, {"alpha": 0.0}, "alpha 0 must be above 0"),
        ("lighting", PIXELS, {}, "put 'scale' before it"),
        ("random_trend", PIXELS, {}, "takes signals"),
    ],
)
def test_mistakes(name, images, fields, message):
    with pytest.raises(UserError) as error:
        run(name, images, targets=CLASSES[: len(images)], **fields)
    assert message in str(error.value)


def test_mixtures_need_classes():
    with pytest.raises(UserError, match="shares of 4 classes, as targets, got float32"):
        run("mixup", targets=np.ones(32, np.float32))
    with pytest.raises(UserError, match="takes images of uint8, got float32"):
        colour.equalize(jnp.ones((2, 2, 1)))
