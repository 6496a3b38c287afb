"""Whole architectures, one file a family. `aimodels.models.CNN(...)` imports its file when used.

Every model is called as `model(inputs, *, lengths=None, train=False)` and returns [B, num_classes]
(per token [B, T, V], if it is a language model or has readout="each") in its `dtype`, in which it
also computes; parameters are in `param_dtype`. Segmenters (`fcn`, `unet`, `deeplab`) return [B, H,
W, num_classes]. Detectors (`ssd`, `yolov1`, `yolov3`, `faster_rcnn_model`) say themselves what
they return, and so do tables of vectors (`word_vectors`), and networks of agents
(`value_networks`, `alphazero`), which are called with observations alone. `bert` says what each of
its heads returns and takes token types; models of two texts (`t5`, `encoder_decoder`) take the
target as `decoder_inputs`, and `memory_network` takes `questions`. Inputs are converted to `dtype`
and not scaled: scaling is a transform of the data. Dropout draws from the rng stream "dropout", and
its rates may be traced.

Published architectures for images start as their reference does, which their file names, and give
what they compute on the way by name: `model.apply(..., mutable=["intermediates"])`. The parameters
of the others start as PyTorch's modules start with initializer="torch", for figures that were made
with it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import flax.linen as nn

    from aimodels.models.alexnet import AlexNet as AlexNet
    from aimodels.models.alphazero import AlphaZeroNetwork as AlphaZeroNetwork
    from aimodels.models.bert import BERT as BERT
    from aimodels.models.c3d import C3D as C3D
    from aimodels.models.cifar_resnet import CifarResNet as CifarResNet
    from aimodels.models.convolutional import CNN as CNN
    from aimodels.models.deeplab import DeepLabV3 as DeepLabV3
    from aimodels.models.deeplab import DeepLabV3Plus as DeepLabV3Plus
    from aimodels.models.efficientnet import EfficientNetLite0 as EfficientNetLite0
    from aimodels.models.encoder_decoder import (
        EncoderDecoderTransformer as EncoderDecoderTransformer,
    )
    from aimodels.models.faster_rcnn_model import FasterRCNN as FasterRCNN
    from aimodels.models.fcn import FCN as FCN
    from aimodels.models.fcn import FCNResNet as FCNResNet
    from aimodels.models.googlenet import GoogLeNet as GoogLeNet
    from aimodels.models.gpt import GPT as GPT
    from aimodels.models.inception import InceptionV3 as InceptionV3
    from aimodels.models.lenet import LeNet5 as LeNet5
    from aimodels.models.linear import Linear as Linear
    from aimodels.models.memory_network import EndToEndMemoryNetwork as EndToEndMemoryNetwork
    from aimodels.models.mlp import MLP as MLP
    from aimodels.models.original_lstm import OriginalLSTM as OriginalLSTM
    from aimodels.models.preactivation_resnet import PreActivationResNet as PreActivationResNet
    from aimodels.models.preactivation_resnet import WideResNet as WideResNet
    from aimodels.models.recurrent import RecurrentClassifier as RecurrentClassifier
    from aimodels.models.recurrent import RecurrentLanguageModel as RecurrentLanguageModel
    from aimodels.models.recurrent_encoder_decoder import (
        RecurrentEncoderDecoder as RecurrentEncoderDecoder,
    )
    from aimodels.models.resnet import ResNet as ResNet
    from aimodels.models.ssd import SSD as SSD
    from aimodels.models.ssd import SSD300 as SSD300
    from aimodels.models.t5 import T5 as T5
    from aimodels.models.temporal_convolutional import TemporalConvNet as TemporalConvNet
    from aimodels.models.text_cnn import TextCNN as TextCNN
    from aimodels.models.transformer import TransformerClassifier as TransformerClassifier
    from aimodels.models.tsn import TSN as TSN
    from aimodels.models.unet import UNet as UNet
    from aimodels.models.vgg import VGG as VGG
    from aimodels.models.video_resnet import VideoResNet as VideoResNet
    from aimodels.models.vit import VisionTransformer as VisionTransformer
    from aimodels.models.word_vectors import GloVe as GloVe
    from aimodels.models.word_vectors import Word2Vec as Word2Vec
    from aimodels.models.yolov1 import YOLOv1 as YOLOv1
    from aimodels.models.yolov3 import Darknet53 as Darknet53
    from aimodels.models.yolov3 import YOLOv3 as YOLOv3

# Short name in a config -> module:class.
MODELS: dict[str, str] = {
    "Linear": "aimodels.models.linear:Linear",
    "MLP": "aimodels.models.mlp:MLP",
    "CNN": "aimodels.models.convolutional:CNN",
    "RecurrentClassifier": "aimodels.models.recurrent:RecurrentClassifier",
    "RecurrentLanguageModel": "aimodels.models.recurrent:RecurrentLanguageModel",
    "OriginalLSTM": "aimodels.models.original_lstm:OriginalLSTM",
    "TransformerClassifier": "aimodels.models.transformer:TransformerClassifier",
    "EndToEndMemoryNetwork": "aimodels.models.memory_network:EndToEndMemoryNetwork",
    "TextCNN": "aimodels.models.text_cnn:TextCNN",
    "TemporalConvNet": "aimodels.models.temporal_convolutional:TemporalConvNet",
    "GPT": "aimodels.models.gpt:GPT",
    "BERT": "aimodels.models.bert:BERT",
    "T5": "aimodels.models.t5:T5",
    "RecurrentEncoderDecoder": (
        "aimodels.models.recurrent_encoder_decoder:RecurrentEncoderDecoder"
    ),
    "GloVe": "aimodels.models.word_vectors:GloVe",
    "Word2Vec": "aimodels.models.word_vectors:Word2Vec",
    "EncoderDecoderTransformer": "aimodels.models.encoder_decoder:EncoderDecoderTransformer",
    "Darknet53": "aimodels.models.yolov3:Darknet53",
    "FasterRCNN": "aimodels.models.faster_rcnn_model:FasterRCNN",
    "SSD": "aimodels.models.ssd:SSD",
    "SSD300": "aimodels.models.ssd:SSD300",
    "YOLOv1": "aimodels.models.yolov1:YOLOv1",
    "YOLOv3": "aimodels.models.yolov3:YOLOv3",
    "FCN": "aimodels.models.fcn:FCN",
    "FCNResNet": "aimodels.models.fcn:FCNResNet",
    "UNet": "aimodels.models.unet:UNet",
    "DeepLabV3": "aimodels.models.deeplab:DeepLabV3",
    "DeepLabV3Plus": "aimodels.models.deeplab:DeepLabV3Plus",
    "C3D": "aimodels.models.c3d:C3D",
    "VideoResNet": "aimodels.models.video_resnet:VideoResNet",
    "TSN": "aimodels.models.tsn:TSN",
    "LeNet5": "aimodels.models.lenet:LeNet5",
    "AlexNet": "aimodels.models.alexnet:AlexNet",
    "VGG": "aimodels.models.vgg:VGG",
    "GoogLeNet": "aimodels.models.googlenet:GoogLeNet",
    "InceptionV3": "aimodels.models.inception:InceptionV3",
    "ResNet": "aimodels.models.resnet:ResNet",
    "CifarResNet": "aimodels.models.cifar_resnet:CifarResNet",
    "PreActivationResNet": "aimodels.models.preactivation_resnet:PreActivationResNet",
    "WideResNet": "aimodels.models.preactivation_resnet:WideResNet",
    "EfficientNetLite0": "aimodels.models.efficientnet:EfficientNetLite0",
    "VisionTransformer": "aimodels.models.vit:VisionTransformer",
    "ActorCritic": "aimodels.models.value_networks:ActorCritic",
    "AlphaZeroNetwork": "aimodels.models.alphazero:AlphaZeroNetwork",
    "QNetwork": "aimodels.models.value_networks:QNetwork",
}


def count_parameters(module: "nn.Module", *inputs: Any, **keywords: Any) -> int:
    """How many parameters the module has for such inputs; nothing is computed.

    >>> import aimodels, jax
    >>> signals = jax.ShapeDtypeStruct((1, 40), "float32")
    >>> aimodels.count_parameters(aimodels.models.Linear(num_classes=10), signals)
    410

    Args:
        module: a Linen module.
        inputs: what the module is called with: arrays, or only their jax.ShapeDtypeStruct.
        keywords: the call's keywords, in the same way.
    """
    import math

    import jax

    key = jax.eval_shape(lambda: jax.random.key(0))
    variables = jax.eval_shape(module.init, key, *inputs, **keywords)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables.get("params", {})))


def __getattr__(name: str) -> Any:
    if name in MODELS:
        place, _, attribute = MODELS[name].partition(":")
        return getattr(importlib.import_module(place), attribute)
    raise AttributeError(f"module 'aimodels.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*MODELS, "MODELS", "count_parameters"])
