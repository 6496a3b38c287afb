"""Sentence classification: Kim, "Convolutional Neural Networks for Sentence Classification", 2014.

aimodels data fetch sentence_classification:MR
aimodels train --config=experiments/language/kim2014.py:cnn_trec --workdir=runs/trec

aimodels reproduce experiments/language/kim2014.py     # naive Bayes, NBSVM and SVM: minutes
aimodels reproduce experiments/language/kim2014.py --rows=cnn_trec --dry_run

Table 2 of the paper. The networks are its CNN-rand: windows of 3, 4 and 5 words with 100 features
each, vectors of 300, dropout of 0.5, norms of at most 3 in the last layer, Adadelta, batches of 50,
25 epochs, tested where the validation accuracy was highest. As in the authors' code, batches are of
sentences drawn at random, so that some 60 % of them is padding; those of the other networks are of
sentences of like lengths. The classical rows are those of Wang &
Manning, "Baselines and Bigrams", ACL 2012, which the paper repeats: binary uni- and bigrams, α = 1,
β = 0.25. MR, Subj, CR and MPQA are means of a 10-fold cross-validation, on folds of our own draw as
every paper's are. The files have SST's sentences but not its phrases, on which the paper trained
too. LSTM and Transformer have no counterpart in the paper. TREC's published SVM (Silva et al. 2011,
95.0) has 60 hand-written rules and a parser's features; ours has n-grams alone.
"""

import dataclasses
import math
from functools import partial
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row
from aimodels.reproduce.text_tables import METHODS, NETWORKS, Method, network, run_method

EPOCHS, BATCH_SIZE = 25, 50
# A batch is computed at the shortest of these, or of the longest sentence, that holds it: of
# shuffled sentences, and of those in batches of like lengths, of which 9 % is padding.
SHUFFLED_BUCKETS = (16, 24, 40)
BUCKETS = (7, 9, 11, 13, 16, 19, 22, 25, 28, 32, 40)
# The short name of a set -> its name, the longest sentence, and V with <pad> and <unk>.
SETS = {
    "mr": ("MR", 56, 18_767),
    "sst1": ("SST-1", 53, 17_835),
    "sst2": ("SST-2", 53, 16_188),
    "subj": ("Subj", 120, 21_324),
    "trec": ("TREC", 37, 9_594),
    "cr": ("CR", 105, 5_341),
    "mpqa": ("MPQA", 36, 6_248),
}
FOLDED = ("mr", "subj", "cr", "mpqa")
OF_NETWORKS = ("mr", "sst2", "trec")
# Wang & Manning's features are binary; so are those of the trees beside them, where they fit.
CLASSICAL = {
    "nb": METHODS["nb"],
    "nbsvm": METHODS["nbsvm"],
    "svm": dataclasses.replace(METHODS["svm"], label="SVM", fields={"C": 0.1}, counted={}),
    "forest": dataclasses.replace(METHODS["forest"], counted={}),
    "boosting": dataclasses.replace(
        METHODS["boosting"], counted=dict(METHODS["boosting"].counted) | {"most_frequent": 2000}
    ),
}
VARIANTS = (
    *(f"cnn_{name}" for name in SETS),
    *(f"{model}_{name}" for name in OF_NETWORKS for model in NETWORKS if model != "cnn"),
)
KIM, WANG = "Kim 2014, table 2", "Wang & Manning 2012, table 2 (Kim 2014, table 2)"
REPEATED = "README of harvardnlp/sent-conv-torch, rand"
OURS = "our own row: no published figure"


def get_config(variant: str = "cnn_mr") -> ConfigDict:
    """A network on a set, on the first fold where it has folds."""
    return _config(variant, ((0, 0),))


def _config(variant: str, runs: tuple[tuple[int, int], ...]) -> ConfigDict:
    """Networks on a set, one for each (seed, fold)."""
    from aimodels.data import make

    model, _, name = variant.partition("_")
    dataset, length, vocabulary = SETS[name]
    info = make("sentence_classification", dataset=dataset).info()
    epoch = math.ceil(info.splits["train"] / BATCH_SIZE)
    seeds, folds = zip(*runs, strict=True)
    is_cnn = model == "cnn"
    adadelta = {"name": "adadelta", "learning_rate": 1.0, "max_norms": (("head/kernel", 3.0),)}
    of_data = {"num_classes": info.num_classes, "vocabulary": vocabulary}
    wide = {"embedding_features": 300} if is_cnn else {}
    return ConfigDict(
        {
            "model": network(model, length=length, **of_data) | wide,
            "task": {
                "name": "sequence_classification",
                "bucket_lengths": SHUFFLED_BUCKETS if is_cnn else BUCKETS,
            },
            "data": {
                "name": "sentence_classification",
                "dataset": dataset,
                "length": length,
                "fold": folds[0],
            },
            "optimizer": adadelta if is_cnn else {"name": "adam", "learning_rate": 1e-3},
            "training": {
                "steps": (EPOCHS if is_cnn else 10) * epoch,
                "batch_size": BATCH_SIZE,
                "order": "shuffled" if is_cnn else "by_length",
            },
            "evaluation": {
                "splits": ("validation", "test"),
                "every": epoch,
                "batch_size": 500,
            },
            "replicas": {
                "seeds": seeds,
                "vary": {"data": {"fold": folds}} if len(set(folds)) > 1 else {},
            },
        }
    )


def run_network(variant: str, folder: Path) -> list[dict[str, float]]:
    """Test metrics of each fold, or of five seeds, where the validation accuracy was highest."""
    import aimodels
    from aimodels.reproduce.early_stopping import at_best

    folded = variant.partition("_")[2] in FOLDED
    runs = tuple((0, fold) for fold in range(10)) if folded else tuple((n, 0) for n in range(5))
    aimodels.train(_config(variant, runs), folder, label=variant)
    return at_best(folder, "validation/accuracy")


def run_folds(name: str, method: Method, folder: Path) -> list[dict[str, float]]:
    """Test metrics of a classical method on each fold, or on the one split."""
    del folder
    data = {"name": "sentence_classification", "dataset": SETS[name][0]}
    folds = range(10 if name in FOLDED else 1)
    return [run_method(method, data | {"fold": fold}, "train+validation") for fold in folds]


def published() -> list[Row]:
    """Accuracies in percent."""
    rows = []

    def add(name: str, variant: str, figure: float | None, source: str, **given: Any) -> None:
        rows.append(
            Row(
                name=name,
                variant=variant,
                metric="test/accuracy",
                published=figure,
                source=OURS if figure is None else source,
                units="%",
                scale=100,
                decimals=1,
                **given,
            )
        )

    # MR, SST-1, SST-2, Subj, TREC, CR, MPQA.
    cnn = (76.1, 45.0, 82.7, 89.6, 91.2, 79.8, 83.4)
    again = (75.9, 42.2, 83.5, 89.2, 88.2, 78.3, 84.6)
    for name, figure, other in zip(SETS, cnn, again, strict=True):
        variant = f"cnn_{name}"
        phrases = "The paper trained on phrases too." if name.startswith("sst") else ""
        add(
            f"{SETS[name][0]}, CNN-rand",
            variant,
            figure,
            KIM,
            alternatives=((other, REPEATED),),
            note=phrases,
            long=True,
            run_all=partial(run_network, variant),
        )
    for name in OF_NETWORKS:
        for model in ("lstm", "bilstm", "transformer"):
            variant = f"{model}_{name}"
            label = f"{SETS[name][0]}, {NETWORKS[model][0]}"
            add(label, variant, None, OURS, long=True, run_all=partial(run_network, variant))
    # MR, Subj, CR, MPQA.
    figures = {"nb": (79.0, 93.6, 80.0, 86.3), "nbsvm": (79.4, 93.2, 81.8, 86.3)}
    for short, method in CLASSICAL.items():
        known: dict[str, float] = dict(zip(FOLDED, figures.get(short, ()), strict=False))
        for name in SETS:
            folds = 10 if name in FOLDED else 1
            add(
                f"{SETS[name][0]}, {method.label} (scikit-learn)",
                f"{short}_{name}",
                known.get(name),
                WANG,
                seconds=folds * 60 if method.seeded else 15 if name in FOLDED else 3,
                # Trees of more sentences than TREC's take minutes.
                long=method.seeded and name != "trec",
                note=OF_TREC if name == "trec" and short == "svm" else "",
                run_all=partial(run_folds, name, method),
            )
    return rows


OF_TREC = "Published with hand-written rules and parses: 95.0 (Silva et al. 2011)."
