"""SCAN: the grammar gives the published commands, actions and splits."""

import tarfile
from collections import Counter

import numpy as np
import pytest

from aimodels.data import make
from aimodels.data.cache import mirror_folder
from aimodels.data.sequences.scan import ACTIONS, WORDS, commands, decode


@pytest.mark.parametrize(
    ("command", "actions"),
    [
        ("jump", "JUMP"),
        ("jump left", "TURN_LEFT JUMP"),
        ("jump around right", "TURN_RIGHT JUMP TURN_RIGHT JUMP TURN_RIGHT JUMP TURN_RIGHT JUMP"),
        ("turn left twice", "TURN_LEFT TURN_LEFT"),
        ("jump thrice", "JUMP JUMP JUMP"),
        (
            "jump opposite left and walk thrice",
            "TURN_LEFT TURN_LEFT JUMP WALK WALK WALK",
        ),
        (
            "jump opposite left after walk around left",
            "TURN_LEFT WALK TURN_LEFT WALK TURN_LEFT WALK TURN_LEFT WALK TURN_LEFT TURN_LEFT JUMP",
        ),
    ],
)
def test_the_examples_of_the_papers_figure_1(command, actions):
    known = {" ".join(words): acted for words, acted in commands()}
    assert known[command] == tuple(f"I_{action}" for action in actions.split())


def test_there_are_20910_commands_and_ids_say_them():
    assert len(commands()) == len({words for words, _ in commands()}) == 20_910
    batch = make("scan", split="length").load("test").gather(np.arange(100))
    for inputs, length, targets, target_length in zip(*batch.values(), strict=True):
        words = tuple(WORDS[i] for i in inputs[:length])
        assert decode(targets).split() == list(dict(commands())[words])
        assert ACTIONS[targets[target_length - 1]] == "<end>"
        assert not inputs[length:].any()
        assert not targets[target_length:].any()


@pytest.mark.parametrize(
    ("split", "sizes"),
    [
        ("simple", (16_728, 4_182)),
        ("length", (16_990, 3_920)),
        ("add_jump", (14_670, 7_706)),
        ("add_turn_left", (21_890, 1_208)),
    ],
)
def test_splits_have_the_published_sizes(split, sizes):
    dataset = make("scan", split=split)
    assert tuple(dataset.info().splits.values()) == sizes
    rows = dataset.rows()
    assert not set(rows["train"]) & set(rows["test"])
    assert len(set(rows["train"]) | set(rows["test"])) == 20_910


FILES = {
    "length": "length_split/tasks_{}_length.txt",
    "add_jump": "add_prim_split/tasks_{}_addprim_jump.txt",
    "add_turn_left": "add_prim_split/tasks_{}_addprim_turn_left.txt",
}


@pytest.fixture(scope="module")
def published():
    """A function: the lines of a published file, counted."""
    try:
        folder = mirror_folder()
    except FileNotFoundError as error:
        pytest.skip(f"no mirror with the published files: {error}")
    with tarfile.open(folder / "scan.tar.gz") as archive:

        def lines(name):
            content = archive.extractfile(name)
            assert content is not None
            return Counter(content.read().decode().splitlines())

        yield lines


def line_of(row):
    words, actions = commands()[row]
    return f"IN: {' '.join(words)} OUT: {' '.join(actions)}"


def test_all_commands_are_those_of_the_published_file(published):
    assert Counter(map(line_of, range(20_910))) == published("tasks.txt")


@pytest.mark.parametrize("split", FILES)
@pytest.mark.parametrize("part", ["train", "test"])
def test_splits_are_those_of_the_published_files(split, part, published):
    rows = make("scan", split=split).rows()[part]
    assert Counter(map(line_of, rows)) == published(FILES[split].format(part))
