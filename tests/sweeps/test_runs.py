"""Runs from work folders, the table of them, and groups."""

import csv
import json
import math
import shlex
from pathlib import Path

import pyarrow.parquet
import pytest

from aimodels.arguments import split_overrides
from aimodels.config import differences, load_config, plain
from aimodels.errors import UserError
from aimodels.sweeps import best
from aimodels.sweeps.groups import label, pick_metric, pick_mode, ranked, short_names
from aimodels.sweeps.runs import Run, Runs, read_runs, write_csv, write_parquet


def test_replicas_are_runs_with_values_of_their_own(tmp_path, write_run):
    rates = (0.1, 0.1, 0.01, 0.01)
    vary = {"optimizer.learning_rate": rates}
    write_run(tmp_path / "a", [0.9, 0.8, 0.6, 0.5], replicas={"seeds": (0, 1, 0, 1), "vary": vary})
    write_run(
        tmp_path / "deep/b", [0.7], optimizer={"learning_rate": 0.01}, replicas={"seeds": [2]}
    )
    runs = read_runs([tmp_path])
    assert runs.fields == ("optimizer.learning_rate",)
    assert [run.settings["optimizer.learning_rate"] for run in runs.runs] == [*rates, 0.01]
    assert [run.seed for run in runs.runs] == [0, 1, 0, 1, 2]
    assert [run.replica for run in runs.runs] == [0, 1, 2, 3, 0]
    # Six seconds of a program with four replicas.
    assert [run.seconds for run in runs.runs] == [1.5, 1.5, 1.5, 1.5, 6.0]
    first, second = ranked(runs, "test/accuracy", "max")
    assert (first.label, second.label) == ("learning_rate=0.1", "learning_rate=0.01")
    assert sorted(second.scores) == [0.5, 0.6, 0.7]
    assert second.score.value == pytest.approx(0.6)


def test_folders_are_found_once_and_checkpoints_are_no_runs(tmp_path, write_run):
    folder = write_run(tmp_path / "x/run", [0.9])
    (folder / "checkpoints/60").mkdir(parents=True)
    (folder / "checkpoints/60/config.json").write_text((folder / "config.json").read_text())
    for given in ([tmp_path], [folder], [tmp_path, folder], [folder, tmp_path / "x"]):
        assert len(read_runs(given).runs) == 1


def test_runs_that_are_not_done(tmp_path, write_run):
    status = {1: "failed at step 1200: loss", 2: "pruned at step 40"}
    write_run(tmp_path / "a", [0.9, None, None], results={"status": status})
    write_run(tmp_path / "b", [0.8], results=False, steps=40)
    done, failed, pruned, unfinished = read_runs([tmp_path]).runs
    assert (done.status, done.steps, done.done) == ("done", 60, True)
    assert (failed.status, failed.steps) == ("failed at step 1200: loss", 1200)
    assert (pruned.steps, pruned.metrics["test/accuracy"]) == (40, 0.5)
    assert (unfinished.status, unfinished.seconds) == ("unfinished at step 40", None)
    # The last logged evaluation, and no metric of training.
    assert unfinished.metrics == {
        "test/loss": pytest.approx(0.2),
        "test/accuracy": pytest.approx(0.8),
    }
    (group,) = ranked(read_runs([tmp_path]), "test/accuracy", "max")
    assert list(group.scores) == [0.9]
    assert group.status == "1 done, 1 failed, 1 pruned, 1 unfinished"


def test_a_run_that_only_trained_has_its_training_metrics(tmp_path, write_run):
    folder = write_run(tmp_path / "a", [0.9], results=False)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if line["split"] == "train"]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run,) = read_runs([folder]).runs
    assert run.metrics == {"train/loss": pytest.approx(0.1)}
    (folder / "metrics.jsonl").unlink()
    (run,) = read_runs([folder]).runs
    assert (run.status, run.metrics) == ("unfinished at step 0", {})
    with pytest.raises(UserError, match="no run has a metric"):
        pick_metric(read_runs([folder]))


def test_fields_that_only_some_runs_have(tmp_path, write_run):
    write_run(tmp_path / "a", [0.9])
    write_run(tmp_path / "b", [0.8], optimizer={"name": "sgd", "learning_rate": 0.01})
    runs = read_runs([tmp_path])
    assert "optimizer.name" in runs.fields
    assert "optimizer.b1" in runs.fields  # Adam's alone
    first, second = ranked(runs, "test/accuracy", "max")
    assert "optimizer.b1" in first.values
    assert "optimizer.b1" not in second.values
    assert (first.label, second.label) == ("optimizer=adam", "optimizer=sgd")


def test_the_order_of_groups(tmp_path, write_run):
    def add(name, accuracy, width, **given):
        write_run(tmp_path / name, [accuracy], model={"features": (width,)}, **given)

    add("a", 0.7, 1)
    add("b", 0.8, 2)
    add("c", 0.99, 3, results=False)
    add("d", None, 4, results={"status": {0: "failed at step 20: loss"}})
    (tmp_path / "d/metrics.jsonl").unlink()
    add("e", math.nan, 5)
    runs = read_runs([tmp_path])

    def order(metric, mode):
        return "".join(group.runs[0].folder.name for group in ranked(runs, metric, mode))

    # What is done, what has a score, the rest.
    assert order("test/accuracy", "max")[:3] == "bac"
    assert order("test/accuracy", "min")[:3] == "abc"
    assert order("test/loss", "min")[:3] == "bac"


def test_csv_and_parquet_hold_the_same(tmp_path, write_run):
    write_run(tmp_path / "a", [0.9, None], results={"status": {1: 'failed at step 3: "a", <b>\n'}})
    write_run(tmp_path / "b", [0.8], model={"features": (4, 4)}, optimizer={"weight_decay": 0.1})
    runs = read_runs([tmp_path])
    (tmp_path / "a/metrics.jsonl").unlink()
    runs = read_runs([tmp_path])
    write_csv(runs, tmp_path / "sweep.csv")
    write_parquet(runs, tmp_path / "sweep.parquet")
    with (tmp_path / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = pyarrow.parquet.read_table(tmp_path / "sweep.parquet")
    assert table.column_names == list(rows[0])
    typed = table.to_pylist()
    for row, of_row in zip(rows, typed, strict=True):
        for name, value in of_row.items():
            assert row[name] == ("" if value is None else str(value))
    assert [row["seed"] for row in typed] == [0, 1, 0]
    assert [row["test/accuracy"] for row in typed] == [0.9, None, 0.8]
    assert [row["model.features"] for row in typed] == ["(16,)", "(16,)", "(4, 4)"]
    assert [row["optimizer.weight_decay"] for row in typed] == ["None", "None", "0.1"]
    assert typed[1]["status"] == 'failed at step 3: "a", <b>\n'


@pytest.mark.parametrize("origin", [False, True])
def test_the_best_can_be_trained_again(tmp_path, write_run, small_config, origin):
    """The command and the JSON give the run's config, with its own values and all its seeds."""
    vary = {"optimizer.learning_rate": (0.1, 0.01, 0.1)}
    results = {}
    if origin:
        experiment = tmp_path / "my experiment.py"
        experiment.write_text(f"def get_config(variant='a'):\n    return {small_config()!r}\n")
        overrides = {"model.features": "8,", "replicas.seeds": "3,4,5"}
        overrides |= {"replicas.vary.optimizer.learning_rate": "0.1,0.01,0.1"}
        results = {"experiment": str(experiment), "variant": None, "overrides": overrides}
    changes = {"model": {"features": (8,)}, "replicas": {"seeds": (3, 4, 5), "vary": vary}}
    write_run(tmp_path / "runs/a", [0.9, 0.5, 0.9], results=results, **changes)
    group = ranked(read_runs([tmp_path / "runs"]), "test/accuracy", "max")[0]
    (tmp_path / "best.json").write_text(best.config_text(group))
    config = load_config(str(tmp_path / "best.json"))
    expected = plain(load_config(str(tmp_path / "runs/a/config.json")))
    expected["optimizer"]["learning_rate"] = 0.1
    expected["replicas"] |= {"seeds": (3, 5), "vary": {}}
    assert differences(expected, config) == []
    program, command, *arguments = shlex.split(best.command(group))
    assert (program, command) == ("aimodels", "train")
    rest, overrides = split_overrides(arguments)
    source = dict(word.split("=", 1) for word in rest)["--config"]
    assert differences(expected, load_config(source, overrides)) == []


@pytest.mark.parametrize(
    ("names", "picked"),
    [
        (["test/brier", "test/accuracy", "test/loss"], "test/accuracy"),
        (["train/accuracy", "test/loss"], "test/loss"),
        (["test/accuracy", "validation/accuracy"], "validation/accuracy"),
        (["test/loss", "test/mse", "test/rmse", "test/r2"], "test/rmse"),
        (["train/loss"], "train/loss"),
        (["test/fid", "test/other"], "test/fid"),
    ],
)
def test_the_metric_that_ranks(names, picked):
    run = Run(
        folder=Path("a"),
        replica=0,
        seed=0,
        config={},
        settings={},
        varied=(),
        metrics=dict.fromkeys(names, 0.5),
        steps=1,
        seconds=None,
        status="done",
        origin={},
    )
    assert pick_metric(Runs((run,), ())) == picked


def test_the_end_that_is_best():
    for name in ("loss", "calibration_error", "rmse", "perplexity", "nll", "mae", "brier"):
        assert pick_mode(f"test/{name}") == "min"
    for name in ("accuracy", "f1/macro", "r2", "return", "log_likelihood"):
        assert pick_mode(f"test/{name}") == "max"


def test_labels_tell_groups_apart_with_few_fields():
    fields = ("model.features", "model.name", "optimizer.learning_rate")
    keys = [("(4,)", "CNN", "0.1"), ("(4,)", "CNN", "0.01"), (None, "Linear", "0.1")]
    labels = label(keys, fields)
    assert list(labels.values()) == [
        "model=CNN, learning_rate=0.1",
        "model=CNN, learning_rate=0.01",
        "model=Linear, learning_rate=0.1",
    ]
    assert label([()], ()) == {(): "all runs"}
    names = short_names(["a.rate", "b.rate", "data.name", "optimizer.name", "c.d.e"])
    assert list(names.values()) == ["a.rate", "b.rate", "data", "optimizer", "e"]


def test_mistakes(tmp_path, write_run):
    with pytest.raises(UserError, match="absent is not a folder"):
        read_runs([tmp_path / "absent"])
    with pytest.raises(UserError, match="holds no work folder"):
        read_runs([tmp_path])
    folder = write_run(tmp_path / "a", [0.9])
    with pytest.raises(UserError, match=r"'test/acuracy'. Did you mean 'test/accuracy'"):
        pick_metric(read_runs([folder]), "test/acuracy")
    for text in ("{", "[]", "{}", '{"replicas": {"seeds": [0], "vary": {"a": []}}}'):
        (folder / "config.json").write_text(text)
        with pytest.raises(UserError, match="is not the config of a run"):
            read_runs([folder])
