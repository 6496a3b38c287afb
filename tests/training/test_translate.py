"""A run that learns to translate, what it scores, and the command that translates with it."""

import io
import json
import shutil
import types
from pathlib import Path

import numpy as np
import pytest

import aimodels
from aimodels import cli
from aimodels.data.text.parallel import text_of
from aimodels.errors import UserError
from aimodels.reproduce.systems import Systems, leave_translations, translations_file
from aimodels.training.generate import tokenizer_of
from aimodels.training.load import load
from aimodels.training.translate import translated, translations_of_split

TOY = f"{Path(__file__).parent / 'toy_translation.py'}:Toy"


def config(**changed):
    return {
        "data": {"name": TOY},
        "model": {
            "name": "EncoderDecoderTransformer",
            "vocabulary": 21,
            "width": 32,
            "num_layers": 1,
            "num_heads": 2,
            "mlp_width": 32,
            "max_length": 6,
            "dropout_rate": 0.0,
        }
        | changed.pop("model", {}),
        "task": {
            "name": "text_to_text",
            "label_smoothing": 0.1,
            "beams": 2,
            "bucket_lengths": (5,),
        }
        | changed.pop("task", {}),
        "optimizer": {"name": "adam", "learning_rate": 5e-3},
        "training": {"steps": 200, "batch_size": 18, "order": "by_length"},
        "evaluation": {"splits": ("test",), "batch_size": 5},
        **changed,
    }


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy") / "run"
    aimodels.train(config(), folder, verbose=False)
    return folder


def test_scores_of_the_test_split_are_in_the_results(workdir):
    (replica,) = json.loads((workdir / "results.json").read_text())["replicas"]
    metrics = replica["metrics"]
    assert set(metrics) == {
        f"test/{name}"
        for name in ("loss", "bits", "perplexity", "accuracy", "exact", "bleu", "chrf", "nist")
    }
    # Of nine phrases that it has not seen, nearly all words are right. No phrase has four words,
    # without which BLEU is smoothed.
    assert metrics["test/chrf"] > 80
    assert metrics["test/nist"] > 2


def run(workdir, capsys, monkeypatch, *arguments, given=b""):
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=io.BytesIO(given)))
    code = cli.main(["translate", f"--workdir={workdir}", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_translates_as_the_evaluation_did(workdir, capsys, monkeypatch):
    loaded, tokenizer = load(workdir), tokenizer_of(workdir)
    data = loaded.task.data_set
    sources, targets = data.pairs("test")
    code, text, _ = run(
        workdir, capsys, monkeypatch, "--batch_size=4", given="\n".join(sources).encode()
    )
    assert code == 0
    found = text.splitlines()
    assert len(found) == 9
    assert sum(ours == wanted for ours, wanted in zip(found, targets, strict=True)) >= 7
    batch = data.load("test").gather(np.arange(9))
    ids = loaded.predict(batch["inputs"], lengths=batch["lengths"])
    assert [text_of(tokenizer, row) for row in ids] == found
    assert translations_of_split(loaded, "test", batch_size=4) == found
    # One beam is the most probable token each time; empty lines stay.
    arguments = ("--beams=1", "--text=three red hats", "--text=", "--batch_size=4")
    assert run(workdir, capsys, monkeypatch, *arguments)[1] == "rote drei Huete\n\n"
    # A line ends with a new line alone, and where it was written on Windows.
    given = "three\u2028red hats\r\n\r\n".encode()
    assert run(workdir, capsys, monkeypatch, "--beams=1", given=given)[1] == "rote drei Huete\n\n"


def test_bytes_that_are_no_text_are_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["translate", "--workdir=runs/x", "--text=two \udcff dogs"])
    assert r"'two \udcff dogs' is not UTF-8" in capsys.readouterr().err


def test_a_run_leaves_its_translations_where_systems_are_compared(workdir, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(workdir, folder)
    one = Systems(
        title="Toy",
        data={"name": TOY},
        splits=("test",),
        variants={"tiny": "tiny"},
        baseline="tiny",
    )
    experiment = types.SimpleNamespace(module=types.SimpleNamespace(systems=lambda: [one]))
    leave_translations(experiment, "another", folder, 1)
    assert not (folder / "translations").exists()
    leave_translations(experiment, "tiny", folder, 1)
    file = translations_file(folder, "test")
    assert file.read_text().splitlines() == translations_of_split(load(folder), "test")
    # What is there is not made again.
    file.write_text("kept")
    leave_translations(experiment, "tiny", folder, 1)
    assert file.read_text() == "kept"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (b"", "there is no text to translate"),
        (b"two dogs\nred red red red red red", "text 2 has 7 tokens with its end, and the model"),
        (b"two \xff dogs", "standard input is not UTF-8: byte 4 is 0xff"),
    ],
)
def test_a_mistake_is_named(workdir, capsys, monkeypatch, given, message):
    code, text, said = run(workdir, capsys, monkeypatch, given=given)
    assert (code, text) == (2, "")
    assert message in said
    assert "Traceback" not in said


def test_a_run_that_does_not_translate_is_refused(workdir):
    loaded = load(workdir)
    other = types.SimpleNamespace(task=object(), config=loaded.config)
    with pytest.raises(UserError, match="doesn't translate"):
        list(translated(other, tokenizer_of(workdir), ["two"]))


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"beams": -1}, "beams is -1"),
        ({"bucket_lengths": (0,)}, "lengths of 1 or more"),
    ],
)
def test_wrong_fields_are_refused(task, message, tmp_path):
    with pytest.raises(UserError, match=message):
        aimodels.train(config(task=task), tmp_path / "run", verbose=False)


def test_beams_need_texts_to_compare_with(tmp_path):
    data = {"name": "random_tokens", "vocabulary": 21, "length": 6}
    with pytest.raises(UserError, match="no texts to compare"):
        aimodels.train(
            config(data=data, training={"steps": 1, "batch_size": 4}),
            tmp_path / "run",
            verbose=False,
        )
