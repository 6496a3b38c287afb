"""What a person sees while a run goes on: one line that renews itself, or a line now and then."""

import sys
import time
from typing import TextIO


def duration(seconds: float) -> str:
    """Seconds as a person says them: `0.8 s`, `45 s`, `3 min 20 s`, `5 min`, `2 h 05 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        (large, small), units = divmod(whole, 60), ("min", "s")
    else:
        (large, small), units = divmod(round(seconds / 60), 60), ("h", "min")
    return f"{large} {units[0]}" + (f" {small:02} {units[1]}" if small else "")


class Progress:
    """Steps done, steps/s, loss and time left, on standard error.

    On a terminal one line renews itself; in a file or a pipe a line is written every
    `quiet_seconds`, so that logs stay short.

    Args:
      total: steps in all.
      label: stands before the bar.
      stream: where to write.
      quiet_seconds: between two lines where the stream is not a terminal.
    """

    def __init__(
        self,
        total: int,
        label: str = "",
        stream: TextIO | None = None,
        quiet_seconds: float = 20.0,
    ) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._total, self._label = total, label
        self.begin(0)
        self._interval = 0.1 if self._terminal else quiet_seconds
        self._shown = False

    def begin(self, step: int) -> None:
        """Counts from `step` on, from now on."""
        self._start = step
        self._begin = self._last = time.monotonic()

    def update(self, step: int, loss: float | None = None) -> None:
        """Shows `step` if it is time to."""
        now = time.monotonic()
        if now - self._last < self._interval:
            return
        self._last = now
        rate = (step - self._start) / (now - self._begin)
        parts = [f"{step:,}/{self._total:,} steps"]
        if rate > 0:
            parts.append(f"{rate:,.0f} steps/s" if rate >= 10 else f"{rate:.2g} steps/s")
        if loss is not None:
            parts.append(f"loss {loss:.4g}")
        if rate > 0:
            parts.append(f"{duration((self._total - step) / rate)} left")
        text = f"{self._label} {'  '.join(parts)}".strip()
        if self._terminal:
            filled = round(20 * step / self._total)
            text = f"\r{'█' * filled}{'░' * (20 - filled)} {text}\x1b[K"
            self._shown = True
        self._stream.write(text if self._terminal else text + "\n")
        self._stream.flush()

    def message(self, text: str) -> None:
        """Writes a whole line, above the bar."""
        clear = "\r\x1b[K" if self._shown else ""
        label = f"{self._label}: " if self._label else ""
        self._stream.write(f"{clear}{label}{text}\n")
        self._stream.flush()
        self._shown = False

    def close(self) -> None:
        """Takes the bar away."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False
