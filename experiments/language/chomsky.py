"""Length generalisation: Delétang et al., "Neural Networks and the Chomsky Hierarchy", 2023.

aimodels train --config=experiments/language/chomsky.py:lstm_parity_check --workdir=runs/parity

aimodels reproduce experiments/language/chomsky.py --rows=lstm_parity_check,rnn_parity_check

Table 1 of the paper: networks learn a task on sequences of up to 40, and are tested on lengths 41
to 500; the score is the accuracy of the answers' places, averaged over lengths. Recurrent networks
solve the regular tasks and no others; Transformers hardly those.

The paper's figure is the best of ten seeds, of four learning rates and (Transformer) of five kinds
of positions, after a million steps of 128 sequences. Here a figure is the best of three seeds at
one rate, 1e-3 (Transformer 3e-4, sinusoidal positions), after 20,000 steps; the loss of an example
is the mean over its places, not the sum; a batch has several lengths; the RNN has tanh for ReLU;
ids are embedded; tests are of 20 sequences a length, not 512. Both have 256 features, or five
blocks of width 64 and 8 heads, and the answer is read off blanks behind the sequence. The stack and
tape networks of the paper are not here.
"""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

STEPS, BATCH_SIZE, SEEDS = 20_000, 128, (0, 1, 2)
MODELS = ("rnn", "lstm", "transformer")
# Task -> ids of inputs, classes, and the paper's figures in the order of MODELS.
TASKS: dict[str, tuple[int, int, tuple[float, float, float]]] = {
    "parity_check": (2, 2, (100.0, 100.0, 52.0)),
    "modular_arithmetic_simple": (8, 5, (100.0, 100.0, 24.2)),
    "cycle_navigation": (3, 5, (100.0, 100.0, 61.9)),
    "reverse_string": (2, 2, (62.0, 60.9, 62.3)),
}
VARIANTS = tuple(f"{model}_{task}" for task in TASKS for model in MODELS)
# What makes a run small enough for a test.
SHRUNK = {"data.test_longest": "60", "model.features": "16", "model.num_layers": "1"}


def get_config(variant: str = "rnn_parity_check") -> ConfigDict:
    """A network on a task."""
    kind, _, task = variant.partition("_")
    inputs, classes, _ = TASKS[task]
    is_recurrent = kind != "transformer"
    model: dict[str, Any] = {"num_classes": classes, "vocabulary": inputs + 1, "readout": "each"}
    if is_recurrent:
        model |= {
            "name": "RecurrentClassifier",
            "cell": kind,
            "features": 256,
            "embedding_features": inputs + 1,
            "initializer": "torch",
        }
    else:
        model |= {
            "name": "TransformerClassifier",
            "width": 64,
            "num_layers": 5,
            "num_heads": 8,
            "positions": "sinusoidal",
            "dropout_rate": 0.1,
        }
    return ConfigDict(
        {
            "model": model,
            "task": {"name": "sequence_answers"},
            "data": {
                "name": "chomsky_hierarchy",
                "task": task,
                "train_size": STEPS * BATCH_SIZE,
            },
            "optimizer": {
                "name": "adam",
                "learning_rate": 1e-3 if is_recurrent else 3e-4,
                "clip_global_norm": 1.0,
            },
            "training": {"steps": STEPS, "batch_size": BATCH_SIZE},
            "evaluation": {
                "splits": ("validation", "test"),
                "batch_size": 200 if is_recurrent else 50,
            },
            "checkpoint": {"every": 2000},
            # The sequences are made as they are needed.
            "execution": {"feed": "host"},
        }
    )


def run_best(variant: str, folder: Path) -> list[dict[str, float]]:
    """Test metrics of the best of three seeds, as the paper counts."""
    import aimodels

    config = get_config(variant)
    config.replicas = {"seeds": SEEDS}
    result = aimodels.train(config, folder, label=variant)
    runs = [replica["metrics"] for replica in result.results["replicas"]]
    return [max(runs, key=lambda metrics: metrics["test/accuracy"])]


def published() -> list[Row]:
    """Accuracies in percent, the best of several runs."""
    from functools import partial

    labels = {"rnn": "RNN", "lstm": "LSTM", "transformer": "Transformer"}
    return [
        Row(
            name=f"{task.replace('_', ' ')}, {labels[model]}",
            variant=f"{model}_{task}",
            metric="test/accuracy",
            published=figure,
            source="Delétang et al. 2023, table 1",
            units="%",
            scale=100,
            decimals=1,
            long=True,
            seconds=4200 if model == "lstm" else None,
            note="The best of several runs, the paper's and ours.",
            run_all=partial(run_best, f"{model}_{task}"),
        )
        for task, (_, _, figures) in TASKS.items()
        for model, figure in zip(MODELS, figures, strict=True)
    ]
