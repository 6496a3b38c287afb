"""Fashion-MNIST: Xiao, Rasul & Vollgraf, "Fashion-MNIST: a Novel Image Dataset", 2017, table 3.

aimodels data fetch fashion_mnist
aimodels reproduce experiments/vision/fashion_mnist.py --rows mlp_relu,random_forest --seeds 2
aimodels train --config=experiments/vision/fashion_mnist.py:lenet5 --workdir=runs/lenet5

60,000 + 10,000 images of ten kinds of clothes. The table of the paper was made with scikit-learn;
its rows are run as baselines by the same command, with the parameters that the table prints, on
features that StandardScaler has scaled. Our MLPs have the same widths as scikit-learn's and its
Adam, batch size and L2, for 20 epochs. The rows of convolutional networks stand in the README of
the data set, whose contributors give no hyper-parameters there: ours are stated below. Its large
nets (ResNet-18, VGG-16, GoogLeNet) take a GPU; small ones of the same kinds are rows of ours.
"""

from functools import partial
from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

PAPER = "Xiao et al. 2017, table 3"
README = "README of the Fashion-MNIST repository, benchmark"
OURS = "our own row: no published figure"
PIXELS = ("scale", {"name": "standardize", "mean": (0.2860,), "std": (0.3530,)})  # of the train set
EPOCH = 60_000
FLIPPED = ("horizontal_flip", *PIXELS)
SHIFTED = ({"name": "random_crop", "padding": 4}, *FLIPPED)
IN_32 = {"name": "pad_to", "size": (32, 32)}
# Smaller models for tests.
SHRUNK = {"model.num_layers": "1"}


def _mlp(features: tuple[int, ...], activation: str) -> dict[str, Any]:
    return {
        "model": {
            "name": "MLP",
            "features": features,
            "activation": activation,
            "initializer": "glorot",
            "num_classes": 10,
        },
        # scikit-learn's MLPClassifier: alpha = 1e-4, over the examples of a batch.
        "optimizer": {
            "name": "adam",
            "learning_rate": 1e-3,
            "l2": 1e-4 / 200,
            "decay_exclude": ("bias",),
        },
        "training": {"steps": 20 * EPOCH // 200, "batch_size": 200},
    }


RECIPES: dict[str, dict[str, Any]] = {
    "mlp_relu": _mlp((100,), "relu"),
    "mlp_tanh": _mlp((100,), "tanh"),
    "mlp_256_128_100": _mlp((256, 128, 100), "relu"),
    # LeCun et al. 1998, with a dense C3 and a softmax: 61,706 parameters.
    "lenet5": {
        "model": {
            "name": "CNN",
            "features": (6, 16),
            "kernel_sizes": 5,
            "padding": (2, 0),
            "activation": "tanh",
            "pooling": "average",
            "dense_features": (120, 84),
            "num_classes": 10,
        },
        "optimizer": {"name": "adam", "learning_rate": 1e-3},
        "training": {"steps": 10 * EPOCH // 128, "batch_size": 128},
    },
    # Two blocks of convolution, batch norm, ReLU and max pooling: 28,986 parameters.
    "two_conv": {
        "model": {
            "name": "CNN",
            "features": (16, 32),
            "kernel_sizes": 5,
            "batch_norm": True,
            "pooling": "max",
            "num_classes": 10,
            "initializer": "torch",
        },
        "optimizer": {"name": "adam", "learning_rate": 1e-3},
        "training": {"steps": 5 * EPOCH // 100, "batch_size": 100},
    },
    # benchmark/convnet.py of the repository, but for the steps: it has no end of its own (its
    # loop of 200,000 takes 14 hours here).
    "convnet": {
        "model": {
            "name": "CNN",
            "features": (32, 64),
            "kernel_sizes": 5,
            "pooling": "max",
            "dense_features": (1024,),
            "dropout_rate": 0.4,
            "initializer": "glorot",
            "num_classes": 10,
        },
        "optimizer": {"name": "sgd", "learning_rate": 1e-3},
        "training": {"steps": 200_000, "batch_size": 400},
    },
}


def _sgd(learning_rate: float) -> dict[str, Any]:
    """Momentum 0.9 and weight decay 5e-4, warmed up and then down to 0 by a cosine."""
    return {
        "name": "sgd",
        "learning_rate": learning_rate,
        "momentum": 0.9,
        "l2": 5e-4,
        "schedule": {"name": "cosine", "warmup_steps": 200},
    }


RECIPES |= {
    # Three pairs of 3x3 convolutions, as VGG's stages, with batch norm.
    "small_vgg": {
        "model": {
            "name": "CNN",
            "features": (32, 32, 64, 64, 128, 128),
            "pool_sizes": (1, 2, 1, 2, 1, 2),
            "pooling": "max",
            "batch_norm": True,
            "dense_features": (256,),
            "dropout_rate": 0.5,
            "num_classes": 10,
            "initializer": "he",
        },
        "optimizer": _sgd(0.05),
        "training": {"steps": 8 * EPOCH // 128, "batch_size": 128, "transforms": FLIPPED},
    },
    "resnet8": {
        "model": {"name": "CifarResNet", "depth": 8, "num_classes": 10},
        "optimizer": _sgd(0.1),
        "training": {"steps": 8 * EPOCH // 128, "batch_size": 128, "transforms": FLIPPED},
    },
    # 49 tokens of 4x4 pixels.
    "vit": {
        "model": {
            "name": "VisionTransformer",
            "width": 64,
            "num_layers": 4,
            "num_heads": 4,
            "patch_size": 4,
            "num_classes": 10,
        },
        "optimizer": {
            "name": "adamw",
            "learning_rate": 2e-3,
            "weight_decay": 0.05,
            "schedule": {"name": "cosine", "warmup_steps": 400},
        },
        "training": {"steps": 15 * EPOCH // 128, "batch_size": 128, "transforms": FLIPPED},
    },
    "resnet18": {
        "model": {"name": "ResNet", "depth": 18, "stem": "cifar", "num_classes": 10},
        "optimizer": _sgd(0.1),
        "training": {"steps": 60 * EPOCH // 128, "batch_size": 128, "transforms": SHIFTED},
    },
    "vgg16": {
        "model": {
            "name": "VGG",
            "depth": 16,
            "batch_norm": True,
            "pooled_size": 1,
            "dense_features": (512, 512),
            "num_classes": 10,
        },
        "optimizer": _sgd(0.05),
        "training": {
            "steps": 60 * EPOCH // 128,
            "batch_size": 128,
            "transforms": (*SHIFTED, IN_32),
        },
    },
}
VARIANTS = tuple(RECIPES)


def get_config(variant: str = "lenet5") -> ConfigDict:
    """The recipe of a neural row."""
    recipe = RECIPES[variant]
    epoch = EPOCH // recipe["training"]["batch_size"]
    return ConfigDict(
        {
            "model": recipe["model"],
            "task": {"name": "classification"},
            "data": {"name": "fashion_mnist"},
            "optimizer": recipe["optimizer"],
            "training": {"transforms": PIXELS} | recipe["training"],
            "evaluation": {"splits": ("test",), "every": epoch, "batch_size": 1000},
            "checkpoint": {"every": 5 * epoch},
        }
    )


def baseline(estimator: str, fields: dict[str, Any], one_vs_rest: bool, seed: int) -> dict:
    """The test accuracy of a scikit-learn classifier on the whole data set."""
    import numpy as np

    from aimodels.data import make
    from aimodels.reproduce.baselines import scikit_learn

    splits = [make("fashion_mnist").load(split) for split in ("train", "test")]
    train, test = (split.gather(np.arange(len(split))) for split in splits)
    return scikit_learn(estimator, fields, train, test, one_vs_rest=one_vs_rest, seed=seed)


def published() -> list[Row]:
    """Test accuracy: the paper's are means of 5 shuffles without a spread, the README's one run."""
    #    label                   variant       figure source parameters seconds a seed
    neural = (
        ("MLP 100, ReLU", "mlp_relu", 0.871, PAPER, 79_510, 20),
        ("MLP 100, tanh", "mlp_tanh", 0.868, PAPER, 79_510, 20),
        ("MLP 256-128-100", "mlp_256_128_100", 0.8833, README, 247_766, 60),
        ("LeNet-5", "lenet5", None, OURS, 61_706, 100),
        ("2 conv + pooling", "two_conv", 0.916, README, None, 90),
        ("2 conv + pooling, dense 1024", "convnet", 0.876, README, 3_274_634, 50_000),
        ("Small VGG, 6 conv", "small_vgg", None, OURS, None, 1500),
        ("ResNet-8", "resnet8", None, OURS, None, 2000),
        ("Small ViT", "vit", None, OURS, None, 1500),
        ("ResNet-18", "resnet18", 0.949, README, None, 100_000),
        ("VGG-16", "vgg16", 0.935, README, None, 60_000),
    )
    rows = [
        Row(
            name=name,
            variant=variant,
            published=figure,
            source=source,
            parameters=parameters,
            seconds=seconds,
            long=seconds > 60,
            metric="test/accuracy",
            decimals=4 if figure == 0.8833 else 3,
        )
        for name, variant, figure, source, parameters, seconds in neural
    ]
    logistic = {"C": 1.0, "l1_ratio": 1.0, "solver": "liblinear"}  # l1_ratio=1: the L1 penalty
    linear = {"C": 1.0, "loss": "hinge", "penalty": "l2", "dual": True}
    forest = {"n_estimators": 100, "criterion": "entropy", "max_depth": 50}
    boosting = {"n_estimators": 100, "loss": "log_loss", "max_depth": 10}
    uniform = {"priors": (0.1,) * 10}
    neighbours = {"n_neighbors": 5, "weights": "distance", "p": 1}
    # scikit-learn's names of 2017 for what are now other defaults: gamma="auto" is 1 / features.
    #    label              variant            figure  estimator, fields, seeded, seconds
    classical = (
        ("SVC, rbf, C=10", "svc", 0.897, "SVC", {"C": 10, "gamma": "auto"}, False, 300),
        ("Random forest", "random_forest", 0.872, "RandomForestClassifier", forest, True, 30),
        (
            "Gradient boosting",
            "gradient_boosting",
            0.880,
            "GradientBoostingClassifier",
            boosting,
            True,
            40_000,
        ),
        (
            "Histogram boosting, depth 10",
            "hist_boosting",
            None,
            "HistGradientBoostingClassifier",
            {"max_iter": 100, "max_depth": 10},
            True,
            600,
        ),
        ("Logistic regression, l1", "logistic", 0.842, "LogisticRegression", logistic, True, 3600),
        ("Linear SVC", "linear_svc", 0.836, "LinearSVC", linear, True, 3600),
        (
            "5 nearest neighbours",
            "neighbours",
            0.854,
            "KNeighborsClassifier",
            neighbours,
            False,
            600,
        ),
        ("Gaussian naive Bayes", "naive_bayes", 0.511, "GaussianNB", uniform, False, 5),
    )
    for name, variant, figure, estimator, fields, seeded, seconds in classical:
        rows.append(
            Row(
                name=f"{name} (scikit-learn)",
                variant=variant,
                published=figure,
                source=OURS if figure is None else PAPER,
                seconds=seconds,
                long=seconds > 60,
                run=partial(baseline, estimator, fields, variant == "logistic"),
                test_examples=None if seeded else 10_000,
                metric="test/accuracy",
                decimals=3,
            )
        )
    return rows
