"""Every experiment: its resolved configs, three steps of training, and its published figures.

Experiments are found by their files; a new one needs no line here. After a change that is meant,
`scripts/test --update-goldens` rewrites tests/golden/experiments, to be read as a diff.
"""

import functools
import json
import math
from pathlib import Path

import commands
import pytest
from run_checks import GOLDENS, first, golden_of, shrunk, total_of

import aimodels
from aimodels.config import load_experiment, to_json
from aimodels.reproduce import comparison, published
from aimodels.training.describe import parameter_table

ROOT = Path(__file__).parent.parent
FILES = sorted(ROOT.glob("experiments/**/*.py"))
EXPERIMENTS = {str(file.relative_to(ROOT)): load_experiment(file) for file in FILES}
VARIANTS = [(name, variant) for name, file in EXPERIMENTS.items() for variant in file.variants]
TABLES = [name for name, file in EXPERIMENTS.items() if hasattr(file.module, "published")]

COMPARED = [name for name, file in EXPERIMENTS.items() if hasattr(file.module, "comparison")]


@functools.cache
def parameters_of(name, variant):
    """The table of parameters, and its total."""
    table = parameter_table(EXPERIMENTS[name].config(variant))
    return table, total_of(table)


def test_every_experiment_names_its_variants_and_the_default_is_the_first():
    assert EXPERIMENTS
    for name, experiment in EXPERIMENTS.items():
        assert experiment.variants, f"{name} has no VARIANTS"
        assert to_json(experiment.config()) in map(
            to_json, map(experiment.config, experiment.variants)
        )
    stems = [Path(name).stem for name in EXPERIMENTS]
    assert len(stems) == len(set(stems)), "two experiments of one name would share goldens"


@pytest.mark.parametrize(("name", "variant"), VARIANTS, ids=map(":".join, VARIANTS))
def test_resolved_config_and_parameters_are_the_golden_ones(name, variant, request):
    golden = golden_of(name, variant)
    text = f"{to_json(EXPERIMENTS[name].config(variant))}\n{parameters_of(name, variant)[0]}\n"
    if request.config.getoption("--update-goldens"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)
    assert golden.exists(), f"{golden.name} is missing; make it with: scripts/test --update-goldens"
    assert text == golden.read_text(), "if that is meant: scripts/test --update-goldens"


def test_every_golden_has_its_experiment(request):
    strays = set(GOLDENS.iterdir()) - {golden_of(*pair) for pair in VARIANTS}
    if request.config.getoption("--update-goldens"):
        for stray in strays:
            stray.unlink()
        strays = set()
    assert not strays, f"no experiment has {sorted(stray.name for stray in strays)}"


def three_steps(config):
    """Overrides that make a run of seconds out of any config."""
    overrides = {"training.steps": "3", "training.log_every": "1"}
    overrides |= {"execution.steps_per_dispatch": "1"}
    if config.data is not None:
        parts = config.parallel.data * config.training.gradient_accumulation
        splits = dict.fromkeys(first(config, split, 25) for split in config.evaluation.splits)
        overrides |= {
            "training.batch_size": str(4 * parts),
            "training.split": first(config, config.training.split, 64),
            "evaluation.splits": ",".join(splits),
            "evaluation.batch_size": "20",
        }
    if config.checkpoint.best:
        split, _, metric = config.checkpoint.best.partition("/")
        overrides["checkpoint.best"] = f"{first(config, split, 25)}/{metric}"
    if "samples" in config.task:
        overrides["task.samples"] = "4"
    return overrides


def marked_variants():
    """Variants; slow where an earlier one of the file has the task, the network and the data.

    An agent is one case, whatever it acts in: environments have tests of their own.
    """
    seen, found = set(), []
    for name, variant in VARIANTS:
        config = EXPERIMENTS[name].config(variant)
        parts = (config.model, config.data)
        case = (name, config.task.name, *(part and part.name for part in parts))
        marks = [pytest.mark.slow] if case in seen else []
        seen.add(case)
        found.append(pytest.param(name, variant, marks=marks, id=f"{name}:{variant}"))
    return found


@pytest.mark.parametrize(("name", "variant"), marked_variants())
def test_three_steps_of_training_on_the_real_data(
    name, variant, fetched, fetched_weights, tmp_path
):
    experiment = EXPERIMENTS[name]
    full = experiment.config(variant)
    if full.data is not None and full.data.name == "tfds":
        pytest.skip("must be downloaded by hand; the experiment has tests of its own")
    if full.data is not None:
        fetched(**full.data)
    if "init_from" in full:
        fetched_weights(full.init_from.path)
    # A file of models that are too large to train here says what makes them smaller.
    smaller = shrunk(experiment, full)
    config = experiment.config(variant, three_steps(full) | smaller)
    result = aimodels.train(config, tmp_path / "run", verbose=False)
    assert result.results["steps"] == 3
    if not smaller:
        assert result.results["parameters"] == parameters_of(name, variant)[1]
    for replica in result.results["replicas"]:
        evaluated = {name.partition("/")[0] for name in replica["metrics"]}
        assert evaluated == set(config.evaluation.splits)
        assert all(math.isfinite(value) for value in replica["metrics"].values())
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["split"] == "train"] == [1, 2, 3]
    # A number that JSON lacks is written as text.
    assert not [line for line in lines if {"nan", "inf", "-inf"} & set(map(str, line.values()))]


@pytest.mark.parametrize("name", TABLES)
def test_published_rows_fit_their_variants(name):
    experiment = EXPERIMENTS[name]
    rows = published.check(experiment.module.published())
    for row in rows:
        if row.run is None and row.run_all is None:
            assert row.variant in experiment.variants
        if row.parameters is not None:
            assert row.variant in experiment.variants
            assert row.parameters == parameters_of(name, row.variant)[1], row.name


@pytest.mark.parametrize("name", COMPARED)
def test_comparisons_fit_their_rows(name):
    module = EXPERIMENTS[name].module
    compared = comparison.check(module.comparison(), module.published())
    variants = {one for variants in compared.methods.values() for one in variants.values()}
    for row in module.published():
        if row.variant in variants:
            assert row.run is None  # a comparison draws the curves of what was trained
            assert row.run_all is None


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_commands_of_an_experiments_card_are_right(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    card = EXPERIMENTS[name].module.__doc__ or ""
    lines = [line for line in card.splitlines() if line.startswith("aimodels ")]
    assert lines, f"the docstring of {name} names no command"
    assert commands.problems(lines) == []
    assert any(name in line for line in lines)
