"""Long memory: the adding problem (Hochreiter & Schmidhuber 1997) and the copy problem.

aimodels train --config=experiments/language/memory_tasks.py:original_100 --workdir=runs/adding

aimodels reproduce experiments/language/memory_tasks.py                     # T = 100
aimodels reproduce experiments/language/memory_tasks.py --rows=adding_gru

`original_*` is the experiment of "Long short-term memory", Neural Computation 1997, section 5.4 and
table 7, with its net of 93 weights: two blocks of two cells, input gates that begin at -3 and -6,
the truncated gradient, a new sequence each step, rate 0.5 on half the squared error. The paper
stops once the last 2,000 sequences were right and the mean error is below 0.01, and counts the
wrong ones of 2,560 new sequences (an error of 0.04 or more); its figures are means of 10 runs. We
stop after as many sequences as it needed in the mean, whether that rule is met or not, and come
out worse: with T = 100 nothing is learned in the first 30,000 sequences, and some 6 % are wrong
after 74,000. It takes 300,000 sequences until 2 or 3 in a thousand are.

The others are those of Bai, Kolter & Koltun, "An empirical evaluation of generic convolutional and
recurrent networks for sequence modeling", 2018, table 1, of as many weights: adding with T = 600
(mean squared error; 70 K), copying with T = 1,000 (cross-entropy a step; 16 K). The paper searched
rates, optimizers, clipping and depth for each recurrent network, and its code
(github.com/locuslab/TCN) has none of them; here it is one layer, Adam at 1e-3, gradients of norm 1
at most, batches of 32, ten epochs of 50,000 and 10,000 sequences. Copied symbols are read through
an embedding, not as numbers.

`*_tcn` is their convolutional network with the settings of their code: adding by eight levels of
24 features, windows of 8 (of the paper's appendix; the code's own default is for T = 400), Adam at
4e-3, ten epochs; copying by eight levels of 10, windows of 8, symbols read as numbers, RMSprop at
5e-4, gradients of norm 1 at most, 50 epochs. That network has 12,530 weights.
"""

from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

# T -> sequences until the paper's stop, and wrong ones of 2,560.
ORIGINAL = {100: (74_000, 1), 500: (209_000, 0), 1000: (853_000, 1)}
CELLS = ("lstm", "gru", "rnn")
VARIANTS = (
    *(f"original_{length}" for length in ORIGINAL),
    *(f"adding_{kind}" for kind in (*CELLS, "tcn")),
    *(f"copy_{kind}" for kind in (*CELLS, "tcn")),
)
# Features with which the networks have the paper's 70 K and 16 K weights.
ADDING_FEATURES = {"lstm": 130, "gru": 150, "rnn": 262}
COPY_FEATURES = {"lstm": 56, "gru": 65, "rnn": 118}
BATCH_SIZE, EPOCHS, COPY_EPOCHS_OF_TCN = 32, 10, 50
# What makes a run small enough for a test.
SHRUNK = {"data.length": "40"}


def get_config(variant: str = "original_100") -> ConfigDict:
    """A network on one of the tasks."""
    kind, _, which = variant.partition("_")
    config = _original(int(which)) if kind == "original" else _later(kind, which)
    return ConfigDict(config)


def _original(length: int) -> dict[str, Any]:
    sequences, _ = ORIGINAL[length]
    return {
        "model": {"name": "OriginalLSTM"},
        "task": {"name": "regression", "tolerance": 0.04},
        "data": {"name": "adding_problem", "length": length, "train_size": sequences},
        # 0.5 on half the squared error, of which the loss is the whole.
        "optimizer": {"name": "sgd", "learning_rate": 0.25},
        "training": {"steps": sequences, "batch_size": 1, "log_every": 1000},
        "evaluation": {"every": sequences // 10},
        "checkpoint": {"every": sequences // 10},
        # The sequences are made as they are needed.
        "execution": {"feed": "host"},
    }


def _later(kind: str, network: str) -> dict[str, Any]:
    adding = kind == "adding"
    size = 50_000 if adding else 10_000
    epoch = -(-size // BATCH_SIZE)
    epochs = COPY_EPOCHS_OF_TCN if network == "tcn" and not adding else EPOCHS
    model, optimizer = _tcn(adding) if network == "tcn" else _recurrent(adding, network)
    data = {"name": "adding_problem", "form": "later", "length": 600}
    if not adding:
        model["readout"] = "each"
        data = {"name": "copy_problem", "length": 1000}
    return {
        "model": model | {"num_classes": 1 if adding else 10},
        "task": {"name": "regression" if adding else "language_model"},
        "data": data | {"train_size": size, "test_size": 1000},
        "optimizer": optimizer,
        "training": {"steps": epochs * epoch, "batch_size": BATCH_SIZE},
        "evaluation": {"every": epoch, "batch_size": 100},
        "checkpoint": {"every": epoch},
    }


def _recurrent(adding: bool, cell: str) -> tuple[dict[str, Any], dict[str, Any]]:
    model = {
        "name": "RecurrentClassifier",
        "cell": cell,
        "features": (ADDING_FEATURES if adding else COPY_FEATURES)[cell],
        "initializer": "torch",
    }
    if not adding:
        model |= {"vocabulary": 10, "embedding_features": 10}
    return model, {"name": "adam", "learning_rate": 1e-3, "clip_global_norm": 1.0}


def _tcn(adding: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    model = {"name": "TemporalConvNet", "num_levels": 8, "kernel_size": 8}
    if adding:
        return model | {"features": 24}, {"name": "adam", "learning_rate": 4e-3}
    # PyTorch's RMSprop forgets by 0.99.
    optimizer = {"name": "rmsprop", "learning_rate": 5e-4, "decay": 0.99, "clip_global_norm": 1.0}
    return model | {"features": 10}, optimizer


def published() -> list[Row]:
    """Wrong sequences of 2,560, mean squared errors, cross-entropies."""
    rows = [
        Row(
            name=f"Adding, T = {length}, LSTM of 1997, {sequences:,} sequences",
            variant=f"original_{length}",
            metric="test/wrong",
            published=wrong,
            source="Hochreiter & Schmidhuber 1997, table 7",
            units="of 2,560",
            scale=2560,
            higher_is_better=False,
            parameters=93,
            # 133 steps a second beside other work.
            seconds=560 if length == 100 else None,
            long=length > 100,
        )
        for length, (sequences, wrong) in ORIGINAL.items()
    ]
    figures = {
        "adding": (0.164, 5.3e-5, 0.177, 5.8e-5),
        "copy": (0.0204, 0.0197, 0.0202, 3.5e-5),
    }
    labels = {"adding": "Adding, T = 600", "copy": "Copying, T = 1,000"}
    for kind, of_networks in figures.items():
        rows += [
            Row(
                name=f"{labels[kind]}, {network.upper()}",
                variant=f"{kind}_{network}",
                metric="test/loss",
                published=figure,
                source="Bai et al. 2018, table 1",
                higher_is_better=False,
                long=True,
            )
            for network, figure in zip((*CELLS, "tcn"), of_networks, strict=True)
        ]
    return rows
