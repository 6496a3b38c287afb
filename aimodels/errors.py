"""Errors that are for people: one message, exit code 2, no traceback."""

import contextlib
import difflib
import signal
from collections.abc import Iterable, Iterator


class UserError(Exception):
    """A mistake in a config, a command, a data set or a folder.

    The message says which field or file, what it got, what it takes, and what mends it. The command
    line prints it alone and exits with `exit_code`.
    """

    exit_code = 2


class TrainingFailed(Exception):
    """Training cannot go on (a non-finite loss). The last good checkpoint is kept."""

    exit_code = 3


class Stopped(BaseException):
    """SIGTERM or Ctrl-C ended a run, which was saved. `exit_code` is 143 or 130.

    As KeyboardInterrupt it is no `Exception`: it can come at any line, where it is not for those
    who handle faults, who would take the config file or the checkpoint at hand to be broken.
    """

    def __init__(self, signal_number: int, step: int | None = None) -> None:
        super().__init__(signal_number, step)
        self.exit_code = 128 + signal_number

    def __str__(self) -> str:
        number, step = self.args
        where = "" if step is None else f" at step {step:,}"
        name = signal.Signals(number).name
        return f"stopped by {name}{where}; the same command goes on from there"


@contextlib.contextmanager
def raised_on_host() -> Iterator[None]:
    """Raises anew a `UserError` of a function on the host that a compiled step calls.

    JAX raises an error of its own, with the text of the traceback in it.
    """
    try:
        yield
    except RuntimeError as error:
        _, raised, message = str(error).rpartition(f"\n{UserError.__name__}: ")
        if not raised:
            raise
        raise UserError(message.strip().partition("\n")[0]) from error


def near(name: str, known: Iterable[str]) -> list[str]:
    """The known names most like `name`, best first (ignoring case), at most three."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    return [by_lower[match] for match in difflib.get_close_matches(name.lower(), by_lower, 3, 0.5)]


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that nobody knows, with the nearest known ones, then all of them."""
    known = sorted(known)
    close = near(name, known)
    hint = f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
    return UserError(f"unknown {kind} {name!r}.{hint} Known: {', '.join(known)}.")
