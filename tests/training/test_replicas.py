"""Replicas: each is its single run, none knows of the others, and one that fails stands still."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from aimodels.config import resolve
from aimodels.errors import TrainingFailed, UserError
from aimodels.training.assembly import Assembly
from aimodels.training.load import load
from aimodels.training.plan import choose_plan
from aimodels.training.run import train
from aimodels.training.step import Plan, Program
from aimodels.training.writers import read_metrics

COLLECTIVES = re.compile(r"all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter")


def weights(workdir):
    return load(workdir).all_replicas.params


def assert_equal(left, right):
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(np.asarray(a), np.asarray(b)), left, right
    )


@pytest.mark.parametrize("devices", [1, 4])
def test_in_a_loop_a_replica_is_its_single_run_to_the_bit(small_config, tmp_path, devices):
    replicas = {"seeds": (3, 5, 7, 9), "mode": "sequential"}
    config = small_config(replicas=replicas, parallel={"replica": devices})
    train(config, tmp_path / "all", verbose=False)
    all_weights = weights(tmp_path / "all")
    for index, seed in enumerate(replicas["seeds"]):
        single = small_config(replicas={"seeds": (seed,)})
        train(single, tmp_path / f"{seed}", verbose=False)
        one = jax.tree.map(lambda leaf: leaf[0], weights(tmp_path / f"{seed}"))
        assert_equal(jax.tree.map(lambda leaf, i=index: leaf[i], all_weights), one)


ANEW = """
import clu.metrics

from aimodels.tasks.classification import Classification
from aimodels.tasks.metrics import Loss


class Anew(Classification):
    def metrics(self, outputs, batch):
        collection = clu.metrics.Collection.create(loss=Loss)
        return collection.single_from_model_output(
            loss=self.loss(outputs, batch), mask=batch["mask"]
        )
"""


@pytest.mark.parametrize("mode", ["vmap", "sequential"])
def test_a_task_may_make_the_type_of_its_metrics_anew(small_config, tmp_path, mode):
    (tmp_path / "anew.py").write_text(ANEW)
    config = small_config(
        task={"name": f"{tmp_path / 'anew.py'}:Anew"},
        replicas={"seeds": (0, 1), "mode": mode},
        parallel={"replica": 1},
    )
    results = train(config, tmp_path / "run", verbose=False).results
    assert all(set(replica["metrics"]) == {"test/loss"} for replica in results["replicas"])


@pytest.mark.parametrize("mode", ["vmap", "sequential"])
def test_over_devices_nothing_is_communicated_and_nothing_changes(small_config, tmp_path, mode):
    replicas = {"seeds": tuple(range(32)), "mode": mode}
    spread = small_config(replicas=replicas, parallel={"replica": 8})
    assembly = Assembly(resolve(spread))
    program = assembly.program(Plan(4, mode))
    feed, target = assembly.feeds()(), assembly.target()
    program.compile(feed, target)
    state = program.init(feed, target)
    leaf = jax.tree.leaves(state.params)[0]
    assert {shard.data.shape[0] for shard in leaf.addressable_shards} == {4}
    assert len(leaf.sharding.device_set) == 8
    assert not COLLECTIVES.search(program._compiled["run"].as_text())

    train(spread, tmp_path / "spread", verbose=False)
    train(small_config(replicas=replicas, parallel={"replica": 1}), tmp_path / "one", verbose=False)
    if mode == "sequential":
        assert_equal(weights(tmp_path / "spread"), weights(tmp_path / "one"))
        return
    # Matrices are multiplied in batches of 4 or of 32 replicas; 60 steps of Adam amplify roundings.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        weights(tmp_path / "spread"),
        weights(tmp_path / "one"),
    )


def test_replicas_data_and_model_share_a_mesh(small_config, tmp_path):
    rules = ((".*Dense_0/kernel", (None, "model")),)
    parallel = {"replica": 2, "data": 2, "model": 2, "rules": rules}
    steps = {"steps": 20, "log_every": 1}
    seeds = {"seeds": (0, 1), "mode": "vmap"}
    for name, layout in {"mesh": parallel, "one": {"replica": 1}}.items():
        config = small_config(replicas=seeds, parallel=layout, training=steps)
        train(config, tmp_path / name, verbose=False)
    mesh, one = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("mesh", "one"))
    assert len(mesh) == len(one)
    for left, right in zip(mesh, one, strict=True):
        # The order of sums over parts of a batch.
        assert left["loss"] == pytest.approx(right["loss"], rel=1e-5)
        if left["split"] == "test":
            assert left["accuracy"] == right["accuracy"]


@pytest.fixture
def one_fails(small_config):
    """Three replicas, of which the second overflows within a few steps."""
    return small_config(
        optimizer={"name": "sgd", "learning_rate": 1e-2},
        replicas={"seeds": (0, 1, 2), "vary": {"optimizer.learning_rate": (1e-2, 1e18, 2e-2)}},
        checkpoint={"every": 20, "keep": 5},
    )


@pytest.mark.parametrize("mode", ["vmap", "sequential"])
def test_a_replica_that_fails_stands_still_while_the_others_go_on(
    one_fails, small_config, tmp_path, mode, capsys
):
    one_fails["replicas"]["mode"] = mode
    result = train(one_fails, tmp_path / "run")
    assert "replica 1 stands still: not finite at step" in capsys.readouterr().err
    first, second, third = result.results["replicas"]
    assert first["status"] == third["status"] == "done"
    assert second["status"].startswith("failed at step ")
    assert second["metrics"] == {}
    failed_at = int(second["status"].split()[3].rstrip(":"))
    lines = read_metrics(tmp_path / "run/metrics.jsonl")
    logged = [line["step"] for line in lines if line["replica"] == 1]
    assert max(logged, default=0) < failed_at
    assert max(line["step"] for line in lines if line["replica"] == 2) == 60
    state = load(tmp_path / "run").all_replicas
    assert state.step.tolist() == [60, failed_at - 1, 60]
    assert result.metrics["test/accuracy"] == np.mean(
        [replica["metrics"]["test/accuracy"] for replica in (first, third)]
    )
    # The others are what they would have been without it.
    alone = small_config(
        optimizer={"name": "sgd", "learning_rate": 1e-2},
        replicas={
            "seeds": (0, 2),
            "mode": mode,
            "vary": {"optimizer.learning_rate": (1e-2, 2e-2)},
        },
    )
    without = train(alone, tmp_path / "alone", verbose=False).results["replicas"]
    for left, right in zip((first, third), without, strict=True):
        assert left["metrics"] == pytest.approx(right["metrics"], rel=1e-5)


def test_a_resumed_run_knows_who_failed(one_fails, tmp_path):
    whole = train(one_fails, tmp_path / "run", verbose=False).results["replicas"]
    text = (tmp_path / "run/metrics.jsonl").read_text()
    (tmp_path / "run/results.json").unlink()
    shutil.rmtree(tmp_path / "run/checkpoints/60")
    again = train(one_fails, tmp_path / "run", verbose=False).results["replicas"]
    assert again == whole
    assert (tmp_path / "run/metrics.jsonl").read_text() == text
    # Even without the file: the state of a replica that failed is behind the others'.
    (tmp_path / "run/stopped.json").unlink()
    (tmp_path / "run/results.json").unlink()
    again = train(one_fails, tmp_path / "run", verbose=False).results["replicas"]
    assert again[1]["status"] == whole[1]["status"].split(":")[0]


def test_when_all_replicas_fail_training_failed(one_fails, tmp_path):
    one_fails["replicas"]["vary"] = {"optimizer.learning_rate": (1e18, 1e18, 1e18)}
    with pytest.raises(TrainingFailed, match=r"not finite at step \d+ \(replica"):
        train(one_fails, tmp_path / "run", verbose=False)


def test_a_pruned_replica_stands_still_and_is_reported(small_config, tmp_path):
    config = small_config(replicas={"seeds": (0, 1, 2)}, training={"log_every": 20})
    seen = []

    def pruner(step, metrics, active):
        seen.append((step, sorted(metrics), active.tolist()))
        return [1] if step == 20 else []

    result = train(config, tmp_path / "run", verbose=False, pruner=pruner)
    assert [status["status"] for status in result.results["replicas"]] == [
        "done",
        "pruned at step 20",
        "done",
    ]
    assert [step for step, _, _ in seen] == [20, 40]
    assert seen[1][2] == [True, False, True]
    assert "test/accuracy" in seen[0][1]
    assert load(tmp_path / "run").all_replicas.step.tolist() == [60, 20, 60]
    steps = [
        line["step"]
        for line in read_metrics(tmp_path / "run/metrics.jsonl")
        if line["replica"] == 1
    ]
    assert max(steps) == 20
    assert json.loads((tmp_path / "run/stopped.json").read_text()) == {
        "1": [20, "pruned at step 20"]
    }


def test_a_run_whose_replicas_were_all_pruned_ends_there(small_config, tmp_path):
    config = small_config(replicas={"seeds": (0, 1)})
    result = train(config, tmp_path / "run", verbose=False, pruner=lambda *_: [0, 1])
    assert result.metrics == {}
    assert {replica["status"] for replica in result.results["replicas"]} == {"pruned at step 20"}


def test_replicas_that_devices_do_not_divide_are_refused(small_config, tmp_path):
    config = small_config(replicas={"seeds": (0, 1, 2)}, parallel={"replica": 2})
    with pytest.raises(UserError, match=r"config.parallel.replica: 3 replicas .* divisor of 3"):
        train(config, tmp_path / "run", verbose=False)


def test_ways_of_running_replicas_are_timed_while_they_train(small_config, monkeypatch, tmp_path):
    runs, run = [], Program.run

    def noted(self, state, feed, start, steps, active=None):
        runs.append((self.plan.replicas, np.asarray(state.step).tolist(), start))
        return run(self, state, feed, start, steps, active)

    monkeypatch.setenv("AIMODELS_CACHE", str(tmp_path))  # no plan is kept there
    monkeypatch.setattr(Program, "run", noted)
    config = resolve(small_config(replicas={"seeds": (0, 1)}, parallel={"replica": 1}))
    assembly = Assembly(config)
    parts = (assembly.feeds(), assembly.target(), assembly.step_flops)
    plan = choose_plan(config, assembly.program, *parts)
    assert "measured steps/s: vmap" in plan.reason
    assert {mode for mode, *_ in runs} == {"vmap", "sequential"}
    assert len(runs) >= 4
    assert all(steps == [start, start] for _, steps, start in runs)  # else none of them moves


def test_replicas_take_the_cores_of_a_cpu(small_config, tmp_path):
    cores = len(os.sched_getaffinity(0))
    config = small_config(replicas={"seeds": tuple(range(cores)), "mode": "vmap"})
    (tmp_path / "config.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "aimodels.cli", "train"]
    command += [f"--config={tmp_path / 'config.json'}", f"--workdir={tmp_path / 'run'}"]
    # Without the tests' own devices: what a user's process starts with.
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"XLA_FLAGS": ""})
    environment = json.loads((tmp_path / "run/environment.json").read_text())
    assert len(environment["devices"]) == cores


def test_under_vmap_a_replica_is_its_single_run_in_float64():
    script = Path(__file__).with_name("replicas_in_float64.py")
    done = subprocess.run([sys.executable, script], stdout=subprocess.PIPE, text=True, check=True)
    differences = json.loads(done.stdout)
    assert len(differences) >= 8
    assert max(differences.values()) < 1e-9, differences  # after 100 steps, see the script
