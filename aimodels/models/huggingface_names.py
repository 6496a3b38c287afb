"""What our parameters are called in the state dicts of Hugging Face's transformers.

`ViTForImageClassification` (also of DeiT's weights without distillation) and
`ResNetForImageClassification`. The files of theirs that have no head (`ViTModel`) leave the first
part of each name out. A norm's epsilon of 1e-12, as google/vit-* state, differs from our 1e-6 by
less than float32 sees.
"""

from collections.abc import Callable
from typing import Any

from aimodels.models.state_dicts import Rules


def _conv_norm(ours: str, theirs: str) -> Rules:
    return [
        (f"{ours}/conv", f"{theirs}.convolution"),
        (f"{ours}/norm", f"{theirs}.normalization"),
    ]


def _vit(model: Any) -> Rules:
    del model
    block, theirs = r"encoder/block_(\d+)", r"vit.encoder.layer.\1"
    return [
        ("class_token", "vit.embeddings.cls_token"),
        ("positions/embedding", "vit.embeddings.position_embeddings"),
        ("embedding", "vit.embeddings.patch_embeddings.projection"),
        (f"{block}/attention_norm", f"{theirs}.layernorm_before"),
        (rf"{block}/attention/(query|key|value)", rf"{theirs}.attention.attention.\2"),
        (f"{block}/attention/out", f"{theirs}.attention.output.dense"),
        (f"{block}/mlp_norm", f"{theirs}.layernorm_after"),
        (f"{block}/mlp/hidden", f"{theirs}.intermediate.dense"),
        (f"{block}/mlp/out", f"{theirs}.output.dense"),
        ("encoder/norm", "vit.layernorm"),
        ("head", "classifier"),
    ]


def _resnet(model: Any) -> Rules:
    del model

    # Their stages and layers count from 0, our stages and convolutions from 1.
    rules = _conv_norm("backbone/stem", "resnet.embedder.embedder")
    for stage in range(4):
        ours = rf"backbone/stage_{stage + 1}_block_(\d+)"
        theirs = rf"resnet.encoder.stages.{stage}.layers.\1"
        rules += _conv_norm(f"{ours}/shortcut", f"{theirs}.shortcut")
        for conv in range(3):
            rules += _conv_norm(f"{ours}/conv_{conv + 1}", f"{theirs}.layer.{conv}")
    return [*rules, ("head", "classifier.1")]


# A model's class -> its rules, made for its fields.
FAMILIES: dict[str, Callable[[Any], Rules]] = {"ResNet": _resnet, "VisionTransformer": _vit}
# What all names but the head's begin with, and those of files without a head do not.
PREFIXES = {"ResNet": "resnet.", "VisionTransformer": "vit."}
