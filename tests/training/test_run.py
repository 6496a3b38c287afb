"""What the loop promises, on real (small) data: see the names of the tests."""

import json
import shutil

import jax
import numpy as np
import pytest

import aimodels
from aimodels.errors import TrainingFailed, UserError
from aimodels.training.load import evaluate, load
from aimodels.training.parallel import path_of
from aimodels.training.run import train
from aimodels.training.writers import read_metrics

DRAWS_CURVES = True


def arrays_of(workdir, step="latest"):
    return jax.tree.map(np.asarray, load(workdir, step=step).all_replicas)


def assert_equal_to_the_bit(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def assert_close(left, right, tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, tolerance, tolerance), left, right)


def test_the_work_folder_holds_what_the_design_says(small_config, tmp_path):
    config = small_config(replicas={"seeds": (3, 5)}, checkpoint={"every": 25})
    origin = {"experiment": "e.py", "variant": "v", "overrides": {"training.steps": "60"}}
    result = train(config, tmp_path / "run", origin=origin, verbose=False)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names >= {
        "config.json",
        "environment.json",
        "metrics.jsonl",
        "tensorboard",
        "checkpoints",
        "results.json",
        "curves.png",
        "plan.json",
    }
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert results == result.results
    assert results["experiment"] == "e.py"
    assert results["overrides"] == {"training.steps": "60"}
    assert [replica["seed"] for replica in results["replicas"]] == [3, 5]
    assert results["steps"] == 60
    assert results["steps_per_second"] > 0
    assert results["peak_memory_bytes"] > 1e6
    lines = read_metrics(tmp_path / "run/metrics.jsonl")
    seen = [(line["step"], line["split"], line["replica"]) for line in lines]
    assert len(seen) == len(set(seen))
    steps = {
        split: sorted({line["step"] for line in lines if line["split"] == split})
        for split in ("train", "test")
    }
    assert steps == {"train": [10, 20, 30, 40, 50, 60], "test": [20, 40, 60]}
    for name in ("loss", "accuracy", "gradient_norm", "parameter_norm", "update_norm"):
        assert all(np.isfinite(line[name]) for line in lines if line["split"] == "train")
    from PIL import Image

    assert Image.open(tmp_path / "run/curves.png").size[0] > 300
    board = list((tmp_path / "run/tensorboard").rglob("events.out.tfevents.*"))
    assert len(board) == 2


def test_it_learns_and_can_be_loaded(small_config, tmp_path):
    result = aimodels.train(small_config(training={"steps": 300}), tmp_path / "run", verbose=False)
    assert result.metrics["test/accuracy"] > 0.85
    run = aimodels.load(tmp_path / "run")
    from aimodels.data import make

    source = make("iris").load("test")
    batch = source.gather(np.arange(len(source)))
    outputs = run.predict(batch["inputs"])
    accuracy = (outputs.argmax(-1) == batch["targets"]).mean()
    assert accuracy == pytest.approx(result.metrics["test/accuracy"], abs=1e-6)
    again = evaluate(tmp_path / "run")["replicas"][0]["metrics"]
    assert again["test/accuracy"] == result.metrics["test/accuracy"]
    assert run.params.keys() == run.state.params.keys()
    for wrong in (batch["inputs"][:, :3], batch["inputs"][0], batch["inputs"] > 0):
        with pytest.raises(UserError, match=r"don't suit the run.* trained on float32\[4\]"):
            run.predict(wrong)


def test_the_loss_of_a_memorised_batch_goes_to_zero(small_config, tmp_path):
    config = small_config(
        training={"steps": 600, "split": "train[:16]"}, evaluation={"splits": ("train[:16]",)}
    )
    result = train(config, tmp_path / "run", verbose=False)
    assert result.metrics["train[:16]/loss"] < 1e-2


def test_replicas_differ_and_equal_their_single_runs(small_config, tmp_path):
    seeds = (0, 1, 2)
    for mode in ("vmap", "sequential"):
        config = small_config(replicas={"seeds": seeds, "mode": mode})
        train(config, tmp_path / mode, verbose=False)
        together = arrays_of(tmp_path / mode)
        kernels = jax.tree.leaves(together.params)[1]
        assert len({kernel.tobytes() for kernel in kernels}) == len(seeds)
        lines = read_metrics(tmp_path / mode / "metrics.jsonl")
        first = [line["loss"] for line in lines if line["split"] == "train" and line["step"] == 10]
        assert len(set(first)) == len(seeds)
        for index, seed in enumerate(seeds):
            alone = tmp_path / f"{mode}-{seed}"
            train(small_config(replicas={"seeds": (seed,)}), alone, verbose=False)
            single = jax.tree.map(lambda leaf: leaf[0], arrays_of(alone))
            replica = jax.tree.map(lambda leaf, i=index: leaf[i], together)
            if mode == "sequential":  # the same compiled body, one after the other
                assert_equal_to_the_bit(replica, single)
            else:  # float32: 60 steps of Adam on sums in another order
                assert_close(replica, single, 1e-4)


def test_dispatches_of_any_length_give_the_same_bits(small_config, tmp_path):
    for steps_per_dispatch in (2, 8, 60):
        config = small_config(execution={"steps_per_dispatch": steps_per_dispatch})
        train(config, tmp_path / str(steps_per_dispatch), verbose=False)
    reference = arrays_of(tmp_path / "2")
    for steps_per_dispatch in (8, 60):
        assert_equal_to_the_bit(arrays_of(tmp_path / str(steps_per_dispatch)), reference)


def test_eight_devices_equal_one(small_config, tmp_path):
    for name, parallel in {
        "one": {},
        "data": {"data": 8},
        "model": {"data": 4, "model": 2, "rules": (("dense_0/kernel", (None, "model")),)},
    }.items():
        config = small_config(parallel=parallel, training={"steps": 20, "order": "shuffled"})
        train(config, tmp_path / name, verbose=False)
    reference = read_metrics(tmp_path / "one/metrics.jsonl")
    for name in ("data", "model"):
        lines = read_metrics(tmp_path / name / "metrics.jsonl")
        for line, expected in zip(lines, reference, strict=True):
            # Sums over a batch in another order: 20 steps keep within 1e-5 in float32.
            assert line["loss"] == pytest.approx(expected["loss"], rel=1e-5, abs=1e-7)
            if line["split"] == "test":
                assert line["accuracy"] == expected["accuracy"]
    state = load(tmp_path / "model").all_replicas
    divided = [
        path_of(path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
        if "model" in leaf.sharding.spec
    ]
    assert len(divided) == 3  # the weights and Adam's two moments of them
    assert all(path.endswith("dense_0/kernel") for path in divided)
    rules = (("kernel", (None, "model")),)
    config = small_config(parallel={"model": 2, "rules": rules})
    with pytest.raises(UserError, match=r"head/kernel \(16, 3\) .* 3 is not divisible by 2"):
        train(config, tmp_path / "odd", verbose=False)


def test_a_checkpoint_is_restored_onto_another_number_of_devices(small_config, tmp_path):
    config = small_config(parallel={"data": 8}, training={"steps": 20})
    train(config, tmp_path / "run", verbose=False)
    saved = arrays_of(tmp_path / "run")
    file = tmp_path / "run/config.json"
    changed = json.loads(file.read_text())
    changed["parallel"]["data"] = 1
    file.write_text(json.dumps(changed))
    assert_equal_to_the_bit(arrays_of(tmp_path / "run"), saved)
    changed["parallel"]["data"] = 16  # more than there are: it is read on one
    file.write_text(json.dumps(changed))
    assert_equal_to_the_bit(arrays_of(tmp_path / "run"), saved)


def test_a_run_goes_on_in_another_layout(small_config, tmp_path):
    kept = {"checkpoint": {"every": 20, "keep": 9}}
    train(small_config(parallel={"data": 8}, **kept), tmp_path / "run", verbose=False)
    for later in ("40", "60"):
        shutil.rmtree(tmp_path / "run/checkpoints" / later)
    (tmp_path / "run/results.json").unlink()
    result = train(small_config(**kept), tmp_path / "run", verbose=False)
    assert result.results["replicas"][0]["status"] == "done"
    train(small_config(**kept), tmp_path / "one", verbose=False)
    # Sums over eight devices have another order: a few roundings of 6e-8, over 60 steps.
    last = [read_metrics(tmp_path / name / "metrics.jsonl")[-1]["loss"] for name in ("run", "one")]
    assert last[0] == pytest.approx(last[1], rel=1e-4)


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
@pytest.mark.parametrize("devices", [1, 8])
def test_evaluation_counts_every_example_once(small_config, tmp_path, batch_size, devices):
    config = small_config(training={"steps": 5})
    train(config, tmp_path / "run", verbose=False)
    expected = evaluate(tmp_path / "run")["replicas"][0]
    file = tmp_path / "run/config.json"
    changed = json.loads(file.read_text())
    changed["evaluation"]["batch_size"] = batch_size
    changed["parallel"]["data"] = devices
    file.write_text(json.dumps(changed))
    got = evaluate(tmp_path / "run")["replicas"][0]
    assert got["arrays"]["test/confusion"] == expected["arrays"]["test/confusion"]
    from aimodels.data import make

    assert np.sum(got["arrays"]["test/confusion"]) == len(make("iris").load("test"))
    assert got["metrics"]["test/accuracy"] == expected["metrics"]["test/accuracy"]
    # A mean of at most 50 float32 losses, summed in another order.
    assert got["metrics"]["test/loss"] == pytest.approx(expected["metrics"]["test/loss"], rel=1e-6)


def test_host_and_device_feeds_train_to_the_same_bits(small_config, tmp_path):
    for feed in ("device", "host"):
        config = small_config(execution={"steps_per_dispatch": 8, "feed": feed})
        train(config, tmp_path / feed, verbose=False)
    assert_equal_to_the_bit(arrays_of(tmp_path / "device"), arrays_of(tmp_path / "host"))


def test_varied_fields_equal_separate_runs(small_config, tmp_path):
    rates, smoothing = (1e-3, 1e-2), (0.0, 0.2)
    config = small_config(
        replicas={
            "seeds": (4, 4),
            "vary": {"optimizer.learning_rate": rates, "task.label_smoothing": smoothing},
        }
    )
    train(config, tmp_path / "both", verbose=False)
    together = arrays_of(tmp_path / "both")
    for index in range(2):
        alone = small_config(
            replicas={"seeds": (4,)},
            optimizer={"learning_rate": rates[index]},
            task={"label_smoothing": smoothing[index]},
        )
        train(alone, tmp_path / str(index), verbose=False)
        single = jax.tree.map(lambda leaf: leaf[0], arrays_of(tmp_path / str(index)))
        replica = jax.tree.map(lambda leaf, i=index: leaf[i], together)
        assert_close(replica.params, single.params, 1e-4)  # as replicas in float32, above


def test_gradient_accumulation_equals_the_whole_batch(small_config, tmp_path):
    for parts in (1, 4):
        config = small_config(training={"gradient_accumulation": parts, "steps": 20})
        train(config, tmp_path / str(parts), verbose=False)
    # The mean of four means is the mean, but for float32 rounding that Adam divides by small
    # numbers.
    assert_close(arrays_of(tmp_path / "1").params, arrays_of(tmp_path / "4").params, 1e-4)


def test_the_moving_average_is_what_is_evaluated(small_config, tmp_path):
    config = small_config(training={"ema_decay": 0.9, "steps": 20})
    train(config, tmp_path / "run", verbose=False)
    run = load(tmp_path / "run")
    assert_equal_to_the_bit(run.params, run.state.ema)
    leaves = zip(jax.tree.leaves(run.state.ema), jax.tree.leaves(run.state.params), strict=True)
    assert any((np.asarray(a) != np.asarray(b)).any() for a, b in leaves)


def test_bfloat16_computes_and_keeps_float32_parameters(small_config, tmp_path):
    config = small_config(precision="bfloat16", training={"steps": 300})
    result = train(config, tmp_path / "run", verbose=False)
    run = load(tmp_path / "run")
    assert {leaf.dtype for leaf in jax.tree.leaves(run.params)} == {np.dtype("float32")}
    assert run.predict(np.zeros((2, 4), np.float32)).dtype.name == "bfloat16"
    assert result.metrics["test/accuracy"] > 0.8


def test_a_finished_run_is_not_run_again(small_config, tmp_path):
    first = train(small_config(), tmp_path / "run", verbose=False)
    before = (tmp_path / "run/metrics.jsonl").read_text()
    assert train(small_config(), tmp_path / "run", verbose=False).results == first.results
    assert (tmp_path / "run/metrics.jsonl").read_text() == before


def test_a_folder_of_another_config_is_refused_with_what_differs(small_config, tmp_path):
    train(small_config(training={"steps": 5}), tmp_path / "run", verbose=False)
    with pytest.raises(UserError) as caught:
        train(small_config(optimizer={"learning_rate": 0.5}), tmp_path / "run", verbose=False)
    assert "config.optimizer.learning_rate: 0.01 -> 0.5" in str(caught.value)
    assert "config.training.steps: 5 -> 60" in str(caught.value)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.tex").write_text("precious")
    with pytest.raises(UserError, match=r"thesis\.tex"):
        train(small_config(), tmp_path / "other", verbose=False)
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match="can't be written"):
        train(small_config(), tmp_path / "file", verbose=False)


def test_a_folder_in_use_is_refused(small_config, tmp_path):
    from aimodels.config import resolve
    from aimodels.training.workdir import opened

    with (
        opened(tmp_path / "run", resolve(small_config())),
        pytest.raises(UserError, match="in use by another process"),
    ):
        train(small_config(), tmp_path / "run", verbose=False)


def test_a_loss_that_is_not_finite_names_the_step_and_keeps_the_last_checkpoint(
    small_config, tmp_path
):
    config = small_config(
        optimizer={"name": "sgd", "learning_rate": 1e18},
        checkpoint={"every": 1},
        training={"steps": 60, "batch_size": 16, "log_every": 10},
    )
    with pytest.raises(TrainingFailed) as caught:
        train(config, tmp_path / "run", verbose=False)
    message = str(caught.value)
    assert "not finite at step" in message
    failed_at = int(message.split("at step ")[1].split(":")[0])
    steps = sorted(int(path.name) for path in (tmp_path / "run/checkpoints").glob("[0-9]*"))
    assert steps == [failed_at - 1]
    assert "parameter_norm" in message  # two steps of 1e18 times a gradient overflow it
    assert f"checkpoint of step {failed_at - 1} is kept" in message
    state = arrays_of(tmp_path / "run")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


def test_an_unknown_best_metric_lists_the_near_ones(small_config, tmp_path):
    with pytest.raises(UserError, match=r"config.checkpoint.best: .*'test/acuracy'.*test/accuracy"):
        train(small_config(checkpoint={"best": "test/acuracy"}), tmp_path / "run", verbose=False)


def test_the_best_and_the_latest_checkpoint_are_kept(small_config, tmp_path):
    config = small_config(
        training={"steps": 100},
        evaluation={"every": 10},
        checkpoint={"best": "test/loss", "best_mode": "max", "keep": 2},
    )
    train(config, tmp_path / "run", verbose=False)
    run = load(tmp_path / "run", step="best")
    kept = run.checkpoints.steps()
    lines = read_metrics(tmp_path / "run/metrics.jsonl")
    losses = {line["step"]: line["loss"] for line in lines if line["split"] == "test"}
    assert run.step == max(losses, key=losses.get) == 10
    assert kept == [10, 90, 100]


def test_too_many_devices_and_empty_splits(small_config, tmp_path):
    with pytest.raises(UserError, match="needs 16 devices, 8 cpu"):
        train(small_config(parallel={"data": 16}), tmp_path / "run", verbose=False)
    with pytest.raises(UserError, match="empty"):
        train(small_config(training={"split": "train[:0]"}), tmp_path / "run", verbose=False)
    assert not (tmp_path / "run").exists()
