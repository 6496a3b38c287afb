"""A run that is stopped at any moment and started again ends with the same bits."""

import contextlib
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from run_checks import assert_same_end, first, golden_of, shrunk, total_of, wait_for_step

from aimodels.config import load_config, load_experiment, to_json
from aimodels.errors import UserError
from aimodels.training.load import load
from aimodels.training.run import train
from aimodels.training.writers import MetricsWriter, read_metrics

DRAWS_CURVES = True

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted(ROOT.glob("experiments/**/*.py"))


def start(config, workdir, **more):
    """`aimodels train` in a process of its own."""
    command = [sys.executable, "-m", "aimodels.cli", "train", f"--config={config}"]
    return subprocess.Popen(
        [*command, f"--workdir={workdir}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def of_experiments():
    """Variants; slow but for the smallest of each task, as the goldens tell their parameters.

    A network of millions takes minutes for it, and its task has no state that others lack.
    """
    found = []
    for file in EXPERIMENTS:
        experiment = load_experiment(str(file))
        small = hasattr(experiment.module, "SHRUNK")  # then all variants are one small model
        agents = set()
        for variant in experiment.variants[:1] if small else experiment.variants:
            config = experiment.config(variant)
            if config.environment is not None and config.task.name in agents:
                continue  # an agent once, whatever it acts in
            agents.add(config.task.name)
            golden = golden_of(file, variant)
            # A new variant has none until it is made by --update-goldens, which collects this too.
            parameters = total_of(golden.read_text()) if golden.exists() else math.inf
            found.append((parameters, config.task.name, str(file), variant))
    found.sort()
    smallest = {
        task: (file, variant)
        for parameters, task, file, variant in reversed(found)
        if parameters < 1_000_000
    }
    return [
        pytest.param(
            file,
            variant,
            marks=[] if smallest.get(task) == (file, variant) else [pytest.mark.slow],
            id=f"{Path(file).stem}-{variant}",
        )
        for _, task, file, variant in found
    ]


@pytest.mark.parametrize(("file", "variant"), of_experiments())
def test_killed_at_a_random_step_equals_uninterrupted(file, variant, fetched, tmp_path):
    overrides = {
        "training.steps": "40",
        "training.log_every": "2",
        "evaluation.batch_size": "16",
        "evaluation.every": "20",
        "checkpoint.every": "4",
        "execution.steps_per_dispatch": "4",
        "replicas.seeds": "0,1",
    }
    full = load_config(f"{file}:{variant}")
    if full.data is not None:
        overrides |= {
            "training.batch_size": "8",
            "training.split": first(full, "train", 64),
            "evaluation.splits": first(full, full.evaluation.splits[0], 16),
        }
        fetched(**full.data)
    if "samples" in full.task:
        overrides["task.samples"] = "4"
    if "learning_starts" in full.task:
        overrides["task.learning_starts"] = "20"
    overrides |= shrunk(load_experiment(file), full)
    config = load_config(f"{file}:{variant}", overrides)
    (tmp_path / "config.json").write_text(to_json(config))
    train(config, tmp_path / "whole", verbose=False)
    random.seed()
    step = random.randrange(2, 38)
    process = start(tmp_path / "config.json", tmp_path / "killed")
    wait_for_step([process], tmp_path / "killed", step)
    process.kill()
    process.communicate()
    train(config, tmp_path / "killed", verbose=False)
    assert_same_end(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_says_so(small_config, tmp_path, number, code):
    config = small_config(training={"steps": 200_000, "log_every": 500})
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    workdir = tmp_path / "run"
    process = start(file, workdir)
    wait_for_step([process], workdir, 1000)
    process.send_signal(number)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == code
    assert "the same command goes on from there" in messages
    assert "Traceback" not in messages
    saved = int(os.listdir(workdir / "checkpoints")[0])
    assert f"at step {saved:,}" in messages
    assert saved >= 1000


def test_a_stopped_run_goes_on_to_the_same_bits(small_config, tmp_path):
    config = small_config(training={"steps": 4000, "log_every": 40}, evaluation={"every": 1000})
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    train(config, tmp_path / "whole", verbose=False)
    process = start(file, tmp_path / "stopped")
    wait_for_step([process], tmp_path / "stopped", random.randrange(40, 3000))
    process.terminate()
    process.communicate(timeout=60)
    train(config, tmp_path / "stopped", verbose=False)
    assert_same_end(tmp_path / "whole", tmp_path / "stopped")


@pytest.fixture
def interrupted(small_config, tmp_path):
    """(config, folder of a whole run, folder of a run with checkpoints at 20, 40 and 60 of 80)."""
    config = small_config(training={"steps": 80}, checkpoint={"every": 20, "keep": 4})
    train(config, tmp_path / "whole", verbose=False)
    shutil.copytree(tmp_path / "whole", tmp_path / "run")
    (tmp_path / "run/results.json").unlink()
    shutil.rmtree(tmp_path / "run/checkpoints/80")
    return config, tmp_path / "whole", tmp_path / "run"


def largest_file(folder):
    return max((f for f in folder.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)


def flip_a_bit(folder):
    """In the middle of the array data, where no format would notice."""
    data = max((folder / "state").rglob("d/*"), key=lambda file: file.stat().st_size)
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)


def cut_off(folder):
    data = max((folder / "state").rglob("d/*"), key=lambda file: file.stat().st_size)
    data.write_bytes(data.read_bytes()[:-100])


def lose_the_description(folder):
    shutil.rmtree(folder / "about")


def change_the_description(folder):
    """A digit of its metrics, so that it can still be read."""
    file = next(file for file in (folder / "about").rglob("*") if "test/loss" in _text(file))
    before = file.read_text()
    after = re.sub(r'("test/loss": \d\.)(\d)', lambda m: m[1] + str((int(m[2]) + 1) % 10), before)
    assert after != before
    file.write_text(after)


def _text(file):
    return file.read_bytes().decode(errors="replace") if file.is_file() else ""


@pytest.mark.parametrize(
    "damage", [flip_a_bit, cut_off, lose_the_description, change_the_description]
)
def test_a_damaged_checkpoint_is_named_and_an_older_one_taken(interrupted, damage, capsys):
    config, whole, run = interrupted
    damage(run / "checkpoints/60")
    train(config, run)
    messages = capsys.readouterr().err
    assert "checkpoints/60 is damaged" in messages.replace("\n", " ")
    assert "goes on from step 40" in messages
    assert (run / "damaged/60").is_dir()
    assert_same_end(whole, run)


def test_a_damaged_older_checkpoint_is_no_reason_to_leave_the_newest(interrupted, capsys):
    config, whole, run = interrupted
    shutil.rmtree(run / "checkpoints/40")
    (run / "checkpoints/40").mkdir()
    train(config, run)
    assert "goes on from step 60" in capsys.readouterr().err
    assert not (run / "damaged").exists()
    assert_same_end(whole, run)


def test_the_best_checkpoint_outlives_a_restart(small_config, tmp_path):
    config = small_config(
        training={"steps": 80},
        evaluation={"every": 20},
        checkpoint={"every": 10, "best": "test/loss", "best_mode": "max", "keep": 2},
    )
    train(config, tmp_path / "run", verbose=False)
    assert load(tmp_path / "run", step="best").checkpoints.steps() == [20, 70, 80]
    (tmp_path / "run/results.json").unlink()
    shutil.rmtree(tmp_path / "run/checkpoints/80")
    train(config, tmp_path / "run", verbose=False)
    again = load(tmp_path / "run", step="best")
    assert (again.step, again.checkpoints.steps()) == (20, [20, 70, 80])


def test_what_killed_saves_and_removals_left_goes(interrupted):
    config, whole, run = interrupted
    for name in ("33.orbax-checkpoint-tmp", "20.orbax-checkpoint-tmp-removed"):
        shutil.copytree(run / "checkpoints/40", run / "checkpoints" / name)
    train(config, run, verbose=False)
    assert sorted(os.listdir(run / "checkpoints")) == ["20", "40", "60", "80"]
    assert_same_end(whole, run)


def test_a_start_that_was_killed_is_no_stranger(small_config, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / ".config.json.4711-0123abcd").write_text('{"mod')
    train(small_config(), run, verbose=False)
    assert not list(run.glob(".config*"))
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    (stranger / ".config.json").write_text("{}")
    with pytest.raises(UserError, match="not empty"):
        train(small_config(), stranger, verbose=False)


def test_a_run_killed_before_its_picture_still_gets_it(interrupted, monkeypatch):
    config, whole, run = interrupted
    (run / "environment.json").unlink()
    (run / "curves.png").unlink()

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("aimodels.training.run.curves_png", killed)
    with pytest.raises(KeyboardInterrupt):
        train(config, run, verbose=False)
    monkeypatch.undo()
    train(config, run, verbose=False)
    assert (run / "curves.png").is_file()
    assert (run / "environment.json").is_file()
    assert_same_end(whole, run)


WRITES_AND_DIES = """
import os, sys
from pathlib import Path
import numpy as np
from aimodels.training.writers import MetricsWriter

writer = MetricsWriter(Path(sys.argv[1]), [0], 0)
for step in range(1, 31):
    writer.write(step, "train", {"loss": np.array([step / 7])}, np.array([True]))
writer.sync()
os._exit(9)
"""


def test_tensorboard_has_every_step_once_after_a_kill(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    subprocess.run([sys.executable, "-c", WRITES_AND_DIES, str(tmp_path)], cwd=ROOT)
    writer = MetricsWriter(tmp_path, [0], resume_step=20)
    for step in range(21, 41):
        writer.write(step, "train", {"loss": np.array([step / 7])}, np.array([True]))
    writer.close()
    board = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"scalars": 0})
    points = board.Reload().Scalars("train/loss")
    expected = [(step, np.float32(step / 7)) for step in range(1, 41)]
    assert [(point.step, point.value) for point in points] == expected
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(1, 41))


def test_if_all_are_damaged_it_says_so_and_nothing_is_lost(interrupted):
    config, _, run = interrupted
    for step in (20, 40, 60):
        flip_a_bit(run / f"checkpoints/{step}")
    with pytest.raises(UserError, match=r"no checkpoint in .* is whole"):
        train(config, run, verbose=False)
    assert sorted(os.listdir(run / "damaged")) == ["20", "40", "60"]


def test_a_half_written_checkpoint_is_never_picked_up(interrupted):
    config, whole, run = interrupted
    (run / "checkpoints/60").rename(run / "checkpoints/60.orbax-checkpoint-tmp-1")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 70, "split": "tr')
    train(config, run, verbose=False)
    assert_same_end(whole, run)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs takes root")
def test_a_full_disk_leaves_older_checkpoints_whole(small_config, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)])
    if mounted.returncode:
        pytest.skip("tmpfs can't be mounted here")
    try:
        config = small_config(
            model={"features": (256, 256)},
            training={"steps": 60},
            checkpoint={"every": 10, "keep": 9},
        )
        file = tmp_path / "config.json"
        file.write_text(json.dumps(config))
        process = start(file, disk / "run")
        _, messages = process.communicate(timeout=120)
        assert process.returncode == 2, messages
        assert "Traceback" not in messages
        assert "space" in messages
        steps = sorted(int(name) for name in os.listdir(disk / "run/checkpoints") if name.isdigit())
        assert steps
        load(disk / "run", step=steps[-1])
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        train(config, disk / "run", verbose=False)
        train(config, tmp_path / "whole", verbose=False)
        assert_same_end(tmp_path / "whole", disk / "run")
    finally:
        subprocess.run(["umount", str(disk)], check=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs takes root")
def test_a_disk_that_fills_up_in_training_ends_the_run(small_config, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]).returncode:
        pytest.skip("tmpfs can't be mounted here")
    try:
        config = small_config(training={"steps": 1_000_000, "log_every": 5})
        file = tmp_path / "config.json"
        file.write_text(json.dumps(config))
        process = start(file, disk / "run")
        wait_for_step([process], disk / "run", 100)
        with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))
        try:
            _, messages = process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == 2, messages
        assert "Traceback" not in messages
        assert "the disk is full" in messages
    finally:
        subprocess.run(["umount", str(disk)], check=False)


def test_a_save_that_fails_half_way_leaves_no_traceback():
    hook = "import sys; from aimodels.cli import _unraisable; sys.unraisablehook = _unraisable\n"
    program = """
class Dies:
    def __del__(self):
        raise RuntimeError({message!r})

Dies()
"""
    messages = {}
    for message in ("Event loop is closed", "another one"):
        command = [sys.executable, "-c", hook + program.format(message=message)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        messages[message] = done.stderr
    assert messages["Event loop is closed"] == ""
    assert "RuntimeError: another one" in messages["another one"]
