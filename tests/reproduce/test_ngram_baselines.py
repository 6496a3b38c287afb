"""Rows of n-gram models: what is judged is what a language model is judged by."""

import math

import numpy as np
import pytest

from aimodels.data import make
from aimodels.errors import UserError
from aimodels.models.kneser_ney import KneserNey
from aimodels.reproduce.ngram_baselines import kneser_ney


def test_the_targets_of_the_windows_are_judged(tmp_path):
    file = tmp_path / "own.txt"
    file.write_text("".join(np.random.default_rng(0).choice(list("aaabbc"), 1000)))
    dataset = make("text", corpus=str(file), length=30)
    found = kneser_ney(dataset, 3)
    train, validation = (dataset._tokens[split] for split in ("train", "validation"))
    windows = dataset.load("validation")
    targets = windows.gather(np.arange(len(windows)))["targets"]
    assert targets.size == 90  # of 99
    logs = KneserNey.fit(train, 3, 3).log_probabilities(validation)
    assert found["validation/loss"] == pytest.approx(-logs[1:91].mean(), rel=1e-12)
    assert found["validation/bits"] == pytest.approx(-logs[1:91].mean() / math.log(2), rel=1e-12)
    # The entropy of the draw is 1.01 nats: 90 characters tell it to a tenth or so.
    assert 0.8 < found["validation/loss"] < 1.3


def test_other_data_are_refused():
    with pytest.raises(UserError, match="running text"):
        kneser_ney(make("iris"), 3, "test")


def test_characters_of_shakespeare(fetched):
    """Below the 2.46 nats of a bigram count, above the 1.47 of nanoGPT's larger model."""
    losses = [
        kneser_ney(fetched("text", corpus="tiny_shakespeare"), order)["validation/loss"]
        for order in (2, 5)
    ]
    assert 2.4 < losses[0] < 2.55
    assert 1.47 < losses[1] < 1.75
