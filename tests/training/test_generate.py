"""Text from a trained run, by the command: it goes on, again the same, and says what is wrong."""

import pytest

from aimodels.cli import main
from aimodels.training.generate import stream, tokenizer_of
from aimodels.training.load import load
from aimodels.training.run import train

TEXT = "the cat sat on the mat. the dog sat on the log. é\n" * 40


MODELS = {
    "gpt": {"name": "GPT", "width": 16, "num_heads": 2, "num_layers": 1, "max_length": 8},
    "lstm": {"name": "RecurrentLanguageModel", "features": 16, "max_length": 8},
}


@pytest.fixture(scope="module", params=MODELS)
def workdir(request, tmp_path_factory):
    """A model of a small file, with a context of 8 tokens."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "own.txt").write_text(TEXT)
    config = {
        "data": {"name": "text", "corpus": str(folder / "own.txt"), "length": 8},
        "model": MODELS[request.param] | {"vocabulary": len(set(TEXT))},
        "task": {"name": "language_model"},
        "optimizer": {"name": "adam", "learning_rate": 1e-2},
        "training": {"steps": 60, "batch_size": 16},
        "evaluation": {"splits": ("validation",)},
    }
    train(config, folder / "run", verbose=False)
    return folder / "run"


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
