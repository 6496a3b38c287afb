"""Split names with slices: `train`, `train[:90%]`, `train[1000:]`, `train+test`.

The boundaries of a slice are example numbers or per cents, and count from the end if negative, as
in Python and TFDS. A per cent boundary is rounded down, so `train[:p%]` and `train[p%:]` share the
boundary: together they are `train`, with no example twice. (TFDS rounds to the nearest by default.)
"""

import dataclasses
import re
from collections.abc import Mapping

from aimodels.errors import UserError, unknown

SYNTAX = "a split is like train, train[:90%], train[10%:], train[:1000], train[-500:] or train+test"
_PIECE = re.compile(r"(?P<name>[A-Za-z0-9_.\-]+)(\[(?P<start>[^:\[\]]*):(?P<stop>[^:\[\]]*)\])?")
_BOUNDARY = re.compile(r"(?P<number>[+-]?\d+)(?P<percent>%?)")


@dataclasses.dataclass(frozen=True)
class Boundary:
    """One end of a slice: `number` examples, or per cent of them."""

    number: int
    percent: bool

    def place(self, length: int) -> int:
        """The example number at which it falls; may lie outside 0 ... length."""
        if self.percent:
            number = self.number if self.number >= 0 else 100 + self.number
            return length * number // 100
        return self.number if self.number >= 0 else length + self.number


@dataclasses.dataclass(frozen=True)
class Piece:
    """A named split, or a slice of it."""

    name: str
    start: Boundary | None = None
    stop: Boundary | None = None


def parse(text: str) -> tuple[Piece, ...]:
    """The pieces of a split name, e.g. of `train[:90%]+test`. Raises `UserError` on bad syntax."""
    return tuple(_parse_piece(piece.strip(), text) for piece in text.split("+"))


def select(text: str, sizes: Mapping[str, int], dataset: str) -> list[tuple[str, range]]:
    """The examples that a split name means.

    Args:
      text: the split name.
      sizes: named split -> number of examples.
      dataset: the data set's name, for messages.

    Returns:
      (named split, example numbers) for each piece, in order.

    Raises:
      UserError: bad syntax, an unknown split, a boundary outside the split, nothing left.
    """
    selected = []
    for piece in parse(text):
        if piece.name not in sizes:
            raise unknown(f"split of {dataset}", piece.name, sizes)
        length = sizes[piece.name]
        start = 0 if piece.start is None else piece.start.place(length)
        stop = length if piece.stop is None else piece.stop.place(length)
        for place in (start, stop):
            if not 0 <= place <= length:
                raise UserError(
                    f"split {text!r} of {dataset} reaches outside {piece.name}, which has "
                    f"{length} examples"
                )
        if start < stop:
            selected.append((piece.name, range(start, stop)))
    if not selected:
        raise UserError(f"split {text!r} of {dataset} is empty")
    return selected


def _parse_piece(piece: str, text: str) -> Piece:
    match = _PIECE.fullmatch(piece)
    if match is None:
        raise UserError(f"split {text!r} can't be read: {SYNTAX}")
    start, stop = (
        _parse_boundary(boundary, text) if boundary else None
        for boundary in (match["start"], match["stop"])
    )
    return Piece(match["name"], start, stop)


def _parse_boundary(boundary: str, text: str) -> Boundary:
    match = _BOUNDARY.fullmatch(boundary.strip())
    if match is None:
        raise UserError(f"split {text!r} can't be read at {boundary!r}: {SYNTAX}")
    return Boundary(int(match["number"]), bool(match["percent"]))
