"""Modular arithmetic: every problem once, and right."""

import numpy as np
import pytest

from aimodels.data import make
from aimodels.errors import UserError


def whole(dataset):
    return dataset.load("train+test").gather(np.arange(sum(dataset.info().splits.values())))


@pytest.mark.parametrize(
    ("operation", "problem", "result"),
    [
        ("add", (3, 5), 1),
        ("subtract", (3, 5), 5),
        ("multiply", (3, 5), 1),
        ("divide", (3, 5), 2),  # 2 · 5 = 10 = 3 modulo 7
    ],
)
def test_problems_by_hand(operation, problem, result):
    batch = whole(make("modular_arithmetic", modulus=7, operation=operation))
    problems = {
        (a, b): target for (a, b, _), target in zip(batch["inputs"], batch["targets"], strict=True)
    }
    assert problems[problem] == result
    assert len(problems) == len(batch["targets"]) == (42 if operation == "divide" else 49)
    assert set(batch["inputs"][:, 2]) == {7}
    if operation == "divide":
        for (a, b), target in problems.items():
            assert target * b % 7 == a


def test_the_split_of_the_paper():
    dataset = make("modular_arithmetic")
    assert dataset.info().splits == {"train": 3830, "test": 8939}
    train, test = (dataset.load(split) for split in ("train", "test"))
    assert (len(train), len(test)) == (3830, 8939)
    batch = train.gather(np.arange(3830))
    np.testing.assert_array_equal(batch["inputs"][:, :2].sum(1) % 113, batch["targets"])
    other = make("modular_arithmetic", seed=1).load("train").gather(np.arange(3830))
    assert not np.array_equal(other["inputs"], batch["inputs"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"modulus": 12, "operation": "divide"}, "division takes a prime"),
        ({"train_fraction": 1.0}, "some for testing"),
        ({"modulus": 1}, "takes 2 or more"),
    ],
)
def test_mistakes(fields, message):
    with pytest.raises(UserError, match=message):
        make("modular_arithmetic", **fields)
