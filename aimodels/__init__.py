"""aimodels: train, compare and reproduce deep-learning models with JAX and Flax.

result = aimodels.train("experiments/vision/mnist1d.py:cnn", "runs/cnn")
run = aimodels.load("runs/cnn")
run.predict(inputs)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aimodels import models as models
    from aimodels.models import count_parameters as count_parameters
    from aimodels.training.exchange import export as export
    from aimodels.training.exchange import import_weights as import_weights
    from aimodels.training.load import evaluate as evaluate
    from aimodels.training.load import load as load
    from aimodels.training.run import train as train

# Public name -> module, imported when it is first used: `import aimodels` itself costs nothing.
_PUBLIC = {
    "train": "aimodels.training.run",
    "load": "aimodels.training.load",
    "evaluate": "aimodels.training.load",
    "import_weights": "aimodels.training.exchange",
    "export": "aimodels.training.exchange",
    "count_parameters": "aimodels.models",
}
_PACKAGES = (
    "config",
    "data",
    "models",
    "modules",
    "reproduce",
    "sweeps",
    "tasks",
    "training",
    "weights",
)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    if name in _PACKAGES:
        return importlib.import_module(f"aimodels.{name}")
    raise AttributeError(f"module 'aimodels' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*_PUBLIC, *_PACKAGES])
