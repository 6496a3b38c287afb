"""A run's picture: every panel, line and band is there, and its texts stand inside and apart."""

import json
import subprocess
import sys

import pytest
from pictures import assert_readable, is_png, write_metrics

from aimodels.errors import UserError
from aimodels.training.figures import curves_png


@pytest.mark.parametrize(
    ("replicas", "points", "broken"),
    [(5, 40, ()), (1, 4, ()), (1, 2, ()), (3, 20, (1,)), (1, 8, (0,))],
)
def test_curves_png_draws_loss_and_evaluated_metrics(tmp_path, kept, replicas, points, broken):
    path = write_metrics(
        tmp_path / "run" / "metrics.jsonl", replicas=replicas, points=points, broken=broken
    )
    picture = curves_png(path, tmp_path / "out" / "curves.png")
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
    curves_png(path, tmp_path / "curves.png", title="Cart pole " * 30)
    assert [axis.get_title("left") for axis in kept[0].axes] == ["return", "q"]
    assert_readable(kept[0])
    path.write_text("")
    with pytest.raises(UserError, match="holds no metrics yet"):
        curves_png(path, tmp_path / "curves.png")


def test_a_value_at_one_step_is_no_curve_unless_there_is_nothing_else(tmp_path, kept):
    path = tmp_path / "metrics.jsonl"
    end = {"step": 125_000, "split": "test", "replica": 0, "return": 3.0, "length": 9.0}
    train = [{"step": s, "split": "train", "replica": 0, "return": s} for s in (62_500, 125_000)]
    for lines, titles in (([*train, end], ["return"]), ([end], ["return", "length"])):
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        curves_png(path, tmp_path / "curves.png")
        figure = kept.pop()
        assert [axis.get_title("left") for axis in figure.axes] == titles
        assert_readable(figure)


def test_a_notebooks_own_figures_and_settings_stay(tmp_path):
    path = write_metrics(tmp_path / "metrics.jsonl")
    code = (
        "import sys, matplotlib\n"
        "matplotlib.rcParams['font.size'] = 17\n"
        "from aimodels.training.figures import curves_png\n"
        f"curves_png({str(path)!r}, {str(tmp_path / 'curves.png')!r})\n"
        "print(matplotlib.rcParams['font.size'], 'matplotlib.pyplot' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["17.0", "False"]
