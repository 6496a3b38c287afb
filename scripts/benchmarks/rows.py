"""The models that are timed, as configs of aimodels: name -> data, model, batch and optimizer."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT

from aimodels.config import load_config, resolve

MNIST1D = ROOT / "experiments/vision/mnist1d.py"
VOCABULARY, BLOCK = 65, 64  # tiny Shakespeare's characters, nanoGPT's block on a CPU
GPT = {"name": "GPT", "vocabulary": VOCABULARY, "width": 128, "num_layers": 4, "num_heads": 4}
FASHION = {
    "name": "CNN",
    "features": (32, 64),
    "kernel_sizes": 5,
    "pooling": "max",
    "dense_features": (1024,),
    "num_classes": 10,
}


@dataclasses.dataclass(frozen=True)
class Row:
    """A model to time.

    Attributes:
      title: in tables.
      batch_size: examples a step.
      least_steps: of a run, so that what happens ten times in it does not weigh more than in
        practice: the steps of MNIST-1D's and nanoGPT's own recipes, an epoch of Fashion-MNIST.
      chunk: all numbers of steps are multiples of it.
      start_steps: of the short run whose seconds count as start-up.
    """

    title: str
    batch_size: int
    least_steps: int
    chunk: int = 1000
    start_steps: int = 100


ROWS = {
    "mlp": Row("MNIST-1D MLP", 100, 6000),
    "cnn": Row("MNIST-1D CNN", 100, 6000),
    "gru": Row("MNIST-1D GRU", 100, 6000),
    "gpt": Row("nanoGPT-size Transformer", 12, 2000, 100, 20),
    "fashion": Row("Fashion-MNIST CNN", 128, 500, 100, 20),
}


def make_config(row: str, scratch: Path, **sections: dict[str, Any]) -> Any:
    """The resolved config of a row; data that must be made are made in `scratch`.

    Args:
      row: a name of ROWS, or `linear`.
      scratch: a folder.
      sections: fields that replace the config's own, e.g. `training={"steps": 100}`.
    """
    if row in ("gpt", "fashion"):
        given = _made(row, scratch)
    else:
        given = load_config(f"{MNIST1D}:{row}").to_dict()
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
        np.savez(file, **(_tokens() if row == "gpt" else _images()))
    adam = {"name": "adam", "learning_rate": 1e-3}
    adamw = {"name": "adamw", "learning_rate": 1e-3, "b2": 0.99, "weight_decay": 0.1}
    return {
        "model": GPT | {"max_length": BLOCK} if row == "gpt" else FASHION,
        "task": {"name": "classification"},
        "data": {"name": "arrays", "path": str(file)},
        "optimizer": adamw if row == "gpt" else adam,
        "training": {"steps": 1, "batch_size": ROWS[row].batch_size},
    }


def _tokens() -> dict[str, np.ndarray]:
    """As many characters as tiny Shakespeare's training set has, without its words."""
    generator = np.random.Generator(np.random.Philox(0))
    arrays = {}
    for split, count in (("train", 15_000), ("test", 48)):
        text = generator.integers(0, VOCABULARY, (count, BLOCK + 1), dtype=np.int32)
        arrays |= {f"{split}_inputs": text[:, :-1], f"{split}_targets": text[:, 1:]}
    return arrays


def _images() -> dict[str, np.ndarray]:
    """Images of Fashion-MNIST's shape, as floats; their content does not change the speed.

    Few to test on: ten evaluations of 200 steps weigh no more than ten of 5,000 on all of them.
    """
    generator = np.random.Generator(np.random.Philox(0))
    arrays = {}
    for split, count in (("train", 6_000), ("test", 400)):
        arrays[f"{split}_inputs"] = generator.random((count, 28, 28, 1), dtype=np.float32)
        arrays[f"{split}_targets"] = generator.integers(0, 10, count, dtype=np.int32)
    return arrays
