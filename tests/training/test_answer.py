"""Answers from a folder: retrieval by hand, a reader that is told what to say, and bad folders."""

import json
import math
import shutil

import jax
import numpy as np
import pytest

import aimodels
from aimodels.cli import main
from aimodels.config import load_experiment
from aimodels.data.text.passages import BM25, passages_of, pieces

TEXTS = ["a cat sat on a mat", "the dog sat", "cat cat cat"]


def test_bm25_by_hand():
    found = BM25(TEXTS).scores("Cat on")
    mean = (6 + 3 + 3) / 3

    def term(often, size, having):
        rarity = math.log(1 + (3 - having + 0.5) / (having + 0.5))
        return rarity * often * 2.2 / (often + 1.2 * (0.25 + 0.75 * size / mean))

    expected = [term(1, 6, 2) + term(1, 6, 1), 0, term(3, 3, 2)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert [number for number, _ in BM25(TEXTS).best("cat", 2)] == [2, 0]
    assert [number for number, _ in BM25(TEXTS).best("zebra", 9)] == [0, 1, 2]


def test_passages_are_paragraphs_of_text_files(tmp_path):
    (tmp_path / "b.md").write_text("second file")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/a.txt").write_text("\nOne line.\nAnother.\n\n \nTwo.\r\n\r\nThree.")
    (tmp_path / "c.png").write_bytes(b"\xff")
    found = [(passage.file.name, passage.text) for passage in passages_of(tmp_path)]
    assert found == [
        ("b.md", "second file"),
        ("a.txt", "One line.\nAnother."),
        ("a.txt", "Two."),
        ("a.txt", "Three."),
    ]
    assert pieces("a b c d e", most_words=2) == ["a b", "c d", "e"]


@pytest.fixture(scope="module")
def reader(tmp_path_factory, request):
    """A reader of one small block that has learned the places of task 1."""
    folder = tmp_path_factory.mktemp("reader")
    experiment = load_experiment("experiments/language/reader.py")
    fields = {
        "model.width": "32",
        "model.num_layers": "1",
        "model.num_heads": "2",
        "model.max_length": "96",
        "model.vocabulary": "100",
        "data.vocabulary": "100",
        "data.tasks": "4",
        "data.size": "100",
        "data.length": "48",
        "data.stride": "24",
        "task.bucket_lengths": "",
        "training.steps": "4",
        "training.batch_size": "16",
        "evaluation.splits": "test[:20]",
        "evaluation.batch_size": "20",
        "checkpoint.every": "0",
    }
    aimodels.train(experiment.config("small", fields), folder, verbose=False)
    return folder


@pytest.fixture
def folder(tmp_path):
    here = tmp_path / "texts"
    here.mkdir()
    (here / "map.txt").write_text("The kitchen is north of the garden.\n\nNothing of it here.")
    (here / "long.txt").write_text(" ".join(["The office is east of the hallway."] * 40))
    return here


def test_answers_are_spans_of_their_passages(reader, folder, capsys):
    question = "What is north of the garden?"
    arguments = [f"--workdir={reader}", f"--folder={folder}", f"--question={question}"]
    assert main(["answer", *arguments, "--count=9"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found
    assert {one["file"] for one in found} <= {str(folder / n) for n in ("map.txt", "long.txt")}
    for one in found:
        assert set(one) == {"answer", "score", "file", "passage", "retrieval"}
        assert one["answer"] in one["passage"]
        assert len(one["answer"].split()) <= 8
    assert [one["score"] for one in found] == sorted((one["score"] for one in found), reverse=True)
    assert main(["answer", *arguments, "--passages=1", "--count=9"]) == 0
    (only,) = json.loads(capsys.readouterr().out)
    assert only["passage"] == "The kitchen is north of the garden."


def test_a_reader_says_what_its_task_predicts(reader, folder):
    """The command's program and the task's own, on the same windows."""
    from aimodels.data.text.reading import cut, text_between
    from aimodels.training.answer import read
    from aimodels.training.generate import tokenizer_of

    loaded, tokenizer = aimodels.load(reader), tokenizer_of(reader)
    text, question = (folder / "long.txt").read_text(), "What is east of the hallway?"
    ((answer, score),) = read(loaded, tokenizer, question, [text])
    windows = cut(tokenizer, [question], [text], length=48, stride=24, question_length=16)
    names = ("inputs", "token_types", "lengths", "text_starts")
    spans = loaded.predict(**{name: getattr(windows, name) for name in names})
    best = int((spans.score - spans.null).argmax())
    moved = windows.firsts[best] - windows.text_starts[best]
    # Another batch size: other sums in float32.
    assert score == pytest.approx(float(spans.score[best] - spans.null[best]), abs=1e-3)
    said = text_between(
        text, windows.offsets[0], spans.start[best] + moved, spans.end[best] + moved
    )
    assert answer.split() == said.split()


def test_an_empty_text_is_no_answer(reader):
    from aimodels.training.answer import read
    from aimodels.training.generate import tokenizer_of

    texts = ["", "The office is east of the hallway."]
    nothing, something = read(aimodels.load(reader), tokenizer_of(reader), "Where?", texts)
    assert nothing == ("", -np.inf)
    assert something[0]


def test_a_reader_from_a_folder_of_hugging_face_answers_alike(reader, folder, tmp_path, capsys):
    """What is exported is a BertForQuestionAnswering; it comes back without data or task."""
    theirs, back = tmp_path / "theirs", tmp_path / "back"
    code = main(["export", f"--workdir={reader}", "--naming=huggingface", f"--output={theirs}"])
    assert code == 0
    said = json.loads((theirs / "config.json").read_text())
    assert said["architectures"] == ["BertForQuestionAnswering"]
    assert main(["import", str(theirs), "--from=huggingface", f"--workdir={back}"]) == 0
    capsys.readouterr()
    answers = []
    for workdir in (reader, back):
        arguments = [f"--workdir={workdir}", f"--folder={folder}", "--passages=2"]
        assert main(["answer", *arguments, "--question=What is north of the garden?"]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    ours, imported = ({one["passage"]: one["score"] for one in found} for found in answers)
    # A longer window and longer answers are allowed: never a worse score, but for rounding.
    assert ours.keys() == imported.keys()
    assert all(imported[passage] >= score - 1e-3 for passage, score in ours.items())


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: shutil.rmtree(folder), "is not a folder"),
        (lambda folder: [file.unlink() for file in folder.iterdir()], "has no text files"),
        (lambda folder: [file.write_text(" \n") for file in folder.iterdir()], "all empty"),
        (
            lambda folder: (folder / "map.txt").write_bytes("Bär".encode("latin-1")),
            "map.txt is not UTF-8: byte 1 is 0xe4",
        ),
    ],
)
def test_bad_folders_are_one_message(reader, folder, spoil, says, capsys):
    spoil(folder)
    code = main(["answer", f"--workdir={reader}", f"--folder={folder}", "--question=Where?"])
    assert code == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("aimodels:") == 1


def test_an_empty_question_and_a_run_that_is_no_reader(reader, folder, small_config, capsys):
    arguments = [f"--workdir={reader}", f"--folder={folder}"]
    assert main(["answer", *arguments, "--question= "]) == 2
    assert "the question is empty" in capsys.readouterr().err
    other = folder / "run"
    other.mkdir()
    (other / "config.json").write_text(json.dumps(small_config()))
    assert main(["answer", f"--workdir={other}", f"--folder={folder}", "--question=Who?"]) == 2
    assert "is no reader of spans, its model is" in capsys.readouterr().err
    assert main(["answer", f"--workdir={folder}", f"--folder={folder}", "--question=Who?"]) == 2
    assert "is not a work folder" in capsys.readouterr().err


def test_squads_configs_are_the_papers_models_and_take_a_step():
    """By shapes and parameter counts; a step on arrays of the same format, with a small model."""
    from aimodels.training.assembly import Assembly

    config = load_experiment("experiments/language/squad.py").config
    state, batch = Assembly(config("bert_base")).abstract
    assert batch["inputs"].shape == (32, 384)
    assert batch["targets"].shape == (32, 2)
    # 109,482,240 of the paper's base model, less the pooler, and two rows with a bias.
    assert sum(leaf.size for leaf in jax.tree.leaves(state.params)) == (
        109_482_240 - 768 * 769 + 2 * 769
    )
    small = {
        "model.width": "32",
        "model.num_layers": "1",
        "model.num_heads": "2",
        "model.vocabulary": "50",
        "data.length": "32",
        "training.batch_size": "4",
    }
    assembly = Assembly(config("bert_base_v2", small))
    task = assembly.task()
    draw = np.random.default_rng(0)
    starts = np.full(4, 5, np.int32)
    batch = {
        "inputs": draw.integers(0, 50, (4, 32)).astype(np.int32),
        "token_types": (np.arange(32) >= 5).astype(np.int32)[None].repeat(4, 0),
        "lengths": np.array([32, 20, 32, 9], np.int32),
        "targets": np.array([[6, 9], [0, 0], [30, 30], [7, 7]], np.int32),
        "text_starts": starts,
        "firsts": np.array([0, 0, 12, 0], np.int32),
        "number": np.arange(4, dtype=np.int32),
    }
    state = task.init(jax.random.key(0), batch)
    after, metrics = jax.jit(task.train_step)(state, batch, jax.random.key(1))
    # Logits begin near zero: each end is one of as many places as the window has.
    expected = np.log(batch["lengths"]).mean()
    assert float(metrics["loss"]) == pytest.approx(expected, abs=0.1)
    assert int(after.step) == 1
    spans = task.predict(state, batch)
    assert ((spans.start >= 5) & (spans.end < batch["lengths"] - 1)).all()
