"""Text from a trained run, by the command: it goes on, again the same, and says what is wrong."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from aimodels.cli import main
from aimodels.data import make
from aimodels.models import generation
from aimodels.training.generate import stream, tokenizer_of
from aimodels.training.load import load
from aimodels.training.run import train

TEXT = "the cat sat on the mat. the dog sat on the log. é\n" * 40


MODELS = {
    "gpt": {"name": "GPT", "width": 16, "num_heads": 2, "num_layers": 1, "max_length": 8},
    "lstm": {"name": "RecurrentLanguageModel", "features": 16, "max_length": 8},
}


def trained(folder, model, **tokenizer):
    """The work folder of a model of a small file, with a context of 8 tokens."""
    (folder / "own.txt").write_text(TEXT)
    data = {"name": "text", "corpus": str(folder / "own.txt"), "length": 8, **tokenizer}
    config = {
        "data": data,
        "model": MODELS[model] | {"vocabulary": make(**data).made.vocabulary},
        "task": {"name": "language_model"},
        "optimizer": {"name": "adam", "learning_rate": 1e-2},
        "training": {"steps": 60, "batch_size": 16},
        "evaluation": {"splits": ("validation",)},
    }
    train(config, folder / "run", verbose=False)
    return folder / "run"


@pytest.fixture(scope="module", params=MODELS)
def workdir(request, tmp_path_factory):
    """A model of characters."""
    return trained(tmp_path_factory.mktemp("characters"), request.param)


@pytest.fixture(scope="module", params=["words", "wordpiece"])
def word_run(request, tmp_path_factory):
    """A model of words or parts of words, which has no token for a new line."""
    sizes = {"words": 10, "wordpiece": 40}
    kind = request.param
    return trained(tmp_path_factory.mktemp(kind), "gpt", tokenizer=kind, vocabulary=sizes[kind])


def generate(workdir, capsys, *arguments):
    code = main(["generate", f"--workdir={workdir}", *arguments])
    return code, *capsys.readouterr()


def test_a_text_is_longer_than_the_context_and_the_same_again(workdir, capsys):
    arguments = ("--prompt=the cat", "--tokens=41", "--temperature=0.7", "--top_k=5")
    code, text, _ = generate(workdir, capsys, *arguments)
    assert code == 0
    assert text.startswith("the cat")
    assert len(text) == len("the cat") + 41 + len("\n")
    assert set(text) <= set(TEXT)
    assert generate(workdir, capsys, *arguments)[1] == text
    assert generate(workdir, capsys, *arguments, "--seed=1")[1] != text


def test_pieces_join_to_the_text(workdir):
    loaded, tokenizer = load(workdir), tokenizer_of(workdir)
    pieces = list(stream(loaded, tokenizer, "the dog sat on the", tokens=40, seed=3))
    assert len(pieces) > 3
    assert sum(map(len, pieces)) == 40


def test_words_are_joined_to_the_prompt_as_the_tokenizer_joins_them(word_run, capsys):
    loaded, tokenizer = load(word_run), tokenizer_of(word_run)
    task: Any = loaded.task
    prompt = tokenizer.encode("the cat")
    new = generation.generate(
        task.model,
        loaded.state.variables,
        jnp.asarray(prompt)[None],
        5,
        jax.random.key(0),
        temperature=0.0,
    )
    expected = tokenizer.decode([*prompt, *new[0].tolist()])
    assert expected.startswith("the cat")
    code, text, _ = generate(word_run, capsys, "--prompt=the cat", "--tokens=5", "--temperature=0")
    assert (code, text) == (0, expected + "\n")


def test_where_a_new_line_is_no_token_a_text_begins_behind_a_full_stop(word_run, capsys):
    code, text, said = generate(word_run, capsys, "--tokens=3", "--temperature=0")
    assert code == 0, said
    assert text.startswith(".")
    assert len(text.strip()) > 1


def test_a_text_of_characters_begins_behind_a_new_line(workdir, capsys):
    code, text, _ = generate(workdir, capsys, "--tokens=3")
    assert code == 0
    assert text.startswith("\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--prompt=",), "the prompt is empty"),
        (("--prompt=the Cat",), "'C', the 5th"),
        (("--top_p=1.5",), "top_p is 1.5; it takes 0 to 1"),
        (("--temperature=-1",), "temperature is -1"),
    ],
)
def test_a_mistake_is_named(workdir, capsys, arguments, message):
    code, text, said = generate(workdir, capsys, *arguments)
    assert (code, text) == (2, "")
    assert message in said


def test_a_run_that_learned_no_text_is_refused(tmp_path, capsys):
    (tmp_path / "config.json").write_text("{}")
    code, _, said = generate(tmp_path, capsys)
    assert code == 2
    assert "keeps no tokenizer.json" in said
    assert "Traceback" not in said
