"""The models that are timed, as configs of aimodels: name -> data, model, batch and optimizer."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT

from aimodels.config import load_config, resolve

MNIST1D = ROOT / "experiments/vision/mnist1d.py"
VOCABULARY = 65  # tiny Shakespeare's characters
WORDS = 10_000
BLOCK = {"gpt": 64, "gpt2": 256, "lstm": 128}  # tokens of a row; nanoGPT's on a CPU and on a GPU
SIZE = {"fashion": 28, "resnet18": 32, "unet": 128, "vit_ti": 224}  # pixels of a side
ADAM = {"name": "adam", "learning_rate": 1e-3}
ADAMW = {"name": "adamw", "learning_rate": 1e-3, "b2": 0.99, "weight_decay": 0.1}
SGD = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}

# Rows on arrays that are made here: the model, and its optimizer.
MADE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "gpt": (
        {
            "name": "GPT",
            "vocabulary": VOCABULARY,
            "width": 128,
            "num_layers": 4,
            "num_heads": 4,
            "max_length": BLOCK["gpt"],
        },
        ADAMW,
    ),
    "fashion": (
        {
            "name": "CNN",
            "features": (32, 64),
            "kernel_sizes": 5,
            "pooling": "max",
            "dense_features": (1024,),
            "num_classes": 10,
        },
        ADAM,
    ),
    "resnet18": ({"name": "ResNet", "depth": 18, "num_classes": 10, "stem": "cifar"}, SGD),
    "unet": ({"name": "UNet", "padding": "same", "dropout_rate": 0.0}, SGD),
    "vit_ti": ({"name": "VisionTransformer", "size": "Ti", "num_classes": 1000}, ADAMW),
    "gpt2": (
        {
            "name": "GPT",
            "vocabulary": VOCABULARY,
            "width": 384,
            "num_layers": 6,
            "num_heads": 6,
            "max_length": BLOCK["gpt2"],
            "use_bias": True,
        },
        ADAMW,
    ),
    "lstm": (
        {
            "name": "RecurrentClassifier",
            "vocabulary": WORDS,
            "embedding_features": 256,
            "features": 256,
            "num_classes": 2,
        },
        ADAM,
    ),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """A model to time.

    Attributes:
      title: in tables.
      batch_size: examples a step.
      least_steps: of a run, so that what happens ten times in it does not weigh more than in
        practice: the steps of MNIST-1D's and nanoGPT's own recipes, an epoch of Fashion-MNIST, and
        of the large ones a minute.
      chunk: all numbers of steps are multiples of it.
      start_steps: of the short run whose seconds count as start-up.
      evaluations, checkpoints: of a run, evenly spread; one of each in the minute of a large row.
    """

    title: str
    batch_size: int
    least_steps: int
    chunk: int = 1000
    start_steps: int = 100
    evaluations: int = 10
    checkpoints: int = 4


ROWS = {
    "mlp": Row("MNIST-1D MLP", 100, 6000),
    "cnn": Row("MNIST-1D CNN", 100, 6000),
    "gru": Row("MNIST-1D GRU", 100, 6000),
    "gpt": Row("nanoGPT-size Transformer", 12, 2000, 100, 20),
    "fashion": Row("Fashion-MNIST CNN", 128, 500, 100, 20),
    "resnet18": Row("ResNet-18 for 32x32", 32, 80, 20, 4, evaluations=1, checkpoints=1),
    "unet": Row("U-Net, 128x128", 4, 80, 20, 4, evaluations=1, checkpoints=1),
    "vit_ti": Row("ViT-Ti/16, 224x224", 32, 40, 20, 4, evaluations=1, checkpoints=1),
    "gpt2": Row("GPT-2 of 6 layers x 384, 256 tokens", 4, 120, 20, 4, evaluations=1, checkpoints=1),
    "lstm": Row("LSTM of 256, 128 tokens", 32, 400, 100, 20),
}


def make_config(row: str, scratch: Path, **sections: dict[str, Any]) -> Any:
    """The resolved config of a row; data that must be made are made in `scratch`.

    Args:
      row: a name of ROWS, or `linear`.
      scratch: a folder.
      sections: fields that replace the config's own, e.g. `training={"steps": 100}`.
    """
    made = row in MADE
    given = _made(row, scratch) if made else load_config(f"{MNIST1D}:{row}").to_dict()
    for section, fields in sections.items():
        given[section] = {**given.get(section, {}), **fields}
    return resolve(given)


def arrays_of(config: Any) -> dict[str, np.ndarray]:
    """The whole training set of a config."""
    from aimodels.training.build import load_split

    source = load_split(config, config.training.split)[0]
    return source.gather(np.arange(len(source)))


def _made(row: str, scratch: Path) -> dict[str, Any]:
    file = scratch / f"{row}.npz"
    if not file.exists():
        np.savez(file, **(_tokens(row) if row in BLOCK else _images(row)))
    model, optimizer = MADE[row]
    return {
        "model": model,
        "task": {"name": "segmentation" if row == "unet" else "classification"},
        "data": {"name": "arrays", "path": str(file)},
        "optimizer": optimizer,
        "training": {"steps": 1, "batch_size": ROWS[row].batch_size},
    }


def _tokens(row: str) -> dict[str, np.ndarray]:
    """As many tokens as tiny Shakespeare's training set has characters, without its words."""
    generator = np.random.Generator(np.random.Philox(0))
    arrays, length = {}, BLOCK[row]
    for split, count in (("train", 960_000 // length), ("test", 8 if row == "gpt2" else 48)):
        if row == "lstm":
            text = generator.integers(0, WORDS, (count, length), dtype=np.int32)
            targets = generator.integers(0, 2, count, dtype=np.int32)
            arrays |= {f"{split}_inputs": text, f"{split}_targets": targets}
            continue
        text = generator.integers(0, VOCABULARY, (count, length + 1), dtype=np.int32)
        arrays |= {f"{split}_inputs": text[:, :-1], f"{split}_targets": text[:, 1:]}
    return arrays


def _images(row: str) -> dict[str, np.ndarray]:
    """Images of a row's shape, as floats; their content does not change the speed.

    Few to test on: evaluations of short runs weigh no more than those of an epoch on all of them.
    """
    generator = np.random.Generator(np.random.Philox(0))
    arrays, size = {}, SIZE[row]
    counts = (6_000, 400) if row == "fashion" else (256, 8)
    for split, count in zip(("train", "test"), counts, strict=True):
        shape = (count, size, size, 1 if row in ("fashion", "unet") else 3)
        arrays[f"{split}_inputs"] = generator.random(shape, dtype=np.float32)
        classes = 2 if row == "unet" else MADE[row][0]["num_classes"]
        each = shape[:3] if row == "unet" else count
        arrays[f"{split}_targets"] = generator.integers(0, classes, each, dtype=np.int32)
    return arrays
