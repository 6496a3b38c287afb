"""Two processes with two devices each train what one process does, and end together."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from run_checks import assert_same_end, wait_for_step

from aimodels.cli import main
from aimodels.training.load import load
from aimodels.training.run import train
from aimodels.training.writers import read_metrics

LAYOUTS = {
    "data": {"parallel": {"data": 4}},
    "host feed": {"parallel": {"data": 4}, "execution": {"feed": "host", "steps_per_dispatch": 8}},
    "fsdp": {"parallel": {"data": 4, "rules": "fsdp"}},
    "replicas": {"parallel": {"replica": 4}, "replicas": {"seeds": (0, 1, 2, 3)}},
    "replicas and data": {"parallel": {"replica": 2, "data": 2}, "replicas": {"seeds": (0, 1)}},
}


@pytest.fixture
def two(tmp_path):
    """A function that starts a command in two processes on two devices each; all end with us."""
    processes = []

    def start(command, workdir, *flags, **environments):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        started = []
        for index in range(2):
            own = environments.get(f"process{index}", {})
            # The last of two flags counts; the others have to be this process's own for equal bits.
            devices = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2"
            environment = {"XLA_FLAGS": devices, **own}
            started.append(
                subprocess.Popen(
                    [
                        *(sys.executable, "-m", "aimodels.cli", command, f"--workdir={workdir}"),
                        *(*flags, f"--coordinator=localhost:{port}"),
                        *("--processes=2", f"--process={index}"),
                    ],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    cwd=tmp_path,
                    env=os.environ | environment,
                )
            )
        processes.extend(started)
        return started

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def ended(processes, within=240):
    """Exit code, standard output and standard error of each."""
    outputs = [process.communicate(timeout=within) for process in processes]
    return [(p.returncode, *output) for p, output in zip(processes, outputs, strict=True)]


def written(tmp_path, config):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    return f"--config={file}"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_processes_train_and_evaluate_what_one_does(layout, small_config, two, tmp_path):
    config = small_config(**LAYOUTS[layout])
    outcomes = ended(two("train", tmp_path / "two", written(tmp_path, config)))
    assert [code for code, *_ in outcomes] == [0, 0], outcomes
    assert "accuracy" in outcomes[0][1]
    assert not outcomes[1][1]  # results come from one process
    train(config, tmp_path / "one", verbose=False)
    left, right = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("one", "two"))
    assert [line.keys() for line in left] == [line.keys() for line in right]
    for one, other in zip(left, right, strict=True):
        if one["split"] == "train":  # the sum over devices has another order: a few float32 ulps
            assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
        else:
            assert one["accuracy"] == other["accuracy"]
    states = [load(tmp_path / name).all_replicas.params for name in ("one", "two")]
    # 60 steps of Adam on the same batches; see above.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), *states)


def test_evaluate_in_two_processes_prints_what_one_prints(small_config, two, tmp_path, capsys):
    train(small_config(parallel={"data": 4}), tmp_path / "run", verbose=False)
    first, second = ended(two("evaluate", tmp_path / "run", "--split=train"))
    assert main(["evaluate", f"--workdir={tmp_path / 'run'}", "--split=train"]) == 0
    assert (first[0], second[0], second[1]) == (0, 0, "")
    alone = json.loads(capsys.readouterr().out)["replicas"][0]
    together = json.loads(first[1])["replicas"][0]
    assert alone["metrics"]["train/accuracy"] == together["metrics"]["train/accuracy"]
    assert alone["arrays"] == together["arrays"]


def test_sigterm_for_one_saves_and_stops_both_and_one_process_goes_on(small_config, two, tmp_path):
    # Replicas are apart from each other, so they are the same to the bit wherever they run.
    config = small_config(
        training={"steps": 4000}, replicas={"seeds": (0, 1, 2, 3)}, parallel={"replica": 4}
    )
    workdir = tmp_path / "run"
    processes = two("train", workdir, written(tmp_path, config))
    assert wait_for_step(processes, workdir, 100), ended(processes, within=60)
    processes[1].send_signal(signal.SIGTERM)
    outcomes = ended(processes)
    assert [code for code, *_ in outcomes] == [143, 143], outcomes
    assert "the same command goes on from there" in outcomes[0][2]
    assert 0 < load(workdir).step < 4000
    train(config, workdir, verbose=False)
    train(config, tmp_path / "whole", verbose=False)
    assert_same_end(workdir, tmp_path / "whole")


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_other_and_both_go_on(victim, small_config, two, tmp_path):
    config = small_config(training={"steps": 800}, checkpoint={"every": 100}, parallel={"data": 4})
    flag, workdir = written(tmp_path, config), tmp_path / "run"
    processes = two("train", workdir, flag)
    assert wait_for_step(processes, workdir, 200), ended(processes, within=60)
    processes[victim].kill()
    begin = time.monotonic()
    other = processes[1 - victim]
    message = other.communicate(timeout=120)[1]
    # The bound is 30 s; a machine that is busy with other tests may take longer to start
    # a thread, but not to notice.
    assert time.monotonic() - begin < 30
    assert other.returncode == 1, message
    assert f"because process {victim} of 2" in message
    assert "go on from the last checkpoint" in message
    assert "Traceback" not in message
    outcomes = ended(two("train", workdir, flag))
    assert [code for code, *_ in outcomes] == [0, 0], outcomes
    assert "goes on from step" in outcomes[0][2]
    assert ended(two("train", tmp_path / "whole", flag))[0][0] == 0
    assert_same_end(workdir, tmp_path / "whole")


SLOW_TO_END = """
import json, sys, time

if "--process=0" in sys.argv:
    import aimodels.training.run

    aimodels.training.run.curves_png = lambda *_, **__: time.sleep(600)

def get_config():
    return json.loads({config!r})
"""


def test_one_that_has_done_its_part_notices_that_the_run_did_not_end(small_config, two, tmp_path):
    config = small_config(training={"steps": 40}, parallel={"data": 4})
    file, workdir = tmp_path / "slow.py", tmp_path / "run"
    file.write_text(SLOW_TO_END.format(config=json.dumps(config)))
    processes = two("train", workdir, f"--config={file}")
    assert wait_for_step(processes, workdir, 40), ended(processes, within=60)
    with pytest.raises(subprocess.TimeoutExpired):  # it waits for the other
        processes[1].wait(timeout=5)
    processes[0].kill()
    message = processes[1].communicate(timeout=30)[1]
    assert processes[1].returncode == 1, message
    assert "because process 0 of 2" in message


@pytest.mark.parametrize("unlucky", [0, 1])
def test_a_mistake_in_one_process_ends_both(unlucky, small_config, two, tmp_path):
    config = small_config(data={"name": "fashion_mnist"}, parallel={"data": 4})
    environments = {}
    for index in range(2):
        folder = tmp_path / f"host{index}"
        folder.mkdir()
        environments[f"process{index}"] = {"AIMODELS_DATA": str(folder)}
    workdir = tmp_path / "run"
    if unlucky == 0:  # its work folder belongs to somebody else
        workdir.mkdir()
        (workdir / "thesis.tex").write_text("")
        config = small_config(parallel={"data": 4})
    begin = time.monotonic()
    outcomes = ended(two("train", workdir, written(tmp_path, config), **environments))
    assert time.monotonic() - begin < 60
    assert [code for code, *_ in outcomes] == [2, 2]
    assert "Traceback" not in outcomes[0][2] + outcomes[1][2]
    if unlucky == 0:
        assert "is not empty and has no config.json" in outcomes[1][2]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--processes=2"], "take all three"),
        (["--coordinator=here:1", "--processes=2", "--process=2"], "count from 0 to N - 1"),
        (["--coordinator=here", "--processes=2", "--process=0"], "is no HOST:PORT"),
        (["--processes=auto"], "did not find each other"),
    ],
)
def test_flags_that_do_not_fit_together(flags, message, small_config, tmp_path, capsys):
    arguments = ["train", written(tmp_path, small_config()), f"--workdir={tmp_path / 'run'}"]
    assert main([*arguments, *flags]) == 2
    assert message in capsys.readouterr().err
