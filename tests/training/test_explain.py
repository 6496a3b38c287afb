"""`aimodels explain` of a CNN and a Transformer trained on Fashion-MNIST, and wrong images."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pictures import assert_readable, is_png
from PIL import Image

import aimodels
from aimodels.cli import main
from aimodels.data import make
from aimodels.data.image_files import find_images, open_image, read_image
from aimodels.errors import UserError
from aimodels.interpret import deletion_score
from aimodels.training.explain import METHODS, explain, heat_maps, overlaid

STEPS = 300
CONFIG = {
    # Grad-CAM's weights are means over space, as its head's must be: behind a flattened map, whose
    # places have weights of their own, it says little.
    "model": {
        "name": "CNN",
        "features": (16, 32, 32),
        "pooling": "max",
        "batch_norm": True,
        "readout": "mean",
        "num_classes": 10,
    },
    "task": {"name": "classification"},
    "data": {"name": "fashion_mnist"},
    "optimizer": {"name": "adam", "learning_rate": 1e-2},
    "training": {
        "steps": STEPS,
        "batch_size": 64,
        "log_every": 100,
        "transforms": ("scale", {"name": "standardize", "mean": (0.286,), "std": (0.353,)}),
    },
    "evaluation": {"splits": ("test[:1000]",), "batch_size": 500},
}
VIT = {"name": "TransformerClassifier", "width": 16, "num_layers": 2, "patch_size": 7}


@pytest.fixture(scope="module")
def clothes(fetched, data_folder):
    """The first images of the test set, with their classes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIMODELS_DATA", str(data_folder))
        yield fetched("fashion_mnist").load("test").gather(np.arange(200))


@pytest.fixture(scope="module")
def cnn(clothes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain") / "cnn"
    aimodels.train(CONFIG, folder, verbose=False)
    return folder


@pytest.fixture(scope="module")
def files(clothes, tmp_path_factory):
    """A folder of the first six, numbered."""
    folder = tmp_path_factory.mktemp("clothes")
    for number, image in enumerate(clothes["inputs"][:6]):
        Image.fromarray(image[..., 0]).save(folder / f"{number}.png")
    return folder


def run(capsys, *arguments):
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_draws_and_says_what_it_sees(capsys, cnn, files, clothes, kept, tmp_path):
    code, out, err = run(capsys, "explain", f"--workdir={cnn}", "--images", str(files))
    assert code == 0, err
    said = json.loads(out)
    assert said["picture"] == str(cnn / "explain.png")
    assert said["picture"] in err
    assert is_png(cnn / "explain.png")
    assert_readable(kept[-1])
    loaded = aimodels.load(cnn)
    logits = loaded.predict(clothes["inputs"][:6])
    expected = np.asarray(jax.nn.softmax(logits)).max(1)
    np.testing.assert_allclose([one["probability"] for one in said["images"]], expected, rtol=1e-4)
    names = make("fashion_mnist").info().class_names
    seen = [names[index] for index in logits.argmax(1)]
    assert [one["prediction"] for one in said["images"]] == seen
    assert all(one["explained"] == one["prediction"] for one in said["images"])
    other = int(logits[0].argmin())
    one = explain(
        cnn,
        [files / "0.png", files / "1.png"],
        method="occlusion",
        class_id=other,
        output=tmp_path / "as_another.png",
    )
    assert {image["explained"] for image in one["images"]} == {names[other]}
    assert one["images"][0]["explained_probability"] < one["images"][0]["probability"]
    assert is_png(tmp_path / "as_another.png")
    assert_readable(kept[-1])


@pytest.fixture(scope="module")
def vit(clothes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain") / "vit"
    aimodels.train(CONFIG | {"model": VIT | {"num_classes": 10}}, folder, verbose=False)
    return folder


@pytest.mark.parametrize(
    ("method", "network"),
    [
        ("grad_cam", "cnn"),
        ("integrated_gradients", "cnn"),
        ("occlusion", "cnn"),
        ("attention_rollout", "vit"),
    ],
)
def test_maps_find_what_the_class_hangs_on(request, clothes, method, network):
    loaded = aimodels.load(request.getfixturevalue(network))
    raw = clothes["inputs"]
    inputs, _, classes, maps = heat_maps(loaded, raw, method)
    assert (classes == clothes["targets"]).mean() > 0.75
    assert maps.shape == (200, 28, 28)
    assert np.isfinite(maps).all()
    task, variables = loaded.task, loaded.state.variables
    black = task.transforms({"inputs": np.zeros_like(raw[:1])}, None, train=False)["inputs"]

    def function(images):
        return jax.nn.softmax(task.model.apply(variables, images))

    score = jax.jit(
        lambda maps: deletion_score(function, inputs, jnp.asarray(classes), maps, baseline=black)
    )
    ours = np.asarray(score(maps))
    random = np.asarray(score(np.random.default_rng(0).random(maps.shape, np.float32)))
    difference = random - ours
    # Paired over 200 images: better by more than five deviations of the mean.
    assert difference.mean() > 5 * difference.std() / np.sqrt(len(difference))


def test_a_transformer_explains_by_its_attention(clothes, files, tmp_path, kept):
    config = CONFIG | {"model": VIT | {"num_classes": 10}}
    config["training"] = CONFIG["training"] | {"steps": 2}
    aimodels.train(config, tmp_path / "vit", verbose=False)
    explain(tmp_path / "vit", [files], method="attention_rollout")
    assert is_png(tmp_path / "vit/explain.png")
    assert_readable(kept[-1])
    # Its only maps [B, H, W, D] are those of the patches.
    explain(tmp_path / "vit", [files], method="grad_cam")
    assert_readable(kept[-1])


def test_mistakes_are_told(capsys, cnn, files, small_config, tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not an image")
    whole = (files / "0.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "nothing").mkdir()
    for given, message in (
        (("--images", "missing.png"), "image missing.png does not exist"),
        (("--images", str(tmp_path / "nothing")), "holds no image that ends in .png, .jpg"),
        (("--images", str(tmp_path / "empty.png")), "empty.png is empty"),
        (("--images", str(tmp_path / "text.png")), "text.png is no PNG or JPEG image"),
        (("--images", str(tmp_path / "cut.png")), "cut.png is damaged"),
        (("--images", str(files), "--method=gradcam"), "Did you mean 'grad_cam'"),
        (("--images", str(files), "--class=10"), "the model has 0 to 9"),
        (("--images", str(files), "--output=x.jpg"), "the picture is a .png"),
        (("--images", *[str(files)] * 11), "66 images are too many"),
        (("--images", str(files), "--method=attention_rollout"), "CNN has no attention"),
    ):
        code, _, err = run(capsys, "explain", f"--workdir={cnn}", *given)
        assert code == 2, given
        assert message in err
    aimodels.train(small_config(training={"steps": 2}), tmp_path / "iris", verbose=False)
    with pytest.raises(UserError, match=r"data set 'iris' has inputs float32 \(16, 4\)"):
        explain(tmp_path / "iris", [files])


def test_images_are_read_to_the_shape(tmp_path):
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 255, 0, 0  # what is left when it is cut square
    Image.fromarray(wide).save(tmp_path / "wide.png")
    read = read_image(tmp_path / "wide.png", (10, 10, 3))
    np.testing.assert_array_equal(read, np.broadcast_to((255, 0, 0), (10, 10, 3)))
    grey = read_image(tmp_path / "wide.png", (10, 10, 1))
    assert set(grey.ravel()) == {76}  # 0.299 of 255
    Image.fromarray(np.zeros((4, 4, 4), np.uint8)).save(tmp_path / "clear.png")
    assert (read_image(tmp_path / "clear.png", (4, 4, 3)) == 255).all()
    Image.fromarray(np.full((4, 4), 128 * 256, np.uint16)).save(tmp_path / "deep.png")
    assert (read_image(tmp_path / "deep.png", (4, 4, 1)) == 128).all()
    turned = Image.fromarray(wide)
    exif = turned.getexif()
    exif[0x0112] = 6  # the camera was turned: 60 rows of 20
    turned.save(tmp_path / "turned.jpg", exif=exif, quality=100)
    upright = read_image(tmp_path / "turned.jpg", (60, 20, 3)).astype(int)
    assert (upright[25:35, :, 0] > 200).all()
    assert (upright[:15] < 60).all()
    with pytest.raises(UserError, match="1 or 3 channels, and 4"):
        read_image(tmp_path / "wide.png", (4, 4, 4))
    names = [path.name for path in find_images([tmp_path, tmp_path / "wide.png"])]
    assert names == ["clear.png", "deep.png", "turned.jpg", "wide.png", "wide.png"]
    with pytest.raises(UserError, match="no image is given"):
        find_images([])


def test_a_damaged_exif_block_turns_nothing(tmp_path):
    tags = [
        b"\x01J\0\x02\0\0\0\x06\0\0\x002",  # a text under a tag of numbers
        b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0",  # the camera was turned
        b"\x82\x9a\0\x03\0\0\0\x02\0\x01\0\x03",
    ]
    block = b"Exif\0\0MM\0*\0\0\0\x08\0\x03" + b"".join(tags) + b"\0\0\0\0\x9aaker\0"
    Image.new("RGB", (60, 20)).save(tmp_path / "odd.jpg", exif=block)
    assert open_image(tmp_path / "odd.jpg").size == (60, 20)


def test_heat_colours_an_image():
    image = np.full((4, 4, 3), 0.5)
    np.testing.assert_allclose(overlaid(image, np.zeros((4, 4))), 0.65)
    heat = np.zeros((4, 4))
    heat[0, 0], heat[3, 3] = 2, -2
    drawn = overlaid(image, heat)
    assert drawn[0, 0, 0] > 0.8 > 0.2 > drawn[0, 0, 2]  # orange
    assert drawn[3, 3, 2] > 0.6 > 0.2 > drawn[3, 3, 0]  # blue
    assert (drawn >= 0).all()
    assert (drawn <= 1).all()
    assert set(METHODS) == {"grad_cam", "integrated_gradients", "occlusion", "attention_rollout"}
