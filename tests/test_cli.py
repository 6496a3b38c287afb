"""Every command, and every mistake: exit code 2, one clear message, nothing lost."""

import json
import os
import subprocess
import sys

import pytest

from aimodels.arguments import split_overrides
from aimodels.cli import main
from aimodels.errors import UserError

CONFIG = "experiments/vision/mnist1d.py"
FAST = [
    "--config.training.steps=6",
    "--config.training.log_every=2",
    "--config.evaluation.every=0",
    "--config.execution.steps_per_dispatch=2",
]


def run(capsys, *arguments):
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_train_evaluate_and_go_on(capsys, tmp_path):
    workdir = f"--workdir={tmp_path}/run"
    code, out, _ = run(capsys, "train", f"--config={CONFIG}:mlp", workdir, *FAST)
    assert code == 0
    assert "test/accuracy" in out
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert results["variant"] == "mlp"
    assert results["overrides"]["training.steps"] == "6"
    code, out, _ = run(capsys, "evaluate", workdir)
    evaluated = json.loads(out)
    assert code == 0
    assert evaluated["step"] == 6
    metrics = evaluated["replicas"][0]["metrics"]
    assert metrics["test/accuracy"] == results["replicas"][0]["metrics"]["test/accuracy"]
    code, out, _ = run(capsys, "evaluate", workdir, "--split=train[:10%]", "--step=6")
    assert "train[:10%]/accuracy" in json.loads(out)["replicas"][0]["metrics"]
    code, _, err = run(capsys, "train", f"--config={tmp_path}/run/config.json", workdir)
    assert code == 0
    assert "is finished" in err


def test_dry_run_and_show_compute_nothing(capsys, tmp_path):
    arguments = (f"--config={CONFIG}:cnn", "--config.training.batch_size", "50")
    code, out, _ = run(capsys, "train", *arguments, f"--workdir={tmp_path}/run", "--dry_run")
    assert code == 0
    assert not (tmp_path / "run").exists()
    code, shown, _ = run(capsys, "show", *arguments)
    assert code == 0
    assert shown == out
    assert "5,210" in shown
    assert '"batch_size": 50' in shown
    assert "MFLOP" in shown


def test_list_shows_what_there_is(capsys):
    code, out, _ = run(capsys, "list")
    assert code == 0
    for text in ("mnist1d.py", "gru_shuffled", "CNN", "classification", "fashion_mnist", "adam"):
        assert text in out


def test_data_commands(capsys, tmp_path, monkeypatch):
    code, out, _ = run(capsys, "data", "list")
    assert code == 0
    assert "mnist1d" in out
    code, out, _ = run(capsys, "data", "fetch", "mnist1d")
    assert code == 0
    code, out, _ = run(capsys, "data", "show", "mnist1d", f"--out={tmp_path}/picture.png")
    assert code == 0
    assert "4,000" in out or "4000" in out
    from PIL import Image

    assert Image.open(tmp_path / "picture.png").size[0] > 200


def test_reproduce_writes_the_table(capsys, tmp_path):
    code, _, err = run(capsys, "reproduce", CONFIG, "--rows=linear", "--seeds=2", "--dry_run")
    assert code == 0
    assert "1 of 8 rows" in err
    arguments = ("reproduce", CONFIG, "--rows=linear", "--seeds=2", f"--workdir={tmp_path}/table")
    code, out, err = run(capsys, *arguments)
    assert code == 0, err
    table = json.loads((tmp_path / "table/table.json").read_text())
    row = next(row for row in table["rows"] if row["variant"] == "linear")
    assert row["n"] == 2
    assert row["parameters"] == 410
    assert row["low"] < row["mean"] < row["high"]
    assert abs(row["mean"] - 31.5) < 1.5
    assert row["verdict"] in out
    assert "31.5" in (tmp_path / "table/table.md").read_text()
    assert (tmp_path / "table/table.png").stat().st_size > 10_000
    again = run(capsys, *arguments)
    assert again[0] == 0
    assert "is finished" in again[2]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--config.training.stepz=5"], ["config.training.stepz", "'steps'"]),
        (["--config.training.steps=soon"], ["config.training.steps", "'soon'", "whole number"]),
        (["--config.training.steps=0"], ["config.training.steps", ">= 1"]),
        (["--config.model.name=CNM"], ["'CNM'", "'CNN'"]),
        (["--config.task.name=clasification"], ["'classification'"]),
        (["--config.data.name=mnist_1d"], ["'mnist1d'"]),
        (["--config.optimizer.name=adan"], ["'adam'"]),
        (["--config.training.batch_size=9", "--config.parallel.data=8"], ["not divisible", "8"]),
        (["--config.parallel.data=100"], ["100 devices", "8 cpu"]),
        (["--config.training.split=train[:0%]"], ["empty"]),
        (["--config.training.split=trian"], ["'trian'", "train"]),
        (["--config.evaluation.splits=tset"], ["'tset'", "test"]),
        (["--config.checkpoint.best=test/acc"], ["config.checkpoint.best", "test/accuracy"]),
        (["--config.training"], ["--config.training has no value"]),
    ],
)
def test_mistakes_in_a_config(capsys, tmp_path, arguments, says):
    workdir = tmp_path / "run"
    given = ["train", f"--config={CONFIG}:mlp", f"--workdir={workdir}", *arguments]
    code, out, err = run(capsys, *given)
    assert code == 2, err
    assert out == ""
    assert err.startswith("aimodels: ") or "\naimodels: " in err
    for text in says:
        assert text in err
    assert "Traceback" not in err
    assert not (workdir / "checkpoints").exists()


def test_mistakes_in_files_and_folders(capsys, tmp_path):
    code, _, err = run(capsys, "train", "--config=absent.py", f"--workdir={tmp_path}/run")
    assert (code, "absent.py does not exist" in err) == (2, True)
    broken = tmp_path / "broken.py"
    broken.write_text("def get_config():\n    return undefined\n")
    code, _, err = run(capsys, "train", f"--config={broken}", f"--workdir={tmp_path}/run")
    assert (code, "NameError" in err) == (2, True)
    code, _, err = run(capsys, "train", f"--config={CONFIG}:cm", f"--workdir={tmp_path}/run")
    assert (code, "cnn" in err) == (2, True)
    code, _, err = run(capsys, "evaluate", f"--workdir={tmp_path}/nowhere")
    assert (code, "not a work folder" in err) == (2, True)
    code, _, err = run(capsys, "reproduce", str(broken))
    assert (code, "no published table" in err) == (2, True)
    code, _, err = run(capsys, "reproduce", CONFIG, "--rows=cn")
    assert (code, "'cnn'" in err) == (2, True)
    code, _, err = run(capsys, "data", "show", "mnist1")
    assert (code, "mnist1d" in err) == (2, True)
    code, _, err = run(capsys, "list", str(tmp_path / "absent"))
    assert (code, "not a folder" in err) == (2, True)


def test_a_missing_data_set_fails_at_once_with_the_command(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path / "empty"))
    monkeypatch.delenv("AIMODELS_DATA_MIRROR", raising=False)
    code, _, err = run(
        capsys,
        "train",
        f"--config={CONFIG}:mlp",
        f"--workdir={tmp_path}/run",
        "--config.data=fashion_mnist",
    )
    assert code == 2
    assert "aimodels data fetch fashion_mnist" in err


def test_wrong_flags_exit_with_2(capsys):
    for arguments in (["train"], ["trian"], [], ["reproduce", CONFIG, "--seeds=0"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "usage" in capsys.readouterr().err
    for command in ("watch", "play", "elo", "generate"):
        for seed in ("-1", str(2**32), "9" * 20, "one"):
            with pytest.raises(SystemExit) as caught:
                main([command, "--workdir=run", f"--seed={seed}"])
            assert caught.value.code == 2
            said = capsys.readouterr().err
            assert f"'{seed}' is not a whole number from 0 to 4294967295" in said
    with pytest.raises(SystemExit):
        main(["elo", "--workdir=run", "--opening_moves=-1"])
    assert "'-1' is not a whole number >= 0" in capsys.readouterr().err
    code, _, err = run(capsys, "list", "--config.training.steps=3")
    assert (code, "takes no --config" in err) == (2, True)


def test_overrides_are_taken_out_of_the_arguments():
    rest, overrides = split_overrides(
        ["train", "--config.a.b=1", "--config", "f", "--config.c", "x"]
    )
    assert rest == ["train", "--config", "f"]
    assert overrides == {"a.b": "1", "c": "x"}
    with pytest.raises(UserError):
        split_overrides(["--config.a"])


@pytest.mark.parametrize(
    "command",
    [
        *(
            "train",
            "evaluate",
            "watch",
            "explain",
            "sweep",
            "reproduce",
            "report",
            "list",
            "show",
            "data",
        ),
        "data fetch",
    ],
)
def test_every_command_has_help(capsys, command):
    with pytest.raises(SystemExit) as caught:
        main([*command.split(), "--help"])
    assert caught.value.code == 0
    assert "usage: aimodels" in capsys.readouterr().out


def test_help_imports_nothing_heavy():
    code = "import sys, aimodels.cli; aimodels.cli.parser(); print('jax' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m aimodels.cli list | head -1"
    out = subprocess.run(
        command, shell=True, capture_output=True, text=True, env=os.environ | {"SHELL": "/bin/sh"}
    )
    assert out.stdout.strip() == "experiments"
    assert "Traceback" not in out.stderr


def test_a_run_that_evaluates_nothing_ends_well(small_config, tmp_path, capsys):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(small_config(evaluation={"splits": ()})))
    assert main(["train", f"--config={file}", f"--workdir={tmp_path / 'run'}"]) == 0
    assert capsys.readouterr().out == ""


def test_a_config_file_of_another_kind_is_refused(capsys):
    assert main(["show", "--config=README.md"]) == 2
    assert "takes a Python file" in capsys.readouterr().err


def test_a_row_alone_takes_the_cores_of_a_cpu(tmp_path):
    cores = len(os.sched_getaffinity(0))
    command = [sys.executable, "-m", "aimodels.cli", "reproduce", "experiments/vision/mnist1d.py"]
    command += ["--rows=linear", f"--seeds={cores}", "--jobs=1", f"--workdir={tmp_path}"]
    # Without the tests' own devices: what a user's process starts with.
    environment = os.environ | {"XLA_FLAGS": ""}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    table = json.loads((tmp_path / "table.json").read_text())
    assert len(table["environment"]["devices"]) == cores


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
@pytest.mark.parametrize("told", [None, "glibc.malloc.top_pad=131072"])
def test_a_process_takes_memory_in_large_pages_unless_told_otherwise(tmp_path, told):
    file = tmp_path / "asked.py"
    file.write_text("import os\n\nprint(os.environ['GLIBC_TUNABLES'])\n")
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    environment |= {"GLIBC_TUNABLES": told} if told else {}
    command = [sys.executable, "-m", "aimodels.cli", "show", f"--config={file}"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == (told or "glibc.malloc.hugetlb=1")
    assert done.returncode == 2  # a file without get_config: the arguments came along


WHILE_COLLECTING = """
import gc, signal, time

def struck(*_):
    gc.callbacks.remove(struck)
    signal.raise_signal(signal.{name})

gc.callbacks.append(struck)
gc.collect()
time.sleep(60)
"""
# As NumPy's C interface does: whatever goes wrong in the import is printed, and is another error.
WHILE_IMPORTING = """
import sys, time
sys.path.insert(0, {folder!r})
import extension
time.sleep(60)
"""
EXTENSION = """
import signal, traceback
try:
    signal.raise_signal(signal.{name})
    done = 1
except BaseException as error:
    traceback.print_exc()
    raise ImportError("extension failed to import") from None
"""


@pytest.mark.parametrize("while_", ["collecting", "importing"])
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_that_comes_where_it_cannot_be_raised_is_not_lost(tmp_path, name, code, while_):
    (tmp_path / "extension.py").write_text(EXTENSION.format(name=name))
    text = WHILE_COLLECTING if while_ == "collecting" else WHILE_IMPORTING
    file = tmp_path / "config.py"
    file.write_text(text.format(name=name, folder=str(tmp_path)))
    command = [sys.executable, "-m", "aimodels.cli", "train"]
    done = subprocess.run(
        [*command, f"--config={file}", f"--workdir={tmp_path / 'run'}"],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert "stopped" in done.stderr
