"""A file is the old one or the whole new one, whatever happens."""

import os
import stat
import threading

import pytest

from aimodels.files import write_atomically


def test_text_and_bytes_in_folders_that_are_made(tmp_path):
    path = tmp_path / "a/b/file"
    write_atomically(path, "é = 1\n")
    assert path.read_bytes() == "é = 1\n".encode()
    write_atomically(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert os.listdir(path.parent) == ["file"]
    # As any file that a program makes: others may read it if the umask lets them.
    (tmp_path / "plain").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, fails):
    path = tmp_path / "file"
    write_atomically(path, "old")

    def fail(*_):
        raise OSError("disk full")

    where = "os.fsync" if fails == "fsync" else "pathlib.Path.replace"
    monkeypatch.setattr(where, fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_writers_at_the_same_time_never_mix(tmp_path):
    path = tmp_path / "file"
    contents = {letter * 100_000 for letter in "abcd"}
    seen, done = set(), threading.Event()

    def read():
        while not done.is_set():
            if path.exists():
                seen.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    writers = [
        threading.Thread(target=lambda c=c: [write_atomically(path, c) for _ in range(10)])
        for c in contents
    ]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert seen <= contents
    assert seen
    assert os.listdir(tmp_path) == ["file"]
