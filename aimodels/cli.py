"""The commands as a process: how it is called, what it says and how it ends.

Messages go to standard error, results that a program may read to standard output. Exit codes:
0 done, 2 the user's mistake, 3 training failed, 130 and 143 stopped and saved.
"""

import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

from aimodels.arguments import parser, split_overrides
from aimodels.commands import COMMANDS
from aimodels.errors import Stopped, TrainingFailed, UserError


def program() -> None:
    """`aimodels` as a process of its own."""
    take_large_pages()
    sys.unraisablehook = _unraisable
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _struck)
    code = main()
    # All is done and said; from here on Ctrl-C would only get a traceback of Python's own end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)


def take_large_pages() -> None:
    """Starts this process again with memory in large pages: glibc reads that at its start only.

    XLA takes the temporary memory of a dispatch anew from the system, which in pages of 4 KB costs
    a fifth of the time of a step of GPT-2 (6 layers x 384, 2 cores), and a tenth of a U-Net's.
    """
    if sys.platform == "linux" and "GLIBC_TUNABLES" not in os.environ:
        os.environ["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        rest, overrides = split_overrides(arguments)
        options = parser().parse_args(rest)
        if overrides and not hasattr(options, "config"):
            raise UserError(f"`aimodels {options.command}` takes no --config fields")
        options.overrides = overrides
        _quiet_libraries()
        COMMANDS[options.command](options)
        sys.stdout.flush()
        return 0
    except (UserError, TrainingFailed, Stopped) as error:
        print(f"aimodels: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("aimodels: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `aimodels list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" ({error.filename})" if error.filename else ""
        print(
            f"aimodels: the disk is full{where}; checkpoints on it are whole. Free some space and "
            "give the same command again: it goes on where it stopped",
            file=sys.stderr,
        )
        return 2


def _quiet_libraries() -> None:
    """Libraries' own chatter is not for our users: what fails is raised, and said in our words."""
    for name in ("absl", "jax", "orbax", "asyncio", "concurrent.futures"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def _struck(number: int, frame: Any) -> None:
    """Ends the command, but not within an import: extensions take that for a fault of their own."""
    while frame is not None:
        if frame.f_code.co_name == "_find_and_load":  # importlib's
            return _send_again(number)
        frame = frame.f_back
    raise KeyboardInterrupt if number == signal.SIGINT else Stopped(number)


def _send_again(number: int) -> None:
    threading.Timer(0.02, os.kill, (os.getpid(), number)).start()


def _unraisable(unraisable: Any) -> None:
    """What Python does with an exception that it can't raise where it came up.

    A signal may come while garbage is collected: its exception is dropped, so it is sent again.
    What Orbax's writers say of a save that already failed, and was told as such, is left out.
    """
    dropped = {KeyboardInterrupt: signal.SIGINT, Stopped: signal.SIGTERM}
    if unraisable.exc_type in dropped:
        _send_again(dropped[unraisable.exc_type])
    elif str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


if __name__ == "__main__":
    program()
