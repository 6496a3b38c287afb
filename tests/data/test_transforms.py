"""Transforms: what each does to each example, and that draws are keyed and independent."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimodels.config import call_section, named_section
from aimodels.data.transforms import TRANSFORMS, Batch, Pipeline, Transform
from aimodels.errors import UserError

KEY = jax.random.key(3)
IMAGES = jax.random.uniform(jax.random.key(0), (64, 8, 10, 3)) + 1.0  # no pixel is 0
RANDOM = {
    "random_crop": {"padding": 2},
    "horizontal_flip": {},
    "random_shift": {"maximum": 3},
    "gaussian_noise": {"std": 0.5},
    "cutout": {"size": 4},
}


def build(specs) -> Pipeline:
    """The pipeline of a config's `training.transforms`."""
    sections = [named_section("transform", spec, "transforms") for spec in specs]
    return Pipeline(tuple(call_section("transform", section) for section in sections))


def batch_of(inputs) -> Batch:
    count = len(inputs)
    return {"inputs": jnp.asarray(inputs), "targets": jnp.arange(count), "mask": jnp.ones(count)}


def apply(spec, inputs, key=KEY, train=True):
    return np.asarray(build((spec,))(batch_of(inputs), key, train=train)["inputs"])


def inputs_for(name):
    return IMAGES[:, :, 0] if name == "random_shift" else IMAGES


def test_scale_takes_pixels_to_0_and_1():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    scaled = apply("scale", pixels)
    assert scaled.dtype == np.float32
    # XLA multiplies by a rounded 1 / 255: one last bit.
    np.testing.assert_allclose(scaled.ravel(), np.arange(256) / 255, rtol=1.5e-7)
    assert (scaled.min(), scaled.max()) == (0, 1)


def test_standardize_channels():
    spec = {"name": "standardize", "mean": (1.0, 2.0, 3.0), "std": (0.5, 1.0, 2.0)}
    expected = (np.asarray(IMAGES) - np.array([1, 2, 3])) / np.array([0.5, 1, 2])
    np.testing.assert_allclose(apply(spec, IMAGES), expected, rtol=1e-5, atol=1e-6)  # float32


def test_one_hot_of_targets():
    batch = {"inputs": jnp.zeros(3), "targets": jnp.array([2, 0, 1])}
    result = build(({"name": "one_hot", "num_classes": 4},))(batch, None, train=False)
    np.testing.assert_array_equal(result["targets"], np.eye(4)[[2, 0, 1]])


def test_flatten_keeps_the_order():
    np.testing.assert_array_equal(apply("flatten", IMAGES), np.asarray(IMAGES).reshape(64, -1))


def test_pad_to_the_center_and_to_the_end():
    centered = apply({"name": "pad_to", "size": (13, 14)}, IMAGES)
    np.testing.assert_array_equal(centered[:, 2:10, 2:12], IMAGES)
    assert np.count_nonzero(centered) == IMAGES.size
    sequences = np.ones((2, 5, 1))
    padded = apply({"name": "pad_to", "size": (8,), "align": "start", "value": -1.0}, sequences)
    np.testing.assert_array_equal(padded[..., 0], [[1] * 5 + [-1] * 3] * 2)


def test_random_crops_are_windows_of_the_padded_image():
    padding = 2
    padded = np.pad(IMAGES, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    seen = set()
    for image, crop in zip(
        padded, apply({"name": "random_crop", "padding": padding}, IMAGES), strict=True
    ):
        places = [
            (y, x)
            for y, x in itertools.product(range(2 * padding + 1), repeat=2)
            if np.array_equal(image[y : y + 8, x : x + 10], crop)
        ]
        assert len(places) == 1
        seen.add(places[0])
    assert {y for y, _ in seen} == {x for _, x in seen} == set(range(2 * padding + 1))


def test_random_crops_of_a_size_and_their_middle_in_evaluation():
    spec = {"name": "random_crop", "padding": 0, "size": (5, 4)}
    images, seen = np.asarray(IMAGES), set()
    for image, crop in zip(images, apply(spec, images), strict=True):
        places = [
            (y, x)
            for y, x in itertools.product(range(4), range(7))
            if np.array_equal(image[y : y + 5, x : x + 4], crop)
        ]
        assert len(places) == 1
        seen.add(places[0])
    assert {y for y, _ in seen} == set(range(4))
    assert {x for _, x in seen} == set(range(7))
    middle = apply(spec, images, train=False)
    np.testing.assert_array_equal(middle, images[:, 1:6, 3:7])
    padded = apply({"name": "random_crop", "padding": 3, "size": 12}, images)
    assert padded.shape == (64, 12, 12, 3)


def test_flips_mirror_whole_images_left_to_right():
    flipped = apply("horizontal_flip", IMAGES)
    mirrored = np.asarray(IMAGES)[:, :, ::-1]
    is_mirrored = np.array([np.array_equal(a, b) for a, b in zip(flipped, mirrored, strict=True)])
    is_same = np.array(
        [np.array_equal(a, b) for a, b in zip(flipped, np.asarray(IMAGES), strict=True)]
    )
    assert (is_mirrored ^ is_same).all()
    assert 20 <= is_mirrored.sum() <= 44  # 64 fair draws: outside once in 400; the key is fixed
    for probability, expected in ((0.0, IMAGES), (1.0, mirrored)):
        spec = {"name": "horizontal_flip", "probability": probability}
        np.testing.assert_array_equal(apply(spec, IMAGES), expected)


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("channels", [(), (2,)])
def test_shifts_move_sequences(wrap, channels):
    sequences = np.random.default_rng(0).random((64, 9, *channels)) + 1
    shifted = apply({"name": "random_shift", "maximum": 3, "wrap": wrap}, sequences)
    seen = set()
    for sequence, moved in zip(sequences.astype(np.float32), shifted, strict=True):
        matches = []
        for shift in range(-3, 4):
            expected = np.roll(sequence, shift, axis=0)
            if not wrap and shift > 0:
                expected[:shift] = 0
            elif not wrap and shift < 0:
                expected[shift:] = 0
            if np.array_equal(moved, expected):
                matches.append(shift)
        assert len(matches) == 1
        seen.add(matches[0])
    assert seen == set(range(-3, 4))


def test_noise_has_its_deviation_and_no_mean():
    noise = apply({"name": "gaussian_noise", "std": 0.5}, jnp.zeros((100, 1000)))
    # 100,000 draws: the mean's deviation is 0.0016, the deviation's 0.0011; five of each.
    assert abs(noise.mean()) < 0.008
    assert abs(noise.std() - 0.5) < 0.006


def test_cutout_zeroes_one_square_cut_off_at_the_border():
    size = 4
    kept = apply({"name": "cutout", "size": size}, IMAGES)
    sizes = set()
    for image, original in zip(kept, np.asarray(IMAGES), strict=True):
        hole = (image == 0).all(axis=-1)
        rows, columns = np.nonzero(hole.any(axis=1))[0], np.nonzero(hole.any(axis=0))[0]
        assert hole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert hole.sum() == len(rows) * len(columns)
        assert 2 <= len(rows) <= size
        assert 2 <= len(columns) <= size
        np.testing.assert_array_equal(image[~hole], original[~hole])
        sizes.add(hole.sum())
    assert size * size in sizes
    assert min(sizes) < size * size


@pytest.mark.parametrize("name", RANDOM)
def test_draws_come_from_the_key_and_differ_between_examples(name):
    inputs = inputs_for(name)
    same = jnp.broadcast_to(inputs[:1], inputs.shape)
    spec = {"name": name, **RANDOM[name]}
    first, again = apply(spec, same), apply(spec, same)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, apply(spec, same, key=jax.random.key(4)))
    assert len({example.tobytes() for example in first}) > 1


@pytest.mark.parametrize("name", RANDOM)
def test_random_ones_run_in_training_only(name):
    inputs = inputs_for(name)
    spec = {"name": name, **RANDOM[name]}
    np.testing.assert_array_equal(apply(spec, inputs, key=None, train=False), inputs)
    assert build((spec,)).steps[0].random


def test_the_table_says_which_are_random():
    fields = {"standardize": {"mean": (0.0,), "std": (1.0,)}, "one_hot": {"num_classes": 2}}
    fields["pad_to"] = {"size": (1,)}
    fields |= {key: {"num_classes": 2} for key in ("mixup", "cutmix", "mixup_or_cutmix")}
    fields |= {key: {"size": 4} for key in ("resize", "center_crop", "random_resized_crop")}
    fields |= {"mirror_pad": {"margin": 1}, "dense_crop": {"size": (4, 4)}}
    steps = {name: build(({"name": name, **fields.get(name, {})},)).steps[0] for name in TRANSFORMS}
    assert all(isinstance(step, Transform) for step in steps.values())
    always = {"scale", "standardize", "one_hot", "flatten", "pad_to", "resize"}
    always |= {"center_crop", "mirror_pad"}
    assert {name for name, step in steps.items() if not step.random} == always


@pytest.mark.parametrize("name", RANDOM)
def test_they_compile_and_leave_other_fields_alone(name):
    pipeline = build(({"name": name, **RANDOM[name]},))
    batch = batch_of(inputs_for(name))
    eager = pipeline(batch, KEY, train=True)
    jitted = jax.jit(lambda batch, key: pipeline(batch, key, train=True))(batch, KEY)
    # XLA may fuse a multiplication and an addition into one rounding.
    np.testing.assert_allclose(jitted["inputs"], eager["inputs"], rtol=1e-6, atol=1e-6)
    for field in ("targets", "mask"):
        np.testing.assert_array_equal(jitted[field], batch[field])
    assert jitted["inputs"].dtype == batch["inputs"].dtype
    assert jitted["inputs"].shape == batch["inputs"].shape


def test_draws_do_not_depend_on_how_a_batch_is_spread():
    pipeline = build(tuple({"name": n, **RANDOM[n]} for n in RANDOM if n != "random_shift"))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    run = jax.jit(lambda batch, key: pipeline(batch, key, train=True)["inputs"])
    batch = batch_of(IMAGES)
    alone, shared = run(batch, KEY), run(jax.device_put(batch, spread), KEY)
    # Two compiled programs; the draws are equal, a fused rounding may differ.
    np.testing.assert_allclose(alone, shared, rtol=1e-6, atol=1e-6)


def test_two_of_a_kind_draw_differently():
    noise = {"name": "gaussian_noise", "std": 1.0}
    once = apply(noise, jnp.zeros((4, 50)))
    twice = np.asarray(
        build((noise, noise))(batch_of(jnp.zeros((4, 50))), KEY, train=True)["inputs"]
    )
    assert abs(np.corrcoef(once.ravel(), (twice - once).ravel())[0, 1]) < 0.4


def test_order_is_the_configs():
    specs = ({"name": "scale", "maximum": 2.0}, {"name": "pad_to", "size": (3,), "value": 7.0})
    batch = batch_of(jnp.ones((1, 1, 1)))
    padded_last = build(specs)(batch, None, train=False)["inputs"].ravel()
    padded_first = build(specs[::-1])(batch, None, train=False)["inputs"].ravel()
    np.testing.assert_array_equal(padded_last, [7, 0.5, 7])
    np.testing.assert_array_equal(padded_first, [3.5, 0.5, 3.5])


class Doubled(Transform):
    """A user's own transform."""

    def __call__(self, batch, key):
        """Twice the inputs."""
        return batch | {"inputs": batch["inputs"] * 2}


def test_a_users_own_transform():
    np.testing.assert_array_equal(apply(f"{__name__}:Doubled", IMAGES), IMAGES * 2)


@pytest.mark.parametrize(
    ("spec", "inputs", "message"),
    [
        ("rndom_crop", IMAGES, "Did you mean 'random_crop'"),
        ({"name": "random_crop", "pad": 4}, IMAGES, "Did you mean 'padding'"),
        (
            {"padding": 4},
            IMAGES,
            "transforms.name is missing; known: center_crop, clip_crop",
        ),
        ("one_hot", IMAGES, "transforms.num_classes is missing"),
        ("no_module:Name", IMAGES, "can't be imported"),
        ("random_crop", jnp.ones((2, 3)), "takes images"),
        ({"name": "random_crop", "padding": 0, "size": 9}, IMAGES, "hold no box of (9, 9)"),
        ("horizontal_flip", jnp.ones((2, 3)), "takes images"),
        ("cutout", jnp.ones((2, 3)), "takes images"),
        ("random_shift", IMAGES, "takes sequences"),
        ("gaussian_noise", jnp.ones((2, 3), jnp.uint8), "put 'scale' before it"),
        ({"name": "pad_to", "size": (4, 4)}, IMAGES, "can't be padded to"),
        ({"name": "pad_to", "size": (40,)}, IMAGES, "can't be padded to"),
        ({"name": "standardize", "mean": (0.0, 1.0), "std": (1.0, 1.0)}, IMAGES, "2 means"),
        ({"name": "standardize", "mean": (0.0,), "std": (0.0,)}, IMAGES, "each std above 0"),
        ({"name": "standardize", "mean": (0.0, 1.0, 2.0), "std": (1.0, 1.0)}, IMAGES, "as many"),
    ],
)
def test_mistakes(spec, inputs, message):
    with pytest.raises(UserError) as error:
        apply(spec, inputs)
    assert message in str(error.value)


@settings(max_examples=8, deadline=None)  # each compiles
@given(st.integers(0, 5), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6))
def test_crops_keep_the_shape_whatever_the_size(padding, count, height, width):
    images = np.ones((count, height, width, 1), np.uint8)
    cropped = apply({"name": "random_crop", "padding": padding}, images)
    assert cropped.shape == images.shape
    assert cropped.dtype == np.uint8
