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
def _video_resnet(model: Any) -> Rules:
    block, theirs = r"stage_(\d)_block_(\d+)", r"layer\1.\2"
    conv = rf"{theirs}.conv\3"
    if model.kind == "r2plus1d":
        rules = [
            *_conv_norm("stem_space", "stem.0", "stem.1"),
            *_conv_norm("stem_time", "stem.3", "stem.4"),
            *_conv_norm(rf"{block}/conv_(\d)/space", f"{conv}.0.0", f"{conv}.0.1"),
            *_conv_norm(rf"{block}/conv_(\d)/time", f"{conv}.0.3", f"{conv}.1"),
        ]
    else:
        rules = [
            *_conv_norm("stem", "stem.0", "stem.1"),
            *_conv_norm(rf"{block}/conv_(\d)/conv", f"{conv}.0", f"{conv}.1"),
        ]
    shortcut = _conv_norm(f"{block}/shortcut", f"{theirs}.downsample.0", f"{theirs}.downsample.1")
    return [*rules, *shortcut, ("head", "fc")]


def _dilated(model: Any) -> Rules:
    """What torchvision's segmenters have in common: the ResNet and the auxiliary head."""
    trunk = [(ours, f"backbone.{theirs}") for ours, theirs in _resnet(model) if ours != "head"]
    auxiliary = _conv_norm("auxiliary/conv", "aux_classifier.0", "aux_classifier.1")
    return [*trunk, *auxiliary, ("auxiliary/score", "aux_classifier.4")]


def _fcn_resnet(model: Any) -> Rules:
    head = _conv_norm("head/conv", "classifier.0", "classifier.1")
    return [*_dilated(model), *head, ("head/score", "classifier.4")]


def _deeplab_v3(model: Any) -> Rules:
    branch = "classifier.0.convs"
    return [
        *_dilated(model),
        *_conv_norm("aspp/one", f"{branch}.0.0", f"{branch}.0.1"),
        *_conv_norm(r"aspp/atrous_(\d)", rf"{branch}.\1.0", rf"{branch}.\1.1"),
        *_conv_norm("aspp/pooled", f"{branch}.4.1", f"{branch}.4.2"),
        *_conv_norm("aspp/project", "classifier.0.project.0", "classifier.0.project.1"),
        *_conv_norm("conv", "classifier.1", "classifier.2"),
        ("score", "classifier.4"),
    ]


def _faster_rcnn(model: Any) -> Rules:
    trunk = [rule for rule in _resnet(model) if rule[0].startswith("backbone")]
    return [
        *((ours, f"backbone.body.{theirs}") for ours, theirs in trunk),
        (r"pyramid/inner_(\d)", r"backbone.fpn.inner_blocks.\1.0"),
        (r"pyramid/outer_(\d)", r"backbone.fpn.layer_blocks.\1.0"),
        ("proposals/conv", "rpn.head.conv.0.0"),
        ("proposals/objects", "rpn.head.cls_logits"),
        ("proposals/boxes", "rpn.head.bbox_pred"),
        ("head/dense_0", "roi_heads.box_head.fc6"),
        ("head/dense_1", "roi_heads.box_head.fc7"),
        ("head/classes", "roi_heads.box_predictor.cls_score"),
        ("head/boxes", "roi_heads.box_predictor.bbox_pred"),
    ]


FAMILIES: dict[str, Callable[[Any], Rules]] = {
    "AlexNet": _alexnet,
    "DeepLabV3": _deeplab_v3,
    "EfficientNetLite0": _efficientnet,
    "FCNResNet": _fcn_resnet,
    "FasterRCNN": _faster_rcnn,
    "GoogLeNet": _googlenet,
    "InceptionV3": _inception,
    "ResNet": _resnet,
    "VGG": _vgg,
    "VideoResNet": _video_resnet,
    "VisionTransformer": _vit,
}
