"""JSB Chorales: Bai, Kolter & Koltun, "An empirical evaluation of generic ... networks", 2018.

aimodels data fetch polyphonic_music:JSB_Chorales
aimodels train --config=experiments/language/jsb_chorales.py:gru --workdir=runs/chorales

aimodels reproduce experiments/language/jsb_chorales.py     # all but tcn, some 40 minutes

Table 1 of "An empirical evaluation of generic convolutional and recurrent networks for sequence
modeling": which keys sound next, as the negative log-likelihood of a frame in nats, for networks of
300 K weights, where the validation part is best. The paper searched optimizers, rates, clipping and
depth for each recurrent network, and its code (github.com/locuslab/TCN) has none of them: here they
have one layer, Adam at 1e-3, gradients of norm 1 at most, dropout of 0.3 before the last layer,
batches of 16, and 60 epochs.

`tcn`, their convolutional network, has the paper's settings (appendix, table 2): two levels of 150
features, windows of 3, dropout of 0.5, gradients of norm 0.4 at most, and those of their code: Adam
at 1e-3, single pieces, 100 epochs. Where their rate falls to a tenth whenever the validation part
gets worse, here it falls so once, after two thirds.
"""

from functools import partial
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

# Features with which the recurrent networks have the paper's 300 K weights, and its figures.
FEATURES = {"lstm": 224, "gru": 262, "rnn": 466}
FIGURES = {"lstm": 8.45, "gru": 8.43, "rnn": 8.91, "tcn": 8.10}
VARIANTS = tuple(FIGURES)
PIECES, BATCH_SIZE, EPOCHS = 229, 16, 60
TCN_BATCH_SIZE, TCN_EPOCHS = 1, 100


def get_config(variant: str = "lstm") -> ConfigDict:
    """A recurrent network by its cell, or the convolutional one."""
    is_tcn = variant == "tcn"
    batch_size, epochs = (TCN_BATCH_SIZE, TCN_EPOCHS) if is_tcn else (BATCH_SIZE, EPOCHS)
    epoch = -(-PIECES // batch_size)
    steps = epochs * epoch
    optimizer: dict[str, Any] = {"name": "adam", "learning_rate": 1e-3, "clip_global_norm": 1.0}
    if is_tcn:
        model = {
            "name": "TemporalConvNet",
            "features": 150,
            "num_levels": 2,
            "kernel_size": 3,
            "dropout_rate": 0.5,
        }
        optimizer["clip_global_norm"] = 0.4
        optimizer["schedule"] = {"name": "step", "boundaries": (steps * 2 // 3,)}
    else:
        model = {
            "name": "RecurrentClassifier",
            "cell": variant,
            "features": FEATURES[variant],
            "dropout_rate": 0.3,
        }
    return ConfigDict(
        {
            "model": model | {"num_classes": 88, "readout": "each"},
            "task": {"name": "frame_prediction"},
            "data": {"name": "polyphonic_music", "dataset": "JSB_Chorales"},
            "optimizer": optimizer,
            "training": {"steps": steps, "batch_size": batch_size, "log_every": epoch},
            "evaluation": {
                "splits": ("validation", "test"),
                "every": epoch,
                "batch_size": 80,
            },
        }
    )


def run_network(variant: str, folder: Path) -> list[dict[str, float]]:
    """Test metrics of five seeds, each where its validation part was best."""
    import aimodels
    from aimodels.reproduce.early_stopping import at_best

    config = get_config(variant)
    config.replicas = {"seeds": (0, 1, 2, 3, 4)}
    aimodels.train(config, folder, label=variant)
    return at_best(folder, "validation/log_likelihood")


def published() -> list[Row]:
    """Negative log-likelihoods of a frame, in nats."""
    names = {variant: f"{variant.upper()}, {size} features" for variant, size in FEATURES.items()}
    names["tcn"] = "TCN, 2 levels x 150"
    return [
        Row(
            name=name,
            variant=variant,
            metric="test/loss",
            published=FIGURES[variant],
            source="Bai et al. 2018, table 1",
            decimals=2,
            higher_is_better=False,
            # Single pieces: 40 steps a second of one busy core.
            seconds=1500 if variant == "tcn" else 170,
            long=variant == "tcn",
            run_all=partial(run_network, variant),
        )
        for variant, name in names.items()
    ]
