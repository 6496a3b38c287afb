"""Split names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimodels.data.splits import select
from aimodels.errors import UserError

SIZES = {"train": 4000, "test": 1000}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train", [("train", range(0, 4000))]),
        ("train[:90%]", [("train", range(0, 3600))]),
        ("train[10%:]", [("train", range(400, 4000))]),
        ("train[:1000]", [("train", range(0, 1000))]),
        ("train[-500:]", [("train", range(3500, 4000))]),
        ("train[-10%:]", [("train", range(3600, 4000))]),
        ("train[:-10%]", [("train", range(0, 3600))]),
        ("train[1000:50%]", [("train", range(1000, 2000))]),
        ("train[:]", [("train", range(0, 4000))]),
        ("train+test", [("train", range(0, 4000)), ("test", range(0, 1000))]),
        (
            "train[:10] + test[990:]",
            [("train", range(0, 10)), ("test", range(990, 1000))],
        ),
    ],
)
def test_splits_mean_what_they_say(text, expected):
    assert select(text, SIZES, "mnist1d") == expected


@given(st.integers(1, 100_000), st.integers(1, 99))
def test_the_two_sides_of_a_per_cent_have_every_example_once(length, percent):
    found = []
    for text in (f"train[:{percent}%]", f"train[{percent}%:]"):
        try:
            found += [index for _, part in select(text, {"train": length}, "d") for index in part]
        except UserError:
            continue  # one side may be empty
    assert found == list(range(length))


@given(st.integers(1, 1_000_000))
def test_eighty_per_cent_is_what_the_papers_code_computes(length):
    # experiment.py of Gal's repository: int(0.8 * X_train.shape[0])
    stop = int(0.8 * length)
    if stop:
        assert select("train[:80%]", {"train": length}, "d") == [("train", range(stop))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train[:0%]", "split 'train[:0%]' of mnist1d is empty"),
        ("train[100%:]", "split 'train[100%:]' of mnist1d is empty"),
        ("train[20:10]", "split 'train[20:10]' of mnist1d is empty"),
        ("train[:4001]", "reaches outside train, which has 4000 examples"),
        ("train[-4001:]", "reaches outside train, which has 4000 examples"),
        ("train[:101%]", "reaches outside train"),
        ("trian", "unknown split of mnist1d 'trian'. Did you mean 'train'? Known: test, train."),
        ("validation", "Known: test, train."),
        ("", "can't be read"),
        ("train+", "can't be read"),
        ("train[:90%", "can't be read"),
        ("train[90%]", "can't be read"),
        ("train[:9x]", "can't be read at '9x'"),
        ("train[::2]", "can't be read"),
        ("train[:1.5%]", "can't be read at '1.5%'"),
    ],
)
def test_mistakes_are_told(text, message):
    with pytest.raises(UserError) as error:
        select(text, SIZES, "mnist1d")
    assert message in str(error.value)
