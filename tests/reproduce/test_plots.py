"""Curves read from metrics.jsonl, and pictures whose texts stand inside and apart."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimodels.errors import UserError
from aimodels.reproduce import plots, table
from aimodels.reproduce.curves import Curve, read_curves
from aimodels.reproduce.published import Row
from aimodels.reproduce.table import Measurement


def log(path, *, replicas=3, points=20, last=0.9, broken=(), every=100):
    """A metrics.jsonl as a run writes it: NaN as the string "nan", train and test in turn."""
    generator = np.random.default_rng(0)
    lines = []
    for point in range(1, points + 1):
        for replica in range(replicas):
            line = {"step": every * point, "split": "train", "replica": replica, "seed": replica}
            accuracy = last * (1 - math.exp(-5 * point / points)) + generator.normal(0, 0.01)
            lost = replica in broken and point > points / 2
            loss = "nan" if lost else 1.2 - accuracy
            lines.append(line | {"loss": loss, "accuracy": accuracy, "gradient_norm": 1.0})
            if point % 2 == 0:
                lines.append(line | {"split": "test", "loss": loss, "accuracy": accuracy})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def kept(monkeypatch):
    """The figures that were drawn, still open after they were saved."""
    from matplotlib import pyplot

    figures, save = [], plots._save

    def saved(figure, path):
        figures.append(figure)
        with monkeypatch.context() as patch:
            patch.setattr(pyplot, "close", lambda *_: None)
            return save(figure, path)

    monkeypatch.setattr(plots, "_save", saved)
    yield figures
    pyplot.close("all")


def boxes(figure):
    """Every text that can be seen, with its box in pixels."""
    from matplotlib.text import Text

    renderer = figure.canvas.get_renderer()
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    # Ticks beyond an axis' limits have labels too, which are never drawn.
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            drawn = {id(t) for t in axis.get_major_ticks() if low <= t.get_loc() <= high}
            ticks = [t for t in (*axis.majorTicks, *axis.minorTicks) if id(t) not in drawn]
            hidden |= {id(label) for tick in ticks for label in (tick.label1, tick.label2)}
    texts = [text for text in texts if id(text) not in hidden]
    return [(text.get_text(), Text.get_window_extent(text, renderer)) for text in texts]


def assert_readable(figure):
    width, height = figure.canvas.get_width_height()
    texts = boxes(figure)
    for words, box in texts:
        assert box.x0 >= -1, words
        assert box.y0 >= -1, words
        assert box.x1 <= width + 1, words
        assert box.y1 <= height + 1, words
    for number, (words, box) in enumerate(texts):
        for other, place in texts[number + 1 :]:
            # Boxes are a pixel or two larger than their letters.
            over = min(box.x1, place.x1) - max(box.x0, place.x0)
            above = min(box.y1, place.y1) - max(box.y0, place.y0)
            assert min(over, above) < 3, (words, other)


def is_png(path):
    return path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5_000


def test_curves_are_read_by_split_metric_and_replica(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [
        {"step": 10, "split": "train", "replica": 0, "seed": 7, "loss": 3.0},
        {"step": 10, "split": "train", "replica": 1, "seed": 8, "loss": 5.0},
        {"step": 20, "split": "train", "replica": 0, "seed": 7, "loss": "nan"},
        {"step": 20, "split": "train", "replica": 1, "seed": 8, "loss": 1.0},
        {"step": 20, "split": "train", "replica": 1, "seed": 8, "loss": 2.0},
        {"step": 20, "split": "test", "replica": 1, "seed": 8, "accuracy": 0.5},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 30, "spl')
    curves = read_curves(path)
    assert set(curves) == {("train", "loss"), ("test", "accuracy")}
    loss = curves["train", "loss"]
    np.testing.assert_array_equal(loss.steps, [10, 20])
    np.testing.assert_array_equal(loss.values, [[3.0, math.nan], [5.0, 2.0]])
    np.testing.assert_array_equal(loss.mean, [4.0, 2.0])
    np.testing.assert_array_equal(loss.band, ([3.0, 2.0], [5.0, 2.0]))
    assert plots._stopped(loss) == [(10, 3.0)]


@pytest.mark.parametrize(
    ("replicas", "points", "broken"),
    [(5, 40, ()), (1, 4, ()), (1, 2, ()), (3, 20, (1,)), (1, 8, (0,))],
)
def test_curves_png_draws_loss_and_evaluated_metrics(tmp_path, kept, replicas, points, broken):
    path = log(tmp_path / "run" / "metrics.jsonl", replicas=replicas, points=points, broken=broken)
    picture = plots.curves_png(path, tmp_path / "out" / "curves.png")
    assert is_png(picture)
    assert [file.name for file in picture.parent.iterdir()] == ["curves.png"]
    (figure,) = kept
    assert [axis.get_title("left") for axis in figure.axes] == ["loss", "accuracy"]
    means = [line for line in figure.axes[1].lines if line.get_marker() != "X"]
    assert [len(line.get_xdata()) for line in means] == [points, points // 2]
    assert len(figure.axes[1].collections) == (2 if replicas > 1 else 0)
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "X"]
    assert len(crosses) == 2 * len(broken)
    assert_readable(figure)


def test_curves_png_without_evaluation_or_metrics(tmp_path, kept):
    path = tmp_path / "metrics.jsonl"
    lines = [{"step": s, "split": "train", "replica": 0, "return": s, "q": 1.0} for s in (1, 2)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    plots.curves_png(path, tmp_path / "curves.png", title="Cart pole " * 30)
    assert [axis.get_title("left") for axis in kept[0].axes] == ["return", "q"]
    assert_readable(kept[0])
    path.write_text("")
    with pytest.raises(UserError, match="holds no metrics yet"):
        plots.curves_png(path, tmp_path / "curves.png")


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
        cell["row"]: log(tmp_path / cell["variant"] / "metrics.jsonl", last=cell["mean"] / 100)
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

    def fail(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(plots.os, "replace", fail)
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


def test_a_step_where_no_replica_is_finite_has_no_mean():
    curve = Curve(np.array([1, 2]), np.array([[1.0, math.nan], [3.0, math.inf]]))
    np.testing.assert_array_equal(curve.mean, [2.0, math.nan])
