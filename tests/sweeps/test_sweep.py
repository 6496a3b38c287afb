"""Whole sweeps: their results, their faults, their searches."""

import csv
import dataclasses
import functools
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from aimodels.cli import main
from aimodels.config import load_config, plain
from aimodels.errors import UserError
from aimodels.sweeps import costs, executors
from aimodels.sweeps.plan import PlannedRun, pack
from aimodels.sweeps.sweep import Search, sweep
from aimodels.training.run import train

SETTINGS = {"optimizer.learning_rate": (1e-3, 1e-2), "model.features": ((8,), (4, 4))}


def rows(workdir):
    """sweep.csv, by setting and seed, without what depends on the clock or the folder."""
    with (workdir / "sweep.csv").open() as file:
        lines = list(csv.DictReader(file))
    keys = ("optimizer.learning_rate", "model.features", "seed")
    metrics = ("test/accuracy", "test/loss", "status", "steps")
    return {tuple(line[k] for k in keys): [line[m] for m in metrics] for line in lines}


def test_all_settings_and_seeds_are_trained_and_reported(experiment, tmp_path, capsys):
    programs = sweep(experiment, tmp_path / "sweep", settings=SETTINGS, seeds=2)
    assert len(programs) == 2
    found = rows(tmp_path / "sweep")
    assert len(found) == 8
    assert {status for *_, status, _ in found.values()} == {"done"}
    assert len({tuple(values[:2]) for values in found.values()}) == 8
    for name in ("report.html", "sweep.parquet", "sweep.json"):
        assert (tmp_path / "sweep" / name).is_file()
    out, messages = capsys.readouterr()
    assert "test/accuracy, highest first" in out
    assert "8 runs in 2 programs" in messages


def test_a_dry_run_writes_nothing(experiment, tmp_path, capsys):
    sweep(experiment, tmp_path / "sweep", settings=SETTINGS, dry_run=True)
    assert not (tmp_path / "sweep").exists()
    assert "4 runs in 2 programs" in capsys.readouterr().err


def test_a_dry_run_says_what_it_takes_on_which_devices(experiment):
    cores = len(os.sched_getaffinity(0))
    command = [sys.executable, "-m", "aimodels.cli", "sweep", f"--config={experiment}", "--dry_run"]
    command += ["--set", "model.features=(8,),(64,64)", f"--seeds={2 * cores}", "--workdir=unused"]
    # Without the tests' own devices: what a user's process starts with.
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"XLA_FLAGS": ""}
    )
    assert f"{2 * cores} runs that differ in seeds" in done.stderr
    assert f"on {cores} cpu device" in done.stderr
    assert len(re.findall(r"about \d.* and [\d,]+ MB", done.stderr)) == 3  # and in all


def test_a_larger_program_is_said_to_take_more(experiment):
    base = plain(load_config(experiment))
    settings = [{"model.features": (8,)}, {"model.features": (512, 512)}]
    programs = [p for setting in settings for p in pack(base, [PlannedRun(setting, 0)])]
    found = costs.estimate(programs)
    small, large = (found[program.name] for program in programs)
    assert 0 < small.seconds < large.seconds
    assert 0 < small.memory < large.memory


def test_nothing_done_is_done_twice(experiment, tmp_path, capsys):
    sweep(experiment, tmp_path / "sweep", settings=SETTINGS)
    first = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("results.json")}
    assert len(first) == 2
    capsys.readouterr()
    sweep(experiment, tmp_path / "sweep", settings=SETTINGS)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("results.json")} == first
    assert "2 of 2 programs are done already" in capsys.readouterr().err


def test_another_sweep_is_refused_with_what_differs(experiment, tmp_path):
    sweep(experiment, tmp_path / "sweep", settings=SETTINGS)
    with pytest.raises(UserError, match="belongs to another sweep"):
        sweep(experiment, tmp_path / "sweep", settings={"optimizer.learning_rate": (0.1,)})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="holds no sweep"):
        sweep(experiment, tmp_path / "mine", settings=SETTINGS)


def test_a_program_that_fails_is_reported_and_the_others_go_on(experiment, tmp_path, capsys):
    settings = {"optimizer.name": ("sgd", "adam"), "optimizer.learning_rate": (1e25, 1e-2)}
    sweep(experiment, tmp_path / "sweep", settings=settings, most_replicas=1)
    with (tmp_path / "sweep/sweep.csv").open() as file:
        found = {
            (r["optimizer.name"], float(r["optimizer.learning_rate"])): r["status"]
            for r in csv.DictReader(file)
        }
    assert found["sgd", 1e25].startswith("failed at step")
    assert found["sgd", 1e-2] == found["adam", 1e-2] == "done"
    failed = json.loads((tmp_path / "sweep/failed.json").read_text())
    assert any("not finite at step" in error for error in failed.values())


def test_an_error_that_passes_is_tried_again(experiment, tmp_path, monkeypatch):
    calls = []

    def shaky(*arguments, **fields):
        calls.append(arguments)
        if len(calls) == 1:
            raise RuntimeError("the disk went away")
        return train(*arguments, **fields)

    monkeypatch.setattr("aimodels.training.run.train", shaky)
    sweep(experiment, tmp_path / "sweep", settings={"optimizer.learning_rate": (1e-3,)})
    assert len(calls) == 2
    assert {status for *_, status, _ in _statuses(tmp_path / "sweep")} == {"done"}


def test_an_error_that_stays_is_reported(experiment, tmp_path, monkeypatch):
    def broken(*arguments, **fields):
        raise RuntimeError("no such luck")

    monkeypatch.setattr("aimodels.training.run.train", broken)
    with pytest.raises(UserError, match="could be started: RuntimeError: no such luck"):
        sweep(experiment, tmp_path / "sweep", settings={"optimizer.learning_rate": (1e-3,)})
    failed = json.loads((tmp_path / "sweep/failed.json").read_text())
    assert list(failed.values()) == ["RuntimeError: no such luck"]


def _statuses(workdir):
    with (workdir / "sweep.csv").open() as file:
        return [(line["seed"], line["status"], line["steps"]) for line in csv.DictReader(file)]


def test_processes_give_the_same_results(experiment, tmp_path):
    settings = {"optimizer.learning_rate": (1e-3, 1e-2)}
    sweep(experiment, tmp_path / "here", settings=settings, most_replicas=1)
    sweep(
        experiment,
        tmp_path / "processes",
        settings=settings,
        most_replicas=1,
        executor=executors.processes(2),
    )
    with_features = [rows_of(tmp_path / name) for name in ("here", "processes")]
    assert with_features[0] == with_features[1]
    assert len(list((tmp_path / "processes/logs").iterdir())) == 2


def rows_of(workdir):
    with (workdir / "sweep.csv").open() as file:
        return {
            (line["optimizer.learning_rate"], line["seed"]): (
                line["test/accuracy"],
                line["test/loss"],
            )
            for line in csv.DictReader(file)
        }


@pytest.mark.parametrize(
    ("number", "executor"),
    [
        (signal.SIGTERM, "replicas"),
        (signal.SIGKILL, "processes"),
        pytest.param(signal.SIGTERM, "processes", marks=pytest.mark.slow),
    ],
)
def test_a_sweep_that_was_stopped_goes_on(experiment, tmp_path, number, executor):
    command = [sys.executable, "-m", "aimodels.cli", "sweep", f"--config={experiment}"]
    command += ["--set", "optimizer.learning_rate=1e-3,1e-2", "--pack=1", "--seeds=2"]
    command += ["--config.checkpoint.every=50", "--config.training.steps=400", "--jobs=2"]
    command += [f"--executor={executor}"]
    stopped = [*command, f"--workdir={tmp_path / 'stopped'}"]
    process = subprocess.Popen(stopped, stderr=subprocess.PIPE, text=True, start_new_session=True)
    limit = time.monotonic() + 120
    while not list(tmp_path.glob("stopped/programs/*/results.json")) and time.monotonic() < limit:
        time.sleep(0.02)
    process.send_signal(number)
    _, messages = process.communicate(timeout=60)
    assert "Traceback" not in messages
    if number == signal.SIGTERM:
        assert process.returncode == 143
        assert "the same command goes on from there" in messages
    # The processes of a sweep that was killed go on, and the next sweep waits for them.
    done = {p: p.stat().st_mtime_ns for p in tmp_path.glob("stopped/programs/*/results.json")}
    assert done
    again = subprocess.run(stopped, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "programs are done already" in again.stderr
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())
    whole = [*command, f"--workdir={tmp_path / 'whole'}"]
    assert subprocess.run(whole, capture_output=True).returncode == 0
    assert rows_of(tmp_path / "stopped") == rows_of(tmp_path / "whole")
    assert len(rows_of(tmp_path / "whole")) == 4


def test_a_sweep_goes_on_as_it_was_packed_whoever_runs_it(experiment, tmp_path, capsys):
    settings = {"optimizer.learning_rate": (1e-3, 1e-2)}
    workdir = tmp_path / "sweep"
    first = sweep(experiment, workdir, settings=settings)
    again = sweep(experiment, workdir, settings=settings, executor=executors.processes(1))
    assert [program.name for program in again] == [program.name for program in first]
    assert "1 of 1 programs are done already" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"belongs to another sweep.*\n.*sweep.pack: 64 -> 1"):
        sweep(experiment, workdir, settings=settings, most_replicas=1)
    with pytest.raises(UserError, match="belongs to another sweep"):
        sweep(experiment, workdir, settings=settings, search=Search("random", 2))


PICKY = """
import flax.linen as nn

class Picky(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, inputs, train=False):
        if self.width % 2:
            raise ValueError(f"{self.width} is not even")
        return nn.Dense(3)(nn.relu(nn.Dense(self.width)(inputs)))

def get_config():
    return {
        "model": {"name": __file__ + ":Picky"},
        "task": {"name": "classification"},
        "data": {"name": "iris"},
        "optimizer": {"name": "adam", "learning_rate": 1e-2},
        "training": {"steps": 20, "batch_size": 16},
    }
"""


def test_a_setting_that_cannot_be_built_is_reported_and_the_others_go_on(tmp_path, capsys):
    (tmp_path / "picky.py").write_text(PICKY)
    settings = {"model.width": (3, 4)}
    sweep(str(tmp_path / "picky.py"), tmp_path / "sweep", settings=settings)
    assert "failed: ValueError: 3 is not even" in capsys.readouterr().err
    assert [status for _, status, _ in _statuses(tmp_path / "sweep")].count("done") == 1


def test_each_process_has_a_gpu_of_its_own(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert executors.visible_gpus() == []
    listing = tmp_path / "nvidia-smi"
    listing.write_text("#!/bin/sh\necho GPU 0: A100\necho GPU 1: A100\n")
    listing.chmod(0o755)
    assert executors.visible_gpus() == ["0", "1"]
    assert executors.processes().at_once is None  # none is tried beside them
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert executors.visible_gpus() == ["3", "5"]


@pytest.mark.parametrize("flag", ["--prune=asha", "--population=4", "--trials=9"])
def test_flags_of_a_search_need_one(experiment, tmp_path, capsys, flag):
    arguments = ["sweep", f"--config={experiment}", f"--workdir={tmp_path / 'sweep'}", flag]
    assert main(arguments) == 2
    assert "needs --search" in capsys.readouterr().err


def test_optuna_searches_a_conditional_space_and_goes_on(experiment, tmp_path, capsys):
    pytest.importorskip("optuna")
    search = Search("tpe", 6, population=3)
    searched = functools.partial(sweep, experiment, tmp_path / "search", metric="test/accuracy")
    programs = searched(search=search)
    assert sum(len(program.runs) for program in programs) == 6
    with (tmp_path / "search/sweep.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 6
    assert len({line["optimizer.learning_rate"] for line in lines}) == 6
    again = searched(search=search)
    assert again == []  # all trials were told: nothing is asked for
    more = searched(search=dataclasses.replace(search, trials=8))
    assert sum(len(program.runs) for program in more) == 2


def test_a_pruner_stops_what_falls_behind(experiment, tmp_path):
    pytest.importorskip("optuna")
    search = Search("tpe", 8, population=4, pruner="asha")
    overrides = {"training.steps": "64", "evaluation.every": "1", "training.log_every": "64"}
    space = {"optimizer.learning_rate": (1e-6, 1e-5, 1e-2, 3e-2)}
    sweep(
        experiment,
        tmp_path / "search",
        settings=space,
        search=search,
        overrides=overrides,
        metric="test/accuracy",
    )
    statuses = [status for _, status, _ in _statuses(tmp_path / "search")]
    assert len(statuses) == 8
    assert any(status.startswith("pruned at step") for status in statuses)
    assert "done" in statuses


def test_a_search_without_what_it_needs_says_so(experiment, tmp_path):
    with pytest.raises(UserError, match="--search tpe needs --metric"):
        sweep(experiment, tmp_path / "search", search=Search("tpe", 4))
    pruned = Search("tpe", 4, pruner="asha")
    alone = executors.processes(1)
    with pytest.raises(UserError, match="--prune needs --executor replicas"):
        sweep(
            experiment, tmp_path / "search", search=pruned, metric="test/accuracy", executor=alone
        )
    with pytest.raises(UserError, match=r"'optimizer.learning_rate' is a distribution"):
        sweep(experiment, tmp_path / "search")


def test_a_local_ray_cluster_gives_the_same_results(experiment, tmp_path):
    pytest.importorskip("ray")
    settings = {"optimizer.learning_rate": (1e-3, 1e-2)}
    sweep(experiment, tmp_path / "here", settings=settings, most_replicas=1)
    executor = executors.ray(1, 0, None)
    sweep(experiment, tmp_path / "ray", settings=settings, most_replicas=1, executor=executor)
    assert rows_of(tmp_path / "here") == rows_of(tmp_path / "ray")
