"""What our parameters are called, and how they are laid out, in torchvision's state dicts.

    >>> shapes = jax.eval_shape(model.init, key, images)
    >>> variables = from_torchvision(model, state, shapes)       # names -> arrays, into our tree
    >>> state = to_torchvision(model, variables)                 # and back, exactly

Both are pure functions on NumPy arrays; nothing here needs PyTorch. Convolutions are [F, C, H, W]
there and [H, W, C, F] here, those of video [F, C, T, H, W] and [T, H, W, C, F]; matrices are
transposed, and a matrix that reads a flattened map reads [C, H, W] there and [H, W, C] here.

For EfficientNet-Lite0, which torchvision has not, the names are those of its port to PyTorch by
which the weights are distributed.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from aimodels.errors import UserError, unknown
from aimodels.models import alexnet, efficientnet, faster_rcnn_model, inception, vgg

Path = tuple[str, ...]
# (a pattern on a module's whole path in our parameters, joined by "/"; the name of theirs)
Rules = list[tuple[str, str]]

# The leaf's name here -> there.
LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
# What a state dict may hold that says nothing about the function that is computed.
IGNORED = "num_batches_tracked"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where one array of a state dict lies in our variables.

    Attributes:
        name: theirs, as "layer1.0.conv1.weight".
        paths: ours, as ("params", "head", "kernel"). More than one: theirs is ours one behind the
            other, along their first axis.
        shape: theirs.
        size: the side of the square map that a matrix reads flattened; 1 for any other array.
    """

    name: str
    paths: tuple[Path, ...]
    shape: tuple[int, ...]
    size: int = 1

    def to_theirs(self, arrays: list[np.ndarray]) -> np.ndarray:
        """Our arrays, one for each path, as theirs."""
        return np.concatenate([self._turned(array) for array in arrays]).reshape(self.shape)

    def to_ours(self, array: np.ndarray, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
        """Their array as ours, one for each path, of the shapes given."""
        parts = np.split(array, len(self.paths))
        return [self._returned(part, shape) for part, shape in zip(parts, shapes, strict=True)]

    def _turned(self, array: np.ndarray) -> np.ndarray:
        if array.ndim >= 4:
            return np.moveaxis(array, (-1, -2), (0, 1))
        if array.ndim == 2 and len(self.shape) == 2:
            maps = array.reshape(self.size, self.size, -1, array.shape[1])
            return maps.transpose(3, 2, 0, 1).reshape(array.shape[1], -1)
        return array

    def _returned(self, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        if array.ndim >= 4:
            return np.moveaxis(array, (0, 1), (-1, -2))
        if array.ndim == 2 and len(self.shape) == 2:
            maps = array.reshape(len(array), -1, self.size, self.size)
            return maps.transpose(2, 3, 1, 0).reshape(shape)
        return array.reshape(shape)


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


def _flattened_size(model: Any, module: str) -> int:
    """The side of the map that this Dense layer reads flattened; 1 if it reads none."""
    if isinstance(model, alexnet.AlexNet | vgg.VGG):
        first = "dense_0" if model.dense_features else "head"
        size = model.pooled_size if isinstance(model, vgg.VGG) else 6
        return size if module == first else 1
    if isinstance(model, faster_rcnn_model.FasterRCNN):
        return model.output_size if module == "head/dense_0" else 1
    return 4 if re.fullmatch(r"auxiliary_\d/dense", module) else 1


def _name(rules: Rules, module: str, leaf: str) -> str:
    if (module, leaf) == ("", "class_token"):
        return "class_token"
    if (module, leaf) == ("positions", "embedding"):
        return "encoder.pos_embedding"
    for pattern, theirs in rules:
        found = re.fullmatch(pattern, module)
        if found:
            prefix = found.expand(theirs)
            return prefix + ("" if prefix.endswith("_") else ".") + LEAVES[leaf]
    raise UserError(f"the parameters {module!r} have no name in torchvision's state dicts.")


def places(model: nn.Module, variables: Mapping[str, Any]) -> list[Place]:
    """What each array of the model's state dict is called, and where it lies in our variables.

    Args:
        model: one of `FAMILIES`.
        variables: its variables {"params": ..., "batch_stats": ...}, or only their shapes.

    Raises:
        UserError: torchvision has no such model.
    """
    family = type(model).__name__
    if family not in FAMILIES:
        raise unknown("model with torchvision's names", family, FAMILIES)
    rules = FAMILIES[family](model)
    named: dict[str, list[Path]] = {}
    leaves: dict[Path, Any] = flatten_dict(dict(variables))
    for path in leaves:
        module = "/".join(path[1:-1])
        named.setdefault(_name(rules, module, path[-1]), []).append(path)
    found = []
    for name, paths in named.items():
        # Flax sorts them: key, query, value; PyTorch's order is query, key, value.
        paths.sort(key=lambda path: ("query", "key", "value", path[-2]).index(path[-2]))
        shape, module = leaves[paths[0]].shape, "/".join(paths[0][1:-1])
        if name == "class_token":
            theirs = (1, 1, *shape)
        elif name == "encoder.pos_embedding":
            theirs = (1, *shape)
        else:
            turned = {5: (4, 3, 0, 1, 2), 4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[len(shape)]
            first, *rest = (shape[axis] for axis in turned)
            theirs = (first * len(paths), *rest)
        found.append(Place(name, tuple(paths), theirs, _flattened_size(model, module)))
    return found


def to_torchvision(model: nn.Module, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The model's variables as a state dict of torchvision's: names -> arrays.

    Args:
        model: one of `FAMILIES`.
        variables: {"params": ..., "batch_stats": ...}.
    """
    leaves = flatten_dict(dict(variables))
    return {
        place.name: place.to_theirs([np.asarray(leaves[path]) for path in place.paths])
        for place in places(model, variables)
    }


def from_torchvision(
    model: nn.Module, state: Mapping[str, np.ndarray], variables: Mapping[str, Any]
) -> dict[str, Any]:
    """A state dict of torchvision's as the model's variables.

    Args:
        model: one of `FAMILIES`.
        state: names -> arrays. Counters of batches are ignored.
        variables: the model's variables, or only their shapes and dtypes, which the result has.

    Returns:
        {"params": ..., "batch_stats": ...} of NumPy arrays.

    Raises:
        UserError: names are missing, unknown, or have another shape; all of them are listed.
    """
    expected = {place.name: place for place in places(model, variables)}
    given = {name for name in state if not name.endswith(IGNORED)}
    problems = [f"missing: {name}" for name in sorted(expected.keys() - given)]
    problems += [f"unknown: {name}" for name in sorted(given - expected.keys())]
    problems += [
        f"{name}: {tuple(state[name].shape)}, where the model has {expected[name].shape}"
        for name in sorted(given & expected.keys())
        if tuple(state[name].shape) != expected[name].shape
    ]
    if problems:
        raise UserError(
            f"the weights don't fit {type(model).__name__}:\n  " + "\n  ".join(problems)
        )
    leaves: dict[Path, Any] = flatten_dict(dict(variables))
    ours: dict[Path, np.ndarray] = {}
    for name, place in expected.items():
        wanted = [leaves[path] for path in place.paths]
        arrays = place.to_ours(np.asarray(state[name]), [leaf.shape for leaf in wanted])
        for path, leaf, array in zip(place.paths, wanted, arrays, strict=True):
            ours[path] = np.ascontiguousarray(array, leaf.dtype)
    return unflatten_dict(ours)
