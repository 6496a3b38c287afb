"""Every command that README tells people to type can be typed."""

import io
import shlex
import subprocess
import sys
from pathlib import Path

import commands
import numpy as np
import pytest
from PIL import Image
from run_checks import shrunk

from aimodels.cli import main
from aimodels.config import load_experiment

DRAWS_CURVES = True

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _in_the_clone(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_commands_of_readme_are_right():
    lines = commands.in_markdown((ROOT / "README.md").read_text())
    assert any(line.startswith("aimodels ") for line in lines)
    assert commands.problems(lines) == []


# What ends here as README tells it takes minutes, a cluster, or a network that serves pages.
ELSEWHERE = ("--coordinator", "--executor=ray", "--devices")  # test_processes, test_sweep, ...
SHORTER = {
    "train": ["--config.training.steps=20"],
    "sweep": ["--config.training.steps=20"],
    "reproduce": ["--rows=linear", "--seeds=1", "--jobs=1"],
}


def small(argument):
    """The fields that make a config small, as arguments."""
    file, _, variant = argument.removeprefix("--config=").partition(":")
    experiment = load_experiment(file)
    fields = shrunk(experiment, experiment.config(variant or None))
    return [f"--config.{field}={value}" for field, value in fields.items()]


def shorter(line):
    """A command of README's as arguments, with fewer steps and smaller models."""
    _, command, *rest = shlex.split(line, comments=True)
    added = [] if "--dry_run" in rest else list(SHORTER.get(command, []))
    for file in (argument for argument in rest if "scenes_detection" in argument):
        added += small(file)
    for file in (argument for argument in rest if "gpt_sizes" in argument):
        added += small(file)
        added.append("--config.training.batch_size=8")
    for file in (argument for argument in rest if "multi30k" in argument and "--" in argument):
        added += [*small(file), "--config.evaluation.splits=test_2016[:8]"]
        added.append("--config.training.batch_size=8")
    for file in (argument for argument in rest if "reader.py" in argument):
        added += [*small(file), "--config.evaluation.splits=test[:20]"]
        added += ["--config.evaluation.batch_size=20", "--config.training.batch_size=8"]
    for _ in (argument for argument in rest if "word_vectors" in argument):
        added += ["--config.model.width=8", "--config.training.steps=3"]
    for file in (argument for argument in rest if "alphazero" in argument):
        added = [*small(file), "--config.training.steps=4"]
    return [command, *rest, *added]


def test_the_commands_of_readme_run_in_their_order(
    tmp_path, monkeypatch, fetched, fetched_weights, capsys
):
    fetched("mnist1d"), fetched("uci_regression"), fetched("sentence_classification")
    fetched("multi30k"), fetched("words", corpus="brown")
    fetched_weights("efficientnet_lite0"), fetched_weights("minilm_l6_v2")
    pictures = fetched("fashion_mnist").load("test").gather(np.arange(2))["inputs"][..., 0]
    (tmp_path / "more").mkdir()
    for name, picture in zip(("shirt.png", "more/boot.png"), pictures, strict=True):
        Image.fromarray(picture).save(tmp_path / name)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/house.txt").write_text("John went to the hall.\n\nMary is in the garden.")
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    lines = commands.in_markdown((ROOT / "README.md").read_text())
    ours = [line for line in lines if line.startswith("aimodels ")]
    here = [line for line in ours if not any(word in line for word in ELSEWHERE)]
    assert len(here) > 12
    monkeypatch.setattr("sys.stdin", io.StringIO("4\nquit\n"))  # of `play`
    for line in here:
        assert main(shorter(line)) == 0, f"{line}: {capsys.readouterr().err}"
    assert (tmp_path / "runs/cnn/curves.png").is_file()
    assert (tmp_path / "runs/compared.html").is_file()
    assert (tmp_path / "runs/lenet5/explain.png").is_file()
    assert (tmp_path / "runs/mnist1d/table.md").is_file()


def test_commands_are_found_in_blocks():
    text = (
        "`aimodels no` is prose\n```console\n$ aimodels list  # all\noutput\n```\n"
        "```bash\n# a comment\naimodels show \\\n  --config=x.py\n```\n"
        "```python\nimport aimodels\n```\n```console\noutput alone\n```\n"
    )
    found = commands.in_markdown(text)
    assert found[:2] == ["aimodels list  # all", "aimodels show --config=x.py"]
    assert len(found) == 3
    assert len(commands.problems(found[2:])) == 1


MNIST1D = "experiments/vision/mnist1d.py"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("aimodels trian", "invalid choice"),
        ("aimodels train --workdir=x", "--config"),
        ("aimodels train --config=experiments/absent.py --workdir=x", "does not exist"),
        (f"aimodels show --config={MNIST1D}:cn", "'cnn'"),
        (f"aimodels show --config={MNIST1D}:cnn --config.model.feature=3", "'features'"),
        ("aimodels list --config.model.features=3", "takes no --config"),
        ("aimodels list experiment", "not a folder"),
        (f"aimodels reproduce {MNIST1D} --rows=cn", "'cnn'"),
        ("aimodels data fetch mnist", "'mnist1d'"),
        ("aimodels evaluate --workdir=runs/nobody", "makes runs/nobody"),
        ("tensorboard --logdir runs/nobody/tensorboard", "makes runs/nobody"),
        ("scripts/absent", "not there"),
        ("make all", "how to check make"),
    ],
)
def test_a_wrong_command_is_found(line, says):
    (problem,) = commands.problems([line])
    assert says in problem


def test_right_commands_in_the_right_order():
    lines = [
        f"aimodels train --config={MNIST1D}:cnn --workdir=runs/cnn --config.training.steps=5",
        "aimodels evaluate --workdir=runs/cnn --split=train[:10%]",
        "aimodels show --config=runs/cnn/config.json",
        "tensorboard --logdir runs/cnn/tensorboard",
        f"aimodels reproduce {MNIST1D} --rows=cnn,gru",
        "aimodels evaluate --workdir=runs/mnist1d/cnn/seeds5",
        "aimodels data show uci_regression:yacht",
        "aimodels train --help",
    ]
    assert commands.problems(lines) == []


def test_tables_are_what_their_files_say():
    command = [sys.executable, "scripts/readme", "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
