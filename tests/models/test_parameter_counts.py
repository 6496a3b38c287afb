"""The table of models, and parameter counts against the published ones."""

import inspect
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

import aimodels
from aimodels import models
from aimodels.models import MODELS, count_parameters


def shape(*sizes, dtype="float32"):
    return jax.ShapeDtypeStruct(sizes, dtype)


SIGNALS, IMAGES, TOKENS = shape(1, 40), shape(1, 28, 28, 1), shape(1, 64, dtype="int32")
PICTURES, SMALL = shape(1, 224, 224, 3), shape(1, 32, 32, 3)

SEGMENTED, CLIPS = shape(1, 64, 64, 3), shape(1, 16, 112, 112, 3)

ATARI = ((32, 8, 4), (64, 4, 2), (64, 3, 1))

COUNTS = {
    # Mnih et al. 2015, four actions.
    "nature dqn": (
        1_686_180,
        models.QNetwork(4, features=(512,), convolutions=ATARI, scale=255.0),
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
    # Bai et al. 2018: 300 K for chorales, 70 K for adding, and copying as their code has it.
    "tcn chorales": (
        269_938,
        models.TemporalConvNet(150, 88, num_levels=2, kernel_size=3, readout="each"),
        shape(1, 160, 88),
    ),
    "tcn adding": (70_369, models.TemporalConvNet(24, 1, kernel_size=8), shape(1, 600, 2)),
    "tcn copying": (
        12_530,
        models.TemporalConvNet(10, 10, kernel_size=8, readout="each"),
        shape(1, 1020, dtype="int32"),
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
    # Devlin et al. 2019: 110 M and 340 M; the counts of transformers' BertModel and, with its head
    # of two tasks, BertForPreTraining.
    "bert-base": (109_482_240, models.BERT(), TOKENS),
    "bert-base in pre-training": (110_106_428, models.BERT(head="pretraining"), TOKENS),
    "bert-large": (
        335_141_888,
        models.BERT(width=1024, num_layers=24, num_heads=16),
        TOKENS,
    ),
    # Sanh et al. 2019: 66 M. all-MiniLM-L6-v2: the numbers in its file, without the pooler's.
    "distilbert": (66_362_880, models.BERT(head="tokens", num_token_types=0, num_layers=6), TOKENS),
    "minilm": (22_565_376, models.BERT(head="sentence", width=384, num_layers=6), TOKENS),
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
    # LeCun et al. 1998 as published: 156 + 12 + 1,516 + 32 + 48,120 + 10,164 (section II.B).
    "lenet-5 of 1998": (60_000, models.LeNet5(), shape(1, 32, 32, 1)),
    "lenet-5 of 1998 with a dense head": (60_850, models.LeNet5(readout="dense"), IMAGES),
    # torchvision 0.28: the number of parameters of its models, by itself.
    "alexnet": (61_100_840, models.AlexNet(), PICTURES),
    "vgg-11": (132_863_336, models.VGG(11), PICTURES),
    "vgg-13": (133_047_848, models.VGG(13), PICTURES),
    "vgg-16": (138_357_544, models.VGG(16), PICTURES),
    "vgg-19": (143_667_240, models.VGG(19), PICTURES),
    "vgg-11 with batch norm": (132_868_840, models.VGG(11, batch_norm=True), PICTURES),
    "vgg-13 with batch norm": (133_053_736, models.VGG(13, batch_norm=True), PICTURES),
    "vgg-16 with batch norm": (138_365_992, models.VGG(16, batch_norm=True), PICTURES),
    "vgg-19 with batch norm": (143_678_248, models.VGG(19, batch_norm=True), PICTURES),
    "googlenet": (13_004_888, models.GoogLeNet(), PICTURES),
    "googlenet, no auxiliary": (6_624_904, models.GoogLeNet(auxiliary_heads=False), PICTURES),
    "inception-v3": (27_161_264, models.InceptionV3(), shape(1, 299, 299, 3)),
    "inception-v3, no auxiliary": (
        23_834_568,
        models.InceptionV3(auxiliary_head=False),
        shape(1, 75, 75, 3),
    ),
    "resnet-18": (11_689_512, models.ResNet(18), PICTURES),
    "resnet-34": (21_797_672, models.ResNet(34), PICTURES),
    "resnet-50": (25_557_032, models.ResNet(50), PICTURES),
    "resnet-101": (44_549_160, models.ResNet(101), PICTURES),
    "resnet-152": (60_192_808, models.ResNet(152), PICTURES),
    "wide resnet-50-2": (68_883_240, models.ResNet(50, width_per_group=128), PICTURES),
    "wide resnet-101-2": (126_886_696, models.ResNet(101, width_per_group=128), PICTURES),
    "resnext-50 32x4d": (
        25_028_904,
        models.ResNet(50, groups=32, width_per_group=4),
        PICTURES,
    ),
    "vit-b/16": (86_567_656, models.VisionTransformer(size="B", patch_size=16), PICTURES),
    "vit-b/32": (88_224_232, models.VisionTransformer(size="B", patch_size=32), PICTURES),
    "vit-l/16": (304_326_632, models.VisionTransformer(size="L", patch_size=16), PICTURES),
    "vit-l/32": (306_535_400, models.VisionTransformer(size="L", patch_size=32), PICTURES),
    # Touvron et al. 2021, table 1 has "5M" and "22M"; timm's counts, which the layers give by hand:
    # 12 (12 D² + 13 D) + (16² 3 + 1 + 197 + 1 + 2) D + 1000 (D + 1).
    "vit-ti/16": (5_717_416, models.VisionTransformer(size="Ti"), PICTURES),
    "vit-s/16 as published": (22_050_664, models.VisionTransformer(size="S"), PICTURES),
    # timm's tf_efficientnet_lite0 (the authors' page says 4.7M).
    "efficientnet-lite0": (4_652_008, models.EfficientNetLite0(), PICTURES),
    # timm's resnetv2_50 with batch normalisation.
    "pre-activation resnet-50": (25_549_352, models.PreActivationResNet(50), PICTURES),
    # Long et al. 2015, table 1 has 134M for FCN-VGG16; the layers by hand, as published but for the
    # kernels of the bilinear enlarging, which are fixed in the released networks.
    "fcn-32s": (134_346_581, models.FCN(stride=32), SEGMENTED),
    "fcn-16s": (134_346_581 + 513 * 21, models.FCN(stride=16), SEGMENTED),
    "fcn-8s": (134_346_581 + (513 + 257) * 21, models.FCN(stride=8), SEGMENTED),
    # Ronneberger et al. 2015, figure 1, by hand: one channel, two classes. zhixuhao/unet, in Keras,
    # has 31,031,685: its last 1x1 (130) is a 3x3 (1,154), and a 1x1 from 2 channels to 1 follows.
    "u-net": (31_031_685 - 1_154 - 3 + 130, models.UNet(), shape(1, 572, 572, 1)),
    # milesial/Pytorch-UNet, one class.
    "u-net with batch norm": (
        31_037_633,
        models.UNet(1, padding="same", batch_norm=True),
        SEGMENTED,
    ),
    # torchvision 0.28, with auxiliary heads.
    "fcn-resnet-50": (35_322_218, models.FCNResNet(depth=50), SEGMENTED),
    "fcn-resnet-101": (54_314_346, models.FCNResNet(depth=101), SEGMENTED),
    "deeplabv3-resnet-50": (42_004_074, models.DeepLabV3(depth=50), SEGMENTED),
    "deeplabv3-resnet-101": (60_996_202, models.DeepLabV3(depth=101), SEGMENTED),
    # segmentation_models.pytorch's DeepLabV3Plus on a ResNet-50 (its issue 819).
    "deeplabv3+ on resnet-50": (
        26_682_725,
        models.DeepLabV3Plus(backbone="resnet", depth=50, separable="plain"),
        SEGMENTED,
    ),
    # bonlime/keras-deeplab-v3-plus, Xception; Keras counts the norms' running averages as well, of
    # which there are 202,800.
    "deeplabv3+": (41_258_213 - 202_800, models.DeepLabV3Plus(), SEGMENTED),
    # torchvision 0.28.
    "r3d-18": (33_371_472, models.VideoResNet(kind="r3d"), CLIPS),
    "mc3-18": (11_695_440, models.VideoResNet(kind="mc3"), CLIPS),
    "r(2+1)d-18": (31_505_325, models.VideoResNet(kind="r2plus1d"), CLIPS),
    # Tran et al. 2015, figure 3, by hand; mmaction2's table has 78.4M for UCF-101.
    "c3d of sports-1m": (79_991_015, models.C3D(), CLIPS),
    "c3d of ucf-101": (78_409_573, models.C3D(num_classes=101), CLIPS),
    # A ResNet-50 without its head, and a head of 101 classes.
    "tsn": (25_557_032 - 2049 * 1000 + 2049 * 101, models.TSN(), shape(1, 3, 1, 224, 224, 3)),
    # He et al. 2016, table 6 has 0.27M, 0.46M, 0.66M, 0.85M and 1.7M: tests below; this is their
    # count by hand, without weights in shortcuts.
    "resnet-20": (269_722, models.CifarResNet(20), SMALL),
    # Zagoruyko & Komodakis 2016, table 4 has 36.5M: the count of the authors' network.
    "wrn-28-10": (36_479_194, models.WideResNet(28, widen_factor=10), SMALL),
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


def test_encoder_decoders_have_as_many_as_published():
    def count(model):
        return count_parameters(model, TOKENS, decoder_inputs=TOKENS)

    # The numbers in t5-small's file, and in t5-v1_1-small's.
    assert count(models.T5()) == 60_506_624
    small = {"num_layers": 8, "num_heads": 6, "mlp_width": 1024}
    gated = models.T5(gated=True, activation="gelu_tanh", tied=False, **small)
    assert count(gated) == 76_961_152
    # Vaswani et al. 2017, section 5.1: 37,000 tokens. By hand: 6 (3,152,384 + 4,204,032) and the
    # vectors; the two sublayers of attention have 1,050,624 each, the feed-forward 2,099,712.
    assert count(models.EncoderDecoderTransformer(37_000)) == 63_082_496


@pytest.mark.parametrize(
    ("millions", "fields"),
    [
        (65, {}),
        (36, {"num_layers": 2}),
        (50, {"num_layers": 4}),
        (80, {"num_layers": 8}),
        (28, {"width": 256}),
        (168, {"width": 1024}),
        (53, {"mlp_width": 1024}),
        (90, {"mlp_width": 4096}),
    ],
)
def test_table_3_of_attention_is_all_you_need_is_of_41_000_vectors(millions, fields):
    """Its rows (C) agree with one vocabulary, which is not the 37,000 of section 5.1."""
    model = models.EncoderDecoderTransformer(41_000, **{"mlp_width": 2048} | fields)
    count = count_parameters(model, TOKENS, decoder_inputs=TOKENS)
    assert count / 1e6 == pytest.approx(millions, abs=0.8)


@pytest.mark.parametrize(
    ("millions", "model"),
    [
        ("0.46", models.CifarResNet(32)),
        ("0.66", models.CifarResNet(44)),
        ("0.85", models.CifarResNet(56)),
        ("1.73", models.CifarResNet(110)),  # "1.7M"
        ("1.70", models.PreActivationResNet(164, 10, stem="cifar")),  # He et al. 2016b: "1.7M"
    ],
)
def test_counts_of_the_papers_for_cifar(millions, model):
    assert f"{count_parameters(model, SMALL) / 1e6:.2f}" == millions


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
    # What a second text, a second view of one, a question on it, or a second stage needs.
    further = ("decoder_inputs", "places", "token_types", "questions", "linear", "boxes", "labels")
    others = [name for name in list(call)[2:] if name not in further]
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
