"""A short scripts/chaos, and that it sees what it looks for."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aimodels.training.checkpoints import Checkpoints
from aimodels.training.load import load

DRAWS_CURVES = True

SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.fixture
def trials(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import chaos_trials

    return chaos_trials


def test_runs_that_are_killed_and_stopped_end_as_undisturbed_ones(tmp_path):
    command = [sys.executable, str(SCRIPTS / "chaos"), "--runs", "2", "--seed", "0"]
    command += ["--only", "kill,sigterm", "--configs", "mlp"]
    # How long an undisturbed run takes is measured now: the machine may have been busier before.
    fresh = os.environ | {"AIMODELS_CACHE": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=SCRIPTS.parent, env=fresh)
    assert done.returncode == 0, done.stdout + done.stderr
    count = re.search(r"^ +all +2 +(\d+) +\d+ +2$", done.stdout, re.MULTILINE)
    assert count, done.stdout
    assert int(count[1]) > 0


def lose_a_line(run):
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:7] + lines[8:]))
    return "every step exactly once"


def repeat_a_line(run):
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:7] + lines[6:]))
    return "every step exactly once"


def change_a_metric(run):
    text = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(re.sub(r'"loss": \d', '"loss": 9', text, count=1))
    return "metrics.jsonl differs"


def change_a_result(run):
    results = json.loads((run / "results.json").read_text())
    results["replicas"][0]["metrics"]["test/loss"] += 1e-9
    (run / "results.json").write_text(json.dumps(results))
    return "results.json has other metrics"


def change_a_weight(run):
    loaded = load(run)
    state = loaded.all_replicas
    step, metrics = loaded.step, loaded.checkpoints.about(loaded.step)["metrics"]
    kernel = state.params["head"]["kernel"]
    changed = state.params | {"head": state.params["head"] | {"kernel": kernel.at[0, 0].add(1e-6)}}
    shutil.rmtree(run / f"checkpoints/{step}")
    checkpoints = Checkpoints(run, loaded.config)
    checkpoints.save(step, state.replace(params=changed), metrics)
    checkpoints.wait()
    return "the latest checkpoint differs"


def lose_points(run):
    file = max((run / "tensorboard").rglob("*tfevents*"), key=lambda file: file.stat().st_size)
    os.truncate(file, file.stat().st_size // 2)
    return "TensorBoard does not have"


def leave_a_half_written_file(run):
    (run / ".plan.json.12-0123abcd").touch()
    return "left behind: .plan.json"


DEFECTS = [
    lose_a_line,
    repeat_a_line,
    change_a_metric,
    change_a_result,
    change_a_weight,
    lose_points,
    leave_a_half_written_file,
]


def test_each_way_to_differ_is_seen(trials, small_config, tmp_path):
    from aimodels.config import resolve
    from aimodels.training.run import train

    config = resolve(small_config(training={"log_every": 5}, checkpoint={"every": 20, "keep": 2}))
    whole = trials.Whole(config, tmp_path, 1.0)
    train(config, whole.workdir, verbose=False)
    assert trials.differences(whole, whole.workdir) == []
    for defect in DEFECTS:
        run = tmp_path / defect.__name__
        shutil.copytree(whole.workdir, run)
        expected = defect(run)
        assert expected in "; ".join(trials.differences(whole, run)), defect.__name__


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("import time; time.sleep(60)", "hangs"),
        ("raise ValueError", "leaves a traceback"),
        ("import sys; sys.exit(3)", "exit code 3, not 2"),
    ],
)
def test_hangs_tracebacks_and_wrong_exit_codes_are_seen(trials, tmp_path, program, says):
    import random

    messages = tmp_path / "messages.txt"
    with messages.open("w") as file:
        process = subprocess.Popen([sys.executable, "-c", program], stderr=file)
    # A negative expectation shortens the minute that a process is given beside it.
    attempt = trials.Attempt(process, tmp_path, messages, -5.8, random.Random(0))
    with pytest.raises(trials.Wrong, match=says):
        attempt.ends_with(2)
