"""What a person reads while a run goes on."""

import io

import pytest

from aimodels.training.progress import Progress, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.42, "0.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3599, "59 min 59 s"),
        (3599.7, "1 h"),
        (7500, "2 h 05 min"),
        (7199, "2 h"),
    ],
)
def test_durations_for_people(seconds, text):
    assert duration(seconds) == text


def test_a_file_gets_a_line_now_and_then_and_messages():
    stream = io.StringIO()
    progress = Progress(1000, label="cnn", stream=stream, quiet_seconds=0.0)
    progress.begin(400)
    progress.update(500, loss=0.25)
    progress.message("evaluated")
    progress.close()
    line, message = stream.getvalue().splitlines()
    assert line.startswith("cnn 500/1,000 steps")
    assert "loss 0.25" in line
    assert line.endswith("left")
    assert message == "cnn: evaluated"
    silent = io.StringIO()
    Progress(1000, stream=silent, quiet_seconds=60.0).update(500)
    assert silent.getvalue() == ""


def test_a_terminal_has_one_line_that_is_taken_away(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    progress = Progress(10, stream=stream)
    monkeypatch.setattr("time.monotonic", lambda: progress._last + 1.0)
    progress.update(5)
    progress.close()
    assert "\n" not in stream.getvalue()
    assert stream.getvalue().count("█") == 10
    assert stream.getvalue().endswith("\r\x1b[K")
