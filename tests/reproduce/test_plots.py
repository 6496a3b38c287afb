"""A table's picture: every row and metric is there, and its texts stand inside and apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import assert_readable, is_png, write_metrics

from aimodels.reproduce import plots, table
from aimodels.reproduce.published import Row
from aimodels.reproduce.table import Measurement


def rows_and_measurements(count, names="row number {}"):
    rows, measured = [], []
    for i in range(count):
        rows.append(
            Row(
                name=names.format(i),
                variant=f"v{i}",
                metric="test/accuracy",
                published=30 + 5 * i % 60,
                source="a paper",
                scale=100,
                units="%",
                spread=0.8 if i % 3 == 0 else None,
                spread_kind="sd" if i % 3 == 0 else "",
            )
        )
        values = tuple((30 + 5 * i % 60 + d) / 100 for d in (-0.7, 0.1, 1.0))
        choices = (Measurement(values=values), Measurement(values=values[:1]), None)
        measured.append(choices[(0, 0, 1, 0, 2)[i % 5]])
    return rows, measured


@pytest.mark.parametrize("count", [1, 4, 9, 24])
def test_table_png_shows_every_row(tmp_path, kept, count):
    rows, measured = rows_and_measurements(count)
    made = table.make("MNIST-1D: Greydanus & Kobak, table 1", rows, measured)
    curves = {
        cell["row"]: write_metrics(
            tmp_path / cell["variant"] / "metrics.jsonl", last=cell["mean"] / 100
        )
        for cell in made["rows"]
        if cell["n"] == 3
    }
    assert is_png(plots.table_png(made, tmp_path / "table.png", curves=curves))
    (figure,) = kept
    figures, learning = figure.axes
    assert [label.get_text() for label in figures.get_yticklabels()] == [row.name for row in rows]
    assert len(learning.lines) == len(curves)
    for cell in made["rows"]:
        if cell["mean"] is not None:
            assert table.ours_text(cell) in [text.get_text() for text in figures.texts]
    # Curves are in the table's units, as the figures beside them: per cent.
    assert 20 < max(line.get_ydata().max() for line in learning.lines) < 100
    assert_readable(figure)


def test_table_png_gives_each_metric_its_axis(tmp_path, kept):
    def row(name, metric, published, **fields):
        given = {"variant": "v", "source": "a paper", "higher_is_better": metric != "test/rmse"}
        return Row(name=name, metric=metric, published=published, **(given | fields))

    long = "a data set whose name goes on and on until it needs lines"
    rows = [
        row(long, "test/rmse", 0.666, spread=0.049, spread_kind="se"),
        row(long, "test/log_likelihood", -1.25, spread=0.015, spread_kind="se"),
        row("adding", "test/loss", 5.3e-5),
        row("copying", "test/loss", 0.164),
        row("no figure of theirs", "test/loss", None),
    ]
    values = [(0.6, 0.7), (-1.2, -1.3), (5e-5, 6e-5), (0.1, 0.2), (0.3, 0.31)]
    made = table.make("U" * 10, rows, [Measurement(values=pair) for pair in values])
    plots.table_png(made, tmp_path / "table.png")
    (figure,) = kept
    titles = [axis.get_title("left") for axis in figure.axes]
    assert titles == ["test/rmse", "test/log_likelihood", "test/loss"]
    assert [axis.get_xscale() for axis in figure.axes] == ["linear", "linear", "log"]
    assert [axis.get_xlabel().split()[0] for axis in figure.axes] == ["lower", "higher", "higher"]
    assert_readable(figure)


def test_a_failing_drawing_leaves_the_old_picture(tmp_path, monkeypatch):
    rows, measured = rows_and_measurements(1)
    made = table.make("x", rows, measured)
    path = plots.table_png(made, tmp_path / "table.png")
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        plots.table_png(made, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["table.png"]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.01, 0.2))
def test_labels_are_pushed_apart_no_farther_than_needed(heights, gap):
    given_heights = {str(i): height for i, height in enumerate(heights)}
    placed = plots._spread_out(given_heights, gap)
    order = sorted(given_heights, key=given_heights.__getitem__)
    steps = np.diff([placed[name] for name in order])
    assert (steps >= gap - 1e-9).all()
    if (np.diff(sorted(heights)) >= gap).all():
        assert placed == pytest.approx(given_heights)
    # Blocks move around their own middle, so that the mean of all labels stays.
    assert np.mean(list(placed.values())) == pytest.approx(np.mean(heights), abs=1e-9)
