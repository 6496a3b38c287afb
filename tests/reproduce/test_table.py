"""table.json, table.md and the terminal's lines, from rows that went well and rows that did not."""

import io
import json
import math
import re

import pytest

from aimodels.reproduce import table
from aimodels.reproduce.published import Row
from aimodels.reproduce.table import Measurement

PERCENT = {"metric": "test/accuracy", "units": "%", "scale": 100.0, "source": "a paper, table 1"}


def row(name, variant, published, **fields):
    return Row(name=name, variant=variant, published=published, **(PERCENT | fields))


ROWS = (
    row("logistic", "logistic", 32, parameters=410, seconds=3),
    row("MLP", "mlp", 68, parameters=15_000, alternatives=((65.1, "notebook"),)),
    row("CNN | wide", "cnn", 94, spread=0.8, spread_kind="sd", note="Seen in the README."),
    row("GRU", "gru", 91, long=True, seconds=290),
    row("SVC", "svc", 90, test_examples=1000),
    row("kNN", "knn", 60),
    row("diverging", "div", 50),
    row("ours", "ours", None),
)
MEASURED = (
    Measurement(values=(0.315, 0.316, 0.314), seeds=(0, 1, 2), seconds=9.0, parameters=410),
    Measurement(values=(0.651, 0.649), seconds=30.0, parameters=15_210),
    Measurement(values=(0.92, 0.921, 0.919), seconds=240.0),
    None,
    Measurement(values=(0.912,), seconds=4000.0),
    Measurement(error="ValueError: shapes | do not fit\nTraceback: a page of it"),
    Measurement(values=(0.5, math.nan, 0.6), seeds=(7, 8, 9), seconds=1.0),
    Measurement(values=(0.7123, 0.7124, 0.7122), seconds=1.0),
)
ENVIRONMENT = {
    "processor": "A Processor",
    "cores": 2,
    "devices": ["cpu:cpu"] * 8,
    "python": "3.11.9",
    "versions": {"jax": "0.10.2", "numpy": "2.0"},
    "commit": "0123456789abcdef+changes",
}


@pytest.fixture
def made():
    return table.make(
        "MNIST-1D", ROWS, MEASURED, command="aimodels reproduce f.py", environment=ENVIRONMENT
    )


def test_json_has_the_designed_fields_in_the_tables_units(made):
    assert set(made) >= {"experiment", "command", "rows", "environment", "verdict_rule"}
    designed = {"row", "metric", "published", "spread", "mean", "low", "high", "n", "seconds"}
    assert all(set(cell) >= designed | {"verdict", "source"} for cell in made["rows"])
    cells = {cell["variant"]: cell for cell in made["rows"]}
    logistic = cells["logistic"]
    assert logistic["values"] == pytest.approx([31.5, 31.6, 31.4])
    assert logistic["mean"] == pytest.approx(31.5)
    # Student's t for 2 degrees of freedom is 4.3027; s = 0.1, n = 3.
    assert logistic["high"] - logistic["mean"] == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-4)
    assert logistic["verdict"] == "within our interval"
    assert cells["cnn"]["verdict"] == "below by 2.0 (worse)"
    assert cells["gru"]["verdict"] == "not run (about 4 min 50 s a seed; --rows gru)"
    assert cells["svc"]["interval"] == "binomial"
    assert cells["knn"]["verdict"] == "failed: ValueError: shapes | do not fit"
    assert cells["knn"]["error"].endswith("a page of it")
    assert cells["div"]["status"] == "failed"
    assert cells["div"]["error"] == "test/accuracy is not finite in 1 of 3 seeds: 8"
    assert cells["div"]["values"] == [50.0, None, 60.0]
    assert cells["ours"]["agrees"] is None
    assert cells["ours"]["verdict"] == "no published figure"


def test_written_files_are_whole_and_strict(made, tmp_path):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    folder = tmp_path / "new" / "folder"
    table.write(made, folder)
    again = json.loads((folder / "table.json").read_text(), parse_constant=refuse)
    assert again == made
    assert table.markdown(again) == (folder / "table.md").read_text()
    assert sorted(path.name for path in folder.iterdir()) == ["table.json", "table.md"]


def test_markdown_has_equal_columns_and_footnotes_that_exist(made):
    text = table.markdown(made)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(ROWS)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {8}
    marks = {
        int(n) for group in re.findall(r"<sup>([\d, ]+)</sup>", text) for n in group.split(",")
    }
    notes = {int(n): words for n, words in re.findall(r"^(\d+)\. (.+)$", text, re.MULTILINE)}
    assert marks == set(notes)
    said = " ".join(notes.values())
    for words in (
        "65.1 (notebook)",
        "Seen in the README",
        "standard deviation",
        "Wilson",
        "t = 12.7",
    ):
        assert words in said
    assert "counts 15,000 parameters" in said
    assert "Source: a paper, table 1." in text
    assert made["verdict_rule"] in text
    assert (
        "A Processor, 2 cores, Python 3.11.9, jax 0.10.2, commit 0123456789 with changes." in text
    )
    assert "**below by 2.0 (worse)**" in text
    assert "`aimodels reproduce f.py`" in text


def test_summary_counts_every_row(made):
    line = table.summary_line(made)
    assert line == (
        "2 of 4 measured rows agree with the published figure; 2 worse; 2 failed; 1 not run."
    )
    none = table.make("x", ROWS[:1], [None])
    assert table.summary_line(none) == (
        "0 rows measured, none beside a published figure; 1 not run."
    )


@pytest.mark.parametrize("width", [120, 100, 80, 72])
def test_terminal_lines_fit_and_keep_the_figures(made, width):
    text = table.text(made, width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "\033" not in text
    for figures in ("92.0 [91.8, 92.2]", "94 ± 0.8", "31.5 [31.3, 31.7]", "91.2 [89.3, 92.8]"):
        assert figures in text
    assert ("parameters" in text) is (width >= 100)


def test_terminal_columns_are_aligned(made):
    lines = table.text(made).splitlines()
    rule = next(line for line in lines if line.startswith("---"))
    starts = [match.start() for match in re.finditer(r"-+", rule)]
    head = lines[lines.index(rule) - 1]
    assert head[starts[-1] :] == "verdict"
    body = lines[lines.index(rule) + 1 : lines.index(rule) + 4]
    assert [line[starts[-1] :] for line in body] == [
        "within our interval",
        "below by 3.0 (worse)",
        "below by 2.0 (worse)",
    ]


def test_long_labels_and_several_metrics_fit():
    long = "a label that goes on and on until it is far too long for any terminal"
    rows = [
        row(f"{long} {i}", f"v{i}", 4.826, metric=metric, units="", scale=1.0, spread=0.161)
        for i in range(3)
        for metric in ("test/rmse", "test/log_likelihood")
    ]
    made = table.make("T" * 200, rows, [Measurement(values=(5.0922, 5.1, 5.0))] * 6)
    text = table.text(made)
    assert max(map(len, text.splitlines())) <= 120
    assert text.count("test/log_likelihood") == 3
    assert "…" in text


def test_colour_only_on_a_terminal_that_wants_it(made, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain, terminal, quiet = io.StringIO(), io.StringIO(), io.StringIO()
    for stream in (terminal, quiet):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    table.show(made, plain)
    table.show(made, terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    table.show(made, quiet)
    assert "\033[32mwithin our interval\033[0m" in terminal.getvalue()
    assert "\033[31mbelow by 2.0 (worse)\033[0m" in terminal.getvalue()
    assert "\033" not in plain.getvalue() + quiet.getvalue()


def test_measure_takes_the_rows_metric_and_says_what_is_there_instead():
    results = [{"test/accuracy": 0.9, "parameters": 12}, {"test/accuracy": 0.8, "parameters": 12}]
    ours = table.measure(ROWS[0], results, [3, 4], seconds=2.0)
    assert ours == Measurement(values=(0.9, 0.8), seeds=(3, 4), seconds=2.0, parameters=12)
    missing = table.measure(ROWS[0], [{"test/loss": 1.0}], [3])
    assert missing.error == "seed 3 has no metric 'test/accuracy'; it has test/loss"
    assert missing.values == ()


def test_a_row_whose_interval_cannot_be_made_fails_alone():
    percent = Measurement(values=(91.2,))
    made = table.make("x", [ROWS[4], ROWS[0]], [percent, MEASURED[0]])
    assert [cell["status"] for cell in made["rows"]] == ["failed", "measured"]
    assert "proportion" in made["rows"][0]["error"]
