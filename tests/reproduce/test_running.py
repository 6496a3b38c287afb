"""Rows that run in several processes, and what ends them."""

import signal
import subprocess
import sys
import time

STOPPABLE = """
import signal, time
from pathlib import Path
from aimodels.errors import Stopped
from aimodels.reproduce import Row

VARIANTS = ()

def get_config(variant=""):
    return {}

def wait(name):
    def stop(number, _):
        raise Stopped(number)
    signal.signal(signal.SIGTERM, stop)
    Path(__file__).with_name(name).touch()
    time.sleep(120)
    return {"test/score": 1.0}

def published():
    return [
        Row(name=name, variant=name, metric="test/score", published=None, source="none",
            run=lambda seed, name=name: wait(name))
        for name in "abcdef"
    ]
"""


def test_a_signal_ends_all_rows_also_those_that_wait(tmp_path):
    """A process of the pool has its next row before it has ended this one."""
    file = tmp_path / "stoppable.py"
    file.write_text(STOPPABLE)
    command = [sys.executable, "-m", "aimodels.cli", "reproduce", str(file), "--jobs=2"]
    process = subprocess.Popen(
        [*command, "--seeds=1", f"--workdir={tmp_path / 'table'}"], stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 120
    while len(begun := [name for name in "abcdef" if (tmp_path / name).exists()]) < 2:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert [name for name in "abcdef" if (tmp_path / name).exists()] == begun
