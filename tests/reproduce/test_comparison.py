"""Methods over several tasks: figures by hand and by SciPy, and what intervals hold."""

import json

import numpy as np
import pytest
from pictures import assert_readable, is_png, write_metrics
from scipy import stats

from aimodels.config import load_experiment
from aimodels.errors import UserError
from aimodels.reproduce import comparison, comparison_plots, table
from aimodels.reproduce.comparison import Comparison
from aimodels.reproduce.published import Row
from aimodels.reproduce.run import reproduce
from aimodels.reproduce.statistics import bootstrap_interval, mean_interval, summarize
from aimodels.reproduce.table import Measurement
from aimodels.sweeps.statistics import estimate

CLASSIC = "experiments/rl/classic_control.py"
BASIC = {
    "metric": "test/return",
    "tasks": {"easy": (0.0, 10.0), "hard": (-100.0, 0.0)},
    "bounds": "Bounds of nothing.",
    "methods": {
        "A": {"easy": "a_easy", "hard": "a_hard"},
        "B": {"easy": "b_easy", "hard": "b_hard"},
    },
}


def compared(**fields):
    return Comparison(**(BASIC | fields))


def row(variant, **fields):
    given = {"name": variant, "metric": "test/return", "published": None, "source": "nowhere"}
    return Row(variant=variant, **(given | fields))


ROWS = [row(variant) for variants in BASIC["methods"].values() for variant in variants.values()]
# Scores: A 0.1 0.2 0.3 1.4 and 0 0.5 0.5 1; B 0.9 0.9 0.9 0.9 and 0.5 0.5 0.5 0.5.
FIGURES = {
    "a_easy": (1, 2, 3, 14),
    "a_hard": (-100, -50, -50, 0),
    "b_easy": (9, 9, 9, 9),
    "b_hard": (-50, -50, -50, -50),
}


def results(figures=FIGURES):
    return {name: [{"test/return": value} for value in each] for name, each in figures.items()}


def test_figures_are_those_by_hand():
    made = comparison.measure(compared(), results())
    a, b = made["methods"]
    assert (a["method"], a["runs"], b["runs"]) == ("A", 4, 4)
    scores = [0.1, 0.2, 0.3, 1.4, 0.0, 0.5, 0.5, 1.0]
    assert a["iqm"]["value"] == pytest.approx((0.2 + 0.3 + 0.5 + 0.5) / 4)
    assert a["iqm"]["value"] == pytest.approx(stats.trim_mean(scores, 0.25))
    assert a["mean"]["value"] == pytest.approx(0.5)
    assert a["median"]["value"] == pytest.approx(0.5)  # of the tasks' means, both 0.5
    # Short of 1 by .9 .8 .7 0 and 1 .5 .5 0: what is above 1 makes up for nothing.
    assert a["optimality_gap"]["value"] == pytest.approx(4.4 / 8)
    # B never varies: its intervals have no width.
    for key in ("iqm", "mean", "median", "optimality_gap"):
        assert b[key]["low"] == b[key]["value"] == b[key]["high"]
    assert b["iqm"]["value"] == pytest.approx(0.7)
    (improvement,) = made["improvements"]
    # On easy 1 of 4 runs of A beats all of B; on hard 1 does, and 2 are as good.
    assert (improvement["method"], improvement["over"]) == ("A", "B")
    assert improvement["value"] == pytest.approx((1 / 4 + (1 + 2 / 2) / 4) / 2)
    assert improvement["low"] < improvement["value"] < improvement["high"]
    profile = dict(zip(made["thresholds"], a["profile"]["value"], strict=True))
    assert profile[0.0] == pytest.approx(7 / 8)
    assert profile[1.4] == 0
    assert a["profile"]["value"] == sorted(a["profile"]["value"], reverse=True)


def test_it_is_the_same_every_time():
    assert comparison.measure(compared(), results()) == comparison.measure(compared(), results())


def test_a_method_without_all_of_its_runs_is_left_out():
    some = {name: each for name, each in results().items() if name != "a_hard"}
    made = comparison.measure(compared(), some)
    assert [each["method"] for each in made["methods"]] == ["B"]
    assert made["improvements"] == []
    short = results(FIGURES | {"b_easy": (9, 9)})
    assert [each["method"] for each in comparison.measure(compared(), short)["methods"]] == ["A"]
    lost = results(FIGURES | {"b_easy": (9, 9, float("nan"), 9)})
    assert [each["method"] for each in comparison.measure(compared(), lost)["methods"]] == ["A"]
    assert comparison.measure(compared(metric="test/other"), results()) is None
    assert comparison.measure(compared(), {}) is None


@pytest.mark.parametrize(("runs", "least", "most"), [(10, 0.87, 0.93), (50, 0.93, 0.965)])
def test_a_bootstrap_interval_holds_the_truth_about_as_often_as_it_says(runs, least, most):
    """Of 500 experiments on normal values, by their seed always the same ones."""
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(500):
        found = bootstrap_interval(generator.normal(3, 2, runs).tolist())
        held += found.low <= 3 <= found.high
    assert least <= held / 500 <= most


def test_an_iqm_interval_holds_the_truth_about_as_often_as_it_says():
    """Two tasks of 30 runs; by symmetry the truth is the middle."""
    generator, held = np.random.default_rng(2), 0
    for _ in range(200):
        scores = generator.normal((0.5, 0.5), (0.1, 0.1), (30, 2))
        found = estimate(comparison.STATISTICS["iqm"], scores, repetitions=1000)
        held += found.low <= 0.5 <= found.high
    assert 0.91 <= held / 200 <= 0.98


def test_a_row_takes_the_bootstrap_where_it_says_so():
    values = [-200.0] * 8 + [-150.0, -120.0]
    student, ours = summarize(row("x"), values), summarize(row("x", interval="bootstrap"), values)
    assert student == mean_interval(values)
    assert ours.mean == pytest.approx(student.mean)
    assert student.low < -200 <= ours.low < ours.mean < ours.high < student.high
    scaled = summarize(row("x", interval="bootstrap", scale=2.0), values)
    assert (scaled.low, scaled.high) == pytest.approx((2 * ours.low, 2 * ours.high))
    assert summarize(row("x", interval="bootstrap"), [3.0]).low is None
    with pytest.raises(UserError, match="interval is 'normal'"):
        row("x", interval="normal")
    made = table.make("t", [row("x", interval="bootstrap")], [Measurement(values=tuple(values))])
    assert made["rows"][0]["interval"] == "bootstrap"
    assert "the bootstrap's 95 % interval" in table.markdown(made)
    assert "Student" not in table.markdown(made)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (compared(tasks={}), "no tasks"),
        (compared(tasks={"easy": (1, 1), "hard": (0, 1)}), "bounds of easy are 1 and 1"),
        (compared(methods={"A": {"easy": "a_easy"}}), "A has easy; it takes a variant for each"),
        (
            compared(methods={"A": {"easy": "a_easy", "hard": "a_hrd"}}),
            "variant 'a_hrd'.*'a_hard'",
        ),
        (compared(curve="train/return"), "environment_steps lacks a_easy"),
        ("nothing", "takes aimodels.reproduce.Comparison"),
    ],
)
def test_a_comparison_that_does_not_fit_is_refused(given, says):
    with pytest.raises(UserError, match=says):
        comparison.check(given, ROWS)


def test_tables_show_it(tmp_path):
    made = comparison.measure(compared(), results())
    whole = table.make("t", ROWS, [None] * 4, compared=made)
    written = table.markdown(whole)
    assert "| A | 4 | 0.38 [" in written
    assert "easy 0 to 10; hard -100 to 0" in written
    assert "Bounds of nothing." in written
    assert "A over B 0.38 [" in written
    lines = table.text(whole).splitlines()
    assert any(line.startswith("A ") and "0.38 [" in line for line in lines)
    assert max(map(len, table.text(whole, width=72).splitlines())) <= 72
    table.write(whole, tmp_path)
    assert json.loads((tmp_path / "table.json").read_text())["comparison"] == made
    # A table.json from before there were comparisons.
    del whole["comparison"]
    assert "over all tasks" not in table.markdown(whole)


def test_pictures_show_every_method_and_task(tmp_path, kept):
    made = comparison.measure(compared(), results())
    path = comparison_plots.comparison_png("A title", made, tmp_path / "comparison.png")
    assert is_png(path)
    *panels, profiles = kept[0].axes
    assert [axis.get_title("left") for axis in panels] == list(comparison.TITLES.values())
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["A", "B"]
    assert len(profiles.lines) == 2
    assert_readable(kept[0])


def test_learning_curves_are_over_steps_of_the_environment(tmp_path, kept):
    steps = {variant: 5000 for variant in FIGURES} | {"b_hard": 20_000}
    given = compared(curve="test/accuracy", environment_steps=steps)
    folders = {variant: tmp_path / variant for variant in FIGURES if variant != "b_easy"}
    for folder in folders.values():
        file = write_metrics(folder / "metrics.jsonl")
        last = max(json.loads(line)["step"] for line in file.read_text().splitlines())
        (folder / "config.json").write_text(json.dumps({"training": {"steps": 2 * last}}))
    path = comparison_plots.learning_curves_png("A title", given, folders, tmp_path / "curves.png")
    assert is_png(path)
    easy, hard = kept[0].axes
    assert (easy.get_title("left"), hard.get_title("left")) == ("easy", "hard")
    assert [len(axis.lines) for axis in (easy, hard)] == [1, 2]
    # Half of the training was logged.
    assert easy.lines[0].get_xdata()[-1] == pytest.approx(2500)
    assert hard.lines[1].get_xdata()[-1] == pytest.approx(10_000)
    assert len(hard.collections) == 2  # a band each
    assert_readable(kept[0])
    missing = comparison_plots.learning_curves_png("t", given, {}, tmp_path / "none.png")
    assert missing is None
    assert not (tmp_path / "none.png").exists()


def test_reproduce_measures_it_from_the_runs_of_rows(tmp_path, capsys):
    file = tmp_path / "many.py"
    file.write_text(
        '"""Two methods on two tasks."""\n'
        "from aimodels.reproduce import Comparison, Row\n"
        f"FIGURES = {FIGURES!r}\n"
        "def get_config(variant):\n"
        "    raise NotImplementedError\n"
        "def published():\n"
        "    return [Row(name=v, variant=v, metric='test/return', published=None, source='none',\n"
        "                interval='bootstrap',\n"
        "                run=lambda seed, v=v: {'test/return': FIGURES[v][seed]})\n"
        "            for v in FIGURES]\n"
        "def comparison():\n"
        f"    return Comparison(**{BASIC!r})\n"
    )
    made = reproduce(file, workdir=tmp_path / "out", seeds=4)
    assert made["comparison"] == comparison.measure(compared(), results())
    assert is_png(tmp_path / "out/comparison.png")
    assert not (tmp_path / "out/learning_curves.png").exists()  # nothing was trained
    assert "over all tasks" in capsys.readouterr().out


def test_the_bounds_of_classic_control_are_what_they_say():
    gymnasium, gymnax = pytest.importorskip("gymnasium"), pytest.importorskip("gymnax")
    import jax

    from aimodels.agents.base import play
    from aimodels.environments.gymnax import Gymnax

    del gymnax
    module = load_experiment(CLASSIC).module
    for id, (worst, best) in module.comparison().tasks.items():
        assert best == gymnasium.spec(id).reward_threshold
        environment = Gymnax(id)

        def at_random(seen, key, number=environment.num_actions):
            return jax.random.randint(key, (len(seen),), 0, number)

        returns, _ = play(environment, at_random, 500, jax.random.key(7))
        error = returns.std() / 500**0.5
        assert abs(returns.mean() - worst) <= 3 * error + 0.05
