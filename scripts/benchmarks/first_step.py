"""The command `aimodels`, that tells when its first dispatch of steps was done, and nothing else.

Usage: first_step.py FILE train --config=... ; FILE then holds the time (seconds since the epoch).
The last import below is one that `aimodels train` makes itself.
"""

import sys
import time
from pathlib import Path
from typing import Any

from aimodels.cli import main


def tell_first_step(file: Path) -> None:
    """Writes the time to `file` when the first call of `Program.run` has been computed."""
    from aimodels.training.step import Program

    original = Program.run

    def run(self: Program, *arguments: Any) -> Any:
        state, report = original(self, *arguments)
        Program.run = original
        import jax

        jax.block_until_ready((state, report.metrics))
        file.write_text(repr(time.time()))
        return state, report

    Program.run = run


if __name__ == "__main__":
    tell_first_step(Path(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
