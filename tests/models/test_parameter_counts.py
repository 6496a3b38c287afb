"""The table of models, and parameter counts against the published ones."""

import inspect
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

import aimodels
from aimodels import models
from aimodels.models import MODELS, count_parameters, value_networks


def shape(*sizes, dtype="float32"):
    return jax.ShapeDtypeStruct(sizes, dtype)


SIGNALS, IMAGES, TOKENS = shape(1, 40), shape(1, 28, 28, 1), shape(1, 64, dtype="int32")
PICTURES = shape(1, 224, 224, 3)

ATARI = ((32, 8, 4), (64, 4, 2), (64, 3, 1))

COUNTS = {
    # Mnih et al. 2015, four actions.
    "nature dqn": (
        1_686_180,
        value_networks.QNetwork(4, features=(512,), convolutions=ATARI, scale=255.0),
        shape(1, 84, 84, 4, dtype="uint8"),
    ),
    # Greydanus & Kobak 2024: the four models of MNIST-1D.
    "mnist1d logistic regression": (410, models.Linear(10), SIGNALS),
    "mnist1d mlp": (15_210, models.MLP((100, 100), 10, residual=True), SIGNALS),
    "mnist1d cnn": (
        5_210,
        models.CNN((25, 25, 25), 10, kernel_sizes=(5, 3, 3), strides=2, padding=1),
        SIGNALS,
    ),
    "mnist1d gru": (
        5_134,
        models.RecurrentClassifier(6, 10, cell="gru", bidirectional=True, readout="flatten"),
        SIGNALS,
    ),
    # LeCun et al. 1998, with every map of C3 connected to all of S2 and no weights in pooling.
    "lenet-5": (
        61_706,
        models.CNN(
            (6, 16),
            10,
            kernel_sizes=5,
            padding=(2, 0),
            pooling="average",
            activation="tanh",
            dense_features=(120, 84),
        ),
        IMAGES,
    ),
    # Two 5x5 convolutions and a dense layer of 1,024 (TensorFlow's old MNIST tutorial).
    "two convolutions with pooling": (
        3_274_634,
        models.CNN((32, 64), 10, kernel_sizes=5, pooling="max", dense_features=(1024,)),
        IMAGES,
    ),
    # nanoGPT's CPU setting, position embeddings included; and its GPT-2 (124,439,808).
    "nanogpt on shakespeare": (804_096, models.GPT(65), TOKENS),
    "gpt-2": (
        124_439_808,
        models.GPT(50_257, width=768, num_layers=12, num_heads=12, max_length=1024, use_bias=True),
        TOKENS,
    ),
    # torchvision's ssd300_vgg16, COCO's 90 classes and the background.
    "ssd300": (35_641_826, models.SSD300(91), shape(1, 300, 300, 3)),
    # The authors' yolov3.weights: 248,007,048 bytes are a header of 20 and as many float32, and
    # those of BatchNorm's running averages, 2 · 26,304.
    "yolov3": (61_949_149, models.YOLOv3(80), shape(1, 416, 416, 3)),
    # Redmon & Farhadi 2018, table 1; the model card of timm's darknet53 says 41.6 M.
    "darknet-53": (41_609_928, models.Darknet53(1000), shape(1, 256, 256, 3)),
    # Redmon et al. 2016, figure 3, counted by hand: 24 convolutions with biases have 60,155,968
    # parameters, the Dense layers 7² · 1024 · 4096 + 4096 and 4096 · 7² · 30 + 7² · 30.
    "yolov1": (60_155_968 + 205_524_992 + 6_022_590, models.YOLOv1(20), shape(1, 448, 448, 3)),
    # torchvision's ViT-S/16 is not published by it; timm's and transformers' have this count.
    "vit-s/16": (
        22_050_664,
        models.TransformerClassifier(1000, width=384, num_layers=12, num_heads=6, patch_size=16),
        PICTURES,
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts_are_the_published_ones(name):
    count, model, inputs = COUNTS[name]
    assert count_parameters(model, inputs) == count


def test_nanogpt_counts_without_positions():
    # nanoGPT's get_num_params leaves the position embeddings out: it prints "0.80M"
    without = count_parameters(models.GPT(65), TOKENS) - 64 * 128
    assert without == 795_904
    assert f"{without / 1e6:.2f}M" == "0.80M"


def test_counting_computes_nothing_and_counts_parameters_only():
    huge = models.MLP((1_000_000, 1_000_000), 10)  # 4 TB, if it were made
    assert count_parameters(huge, shape(1, 10)) == 10**6 * 11 + 10**6 * (10**6 + 1) + 10**7 + 10
    normed = models.CNN((4,), 10, batch_norm=True, readout="mean")
    assert count_parameters(normed, IMAGES) == 4 * 9 + 2 * 4 + 50  # no running averages


@pytest.mark.parametrize("name", MODELS)
def test_every_model_in_the_table_is_plain(name):
    """A config can state every field: simple types, and defaults unless the size decides."""
    model = getattr(models, name)
    assert model.__name__ == name
    fields = inspect.signature(model).parameters
    assert {"dtype", "param_dtype"} <= set(fields)
    for field, parameter in fields.items():
        if field not in ("dtype", "param_dtype", "parent", "name"):
            assert "Array" not in str(parameter.annotation), field
            assert "Callable" not in str(parameter.annotation), field
        if parameter.default is inspect.Parameter.empty:
            assert field in ("features", "num_classes", "num_actions", "vocabulary"), field
    call = inspect.signature(model.__call__).parameters
    others = list(call)[2:]
    assert list(call)[:2] == ["self", "inputs"]
    assert others in (([], ["train"]) if "num_actions" in fields else (["lengths", "train"],))


def test_models_are_found_lazily_and_listed():
    assert set(MODELS) <= set(dir(models))
    assert aimodels.models.CNN is models.CNN
    with pytest.raises(AttributeError, match="has no attribute 'CNNN'"):
        _ = models.CNNN
    code = "import sys, aimodels.models; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", ["mnist1d mlp", "mnist1d cnn", "mnist1d gru", "lenet-5"])
def test_dtype_is_of_the_outputs_and_parameters_stay_float32(name, dtype):
    _, model, inputs = COUNTS[name]
    outputs, variables = jax.eval_shape(
        lambda inputs: model.clone(dtype=dtype).init_with_output(jax.random.key(0), inputs),
        shape(2, *inputs.shape[1:], dtype="uint8"),
    )
    assert outputs.dtype == dtype
    assert outputs.shape == (2, 10)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
