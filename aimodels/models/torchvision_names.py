"""What our parameters are called in torchvision's state dicts; `state_dicts` does the rest.

For EfficientNet-Lite0, which torchvision has not, the names are those of its port to PyTorch by
which the weights are distributed.
"""

from collections.abc import Callable
from typing import Any

from aimodels.models import alexnet, efficientnet, inception, vgg
from aimodels.models.state_dicts import Rules


def _conv_norm(ours: str, conv: str, norm: str) -> Rules:
    """The rules of a `ConvNormActivation`."""
    return [(f"{ours}/conv", conv), (f"{ours}/norm", norm)]


def _resnet(model: Any) -> Rules:
    del model
    block, theirs = r"backbone/stage_(\d)_block_(\d+)", r"layer\1.\2"
    return [
        *_conv_norm("backbone/stem", "conv1", "bn1"),
        *_conv_norm(rf"{block}/conv_(\d)", rf"{theirs}.conv\3", rf"{theirs}.bn\3"),
        *_conv_norm(f"{block}/shortcut", f"{theirs}.downsample.0", f"{theirs}.downsample.1"),
        ("head", "fc"),
    ]


def _vgg(model: Any) -> Rules:
    rules, index = [], 0
    for stage, count in enumerate(vgg.STAGES[model.depth], start=1):
        for layer in range(1, count + 1):
            name = f"backbone/conv_{stage}_{layer}"
            rules += _conv_norm(name, f"features.{index}", f"features.{index + 1}")
            index += 3 if model.batch_norm else 2  # the convolution, its norm, the ReLU
        index += 1  # pooling
    # A Dense layer, its ReLU and its dropout.
    last = 3 * len(model.dense_features)
    dense = [(f"dense_{n}", f"classifier.{3 * n}") for n in range(len(model.dense_features))]
    return [*rules, *dense, ("head", f"classifier.{last}")]


def _alexnet(model: Any) -> Rules:
    rules, index = [], 0
    for layer, (*_, pools) in enumerate(alexnet.LAYERS, start=1):
        rules.append((f"conv_{layer}/conv", f"features.{index}"))
        index += 3 if pools else 2
    # Dropout, a Dense layer and its ReLU.
    dense = [(f"dense_{n}", f"classifier.{3 * n + 1}") for n in range(len(model.dense_features))]
    return [*rules, *dense, ("head", f"classifier.{3 * len(model.dense_features)}")]


def _googlenet(model: Any) -> Rules:
    del model
    rules = _conv_norm(r"conv_(\d)", r"conv\1.conv", r"conv\1.bn")
    branches = {
        "branch_1": "branch1",
        "branch_2_reduce": "branch2.0",
        "branch_2": "branch2.1",
        "branch_3_reduce": "branch3.0",
        "branch_3": "branch3.1",
        "branch_4": "branch4.1",
    }
    for ours, theirs in branches.items():
        theirs = rf"inception\1.{theirs}"
        rules += _conv_norm(rf"module_(\w+)/{ours}", f"{theirs}.conv", f"{theirs}.bn")
    return [
        *rules,
        *_conv_norm(r"auxiliary_(\d)/conv", r"aux\1.conv.conv", r"aux\1.conv.bn"),
        (r"auxiliary_(\d)/dense", r"aux\1.fc1"),
        (r"auxiliary_(\d)/head", r"aux\1.fc2"),
        ("head", "fc"),
    ]


def _inception(model: Any) -> Rules:
    del model
    rules: Rules = []
    for name, _, size, *_ in inception.STEM:
        theirs = f"Conv2d_{name.removeprefix('conv_')}_{size}x{size}"
        rules += _conv_norm(name, f"{theirs}.conv", f"{theirs}.bn")
    return [
        *rules,
        *_conv_norm(r"module_(\w+)/(branch\w+)", r"Mixed_\1.\2.conv", r"Mixed_\1.\2.bn"),
        *_conv_norm(r"auxiliary/conv_(\d)", r"AuxLogits.conv\1.conv", r"AuxLogits.conv\1.bn"),
        ("auxiliary/head", "AuxLogits.fc"),
        ("head", "fc"),
    ]


def _vit(model: Any) -> Rules:
    del model
    block, theirs = r"encoder/block_(\d+)", r"encoder.layers.encoder_layer_\1"
    return [
        ("class_token", "class_token"),
        ("positions/embedding", "encoder.pos_embedding"),
        ("embedding", "conv_proj"),
        (f"{block}/attention_norm", f"{theirs}.ln_1"),
        (f"{block}/attention/(?:query|key|value)", f"{theirs}.self_attention.in_proj_"),
        (f"{block}/attention/out", f"{theirs}.self_attention.out_proj"),
        (f"{block}/mlp_norm", f"{theirs}.ln_2"),
        (f"{block}/mlp/hidden", f"{theirs}.mlp.0"),
        (f"{block}/mlp/out", f"{theirs}.mlp.3"),
        ("encoder/norm", "encoder.ln"),
        ("head", "heads.head"),
    ]


def _efficientnet(model: Any) -> Rules:
    del model
    rules, number = _conv_norm("backbone/stem", "_conv_stem", "_bn0"), 0
    for stage, (count, *_) in enumerate(efficientnet.STAGES, start=1):
        for block in range(count):
            ours, theirs = f"backbone/stage_{stage}_block_{block}", f"_blocks.{number}"
            for index, part in enumerate(("expand", "depthwise", "project")):
                conv, norm = f"{theirs}._{part}_conv", f"{theirs}._bn{index}"
                rules += _conv_norm(f"{ours}/{part}", conv, norm)
            number += 1
    return [*rules, *_conv_norm("last", "_conv_head", "_bn1"), ("head", "_fc")]


# A model's class -> its rules, made for its fields.
FAMILIES: dict[str, Callable[[Any], Rules]] = {
    "AlexNet": _alexnet,
    "EfficientNetLite0": _efficientnet,
    "GoogLeNet": _googlenet,
    "InceptionV3": _inception,
    "ResNet": _resnet,
    "VGG": _vgg,
    "VisionTransformer": _vit,
}
