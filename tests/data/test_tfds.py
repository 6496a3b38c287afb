"""TFDS by random access, prepared here from a builder of the tests' own."""

import subprocess
import sys
import time

import numpy as np
import pytest
from tiny_shapes import pixels

from aimodels.data import make
from aimodels.data.describe import named
from aimodels.data.tfds import _resized
from aimodels.errors import UserError


@pytest.fixture(scope="session")
def prepared(data_folder):
    """TFDS's folder, with two tiny sets in it."""
    folder = data_folder / "tfds"
    for name in ("TinyShapes", "TinyMixedShapes"):
        line = make("tfds", dataset=f"tiny_shapes:{name}", data_dir=str(folder)).fetch()
        assert line.startswith("prepared by TFDS")
    return folder


@pytest.mark.parametrize("name", ["tfds:tiny_shapes", "tfds:tiny_shapes:TinyShapes"])
def test_examples_in_any_order(prepared, name):
    dataset = named(name)
    assert dataset.is_ready()
    train = dataset.load("train+test")
    everything = train.gather(np.arange(len(train)))
    order = np.array([24, 3, 3, 17])
    batch = train.gather(order)
    for field in ("inputs", "targets"):
        np.testing.assert_array_equal(batch[field], everything[field][order])
    assert batch["inputs"].dtype == np.uint8
    assert batch["targets"].dtype == np.int32
    # TFDS shuffles when it prepares: compare as sets.
    assert {image.tobytes() for image in everything["inputs"]} == {
        pixels(index).tobytes() for index in range(25)
    }
    shape = everything["inputs"].max(axis=(1, 2, 3)) % 2
    np.testing.assert_array_equal(everything["targets"], shape)


def test_info_is_what_tfds_knows(prepared):
    info = make("tfds", dataset="tiny_shapes").info()
    assert dict(info.splits) == {"train": 20, "test": 5}
    assert info.class_names == ("square", "bar")
    assert info.task == "classification"
    assert info.features["inputs"].shape == (8, 8, 1)
    assert info.features["targets"].dtype == "int32"
    assert info.source == "https://example.org/shapes"


def test_other_fields_and_slices(prepared):
    dataset = make("tfds", dataset="tiny_shapes", inputs="name", targets="size")
    assert dataset.info().task == "regression"
    batch = dataset.load("train[25%:75%]").gather(np.arange(10))
    assert batch["targets"].dtype == np.float32
    for name, size in zip(batch["inputs"], batch["targets"], strict=True):
        assert name == f"shape {round(size * 10)}".encode()
    assert set(
        make("tfds", dataset="tiny_shapes", targets=None).load("test").gather(np.array([0]))
    ) == {"inputs"}


def test_images_of_several_sizes(prepared):
    dataset = make("tfds", dataset="tiny_mixed_shapes")
    assert dataset.info().features["inputs"].shape == (None, 8, 1)
    with pytest.raises(UserError, match=r"different shapes.*data.image_size"):
        dataset.load("train").gather(np.arange(20))
    scaled = make("tfds", dataset="tiny_mixed_shapes", image_size=(8, 6))
    assert scaled.info().features["inputs"].shape == (8, 6, 1)
    assert scaled.load("train").gather(np.arange(20))["inputs"].shape == (20, 8, 6, 1)


def test_images_are_stretched_or_cropped_to_a_size():
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, 4:8] = 200, 100, 0  # the middle
    scaled = [_resized(wide, (8, 8), fit) for fit in ("stretch", "crop")]
    assert [image.shape for image in scaled] == [(8, 8, 3)] * 2
    np.testing.assert_array_equal(scaled[1], np.broadcast_to((200, 100, 0), (8, 8, 3)))
    assert (scaled[0][:, 0] == 0).all()  # the whole width is in it
    assert scaled[0][4, 4, 0] == 200


def test_a_set_that_is_not_prepared_fails_at_once_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    dataset = make("tfds", dataset="cifar10")
    assert dataset.info().splits == {}
    assert not dataset.is_ready()
    start = time.monotonic()
    with pytest.raises(UserError, match="aimodels data fetch tfds:cifar10") as error:
        dataset.load("train")
    assert time.monotonic() - start < 10
    assert str(tmp_path) in str(error.value)
    with pytest.raises(UserError, match=f"TFDS_DATA_DIR={tmp_path} aimodels data fetch"):
        make("tfds", dataset="cifar10", data_dir=str(tmp_path)).load("train")


def test_what_is_known_of_imagenet_where_it_is_not(tmp_path):
    fields = {"dataset": "imagenet2012", "data_dir": str(tmp_path)}
    assert make("tfds", **fields).info().features == {}  # its images have many sizes
    info = make("tfds", image_size=(256, 256), **fields).info()
    assert info.features["inputs"].shape == (256, 256, 3)
    assert dict(info.splits) == {"train": 1_281_167, "validation": 50_000}
    assert info.num_classes == 1000
    assert "not prepared here" in info.title
    with pytest.raises(UserError, match="aimodels data fetch tfds:imagenet2012"):
        make("tfds", image_size=(256, 256), **fields).load("train")


def test_a_fetch_without_the_host_fails_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    start = time.monotonic()
    with pytest.raises(UserError, match=r"can't be downloaded: host.invalid"):
        make("tfds", dataset="tiny_shapes:TinyDownload").fetch()
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    ("dataset", "fields", "message"),
    [
        ("tiny_shapes", {"inputs": "picture"}, "data.inputs: unknown feature"),
        ("tiny_shapes", {"targets": "lable"}, "Did you mean 'label'"),
    ],
)
def test_an_unknown_feature(prepared, dataset, fields, message):
    with pytest.raises(UserError) as error:
        make("tfds", dataset=dataset, **fields).load("train")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("cifar1O", "Did you mean 'cifar10"),
        ("tiny_shapes:Nothing", "can't be built"),
        ("no_such_module:Builder", "can't be built"),
        ("tiny_shapes:TinyBroken", "can't be prepared: RuntimeError: no shapes today"),
    ],
)
def test_a_fetch_of_what_is_not_there(dataset, message, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(UserError) as error:
        make("tfds", dataset=dataset).fetch()
    assert message in str(error.value)


def test_a_format_without_random_access_is_told(prepared, tmp_path, monkeypatch):
    import json
    import shutil

    folder = tmp_path / "tiny_shapes" / "1.0.0"
    shutil.copytree(prepared / "tiny_shapes" / "1.0.0", folder)
    facts = json.loads((folder / "dataset_info.json").read_text())
    (folder / "dataset_info.json").write_text(json.dumps(facts | {"fileFormat": "tfrecord"}))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(UserError, match="format tfrecord, which has no random access"):
        make("tfds", dataset="tiny_shapes").load("train")


def test_it_reads_without_tensorflow(prepared):
    code = (
        "import sys, numpy as np\n"
        "from aimodels.data import make\n"
        f"source = make('tfds', dataset='tiny_shapes', data_dir={str(prepared)!r}).load('train')\n"
        "assert source.gather(np.arange(3))['inputs'].shape == (3, 8, 8, 1)\n"
        "print('tensorflow' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "False", result.stderr[-2000:]
